//! A life that an earlier daemon has left: asked what it does, and then lived on.
//!
//! Its calls socket is not read before it has said what runs and what it keeps, because until then nobody knows which
//! call a frame belongs to. What comes then of calls that are unknown was meant for the dead, and is dropped; so are the
//! rest of a body whose beginning they have read, and an ending that comes twice. A daemon may die, or be replaced, while
//! a worker answers it: each asks with a number of its own, and what bears another is not for it.

use super::{Listener, Living, Spec, Told, live_on};
use crate::own::hold::{Hold, Survivor};
use crate::worker::link::{Hearing, Link};
use crate::worker::memo::Memo;
use crate::worker::output::voice::Voice;
use crate::worker::output::{self, LastLines, Tap};
use crate::worker::socket::Socket;
use crate::worker::start::Started;
use crate::worker::witness::Witness;
use crate::worker::words::{CANARY_CALL, ToWorker};
use bytes::Bytes;
use sidewinder_core::Life;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A worker that reads has read what the dead daemon had given it after some of these looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const LOOKS_MAX: u32 = 50;
/// A worker whose control socket is full for so long is not asked; it ends like one that never got ready.
const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// A call that a life has had from an earlier daemon.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) call: u64,
    /// Absent: nobody can ask what became of it, so it is given up.
    pub(crate) memo: Option<Memo>,
    /// It has ended, and its ending comes again.
    pub(crate) ended: bool,
    pub(crate) streams: bool,
    pub(crate) said: Hearing,
}

/// What is known so far of a life that was asked.
#[derive(Debug)]
pub(super) struct Asked {
    number: u64,
    calls: BTreeMap<u64, Found>,
}

#[derive(Debug)]
struct Found {
    memo: Vec<u8>,
    ended: bool,
    streams: bool,
}

/// What a worker says to that, with the number that it was asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// 0: it is of a build that numbers nothing.
    pub(crate) number: u64,
    pub(crate) word: Word,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Runs { call: u64, memo: Vec<u8>, streams: bool },
    Keeps { call: u64, memo: Vec<u8> },
    Resynced,
}

/// Goes on with a life.
pub(crate) async fn resume(
    life: Life,
    survivor: Survivor,
    spec: Arc<Spec>,
    hold: Hold,
    pool: Arc<dyn Listener>,
) {
    let Survivor { left, pid, news } = survivor;
    let number = left.deed.number;
    pool.hear(Told::Offers(Bytes::from(left.deed.offer.clone())));
    let links = || -> io::Result<_> {
        let taps = [Tap::on(left.stdout)?, Tap::on(left.stderr)?];
        Ok((Socket::found(left.calls)?, Socket::found(left.control)?, taps))
    };
    let last = LastLines::default();
    let witness = Witness::new(hold.weak(), number, last.shown.clone());
    witness.is_process(pid);
    let (link, taps) = match links() {
        Ok((calls, control, taps)) => (Arc::new(Link::new(life, calls, control, witness)), taps),
        Err(why) => {
            hold.kill(number).await;
            pool.hear(Told::NotStarted(life, why.to_string()));
            return;
        }
    };
    link.welcome();
    pool.hear(Told::Opened(link.clone(), pid));
    let voice = Voice::new(&spec.pool, &life.to_string(), spec.meter.clone());
    let outputs = output::read_all(&taps, &last, &voice, Some(&link));
    for _ in 0..LOOKS_MAX {
        if link.calls.is_heard() {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    let strict_from = spec.first_call;
    let _ = timeout(ASK_PATIENCE, link.control.say(ToWorker::Resync(strict_from).message())).await;
    let run = Arc::from(left.deed.run);
    let started = Started { link, pid, news, outputs, taps, last, voice, run, parcel: None };
    live_on(started, number, spec, hold, pool, |living| living.is_left(strict_from)).await;
}

impl Living {
    fn is_left(&mut self, strict_from: u64) {
        (self.greeted, self.ready, self.words.was_ready) = (true, true, true);
        self.strict_from = strict_from;
        self.calls.lenient_below(strict_from);
        // No other daemon has had this number: it lies above all that they have counted with.
        self.asked = Some(Asked { number: strict_from, calls: BTreeMap::new() });
    }

    pub(super) fn on_reply(&mut self, Reply { number, word }: Reply) -> Result<(), String> {
        if self.strict_from == 0 {
            return Err("it answered a resync that nobody asked for".to_owned());
        }
        let Some(asked) = self.asked.as_mut().filter(|asked| number == asked.number || number == 0) else {
            return Ok(());
        };
        match word {
            Word::Runs { call, memo, streams } => {
                asked.calls.insert(call, Found { memo, ended: false, streams });
            }
            Word::Keeps { call, memo } => {
                asked.calls.insert(call, Found { memo, ended: true, streams: false });
            }
            Word::Resynced => {
                let calls = std::mem::take(&mut asked.calls);
                self.asked = None;
                let standing = calls.into_iter().filter_map(|(call, found)| self.stands(call, &found));
                let told = Told::Resumed(self.life, standing.collect());
                self.tell(told);
            }
        }
        Ok(())
    }

    /// Makes room for what is still to be heard of a call. An ending that nobody can ask for is heard as it is.
    fn stands(&self, call: u64, found: &Found) -> Option<Standing> {
        let Found { ended, streams, .. } = *found;
        let memo = Memo::read(&found.memo);
        if call == CANARY_CALL || (ended && memo.is_none()) {
            self.link.heard(call);
            return None;
        }
        let said = self.link.resume(call, memo.is_some());
        Some(Standing { call, memo, ended, streams, said })
    }
}
