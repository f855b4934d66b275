//! Owners come and go: what a keeper does without one, and how a successor finds it.

use super::endings::assert_ends;
use super::{K, each_way, start_nasty};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sidewinder_keeper_wire::{Report, Request};
use sidewinder_tests::owner::{Owner, at_once, command, hello};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Somebody to be the owner by name, whose death is ours to give.
struct StandIn {
    child: Child,
    pidfd: OwnedFd,
}

impl StandIn {
    fn new() -> Self {
        let child = Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        Self { child, pidfd: pidfd_open(pid, PidfdFlags::empty()).unwrap() }
    }

    fn die(mut self) {
        pidfd_send_signal(&self.pidfd, Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_closed_lifeline_is_the_end_even_with_time_left_for_a_successor() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        let (_, keeper) = owner.hello(at_once(Duration::from_mins(1))).unwrap();
        let (mut tree, _) = start_nasty(&owner, 1);
        drop(owner);
        tree.is_gone_within(K);
        assert_ends(&keeper);
    });
}

#[test]
fn a_dead_owner_is_noticed_behind_a_leaked_lifeline() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        let stand_in = StandIn::new();
        owner.introduce(&Request::Hello(hello(at_once(Duration::ZERO))), &stand_in.pidfd).unwrap();
        let (mut tree, _) = start_nasty(&owner, 1);
        stand_in.die();
        tree.is_gone_within(K);
    });
}

#[test]
fn a_successor_finds_the_living_and_the_unheard_endings() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        let graces = at_once(Duration::from_mins(1));
        let stand_in = StandIn::new();
        owner.introduce(&Request::Hello(hello(graces)), &stand_in.pidfd).unwrap();
        let (tree, _) = start_nasty(&owner, 1);
        owner.spawn(2, command(&["false"]), &[]).unwrap();
        let exited = owner.hear().unwrap().0;
        let unheard = owner.hear().unwrap().0;
        assert!(matches!((&exited, &unheard), (Report::Exited(2, _), Report::Gone(2, _))));
        stand_in.die();

        owner.adopt(graces).unwrap();
        let mut entries = BTreeMap::new();
        loop {
            match owner.hear().unwrap() {
                (Report::Entry(worker, entry), pidfd) => {
                    entries.insert(worker, (entry.living, pidfd.is_some()))
                }
                (Report::Listed(count), _) => break assert_eq!(count, 2),
                (other, _) => panic!("{other:?}"),
            };
        }
        assert_eq!(entries, BTreeMap::from([(1, (true, true)), (2, (false, false))]));
        assert_eq!(owner.hear().unwrap().0, unheard, "the ending is said again");
        assert!(tree.is_there(), "a worker was lost between two owners");
        owner.say(&Request::Kill(1), &[]).unwrap();
        owner.gone(1).unwrap();
    });
}

#[test]
fn without_a_successor_everything_ends_in_time() {
    each_way(|arena, namespace| {
        let reattach = Duration::from_millis(300);
        let owner = Owner::start(arena, namespace).unwrap();
        let stand_in = StandIn::new();
        owner.introduce(&Request::Hello(hello(at_once(reattach))), &stand_in.pidfd).unwrap();
        let (mut tree, _) = start_nasty(&owner, 1);
        let died = Instant::now();
        stand_in.die();
        tree.is_gone_within(reattach + K);
        assert!(died.elapsed() >= reattach, "it did not wait for a successor");
    });
}

#[test]
fn an_owner_that_does_not_listen_costs_no_memory() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        let (_, keeper) = owner.hello(at_once(Duration::ZERO)).unwrap();
        let mut asked = 0;
        // Until the keeper has stopped reading: its answers fill the socket, then its outbox, then our requests stay.
        loop {
            match owner.say(&Request::List, &[]) {
                Ok(()) => asked += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !becomes_writable(&owner) {
                        break;
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        let heard = (0..asked).all(|_| matches!(owner.hear().unwrap().0, Report::Listed(0)));
        assert!(heard, "an answer was lost");
        println!("namespace {namespace}: stopped listening after {asked} requests, and answered them all");
        drop(owner);
        assert_ends(&keeper);
    });
}

fn becomes_writable(owner: &Owner) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
    poll(&mut [PollFd::new(&owner.link, PollFlags::OUT)], Some(&limit)).unwrap() > 0
}
