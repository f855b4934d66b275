//! The waiting line.
//!
//! ```text
//!   Dest::Anyone   ── High   ── ring of clients ── lane of each client
//!                  ── Normal ── …
//!   Dest::Slot(3)  ── …             (strict calls that wait for the life in slot 3)
//! ```
//!
//! Within a level clients take turns: whoever was served goes to the back of the ring, so a client with a
//! thousand calls delays one with a single call by one call, not by a thousand. Higher levels go first,
//! but a lower one that was passed over often enough is served in between.
//!
//! A client that holds as many seats as it may is *parked*: its lanes leave their rings until one of its
//! calls frees a seat. So the head of a ring may always be started, and looking at it costs nothing.
//!
//! When the line is full, the client with most calls in it loses its newest, least urgent one; a newcomer
//! with fewer calls gets the room. Noise is refused before silence.

use super::ring::{Head, Ring};
use crate::event::{Priority, Request};
use crate::id::{CallId, ClientId, SlotId};
use std::collections::{BTreeMap, BTreeSet};

/// Whom a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dest {
    Anyone,
    Slot(SlotId),
}

/// Where in the line a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) dest: Dest,
    seq: u64,
}

impl Spot {
    /// The same age, waiting for somebody else.
    pub(crate) fn to(self, dest: Dest) -> Self {
        Self { dest, ..self }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Line {
    anyone: Ring,
    pinned: BTreeMap<SlotId, Pinned>,
    clients: BTreeMap<ClientId, Client>,
    /// Clients by the number of their waiting calls, for when the line is full.
    by_waiting: BTreeSet<(usize, ClientId)>,
    /// Slots for which somebody came to wait, or may go on.
    stirred: BTreeSet<SlotId>,
    len: usize,
    /// Calls for anyone whose client is not parked.
    eligible: usize,
    next: u64,
    running_max: Option<u32>,
}

/// Those who wait for one life.
#[derive(Debug, Default)]
struct Pinned {
    ring: Ring,
    /// All of them, the parked included.
    calls: BTreeMap<u64, CallId>,
}

#[derive(Debug, Default)]
struct Client {
    lanes: BTreeMap<(Priority, Dest), Lane>,
    waiting: usize,
    running: u32,
    parked: bool,
}

#[derive(Debug, Default)]
struct Lane {
    calls: BTreeMap<u64, CallId>,
    /// Its place in the ring, unless the client is parked.
    turn: Option<u64>,
}

impl Line {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Calls that another worker would help.
    pub(crate) fn eligible(&self) -> usize {
        self.eligible
    }

    pub(crate) fn waiting_of(&self, client: ClientId) -> usize {
        self.clients.get(&client).map_or(0, |client| client.waiting)
    }

    /// Puts a new call at the end.
    pub(crate) fn push(&mut self, request: &Request, dest: Dest) -> Spot {
        self.next += 1;
        let spot = Spot { dest, seq: self.next };
        self.put(request, spot);
        spot
    }

    /// Puts a call where it belongs by its age.
    pub(crate) fn put(&mut self, request: &Request, spot: Spot) {
        let Request { call, client, priority: level, .. } = *request;
        let Spot { dest, seq } = spot;
        let place = self.clients.entry(client).or_default();
        let lane = place.lanes.entry((level, dest)).or_default();
        if lane.turn.is_none() && !place.parked {
            self.next += 1;
            let ring = ring(&mut self.anyone, &mut self.pinned, dest);
            lane.turn = Some(ring.join(level, self.next, client));
        }
        lane.calls.insert(seq, call);
        match dest {
            Dest::Anyone if place.parked => {}
            Dest::Anyone => self.eligible += 1,
            Dest::Slot(at) => _ = self.pinned.entry(at).or_default().calls.insert(seq, call),
        }
        self.len += 1;
        let count = place.waiting + 1;
        recount(&mut self.by_waiting, client, &mut place.waiting, count);
        self.stir(dest);
    }

    /// Takes a call out of the middle.
    pub(crate) fn remove(&mut self, request: &Request, spot: Spot) {
        let Request { client, priority: level, .. } = *request;
        let Some(place) = self.clients.get_mut(&client) else { return };
        let Some(lane) = place.lanes.get_mut(&(level, spot.dest)) else { return };
        if lane.calls.remove(&spot.seq).is_none() {
            return;
        }
        if lane.calls.is_empty() {
            if let Some(turn) = lane.turn {
                ring(&mut self.anyone, &mut self.pinned, spot.dest).leave(level, turn);
            }
            place.lanes.remove(&(level, spot.dest));
        }
        if spot.dest == Dest::Anyone && !place.parked {
            self.eligible -= 1;
        }
        self.left(client, spot.dest, spot.seq);
    }

    /// Whose turn it is.
    pub(crate) fn head(&self, dest: Dest) -> Option<Head> {
        match dest {
            Dest::Anyone => self.anyone.head(),
            Dest::Slot(slot) => self.pinned.get(&slot)?.ring.head(),
        }
    }

    /// Takes the call whose turn it is.
    pub(crate) fn pop(&mut self, dest: Dest) -> Option<CallId> {
        let ring = ring(&mut self.anyone, &mut self.pinned, dest);
        let (level, client) = ring.serve()?;
        let place = self.clients.get_mut(&client)?;
        let lane = place.lanes.get_mut(&(level, dest))?;
        let (seq, call) = lane.calls.pop_first()?;
        if lane.calls.is_empty() {
            place.lanes.remove(&(level, dest));
        } else {
            self.next += 1;
            lane.turn = Some(ring.join(level, self.next, client));
        }
        if dest == Dest::Anyone {
            self.eligible -= 1;
        }
        self.left(client, dest, seq);
        Some(call)
    }

    /// A call of this client has got a seat.
    pub(crate) fn seated(&mut self, client: ClientId) {
        let place = self.clients.entry(client).or_default();
        place.running += 1;
        self.park_or_not(client);
    }

    /// A call of this client has freed its seat.
    pub(crate) fn unseated(&mut self, client: ClientId) {
        if let Some(place) = self.clients.get_mut(&client) {
            place.running = place.running.saturating_sub(1);
            self.park_or_not(client);
            self.tidy(client);
        }
    }

    /// The number of seats one client may hold has changed.
    pub(crate) fn set_running_max(&mut self, running_max: Option<u32>) {
        self.running_max = running_max;
        let clients: Vec<ClientId> = self.clients.keys().copied().collect();
        for client in clients {
            self.park_or_not(client);
        }
    }

    /// Who loses a call when the line is too long; the newcomer, if nobody has more than it.
    pub(crate) fn to_displace(&self, newcomer: Option<ClientId>) -> Option<CallId> {
        let &(most, greediest) = self.by_waiting.last()?;
        let client = newcomer.filter(|&newcomer| self.waiting_of(newcomer) >= most).unwrap_or(greediest);
        let lane = self.clients.get(&client)?.lanes.values().next()?;
        lane.calls.values().next_back().copied()
    }

    /// Those who wait for the life in this slot.
    pub(crate) fn pinned_to(&self, slot: SlotId) -> Vec<CallId> {
        self.pinned.get(&slot).map_or_else(Vec::new, |pinned| pinned.calls.values().copied().collect())
    }

    /// Everybody, the oldest first.
    pub(crate) fn everybody(&self) -> Vec<CallId> {
        let lanes = self.clients.values().flat_map(|client| client.lanes.values());
        let calls: BTreeMap<u64, CallId> =
            lanes.flat_map(|lane| lane.calls.iter().map(|(a, b)| (*a, *b))).collect();
        calls.into_values().collect()
    }

    /// A slot somebody waits for in person, and for which something has changed.
    pub(crate) fn stirred(&self) -> Option<SlotId> {
        self.stirred.first().copied()
    }

    /// Something has changed for those who wait for this slot.
    pub(crate) fn stir(&mut self, dest: Dest) {
        if let Dest::Slot(slot) = dest
            && self.pinned.contains_key(&slot)
        {
            self.stirred.insert(slot);
        }
    }

    pub(crate) fn calm(&mut self, slot: SlotId) {
        self.stirred.remove(&slot);
    }

    fn park_or_not(&mut self, client: ClientId) {
        let Some(place) = self.clients.get_mut(&client) else { return };
        let parked = self.running_max.is_some_and(|max| place.running >= max);
        if parked == place.parked {
            return;
        }
        place.parked = parked;
        for (&(level, dest), lane) in &mut place.lanes {
            let ring = ring(&mut self.anyone, &mut self.pinned, dest);
            if let Some(turn) = lane.turn.take() {
                ring.leave(level, turn);
            }
            if !parked {
                self.next += 1;
                lane.turn = Some(ring.join(level, self.next, client));
            }
            match dest {
                Dest::Anyone if parked => self.eligible -= lane.calls.len(),
                Dest::Anyone => self.eligible += lane.calls.len(),
                Dest::Slot(slot) => _ = self.stirred.insert(slot),
            }
        }
    }

    /// A call has left the line, by whatever door.
    fn left(&mut self, client: ClientId, dest: Dest, seq: u64) {
        self.len -= 1;
        if let Some(place) = self.clients.get_mut(&client) {
            let count = place.waiting - 1;
            recount(&mut self.by_waiting, client, &mut place.waiting, count);
        }
        self.tidy(client);
        if let Dest::Slot(slot) = dest
            && let Some(pinned) = self.pinned.get_mut(&slot)
        {
            pinned.calls.remove(&seq);
            if pinned.calls.is_empty() {
                self.pinned.remove(&slot);
                self.stirred.remove(&slot);
            }
        }
    }

    fn tidy(&mut self, client: ClientId) {
        if self.clients.get(&client).is_some_and(|place| place.waiting == 0 && place.running == 0) {
            self.clients.remove(&client);
        }
    }
}

fn ring<'a>(anyone: &'a mut Ring, pinned: &'a mut BTreeMap<SlotId, Pinned>, dest: Dest) -> &'a mut Ring {
    match dest {
        Dest::Anyone => anyone,
        Dest::Slot(slot) => &mut pinned.entry(slot).or_default().ring,
    }
}

fn recount(
    by_waiting: &mut BTreeSet<(usize, ClientId)>,
    client: ClientId,
    waiting: &mut usize,
    count: usize,
) {
    by_waiting.remove(&(*waiting, client));
    if count > 0 {
        by_waiting.insert((count, client));
    }
    *waiting = count;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever comes once, and never again, must not stay in the tables.
    #[test]
    fn a_client_without_calls_is_forgotten() {
        let mut line = Line::default();
        let request = Request::new(CallId(1), ClientId(7));
        let waiting = line.push(&request, Dest::Anyone);
        assert_eq!((line.clients.len(), line.by_waiting.len()), (1, 1));
        line.remove(&request, waiting);
        assert_eq!((line.clients.len(), line.by_waiting.len()), (0, 0));
        line.push(&request, Dest::Anyone);
        assert_eq!(line.pop(Dest::Anyone), Some(CallId(1)));
        line.seated(ClientId(7));
        assert_eq!((line.clients.len(), line.by_waiting.len()), (1, 0));
        line.unseated(ClientId(7));
        assert_eq!(line.clients.len(), 0);
    }
}
