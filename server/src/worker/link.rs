//! What the pool lends to a caller: the way to one life.

use super::socket::Socket;
use super::words::{Ask, Said, ToWorker};
use bytes::Bytes;
use sidewinder_core::Life;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Beyond its credit a call has room for its ending and for what crossed a change of mind.
const MARGIN: usize = 4;
/// More inputs than this are never wanted at once.
const WANTED_MAX: usize = 1 << 16;

/// The sockets of one life, and who waits for what on them.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) life: Life,
    pub(crate) calls: Socket,
    pub(crate) control: Socket,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    seats: HashMap<u64, Seat>,
    /// Endings that have arrived and were not acknowledged yet; the next call carries them.
    heard: Vec<u64>,
    /// Who waits for stacks, in the order of asking.
    dumps: HashMap<u64, oneshot::Sender<String>>,
    asked: u64,
    closed: bool,
}

/// What one call needs on its way.
#[derive(Debug)]
struct Seat {
    said: mpsc::Sender<Said>,
    /// Items that the worker may still say, whether anybody hears them or not.
    credit: u32,
    /// Inputs that the tool wants and has not been given.
    wanted: Arc<Semaphore>,
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
    pub(crate) fn new(life: Life, calls: Socket, control: Socket) -> Self {
        Self { life, calls, control, table: Mutex::default() }
    }

    /// Gives a call to the worker. What it says arrives in the receiver; a closed one means that the life is over.
    pub(crate) async fn open(&self, call: u64, ask: Ask) -> io::Result<mpsc::Receiver<Said>> {
        let room = usize::try_from(ask.credit).unwrap_or(usize::MAX).saturating_add(MARGIN).min(1 << 16);
        let (sender, receiver) = mpsc::channel(room);
        let heard = {
            let mut table = self.table();
            if table.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            table
                .seats
                .insert(call, Seat { said: sender, credit: ask.credit, wanted: Arc::new(Semaphore::new(0)) });
            std::mem::take(&mut table.heard)
        };
        if !heard.is_empty() {
            self.calls.say(ToWorker::Heard(heard).message()).await?;
        }
        self.calls.say(ToWorker::Call(call, Box::new(ask)).message()).await?;
        Ok(receiver)
    }

    /// Gives a further input, when the tool wants one.
    pub(crate) async fn item(&self, call: u64, body: Bytes) -> io::Result<()> {
        let wanted = self.table().seats.get(&call).map(|seat| seat.wanted.clone());
        let wanted = wanted.ok_or(io::ErrorKind::BrokenPipe)?;
        wanted.acquire().await.map_err(|_| io::ErrorKind::BrokenPipe)?.forget();
        self.calls.say(ToWorker::Item(call, body).message()).await
    }

    /// No further input will come.
    pub(crate) async fn end_of_input(&self, call: u64) -> io::Result<()> {
        self.calls.say(ToWorker::EndOfInput(call).message()).await
    }

    /// Allows further items.
    pub(crate) async fn credit(&self, call: u64, items: u32) -> io::Result<()> {
        if let Some(seat) = self.table().seats.get_mut(&call) {
            seat.credit = seat.credit.saturating_add(items);
        }
        self.calls.say(ToWorker::Credit(call, items).message()).await
    }

    /// Asks for the end of a call. A worker that does not read its control socket climbs the ladder all the same.
    pub(crate) fn cancel(&self, call: u64, why: &'static str) {
        let _ = self.control.say_now(ToWorker::Cancel(call, why).message());
    }

    /// Asks where its threads are.
    pub(crate) fn dump(&self) -> oneshot::Receiver<String> {
        let (sender, stacks) = oneshot::channel();
        let number = {
            let mut table = self.table();
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

    /// The answer to a [`Link::dump`]; nobody may be waiting any more.
    pub(crate) fn dumped(&self, number: u64, text: String) {
        if let Some(waiting) = self.table().dumps.remove(&number) {
            let _ = waiting.send(text);
        }
    }

    /// Whether the worker still has this call.
    pub(crate) fn is_open(&self, call: u64) -> bool {
        self.table().seats.contains_key(&call)
    }

    /// Passes on what the worker said. Whoever asked may be gone: that is no fault of the worker.
    pub(crate) fn pass_on(&self, call: u64, said: Said) -> Result<(), Unasked> {
        let mut table = self.table();
        let ending = said.is_ending();
        let seat = table.seats.get_mut(&call).ok_or(Unasked::UnknownCall)?;
        if let Said::Item(_) = said {
            seat.credit = seat.credit.checked_sub(1).ok_or(Unasked::BeyondCredit)?;
        }
        if let Said::Want(inputs) = said {
            let room = WANTED_MAX.saturating_sub(seat.wanted.available_permits());
            seat.wanted.add_permits(room.min(usize::try_from(inputs).unwrap_or(usize::MAX)));
            return Ok(());
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = seat.said.try_send(said) {
            return Err(Unasked::BeyondCredit);
        }
        if ending {
            let seat = table.seats.remove(&call);
            seat.iter().for_each(|seat| seat.wanted.close());
            table.heard.push(call);
        }
        Ok(())
    }

    /// The life is over: nobody will hear any more.
    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        table.dumps.clear();
        table.seats.drain().for_each(|(_, seat)| seat.wanted.close());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics while it holds the lock, and a table is whole after every line.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
