//! What is known of each key. Pure: it is told the time.

use super::{Left, Until, is_later};
use sidewinder_edge::peer::Identity;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What an ending costs beside its bytes.
const OVERHEAD: usize = 512;

/// Whose call, and what it calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Who that is, as far as it is proved.
    pub(crate) who: Identity,
    /// The name of the client.
    pub(crate) client: String,
    /// What it calls the call.
    pub(crate) word: String,
}

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) keep: Duration,
    pub(crate) bytes: usize,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ending<T> {
    pub(crate) value: T,
    pub(crate) bytes: usize,
    pub(crate) kept: Kept,
}

/// What an ending is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The same call again has this answer.
    Answer,
    /// The same call again runs again; whoever asks what became of it hears this.
    Failure,
    /// Nothing has happened that anybody would ask for.
    No,
}

#[derive(Debug)]
pub(super) struct Table<T> {
    rules: Rules,
    entries: HashMap<Key, Entry<T>>,
    /// Endings by age.
    kept: BTreeMap<(Instant, u64), Key>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    number: u64,
    of: String,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Running { joinable: bool, ended: watch::Sender<Option<T>>, left: watch::Sender<Left> },
    Ended { value: T, bytes: usize, is_answer: bool, at: Instant },
}

/// What is there under a key.
pub(super) enum Found<T> {
    Running { number: u64, of: String, joinable: bool, ended: watch::Receiver<Option<T>> },
    Answer { of: String, value: T },
    Failure { value: T },
}

type Begun<T> = (u64, watch::Receiver<Option<T>>, watch::Receiver<Left>);

impl<T> Table<T> {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, entries: HashMap::new(), kept: BTreeMap::new(), bytes: 0, next: 1 }
    }

    /// One that waits goes.
    pub(super) fn leave(&mut self, key: &Key, number: u64, goes_on: bool) {
        if let Some(Entry { number: here, state: State::Running { left, .. }, .. }) = self.entries.get(key)
            && *here == number
        {
            // One who wanted it to go on has been heard, whoever leaves last.
            left.send_modify(|left| {
                left.waiting = left.waiting.saturating_sub(1);
                left.goes_on |= goes_on;
            });
        }
    }

    pub(super) fn join(&mut self, key: &Key, until: Until) {
        if let Some(Entry { state: State::Running { left, .. }, .. }) = self.entries.get(key) {
            left.send_modify(|left| {
                left.waiting += 1;
                if is_later(until, left.until) {
                    left.until = until;
                }
            });
        }
    }

    /// Until when the answer of this call is of use to anybody; nothing, if it does not run.
    pub(super) fn until(&self, key: &Key, number: u64) -> Option<Until> {
        match self.entries.get(key)? {
            Entry { number: here, state: State::Running { left, .. }, .. } if *here == number => {
                Some(left.borrow().until)
            }
            Entry { .. } => None,
        }
    }

    /// A call is given up, and its tool may still run: nobody joins it, and nobody runs it a second time beside it.
    pub(super) fn let_go(&mut self, key: &Key, number: u64) {
        if let Some(Entry { number: here, state: State::Running { joinable, ended, .. }, .. }) =
            self.entries.get_mut(key)
            && *here == number
        {
            *joinable = false;
            // Whoever has come meanwhile hears that nothing comes.
            *ended = watch::Sender::new(None);
        }
    }

    /// A call begins; one waits for it.
    pub(super) fn begin(&mut self, key: Key, of: &str, joinable: bool, until: Until) -> Begun<T> {
        let number = self.next;
        self.next += 1;
        let (ended, hears) = watch::channel(None);
        let (left, sees) = watch::channel(Left { waiting: 1, until, goes_on: false });
        let entry = Entry { number, of: of.to_owned(), state: State::Running { joinable, ended, left } };
        self.replace(key, entry);
        (number, hears, sees)
    }

    fn replace(&mut self, key: Key, entry: Entry<T>) {
        let old = self.entries.insert(key, entry);
        self.weigh_out(old.as_ref());
    }

    fn forget(&mut self, key: &Key) {
        let old = self.entries.remove(key);
        self.weigh_out(old.as_ref());
    }

    fn weigh_out(&mut self, old: Option<&Entry<T>>) {
        if let Some(Entry { number, state: State::Ended { bytes, at, .. }, .. }) = old {
            self.bytes -= bytes;
            self.kept.remove(&(*at, *number));
        }
    }
}

impl<T: Clone> Table<T> {
    pub(super) fn find(&mut self, key: &Key, now: Instant) -> Option<Found<T>> {
        self.expire(now);
        let Entry { number, of, state } = self.entries.get(key)?;
        let of = of.clone();
        Some(match state {
            State::Running { joinable, ended, .. } => {
                Found::Running { number: *number, of, joinable: *joinable, ended: ended.subscribe() }
            }
            State::Ended { value, is_answer: true, .. } => Found::Answer { of, value: value.clone() },
            State::Ended { value, is_answer: false, .. } => Found::Failure { value: value.clone() },
        })
    }
}

impl<T> Table<T> {
    fn expire(&mut self, now: Instant) {
        while let Some(((at, _), key)) = self.kept.first_key_value() {
            let old = now.saturating_duration_since(*at) >= self.rules.keep;
            if !old && self.bytes <= self.rules.bytes {
                break;
            }
            let key = key.clone();
            self.forget(&key);
        }
    }

    #[cfg(test)]
    pub(super) fn records(&self) -> usize {
        self.kept.len()
    }

    /// A call was given up, and whoever waits hears that nothing comes.
    pub(super) fn give_up(&mut self, key: &Key, number: u64) {
        let runs = |entry: &Entry<T>| matches!(entry.state, State::Running { .. });
        if self.entries.get(key).is_some_and(|entry| entry.number == number && runs(entry)) {
            self.forget(key);
        }
    }

    /// A call has ended. Whoever waits hears of it.
    pub(super) fn end(&mut self, key: &Key, number: u64, ending: Ending<T>, now: Instant)
    where
        T: Clone,
    {
        if self.entries.get(key).is_none_or(|entry| entry.number != number) {
            return;
        }
        let Some(Entry { of, state: State::Running { ended, .. }, .. }) = self.entries.remove(key) else {
            return;
        };
        ended.send_replace(Some(ending.value.clone()));
        let bytes = ending.bytes + OVERHEAD + key.word.len() + key.client.len();
        if ending.kept == Kept::No || bytes > self.rules.bytes {
            return;
        }
        let state =
            State::Ended { value: ending.value, bytes, is_answer: ending.kept == Kept::Answer, at: now };
        self.entries.insert(key.clone(), Entry { number, of, state });
        self.kept.insert((now, number), key.clone());
        self.bytes += bytes;
        self.expire(now);
    }
}
