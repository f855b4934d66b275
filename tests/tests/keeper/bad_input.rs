//! What is not understood, not allowed or not possible: each is said, nothing is left, and the keeper goes on.

use super::each_way;
use sidewinder_keeper_wire::{Failure, FrameWriter, Hello, Limits, Report, Request, SpawnRequest, Stage};
use sidewinder_tests::owner::{Owner, at_once, command, hello};
use std::os::fd::AsFd;
use std::time::Duration;

fn refused(owner: &Owner) -> String {
    match owner.hear().unwrap() {
        (Report::Refused(_, why), None) => why,
        (other, _) => panic!("not refused: {other:?}"),
    }
}

fn failed(owner: &Owner, request: SpawnRequest) -> Failure {
    owner.say(&Request::Spawn(9, Box::new(request)), &[]).unwrap();
    match owner.hear().unwrap() {
        (Report::Failed(9, failure), None) => failure,
        (other, _) => panic!("not failed: {other:?}"),
    }
}

fn greeted(story: impl Fn(&Owner)) {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        owner.hello(at_once(Duration::ZERO)).unwrap();
        story(&owner);
        // Whatever was wrong, the keeper still works.
        owner.spawn(1, command(&["true"]), &[]).unwrap();
        owner.gone(1).unwrap();
    });
}

#[test]
fn broken_frames() {
    greeted(|owner| {
        let unknown_kind = FrameWriter::new(200, 0).finish().unwrap();
        let newer = [9, 1, 0, 0, 0, 0, 0, 0];
        let mut sandbox = FrameWriter::new(3, 5);
        sandbox.bytes(1, b"true");
        sandbox.bytes(0x8fff, b"");
        let no_program = FrameWriter::new(3, 5).finish().unwrap();
        let frames: [&[u8]; 6] = [
            b"?",
            &unknown_kind,
            &newer,
            &sandbox.finish().unwrap(),
            &no_program,
            &[1, 3, 0, 0, 1, 0, 0, 0, 1],
        ];
        for frame in frames {
            owner.link.send(frame, &[]).unwrap();
            assert!(!refused(owner).is_empty());
        }
    });
}

#[test]
fn requests_that_make_no_sense() {
    greeted(|owner| {
        for request in [Request::Kill(404), Request::Signal(404, 9)] {
            owner.say(&request, &[]).unwrap();
            assert!(refused(owner).contains("no living worker"));
        }
        owner.say(&Request::Acknowledge(404), &[]).unwrap();
        owner.say(&Request::Hello(hello(at_once(Duration::ZERO))), &[]).unwrap();
        assert!(refused(owner).contains("adopt"));
        let null = std::fs::File::open("/dev/null").unwrap();
        for (numbers, fds) in [(vec![3], 0), (vec![], 1), (vec![3, 3], 2), (vec![100_000], 1)] {
            let request = SpawnRequest { fds: numbers, ..command(&["true"]) };
            owner.say(&Request::Spawn(5, Box::new(request)), &vec![null.as_fd(); fds]).unwrap();
            assert!(refused(owner).contains("descriptor"));
        }
    });
}

#[test]
fn a_number_in_use_is_not_given_twice() {
    greeted(|owner| {
        owner.spawn(7, command(&["sleep", "1000"]), &[]).unwrap();
        owner.say(&Request::Spawn(7, Box::new(command(&["true"]))), &[]).unwrap();
        assert!(refused(owner).contains("in use"));
        owner.say(&Request::Kill(7), &[]).unwrap();
        owner.gone(7).unwrap();
        owner.spawn(7, command(&["true"]), &[]).unwrap();
        owner.gone(7).unwrap();
    });
}

#[test]
fn workers_that_cannot_start() {
    greeted(|owner| {
        let nowhere = SpawnRequest { directory: Some(b"/no/such/place".to_vec()), ..command(&["true"]) };
        let cases = [
            (command(&["no-such-program"]), Stage::Execute, libc::ENOENT),
            (command(&["/etc/passwd"]), Stage::Execute, libc::EACCES),
            (command(&["/"]), Stage::Execute, libc::EACCES),
            (nowhere, Stage::Directory, libc::ENOENT),
            (SpawnRequest { cpus: vec![9_999], ..command(&["true"]) }, Stage::Limits, 0),
            (SpawnRequest { cpus: vec![1_000], ..command(&["true"]) }, Stage::Limits, libc::EINVAL),
            (SpawnRequest { oom_score_adj: Some(5_000), ..command(&["true"]) }, Stage::Limits, libc::EINVAL),
        ];
        for (request, stage, errno) in cases {
            let failure = failed(owner, request.clone());
            assert_eq!((failure.stage, failure.errno), (stage, errno), "{request:?}");
        }
        let limits = Limits { memory_max: Some(1 << 30), ..Limits::default() };
        let failure = failed(owner, SpawnRequest { limits, ..command(&["true"]) });
        assert_eq!(failure.stage, Stage::Cgroup);
        assert!(failure.message.contains("doctor"), "{failure:?}");
    });
}

#[test]
fn a_failed_start_is_told_from_a_worker_with_many_descriptors() {
    greeted(|owner| {
        let ends: Vec<_> = (0..12).map(|_| rustix::pipe::pipe().unwrap()).collect();
        let fds: Vec<_> = ends.iter().map(|(_, write)| write.as_fd()).collect();
        let request = SpawnRequest { fds: (0..12).collect(), ..command(&["no-such-program"]) };
        owner.say(&Request::Spawn(9, Box::new(request)), &fds).unwrap();
        let (report, _) = owner.hear().unwrap();
        assert!(matches!(&report, Report::Failed(9, failure) if failure.errno == libc::ENOENT), "{report:?}");
        drop(fds);
        for (read, write) in ends {
            drop(write);
            assert_eq!(
                rustix::io::read(read, &mut [0; 8]),
                Ok(0),
                "something was written to the worker's descriptor"
            );
        }
    });
}

#[test]
fn nobody_starts_a_worker_before_hello() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        owner.say(&Request::Spawn(1, Box::new(command(&["true"]))), &[]).unwrap();
        assert!(refused(&owner).contains("hello"));
        let stranger = Hello { versions: (5, 9), ..hello(at_once(Duration::ZERO)) };
        owner.say(&Request::Hello(stranger), &[]).unwrap();
        assert!(refused(&owner).contains("version"));
        owner.hello(at_once(Duration::ZERO)).unwrap();
    });
}

#[test]
fn a_keeper_started_by_hand_says_what_it_is() {
    let arena = sidewinder_tests::arena::Arena::prepare("by-hand").unwrap();
    let started = std::process::Command::new(arena.binary()).arg("__keeper").output().unwrap();
    assert_eq!(started.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&started.stderr).contains("never by hand"));
}
