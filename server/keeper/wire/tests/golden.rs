//! Golden frames: the bytes of every message, pinned in `proto/golden/keeper-1/`.
//!
//! A change of these files is a change of the protocol: an owner must go on adopting keepers that speak the old
//! bytes. `GOLDEN=write cargo test -p sidewinder-keeper-wire --test golden` writes the files anew.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

use sidewinder_keeper_wire::*;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

fn requests() -> Vec<(&'static str, Request)> {
    let graces = Graces {
        stop: Duration::from_secs(5),
        orphan: Duration::ZERO,
        reattach: Duration::from_millis(1500),
    };
    let hello = Hello { versions: (1, 1), graces, cgroup: Some("/sys/fs/cgroup/pool".into()) };
    let full = SpawnRequest {
        arguments: vec![b"python3".to_vec(), b"-m".to_vec(), b"tools".to_vec()],
        environment: vec![b"PATH=/usr/bin".to_vec(), b"EMPTY=".to_vec()],
        directory: Some(b"/srv".to_vec()),
        uid: Some(1000),
        gid: Some(1001),
        groups: vec![4, 27],
        rlimits: vec![Rlimit { resource: 7, soft: 1024, hard: u64::MAX }],
        nice: Some(-5),
        oom_score_adj: Some(500),
        cpus: vec![0, 3],
        fds: vec![0, 1, 2, 3],
        new_privileges: true,
        limits: Limits {
            memory_max: Some(1 << 30),
            memory_high: Some(1 << 29),
            swap_max: Some(0),
            cpu_max: Some(150_000),
            pids_max: Some(64),
            io_max: vec!["8:0 rbps=1048576".into()],
        },
        nest: None,
    };
    let forked = ForkRequest {
        from: 9,
        rlimits: full.rlimits.clone(),
        fds: vec![1, 2, 3, 4],
        limits: Limits { pids_max: Some(64), ..Limits::default() },
    };
    let nest = SpawnRequest { arguments: full.arguments.clone(), nest: Some(5), ..SpawnRequest::default() };
    let least = SpawnRequest { arguments: vec![b"true".to_vec()], ..SpawnRequest::default() };
    vec![
        ("request-hello", Request::Hello(hello.clone())),
        ("request-adopt", Request::Adopt(Hello { cgroup: None, ..hello })),
        ("request-spawn", Request::Spawn(7, Box::new(full))),
        ("request-spawn-least", Request::Spawn(8, Box::new(least))),
        ("request-spawn-fork-server", Request::Spawn(9, Box::new(nest))),
        ("request-fork", Request::Fork(10, Box::new(forked))),
        ("request-signal", Request::Signal(7, 10)),
        ("request-kill", Request::Kill(7)),
        ("request-list", Request::List),
        ("request-drain", Request::Drain(Duration::from_secs(30))),
        ("request-acknowledge", Request::Acknowledge(7)),
    ]
}

fn reports() -> Vec<(&'static str, Report)> {
    let welcome = Welcome {
        version: 1,
        tier: Tier::A,
        boot: "c0ffee00-0000-4000-8000-000000000001".into(),
        namespace: 4_026_532_179,
        fresh_proc: true,
        why: "in a user namespace".into(),
    };
    let failure = Failure { stage: Stage::Execute, errno: 2, message: "python3".into() };
    let gone = Gone {
        ending: Some(Ending::Signal(9)),
        user: Duration::from_micros(1_234_567),
        system: Duration::from_millis(89),
        peak_rss: 64 << 20,
        peak_tree: Some(128 << 20),
        oom_kills: 1,
        pids_refused: 3,
        warden_lost: true,
    };
    vec![
        ("report-welcome", Report::Welcome(welcome)),
        ("report-spawned", Report::Spawned(7, 3)),
        ("report-failed", Report::Failed(7, failure)),
        ("report-exited-code", Report::Exited(7, Ending::Code(-1))),
        ("report-exited-signal", Report::Exited(7, Ending::Signal(11))),
        ("report-gone", Report::Gone(7, Box::new(gone))),
        ("report-gone-least", Report::Gone(8, Box::default())),
        ("report-entry", Report::Entry(7, Entry { pid: 3, living: true })),
        ("report-listed", Report::Listed(1)),
        ("report-refused", Report::Refused(7, "no living worker has this number".into())),
        ("report-drained", Report::Drained),
    ]
}

fn words() -> Vec<(&'static str, Word)> {
    vec![
        ("word-clean", Word::Clean),
        ("word-step-aside", Word::StepAside),
        ("word-aside", Word::Aside),
        ("word-held", Word::Held),
        ("word-hatch", Word::Hatch(10)),
        ("word-hatched", Word::Hatched(10)),
        ("word-begun", Word::Begun),
    ]
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../proto/golden/keeper-1")
}

fn hex(bytes: &[u8]) -> String {
    let rows =
        bytes.chunks(16).map(|row| row.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "));
    rows.map(|row| row + "\n").collect()
}

fn unhex(text: &str) -> Vec<u8> {
    text.split_ascii_whitespace().map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

fn check<M: Debug + PartialEq>(
    name: &str,
    message: &M,
    encoded: &[u8],
    decode: impl Fn(&[u8]) -> Result<M, Broken>,
) {
    let path = directory().join(format!("{name}.hex"));
    if std::env::var_os("GOLDEN").is_some_and(|wish| wish == "write") {
        fs::create_dir_all(directory()).expect("a directory");
        fs::write(&path, hex(encoded)).expect("written");
    }
    let golden =
        unhex(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    assert_eq!(hex(encoded), hex(&golden), "{name}: the bytes have changed");
    assert_eq!(decode(&golden).as_ref(), Ok(message), "{name}: the bytes mean something else");
    for length in 0..golden.len() {
        // Whatever a cut frame means, reading it does not panic.
        let _ = decode(&golden[..length]);
    }
}

#[test]
fn every_message_has_its_golden_bytes() {
    for (name, request) in requests() {
        check(name, &request, &request.encode().expect("small"), Request::decode);
    }
    for (name, report) in reports() {
        check(name, &report, &report.encode().expect("small"), Report::decode);
    }
    for (name, word) in words() {
        check(name, &word, &word.encode().expect("small"), Word::decode);
    }
}

#[test]
fn no_golden_file_is_forgotten() {
    let mut known: Vec<&str> = requests().iter().map(|(name, _)| *name).collect();
    known.extend(reports().iter().map(|(name, _)| *name));
    known.extend(words().iter().map(|(name, _)| *name));
    for entry in fs::read_dir(directory()).expect("the golden files") {
        let name = entry.expect("a file").file_name().into_string().expect("a name");
        assert!(known.contains(&name.trim_end_matches(".hex")), "{name} is tested by nobody");
    }
}

#[test]
fn a_field_that_must_be_understood_is_never_skipped() {
    let mut frame = FrameWriter::new(3, 7);
    frame.bytes(1, b"true");
    frame.bytes(0x0fff, b"a newer, harmless field");
    assert!(Request::decode(&frame.finish().expect("small")).is_ok());
    let mut frame = FrameWriter::new(3, 7);
    frame.bytes(1, b"true");
    frame.bytes(0x8fff, b"a sandbox");
    assert_eq!(Request::decode(&frame.finish().expect("small")), Err(Broken::Unknown(0x8fff)));
}

#[test]
fn random_bytes_are_refused_and_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let goldens: Vec<Vec<u8>> =
        requests().iter().map(|(_, request)| request.encode().expect("small")).collect();
    for _ in 0..50_000 {
        let mut bytes = goldens[usize::try_from(random()).expect("64 bits") % goldens.len()].clone();
        for _ in 0..=random() % 4 {
            let at = usize::try_from(random()).expect("64 bits") % bytes.len();
            bytes[at] = random().to_le_bytes()[0];
        }
        let _ = (Request::decode(&bytes), Report::decode(&bytes));
    }
}
