//! Outputs that are full, closed or read by nobody end nothing.

use super::{WAYS, assert_clean, keep, run};
use sidewinder_tests::arena::Arena;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

#[test]
fn a_report_that_cannot_be_written_ends_nothing() {
    let arena = Arena::prepare("full").unwrap();
    for report in ["-", "/dev/full"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = keep(&arena, &["--cgroup", "off", "--report", report], "exit 5");
        let status = command.stderr(full).stdout(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(5), "--report {report}");
    }
    assert_clean(&arena);
}

#[test]
fn nobody_has_to_read() {
    let arena = Arena::prepare("unread").unwrap();
    for verb in ["doctor", "reap"] {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        let status = arena.sidewinder(verb).stdout(writer).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{verb}");
    }
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let mut command = keep(&arena, &["--cgroup", "off", "--report", "-", "--limit", "memory=1G"], "exit 4");
    assert_eq!(command.stdout(Stdio::null()).stderr(writer).status().unwrap().code(), Some(4));
}

#[test]
fn closed_descriptors_are_no_obstacle() {
    let arena = Arena::prepare("closed").unwrap();
    for way in WAYS {
        let binary = arena.binary().display().to_string();
        let script = format!("exec \"{binary}\" keep {} -- sh -c 'exit 6' <&- >&- 2>&-", way.join(" "));
        let mut shell = std::process::Command::new("sh");
        arena.place(&mut shell);
        assert_eq!(shell.args(["-c", &script]).status().unwrap().code(), Some(6));
    }
    assert_clean(&arena);
}

#[test]
fn a_report_is_for_its_owner_only() {
    let arena = Arena::prepare("report").unwrap();
    let report = arena.file("report");
    let option = report.display().to_string();
    assert_eq!(run(&mut keep(&arena, &["--report", &option], "exit 0")).0, 0);
    assert_eq!(fs::metadata(&report).unwrap().mode() & 0o077, 0);
    let lines = fs::read_to_string(&report).unwrap();
    let events: Vec<String> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(events, ["started", "exited", "gone"]);
}
