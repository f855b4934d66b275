//! Everything that a request names arrives at the worker, and nothing else does.

use super::each_way;
use sidewinder_keeper_wire::{Ending, Request, Rlimit, SpawnRequest};
use sidewinder_tests::owner::{Owner, at_once, command};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Runs a shell script as a worker, and returns what it printed.
fn output(owner: &Owner, request: SpawnRequest, script: &str) -> String {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let mut arguments = request.arguments.clone();
    arguments.extend(["sh", "-c", script].map(|argument| argument.as_bytes().to_vec()));
    let request = SpawnRequest { arguments, fds: vec![1], ..request };
    owner.spawn(1, request, &[write.as_fd()]).unwrap();
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(owner.gone(1).unwrap().ending, Some(Ending::Code(0)), "{text}");
    text
}

fn with(owner: impl Fn(&Owner)) {
    each_way(|arena, namespace| {
        let keeper = Owner::start(arena, namespace).unwrap();
        keeper.hello(at_once(Duration::ZERO)).unwrap();
        owner(&keeper);
    });
}

fn shell() -> SpawnRequest {
    SpawnRequest { arguments: Vec::new(), ..command::<&str>(&[]) }
}

#[test]
fn environment_directory_and_arguments() {
    with(|owner| {
        let request = SpawnRequest {
            environment: vec![b"PATH=/usr/bin:/bin".to_vec(), b"A=b=c".to_vec(), b"EMPTY=".to_vec()],
            directory: Some(b"/usr/bin".to_vec()),
            ..shell()
        };
        let text = output(owner, request, "pwd; env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= | sort");
        assert_eq!(text, "/usr/bin\nA=b=c\nEMPTY=\nPATH=/usr/bin:/bin\n");
    });
}

#[test]
fn limits_niceness_processors_and_score() {
    with(|owner| {
        let request = SpawnRequest {
            rlimits: vec![Rlimit { resource: libc::RLIMIT_NOFILE, soft: 77, hard: 99 }],
            nice: Some(3),
            oom_score_adj: Some(321),
            cpus: vec![0],
            ..shell()
        };
        let script = "ulimit -Sn; ulimit -Hn; nice; cat /proc/self/oom_score_adj; nproc";
        let before = i64::from(rustix::process::getpriority_process(None).unwrap());
        assert_eq!(output(owner, request, script), format!("77\n99\n{}\n321\n1\n", before + 3));
    });
}

#[test]
fn descriptors_arrive_at_their_numbers_and_no_other_is_open() {
    with(|owner| {
        let ends: Vec<_> = (0..3).map(|_| rustix::pipe::pipe().unwrap()).collect();
        let (read, write) = rustix::pipe::pipe().unwrap();
        // The numbers cross: each is where another descriptor may have been received.
        let script = "echo seven >&7; echo five >&5; ls /proc/self/fd | tr '\\n' ' '";
        let request = SpawnRequest { fds: vec![7, 5, 6, 1], ..command(&["sh", "-c", script]) };
        let fds = [&ends[0].1, &ends[1].1, &ends[2].1, &write].map(AsFd::as_fd);
        owner.spawn(1, request, &fds).unwrap();
        owner.gone(1).unwrap();
        drop(write);
        let [seven, five, _six]: [(OwnedFd, OwnedFd); 3] = ends.try_into().unwrap();
        assert_eq!([drain(seven), drain(five)], ["seven\n", "five\n"]);
        // ls has one of its own: the directory it lists.
        let open = drain((read, rustix::pipe::pipe().unwrap().1));
        assert_eq!(open.trim(), "0 1 2 3 5 6 7", "a descriptor leaked, or one is missing");
    });
}

fn drain((read, write): (OwnedFd, OwnedFd)) -> String {
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn privileges_cannot_be_gained_unless_allowed() {
    with(|owner| {
        let script = "grep NoNewPrivs /proc/self/status | tr -d '\\t'";
        assert_eq!(output(owner, shell(), script), "NoNewPrivs:1\n");
        let allowed = SpawnRequest { new_privileges: true, ..shell() };
        assert_eq!(output(owner, allowed, script), "NoNewPrivs:0\n");
    });
}

#[test]
fn another_user_is_become_where_that_is_allowed() {
    let root = rustix::process::geteuid().is_root();
    with(|owner| {
        let request = SpawnRequest { uid: Some(12_345), gid: Some(54_321), groups: vec![111], ..shell() };
        if root {
            let text = output(owner, request, "id -u; id -g; id -G; umask >/dev/null");
            assert_eq!(text, "12345\n54321\n54321 111\n");
        } else {
            let request = SpawnRequest { arguments: vec![b"true".to_vec()], ..request };
            owner.say(&Request::Spawn(1, Box::new(request)), &[]).unwrap();
            let (report, _) = owner.hear().unwrap();
            assert!(format!("{report:?}").contains("User"), "{report:?}");
        }
    });
}

#[test]
fn signals_reach_the_worker_with_their_default_meaning() {
    with(|owner| {
        let script = "trap 'exit 9' USR1; echo >&3; while :; do sleep 0.01; done";
        let (mut tree, write) = super::Tree::new();
        let request = SpawnRequest { fds: vec![3], ..command(&["sh", "-c", script]) };
        owner.spawn(1, request, &[write.as_fd()]).unwrap();
        drop(write);
        tree.stands(1);
        owner.say(&Request::Signal(1, libc::SIGUSR1), &[]).unwrap();
        assert_eq!(owner.gone(1).unwrap().ending, Some(Ending::Code(9)));
        // Whatever the keeper blocks or ignores, its workers do not inherit it.
        let masks = output(owner, shell(), "grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\t'");
        assert_eq!(masks, "SigBlk:0000000000000000\nSigIgn:0000000000000000\n");
    });
}
