//! Programs that cannot take over, or only say that they can, and daemons that cannot be replaced.

use super::{command, gone, leads_to, order, place, run, sight, start};
use crate::answer;
use rustix::process::Signal;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client;
use sidewinder_tests::daemon::Daemon;
use std::path::PathBuf;
use std::process::Command;

/// A program that does this.
fn script(arena: &Arena, name: &str, text: &str) -> PathBuf {
    let path = arena.file(name);
    let text = format!("#!/bin/sh\n{}\n", text.replace("SIDEWINDER", &arena.binary().display().to_string()));
    // Written by a process of its own: a child of another test could hold it open for writing, and nobody could run it.
    let mut writer = Command::new("sh");
    writer.args(["-c", r#"printf %s "$2" >"$1" && chmod 755 "$1""#, "sh"]).arg(&path).arg(text);
    assert!(writer.status().unwrap().success());
    path
}

fn refused(daemon: &Daemon<'_>) -> String {
    let said = daemon.ask("upgrade", &[]).unwrap();
    assert!(said.status == 1 && said.stderr.contains("CANNOT_UPGRADE: nothing was changed"), "{said:?}");
    said.stderr
}

#[test]
fn a_program_that_does_not_take_over_changes_nothing() {
    let Some(arena) = place("no-successor") else { return };
    let config = arena.file("config.toml");
    std::fs::write(&config, "[daemon]\ndrain_timeout = \"5s\"\n").unwrap();
    let (mut daemon, _) = start(&arena, &["--config", config.to_str().unwrap()]);
    let before = sight(&daemon);
    let running = run(&daemon, client::ask("sleep", r#"{"seconds": 5}"#));
    let broken = script(&arena, "broken", "echo out of order >&2; exit 3");
    let old = script(&arena, "old", "echo sidewinder 0.0.1 takes over, edition 0");
    let text = arena.file("text");
    std::fs::write(&text, "no program").unwrap();
    let cases = [
        (broken.clone(), "exit status: 3): out of order"),
        (old, "edition 0"),
        ("/bin/true".into(), "it said nothing"),
        ("/bin/echo".into(), "does not take over"),
        (text, "Permission denied"),
        (arena.file("nowhere"), "No such file"),
    ];
    for (program, why) in cases {
        leads_to(&arena, &program);
        let said = refused(&daemon);
        assert!(said.contains(why), "{why}: {said}");
        // Read to here, or the words of the first case are taken for the answer to the signal below, and the link is led
        // elsewhere while the shell that is to read the script opens it: it would read the daemon's program instead.
        daemon.log_until("nothing was changed").unwrap();
    }
    leads_to(&arena, &broken);
    daemon.send(Signal::USR2).unwrap();
    assert!(daemon.log_until("nothing was changed").unwrap().contains("out of order"));
    leads_to(&arena, arena.binary());
    for (settings, why) in [("[daemon]\nlive = 7\n", "daemon.live"), ("[daemon]\nupgrade = false\n", "")] {
        std::fs::write(&config, settings).unwrap();
        // The environment goes before the file: only a flaw of the file is one.
        if !why.is_empty() {
            assert!(refused(&daemon).contains(why));
        }
    }
    assert_eq!(sight(&daemon), before);
    assert_eq!(running.join().unwrap().expect("nobody was disturbed"), "\"rested\"");
    daemon.send(Signal::USR2).unwrap();
    daemon.log_until("goes on in this process").unwrap();
    daemon.log_until("listens on").unwrap();
    assert_eq!(sight(&daemon).0, before.0);
    assert_eq!(answer(&daemon, "add", r#"{"a": 1}"#), "3");
}

#[test]
fn a_program_that_cannot_be_executed_after_all_is_this_one_again() {
    let Some(arena) = place("not-executed") else { return };
    let (mut daemon, _) = start(&arena, &[]);
    let (workers, _) = sight(&daemon);
    leads_to(&arena, &script(&arena, "shy", "SIDEWINDER \"$@\"; chmod 644 \"$0\""));
    order(&daemon, "upgrade", &[]);
    daemon.log_until("could not be executed: Permission denied").unwrap();
    assert_eq!(sight(&daemon).0, workers);
    assert_eq!(answer(&daemon, "add", r#"{"a": 1}"#), "3");
}

#[test]
fn a_program_that_lied_is_the_end_of_everybody() {
    let Some(arena) = place("liar") else { return };
    let (daemon, _) = start(&arena, &[]);
    let (workers, _) = sight(&daemon);
    let lie = "case \"$*\" in *--as-successor*) exec SIDEWINDER \"$@\";; esac; exit 7";
    leads_to(&arena, &script(&arena, "liar", lie));
    daemon.send(Signal::USR2).unwrap();
    assert_eq!(daemon.end().unwrap().0.code(), Some(7));
    gone(&workers);
}

#[test]
fn who_wishes_for_an_end_gets_it() {
    let Some(arena) = place("ended") else { return };
    for _ in 0..3 {
        let (mut daemon, _) = start(&arena, &["--drain-timeout", "1s"]);
        let (workers, _) = sight(&daemon);
        daemon.send(Signal::USR2).unwrap();
        daemon.send(Signal::USR2).unwrap();
        daemon.log_until("goes on in this process").unwrap();
        daemon.send(Signal::TERM).unwrap();
        daemon.end().unwrap();
        gone(&workers);
    }
}

#[test]
fn daemons_that_cannot_be_replaced_say_so() {
    let Some(arena) = place("irreplaceable") else { return };
    let (daemon, _) = start(&arena, &[]);
    drop(daemon);
    let ends = |arguments: &[&str], variable: (&str, &str)| {
        let output = command(&arena, arguments).env(variable.0, variable.1).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let nothing = ("SIDEWINDER_DAEMON_UPGRADE", "true");
    let log = ends(&["--namespace", "off", "--cgroup", "off"], nothing);
    assert!(log.contains("daemon.upgrade takes a PID namespace or a delegated cgroup"), "{log}");
    let log = ends(&["--mode", "coupled"], nothing);
    assert!(log.contains("daemon.upgrade and the mode `coupled` contradict each other"), "{log}");
    let log = ends(&[], ("SIDEWINDER_DAEMON_LIVE", "true"));
    assert!(log.contains("contradict each other: a restart of the unit"), "{log}");
    let plain = crate::plain(&arena);
    assert!(refused(&plain).contains("`daemon.upgrade` is off"));
    plain.send(Signal::USR2).unwrap();
    assert_eq!(answer(&plain, "add", r#"{"a": 1}"#), "3");
}
