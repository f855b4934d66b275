//! A fork server at the hands of its keeper: where its forks stand, and who dies with whom.

use super::{Tree, each_way};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{Signal, pidfd_send_signal};
use sidewinder_keeper_wire::{Ending, ForkRequest, Report, Request, SpawnRequest};
use sidewinder_tests::arena::{self, Arena};
use sidewinder_tests::owner::{Owner, at_once};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

const NEST: u32 = 7;
/// Kinds of the worker protocol.
const HELLO: u8 = 97;
const READY: u8 = 98;
const PRELOADED: u8 = 105;
const UNFORKABLE: u8 = 106;

/// Our end of a control socket, and the worker's.
fn control() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair")
}

/// The next frame of the worker protocol: its kind and what follows the header.
fn frame(socket: &OwnedFd) -> (u8, Vec<u8>) {
    let mut buffer = vec![0; 128 * 1024];
    let (length, _) = recv(socket, &mut buffer[..], RecvFlags::empty()).expect("a frame");
    buffer.truncate(length);
    (buffer.get(1).copied().unwrap_or(0), buffer.split_off(24.min(length)))
}

fn welcome(socket: &OwnedFd) {
    assert_eq!(frame(socket).0, HELLO);
    let mut bytes = vec![1, 33, 0, 0, 14, 0, 0, 0];
    bytes.resize(24, 0);
    bytes.extend([17, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    send(socket, &bytes, SendFlags::empty()).expect("said");
}

fn fork_server(tools: &str) -> SpawnRequest {
    let root = arena::tests();
    let path = format!("PYTHONPATH={}", root.join("../client-python/src").display());
    let variables = [
        "PATH=/usr/local/bin:/usr/bin:/bin".to_owned(),
        path,
        "PYTHONDONTWRITEBYTECODE=1".to_owned(),
        format!("SIDEWINDER_NEST_FD={NEST}"),
        "SIDEWINDER_CONTROL_FD=4".to_owned(),
        "SIDEWINDER_RUN=test".to_owned(),
        format!("SIDEWINDER_TOOLS={tools}"),
    ];
    SpawnRequest {
        arguments: ["python3", "-m", "sidewinder._fork"].map(|word| word.as_bytes().to_vec()).into(),
        environment: variables.map(String::into_bytes).into(),
        directory: Some(root.join("served").into_os_string().into_encoded_bytes()),
        fds: vec![2, 4],
        nest: Some(NEST),
        ..SpawnRequest::default()
    }
}

/// Starts a fork server under this number, and hears what it says after its welcome.
fn start(owner: &Owner, number: u32, tools: &str) -> (OwnedFd, OwnedFd, (u8, Vec<u8>)) {
    let (ours, theirs) = control();
    let fds = [rustix::stdio::stderr(), theirs.as_fd()];
    let pidfd = owner.spawn(number, fork_server(tools), &fds).expect("started");
    drop(theirs);
    welcome(&ours);
    let said = frame(&ours);
    (ours, pidfd, said)
}

/// A worker that was forked, with the pipe that its whole tree holds.
struct Forked {
    _control: OwnedFd,
    _calls: OwnedFd,
    pidfd: OwnedFd,
    pid: u32,
    tree: Tree,
}

fn fork(owner: &Owner, number: u32, from: u32) -> Forked {
    let ((calls, their_calls), (control, their_control)) = (control(), control());
    let (tree, write) = Tree::new();
    let request = ForkRequest { from, fds: vec![9, 3, 4], ..ForkRequest::default() };
    let fds = [write.as_fd(), their_calls.as_fd(), their_control.as_fd()];
    owner.say(&Request::Fork(number, Box::new(request)), &fds).expect("asked");
    drop((write, their_calls, their_control));
    match owner.hear().expect("an answer") {
        (Report::Spawned(spawned, pid), Some(pidfd)) if spawned == number => {
            welcome(&control);
            assert_eq!(frame(&control).0, READY);
            Forked { _control: control, _calls: calls, pidfd, pid, tree }
        }
        (other, _) => panic!("not forked: {other:?}"),
    }
}

fn attached(arena: &Arena, namespace: bool) -> (Owner, OwnedFd) {
    let owner = Owner::start(arena, namespace).expect("a keeper");
    let (_, keeper) = owner.hello(at_once(Duration::ZERO)).expect("a welcome");
    (owner, keeper)
}

#[test]
fn siblings_and_fork_server_die_alone_and_the_next_is_forked() {
    each_way(|arena, namespace| {
        let (owner, _keeper) = attached(arena, namespace);
        let (_control, server, said) = start(&owner, 100, "plain");
        assert_eq!(said.0, PRELOADED, "{}", String::from_utf8_lossy(&said.1));
        let mut first = fork(&owner, 1, 100);
        let mut second = fork(&owner, 2, 100);
        assert_ne!(first.pid, second.pid);
        pidfd_send_signal(&first.pidfd, Signal::KILL).expect("killed");
        let gone = owner.gone(1).expect("gone");
        assert_eq!((gone.ending, gone.warden_lost), (Some(Ending::Signal(9)), false));
        first.tree.is_gone();
        assert!(second.tree.is_there());
        let mut third = fork(&owner, 1, 100);
        pidfd_send_signal(&server, Signal::KILL).expect("killed");
        let gone = owner.gone(100).expect("gone");
        assert_eq!((gone.ending, gone.warden_lost), (Some(Ending::Signal(9)), false));
        assert!(second.tree.is_there() && third.tree.is_there(), "a fork died with its server");
        owner.say(&Request::Kill(2), &[]).expect("asked");
        owner.gone(2).expect("gone");
        second.tree.is_gone();
        assert!(third.tree.is_there());
        drop(owner);
        third.tree.is_gone_within(super::K);
    });
}

#[test]
fn nothing_survives_a_keeper_that_is_killed() {
    each_way(|arena, namespace| {
        let (owner, keeper) = attached(arena, namespace);
        let (_control, server, _) = start(&owner, 100, "plain");
        let mut workers = [fork(&owner, 1, 100), fork(&owner, 2, 100)];
        pidfd_send_signal(&keeper, Signal::KILL).expect("killed");
        workers.iter_mut().for_each(|worker| worker.tree.is_gone_within(super::K));
        let limit = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
        let mut fds = [rustix::event::PollFd::new(&server, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut fds, Some(&limit)).expect("polled"), 1, "the fork server stays");
    });
}

#[test]
fn a_fork_server_that_hangs_is_told_of_and_can_be_killed() {
    each_way(|arena, namespace| {
        let (owner, _keeper) = attached(arena, namespace);
        let (_control, _server, _) = start(&owner, 100, "forks.hanging");
        let request = ForkRequest { from: 100, ..ForkRequest::default() };
        owner.say(&Request::Fork(1, Box::new(request)), &[]).expect("asked");
        let gone = owner.gone(1).expect("gone");
        assert_eq!(gone.ending, None, "it never was");
        owner.say(&Request::Kill(100), &[]).expect("asked");
        assert_eq!(owner.gone(100).expect("gone").ending, Some(Ending::Signal(9)));
    });
}

#[test]
fn who_is_not_fit_says_why() {
    each_way(|arena, namespace| {
        let (owner, _keeper) = attached(arena, namespace);
        let cases = [
            ("forks.with_thread", "threads: busy-bee"),
            ("forks.with_socket", "a connection open"),
            ("forks.with_child", "a process that is still there"),
            ("forks.with_loop", "an event loop"),
        ];
        for (number, (tools, why)) in (100..).zip(cases) {
            let (_control, _server, (kind, said)) = start(&owner, number, tools);
            let said = String::from_utf8_lossy(&said).into_owned();
            assert_eq!(kind, UNFORKABLE, "{tools}: {said}");
            assert!(said.contains(why), "{tools}: {said}");
            owner.gone(number).expect("gone");
        }
    });
}

#[test]
fn a_fork_of_nobody_is_refused() {
    each_way(|arena, namespace| {
        let (owner, _keeper) = attached(arena, namespace);
        let request = ForkRequest { from: 100, ..ForkRequest::default() };
        owner.say(&Request::Fork(1, Box::new(request)), &[]).expect("asked");
        let answer = owner.hear().expect("an answer").0;
        let Report::Failed(1, failure) = answer else { panic!("not refused: {answer:?}") };
        assert!(failure.message.contains("100 is no fork server"), "{failure:?}");
    });
}

#[test]
fn what_a_hook_has_forked_goes_with_its_worker() {
    each_way(|arena, namespace| {
        let (owner, _keeper) = attached(arena, namespace);
        let (_control, _server, _) = start(&owner, 100, "forks.running_away");
        let mut worker = fork(&owner, 1, 100);
        pidfd_send_signal(&worker.pidfd, Signal::KILL).expect("killed");
        owner.gone(1).expect("gone");
        worker.tree.is_gone();
    });
}
