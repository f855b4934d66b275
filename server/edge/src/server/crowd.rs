//! Who is at the doors, for somebody who thinks of leaving.
//!
//! A connection that was accepted and has said nothing yet may be about to call. It cannot be told to come again, as one
//! that speaks HTTP/2 can: closing it is all that could be done, and its call would fail.

use std::sync::Arc;
use tokio::sync::watch;

/// How many are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Listeners that let connections in.
    pub doors: usize,
    /// Connections.
    pub connections: usize,
    /// Those of them that have not said anything yet.
    pub silent: usize,
}

/// Counts who is there. Clones count together.
#[derive(Clone, Debug)]
pub struct Crowd(Arc<watch::Sender<Seen>>);

impl Default for Crowd {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Seen::default())))
    }
}

impl Crowd {
    /// Who is there, now and from now on.
    pub fn look(&self) -> watch::Receiver<Seen> {
        self.0.subscribe()
    }

    /// A listener lets connections in until this is dropped.
    pub(super) fn open(&self) -> Open {
        self.0.send_modify(|seen| seen.doors += 1);
        Open(self.clone())
    }

    /// A connection is there until this is dropped.
    pub(super) fn enter(&self) -> Here {
        self.0.send_modify(|seen| {
            seen.connections += 1;
            seen.silent += 1;
        });
        Here { crowd: self.clone(), is_silent: true }
    }
}

#[derive(Debug)]
pub(super) struct Open(Crowd);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.send_modify(|seen| seen.doors -= 1);
    }
}

#[derive(Debug)]
pub(super) struct Here {
    crowd: Crowd,
    is_silent: bool,
}

impl Here {
    /// It has said something.
    pub(super) fn speaks(&mut self) {
        if std::mem::take(&mut self.is_silent) {
            self.crowd.0.send_modify(|seen| seen.silent -= 1);
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let is_silent = usize::from(self.is_silent);
        self.crowd.0.send_modify(|seen| {
            seen.connections -= 1;
            seen.silent -= is_silent;
        });
    }
}
