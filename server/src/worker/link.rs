//! What the pool lends to a caller: the way to one life.

use super::frame::Message;
use super::socket::{Frames, Socket};
use super::witness::Witness;
use super::words::{Ask, CANARY_CALL, Said, ToWorker};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use sidewinder_core::Life;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Beyond its credit a call has room for its ending and for what crossed a change of mind.
const MARGIN: usize = 4;
/// More inputs than this are never wanted at once.
const WANTED_MAX: usize = 1 << 16;
/// What a call of an earlier daemon may say before somebody takes it.
const RESUMED_MAX: usize = 1 << 10;

/// The sockets of one life, and who waits for what on them.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) life: Life,
    /// The same in words, made once for all of its calls.
    pub(crate) name: String,
    pub(crate) calls: Socket,
    pub(crate) control: Socket,
    /// Who says where the worker is when it does not say so itself.
    pub(crate) witness: Witness,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    seats: FxHashMap<u64, Seat>,
    /// Endings that have arrived and were not acknowledged yet; the next call carries them.
    heard: Vec<u64>,
    /// Who waits for stacks, in the order of asking.
    dumps: FxHashMap<u64, oneshot::Sender<String>>,
    asked: u64,
    /// The worker has been welcomed: before that it hears nothing else.
    welcomed: bool,
    closed: bool,
}

/// A call that the pool has given to this life.
#[derive(Debug)]
enum Seat {
    /// Its caller has not told the worker yet, and may let go before it does.
    Lent,
    /// The worker knows it.
    Open(Open),
}

/// What one call needs on its way.
#[derive(Debug)]
struct Open {
    said: Saying,
    /// Items that the worker may still say, whether anybody hears them or not.
    credit: u32,
    /// Inputs that the tool wants and has not been given, where there are to be any.
    wanted: Option<Arc<Semaphore>>,
    /// Its worker keeps the ending, for whoever asks a successor of this daemon for it.
    kept: bool,
}

/// The way of what a worker says of a call.
#[derive(Debug)]
enum Saying {
    /// Its ending is all there is to say.
    Once(Option<oneshot::Sender<Said>>),
    Items(mpsc::Sender<Said>),
}

impl Saying {
    /// Whoever asked may be gone. False: there is no room.
    fn say(&mut self, said: Said) -> bool {
        match self {
            Self::Once(way) => way.take().map(|way| way.send(said)).is_some(),
            Self::Items(way) => !matches!(way.try_send(said), Err(mpsc::error::TrySendError::Full(_))),
        }
    }
}

/// The other end of that.
#[derive(Debug)]
pub(crate) enum Hearing {
    Once(oneshot::Receiver<Said>),
    Items(mpsc::Receiver<Said>),
}

impl Hearing {
    /// A call that may say so many items at first. None: its ending is all there is to say.
    fn of(credit: u32) -> (Saying, Self) {
        if credit == 0 {
            let (way, hearing) = oneshot::channel();
            return (Saying::Once(Some(way)), Self::Once(hearing));
        }
        let room = usize::try_from(credit).unwrap_or(usize::MAX).saturating_add(MARGIN).min(1 << 16);
        let (way, hearing) = mpsc::channel(room);
        (Saying::Items(way), Self::Items(hearing))
    }

    /// What is said next; nothing after the last word. Safe to drop at any time.
    pub(crate) async fn next(&mut self) -> Option<Said> {
        match self {
            Self::Once(hearing) if hearing.is_terminated() => None,
            Self::Once(hearing) => hearing.await.ok(),
            Self::Items(hearing) => hearing.recv().await,
        }
    }
}

/// Why something that a worker said cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unasked {
    /// It speaks about a call that it was not given, or that has ended.
    UnknownCall,
    /// It said more items than it had credit for.
    BeyondCredit,
}

impl Link {
    pub(crate) fn new(life: Life, calls: Socket, control: Socket, witness: Witness) -> Self {
        Self { life, name: life.to_string(), calls, control, witness, table: Mutex::default() }
    }

    /// The pool gives this life to a call.
    pub(crate) fn lend(&self, call: u64) {
        let mut table = self.table();
        if !table.closed {
            table.seats.insert(call, Seat::Lent);
        }
    }

    /// A call that an earlier daemon has given to this life. Nobody knows what credit it has left.
    pub(crate) fn resume(&self, call: u64, kept: bool) -> Hearing {
        let (said, hearing) = mpsc::channel(RESUMED_MAX);
        let mut table = self.table();
        if !table.closed {
            let open = Open { said: Saying::Items(said), credit: u32::MAX, wanted: None, kept };
            table.seats.insert(call, Seat::Open(open));
        }
        Hearing::Items(hearing)
    }

    /// The worker need not keep the ending of this call any longer.
    pub(crate) fn heard(&self, call: u64) {
        self.table().heard.push(call);
    }

    /// Gives a call to the worker. What there is no room for now is to be said before anything else is said of the call. A
    /// call that was cancelled before is not given any more.
    pub(crate) fn open(&self, call: u64, ask: Box<Ask>) -> io::Result<(Hearing, Frames)> {
        let (said, hearing) = Hearing::of(ask.credit);
        let heard = {
            let mut table = self.table();
            let seat = table.seats.get_mut(&call).filter(|seat| matches!(seat, Seat::Lent));
            let seat = seat.ok_or(io::ErrorKind::BrokenPipe)?;
            let wanted = ask.input.then(|| Arc::new(Semaphore::new(0)));
            *seat = Seat::Open(Open { said, credit: ask.credit, wanted, kept: ask.memo.is_some() });
            std::mem::take(&mut table.heard)
        };
        let message = ToWorker::Call(call, ask, heard).message();
        let rest = self.calls.say_some(message.frames().map_err(io::Error::other)?.into())?;
        Ok((hearing, rest))
    }

    /// Says a message to its end, also when whoever says it gives up in the middle: of half a message the worker
    /// would wait for the rest.
    async fn say(self: &Arc<Self>, message: Message) -> io::Result<()> {
        let rest = self.calls.say_some(message.frames().map_err(io::Error::other)?.into())?;
        if rest.is_empty() {
            return Ok(());
        }
        let link = self.clone();
        tokio::spawn(async move { link.calls.say_rest(rest).await }).await.map_err(io::Error::other)?
    }

    /// Gives a further input, when the tool wants one.
    pub(crate) async fn item(self: &Arc<Self>, call: u64, body: Bytes) -> io::Result<()> {
        let wanted = self.table().open(call).and_then(|seat| seat.wanted.clone());
        let wanted = wanted.ok_or(io::ErrorKind::BrokenPipe)?;
        wanted.acquire().await.map_err(|_| io::ErrorKind::BrokenPipe)?.forget();
        self.say(ToWorker::Item(call, body).message()).await
    }

    /// No further input will come.
    pub(crate) async fn end_of_input(&self, call: u64) -> io::Result<()> {
        self.calls.say(ToWorker::EndOfInput(call).message()).await
    }

    /// Allows further items.
    pub(crate) async fn credit(&self, call: u64, items: u32) -> io::Result<()> {
        if let Some(seat) = self.table().open(call) {
            seat.credit = seat.credit.saturating_add(items);
        }
        self.calls.say(ToWorker::Credit(call, items).message()).await
    }

    /// Asks for the end of a call. A worker that does not read its control socket climbs the ladder all the same.
    /// False when the worker was never told of the call, and now never will be.
    pub(crate) fn cancel(&self, call: u64, why: &'static str) -> bool {
        let mut table = self.table();
        if let Some(Seat::Lent) = table.seats.get(&call) {
            table.seats.remove(&call);
            return false;
        }
        drop(table);
        let _ = self.control.say_now(ToWorker::Cancel(call, why).message());
        true
    }

    /// Asks where its threads are.
    pub(crate) fn dump(&self) -> oneshot::Receiver<String> {
        let (sender, stacks) = oneshot::channel();
        let number = {
            let mut table = self.table();
            if !table.welcomed {
                return stacks;
            }
            table.dumps.retain(|_, waiting| !waiting.is_closed());
            table.asked += 1;
            let number = table.asked;
            table.dumps.insert(number, sender);
            number
        };
        // A full socket is no answer either.
        let _ = self.control.say_now(ToWorker::Dump(number).message());
        stacks
    }

    /// The welcome is on its way: what is said from now on comes after it.
    pub(crate) fn welcome(&self) {
        self.table().welcomed = true;
    }

    /// Whether it hears anything yet.
    pub(crate) fn is_welcomed(&self) -> bool {
        self.table().welcomed
    }

    /// The answer to a [`Link::dump`]; nobody may be waiting any more.
    pub(crate) fn dumped(&self, number: u64, text: String) {
        if let Some(waiting) = self.table().dumps.remove(&number) {
            let _ = waiting.send(text);
        }
    }

    /// The call that the worker has, if it has only one.
    pub(crate) fn only_call(&self) -> Option<u64> {
        let table = self.table();
        let mut calls = table.seats.iter().filter(|(_, seat)| matches!(seat, Seat::Open(_)));
        let (call, _) = calls.next().filter(|(call, _)| **call != CANARY_CALL)?;
        calls.next().is_none().then_some(*call)
    }

    /// Whether the worker still has this call.
    pub(crate) fn is_open(&self, call: u64) -> bool {
        self.table().open(call).is_some()
    }

    /// Passes on what the worker said. Whoever asked may be gone: that is no fault of the worker.
    pub(crate) fn pass_on(&self, call: u64, said: Said) -> Result<(), Unasked> {
        let mut table = self.table();
        let ending = said.is_ending();
        let seat = table.open(call).ok_or(Unasked::UnknownCall)?;
        if let Said::Item(_) = said {
            seat.credit = seat.credit.checked_sub(1).ok_or(Unasked::BeyondCredit)?;
        }
        if let Said::Want(inputs) = said {
            if let Some(wanted) = &seat.wanted {
                let room = WANTED_MAX.saturating_sub(wanted.available_permits());
                wanted.add_permits(room.min(usize::try_from(inputs).unwrap_or(usize::MAX)));
            }
            return Ok(());
        }
        if !seat.said.say(said) {
            return Err(Unasked::BeyondCredit);
        }
        if ending {
            seat.close();
            let kept = seat.kept;
            table.seats.remove(&call);
            if !kept {
                table.heard.push(call);
            }
        }
        Ok(())
    }

    /// The life is over: nobody will hear any more.
    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        table.dumps.clear();
        for (_, seat) in table.seats.drain() {
            if let Seat::Open(seat) = seat {
                seat.close();
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics while it holds the lock, and a table is whole after every line.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// No further input is wanted.
    fn close(&self) {
        if let Some(wanted) = &self.wanted {
            wanted.close();
        }
    }
}

impl Table {
    fn open(&mut self, call: u64) -> Option<&mut Open> {
        if let Seat::Open(open) = self.seats.get_mut(&call)? { Some(open) } else { None }
    }
}
