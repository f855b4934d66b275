//! Calls by their key: run once, joined by whoever asks for the same, and kept for a while when they have ended.
//!
//! ```text
//!   first caller ──▶ start ──▶ a task of its own runs the call ──▶ ending ──▶ kept, in memory, for a while
//!   further ones ──▶ join ────────────┘ hears when nobody waits any more
//! ```
//!
//! The task outlives its callers, so a call that is to finish does, and its ending is there for a client that comes
//! back. What is kept is bounded in time and in bytes; the oldest goes first.

mod table;

pub(crate) use table::{Ending, Kept, Key, Rules};

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use table::{Found, Table};
use tokio::sync::watch;

/// The calls that have keys.
#[derive(Debug)]
pub(crate) struct Endings<T> {
    table: Arc<Mutex<Table<T>>>,
}

impl<T> Clone for Endings<T> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone() }
    }
}

/// Why a key cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// By a call that runs and cannot be joined, or by one to be joined when that is not wished.
    Running,
    /// An answer is kept under it, which a call of this kind cannot give.
    Answered,
    /// By a call of something else.
    Other(String),
}

/// Who waits for a call, as the task that runs it sees them.
#[derive(Clone, Debug)]
pub(crate) struct Waiters {
    left: watch::Receiver<Left>,
}

/// Until when an answer is of use. Nothing: for ever.
pub(crate) type Until = Option<Instant>;

/// How many wait, how long the most patient of all who did, and whether the call is to go on when nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) waiting: usize,
    pub(super) until: Until,
    pub(super) goes_on: bool,
}

fn is_later(one: Until, other: Until) -> bool {
    other.is_some_and(|other| one.is_none_or(|one| one > other))
}

impl Waiters {
    /// Waits until nobody waits, and says whether the call is to go on.
    pub(crate) async fn gone(&self) -> bool {
        match self.left.clone().wait_for(|left| left.waiting == 0).await {
            Ok(left) => left.goes_on,
            Err(_) => true,
        }
    }

    /// Waits until somebody waits for longer than that.
    pub(crate) async fn longer(&self, than: Until) -> Until {
        if let Ok(left) = self.left.clone().wait_for(|left| is_later(left.until, than)).await {
            return left.until;
        }
        std::future::pending().await
    }
}

/// Waits for a call. Dropping it early may leave the call to nobody.
pub(crate) struct Joined<T> {
    table: Arc<Mutex<Table<T>>>,
    key: Key,
    number: u64,
    ended: watch::Receiver<Option<T>>,
    until: Until,
    /// Absent for one who only asks: that is no reason for a call to go on.
    goes_on: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl<T> fmt::Debug for Joined<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Joined").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<T: Clone> Joined<T> {
    /// The ending; nothing, if the call was given up because nobody else waited either.
    pub(crate) async fn ending(mut self) -> Option<T> {
        self.ended.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Comes when this one has waited for long enough although the call has not: it ends later, or never. A call that is
    /// to end now says so itself, and better.
    pub(crate) fn deadline(&self) -> impl Future<Output = ()> + use<T> {
        let (table, key, number) = (self.table.clone(), self.key.clone(), self.number);
        let (until, only_asks) = (self.until, self.goes_on.is_none());
        async move {
            if let Some(at) = until {
                tokio::time::sleep_until(at.into()).await;
                let call = lock(&table).until(&key, number);
                if only_asks || call.is_some_and(|call| is_later(call, until)) {
                    return;
                }
            }
            std::future::pending::<()>().await;
        }
    }
}

impl<T> Drop for Joined<T> {
    fn drop(&mut self) {
        if let Some(goes_on) = &self.goes_on {
            lock(&self.table).leave(&self.key, self.number, goes_on());
        }
    }
}

/// Holds a key for as long as a call runs under it.
#[derive(Debug)]
pub(crate) struct Alone<T> {
    table: Arc<Mutex<Table<T>>>,
    key: Key,
    number: u64,
}

impl<T> Drop for Alone<T> {
    fn drop(&mut self) {
        lock(&self.table).give_up(&self.key, self.number);
    }
}

impl<T: Clone + Send + Sync + 'static> Endings<T> {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { table: Arc::new(Mutex::new(Table::new(rules))) }
    }

    /// The answer that is kept, the call that runs, or the one that `start` makes. `goes_on` is asked if this caller
    /// lets go as the last.
    pub(crate) fn join_or_start<F>(
        &self,
        key: Key,
        of: &str,
        until: Until,
        goes_on: impl Fn() -> bool + Send + Sync + 'static,
        start: impl FnOnce(Waiters, Arc<Alone<T>>) -> F,
    ) -> Result<Joined<T>, Taken>
    where
        F: Future<Output = Option<Ending<T>>> + Send + 'static,
    {
        let mut table = lock(&self.table);
        let (number, ended, begun) = match table.find(&key, Instant::now()) {
            Some(Found::Answer { of: known, .. } | Found::Running { of: known, .. }) if known != of => {
                return Err(Taken::Other(known));
            }
            Some(Found::Running { joinable: false, .. }) => return Err(Taken::Running),
            Some(Found::Answer { value, .. }) => (0, watch::Sender::new(Some(value)).subscribe(), None),
            Some(Found::Running { number, ended, .. }) => {
                table.join(&key, until);
                (number, ended, None)
            }
            Some(Found::Failure { .. }) | None => {
                let (number, ended, left) = table.begin(key.clone(), of, true, until);
                (number, ended, Some(Waiters { left }))
            }
        };
        drop(table);
        if let Some(waiters) = begun {
            let alone = Alone { table: self.table.clone(), key: key.clone(), number };
            begin(Arc::new(alone), waiters, start);
        }
        let goes_on: Option<Box<dyn Fn() -> bool + Send + Sync>> = Some(Box::new(goes_on));
        Ok(Joined { table: self.table.clone(), key, number, ended, until, goes_on })
    }

    /// Holds the key for a call that cannot be joined.
    pub(crate) fn hold(&self, key: Key, of: &str) -> Result<Alone<T>, Taken> {
        let mut table = lock(&self.table);
        match table.find(&key, Instant::now()) {
            Some(Found::Running { .. }) => Err(Taken::Running),
            Some(Found::Answer { of: known, .. }) if known != of => Err(Taken::Other(known)),
            Some(Found::Answer { .. }) => Err(Taken::Answered),
            Some(Found::Failure { .. }) | None => {
                let (number, _, _) = table.begin(key.clone(), of, false, None);
                Ok(Alone { table: self.table.clone(), key, number })
            }
        }
    }

    /// What became of the call of this key: it is waited for while it runs.
    pub(crate) fn find(&self, key: Key, until: Until) -> Option<Joined<T>> {
        let mut table = lock(&self.table);
        let (number, ended) = match table.find(&key, Instant::now())? {
            Found::Answer { value, .. } | Found::Failure { value } => {
                (0, watch::Sender::new(Some(value)).subscribe())
            }
            Found::Running { joinable: false, .. } => return None,
            Found::Running { number, ended, .. } => (number, ended),
        };
        drop(table);
        Some(Joined { table: self.table.clone(), key, number, ended, until, goes_on: None })
    }
}

/// Runs what has just been begun in a task of its own. Not under the table's lock, which is taken when that task is dropped:
/// a runtime that ends drops it at once.
fn begin<T: Clone + Send + Sync + 'static, F>(
    alone: Arc<Alone<T>>,
    waiters: Waiters,
    start: impl FnOnce(Waiters, Arc<Alone<T>>) -> F,
) where
    F: Future<Output = Option<Ending<T>>> + Send + 'static,
{
    let run = start(waiters, alone.clone());
    tokio::spawn(async move {
        let ending = run.await;
        let mut table = lock(&alone.table);
        match ending {
            Some(ending) => table.end(&alone.key, alone.number, ending, Instant::now()),
            None => table.let_go(&alone.key, alone.number),
        }
        drop(table);
    });
}

fn lock<T>(table: &Mutex<Table<T>>) -> MutexGuard<'_, Table<T>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
