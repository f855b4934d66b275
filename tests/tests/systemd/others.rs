//! The other managers of deploy/: supervisord and runit, as Debian packages them, and one user's own systemd.

use crate::installed::{boot, text};
use crate::machine::{Machine, lower, tell};
use sidewinder_tests::arena::tests;
use std::fs;
use std::time::{Duration, Instant};

const SOCKET: &str = "/var/lib/sidewinder/sidewinder.sock";

/// Whether the program is there; says so if it is not.
fn has(program: &str, package: &str) -> bool {
    let there = lower().join(program).exists();
    if !there {
        tell(&format!("NOT RUN: {program} is missing; apt-get install {package}"));
    }
    there
}

/// Puts a file of deploy/ to this place inside.
fn install(machine: &Machine, file: &str, place: &str, mode: &str) {
    let text = fs::read_to_string(tests().join("../deploy").join(file)).unwrap();
    machine.write(place, &text);
    machine.ok(&["chmod", mode, place]);
}

/// Calls until somebody listens.
fn answered(machine: &Machine) {
    let words = ["sidewinder", "call", "--socket", SOCKET, "add", r#"{"a": 1}"#];
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let said = machine.run(&words);
        match said.status {
            0 => return assert_eq!(said.stdout.trim(), "3"),
            // No daemon yet.
            124 => assert!(Instant::now() < patience, "{said:?}\n{}", machine.journal()),
            _ => panic!("{said:?}"),
        }
    }
}

/// The state folder, which the unit would make.
fn prepare(machine: &Machine) {
    machine.ok(&["install", "-d", "-m", "700", "-o", "sidewinder", "/var/lib/sidewinder"]);
}

/// The process that listens, and everybody of its user.
fn daemon(machine: &Machine) -> String {
    machine.ok(&["pgrep", "--oldest", "--uid", "sidewinder", "--full", "sidewinder run"])
}

/// Kills a process, and waits for its end: while it dies somebody may still reach its socket.
fn kill(machine: &Machine, process: &str) {
    machine.ok(&["sh", "-c", "kill -KILL $0; while kill -0 $0 2>/dev/null; do :; done", process]);
}

fn nobody(machine: &Machine) {
    let said = machine.run(&["pgrep", "--list-full", "--uid", "sidewinder"]);
    assert_eq!(said.stdout, "", "somebody is left");
}

#[test]
fn supervisord_starts_it_again_and_stops_it() {
    if !has("usr/bin/supervisord", "supervisor") {
        return;
    }
    let Some(machine) = boot("supervisord", &[]) else { return };
    prepare(&machine);
    install(&machine, "supervisord/sidewinder.conf", "/etc/supervisor/conf.d/sidewinder.conf", "644");
    let command = ["supervisord", "--nodaemon", "--configuration", "/etc/supervisor/supervisord.conf"];
    machine.ok(&[&["systemd-run", "--unit=manager"], &command[..]].concat());
    answered(&machine);
    let before = daemon(&machine);
    kill(&machine, &before);
    answered(&machine);
    assert_ne!(daemon(&machine), before);
    let begun = Instant::now();
    machine.ok(&["supervisorctl", "stop", "sidewinder"]);
    tell(&format!("supervisorctl stop: {:?}", begun.elapsed()));
    nobody(&machine);
    assert!(machine.ok(&["cat", "/var/log/sidewinder.log"]).contains(r#""what":"WORKER_READY""#));
}

#[test]
fn runit_starts_it_again_and_stops_it() {
    if !has("usr/bin/runsvdir", "runit") {
        return;
    }
    let Some(machine) = boot("runit", &[]) else { return };
    prepare(&machine);
    install(&machine, "runit/sidewinder/log/run", "/etc/service/sidewinder/log/run", "755");
    install(&machine, "runit/sidewinder/run", "/etc/service/sidewinder/run", "755");
    machine.ok(&["systemd-run", "--unit=manager", "runsvdir", "-P", "/etc/service"]);
    answered(&machine);
    let before = daemon(&machine);
    kill(&machine, &before);
    answered(&machine);
    assert_ne!(daemon(&machine), before);
    machine.ok(&["sv", "hup", "/etc/service/sidewinder"]);
    let begun = Instant::now();
    machine.ok(&["sv", "-w", "20", "stop", "/etc/service/sidewinder"]);
    tell(&format!("sv stop: {:?}", begun.elapsed()));
    nobody(&machine);
    assert!(machine.ok(&["cat", "/var/log/sidewinder/current"]).contains(r#""what":"WORKER_READY""#));
}

/// A manager of one user, started by the machine's: there is no session to start it.
const MANAGER: &str = "[Service]\nType=notify\nUser=sidewinder\nDelegate=yes\nRuntimeDirectory=user\n\
    Environment=XDG_RUNTIME_DIR=/run/user HOME=/var/lib/sidewinder\nStateDirectory=sidewinder\n\
    ExecStart=/lib/systemd/systemd --user\nKillMode=mixed\n";

#[test]
fn a_users_own_systemd_activates_it() {
    let Some(machine) = boot("user", &[]) else { return };
    prepare(&machine);
    let home = "/var/lib/sidewinder/.config";
    for unit in ["sidewinder.socket", "sidewinder.service"] {
        install(&machine, &format!("systemd/user/{unit}"), &format!("{home}/systemd/user/{unit}"), "644");
    }
    machine.write(&format!("{home}/sidewinder/sidewinder.toml"), &text("sidewinder.toml"));
    machine.write("/etc/systemd/system/manager.service", MANAGER);
    machine.ok(&["chown", "-R", "sidewinder:sidewinder", "/var/lib/sidewinder"]);
    machine.ok(&["systemctl", "daemon-reload"]);
    machine.ok(&["systemctl", "start", "manager.service"]);
    let user = ["setpriv", "--reuid=sidewinder", "--regid=sidewinder", "--clear-groups", "env"];
    let user = [&user[..], &["XDG_RUNTIME_DIR=/run/user"]].concat();
    machine.ok(&[&user[..], &["systemctl", "--user", "start", "sidewinder.socket"]].concat());
    let call = ["sidewinder", "call", "add", r#"{"a": 1}"#];
    assert_eq!(machine.ok(&[&user[..], &call].concat()), "3");
    let reload = ["systemctl", "--user", "reload", "sidewinder.service"];
    machine.ok(&[&user[..], &reload].concat());
    let stop = ["systemctl", "--user", "stop", "sidewinder.service"];
    machine.ok(&[&user[..], &stop].concat());
    assert_eq!(machine.ok(&[&user[..], &call].concat()), "3");
    // It also makes scopes for its user.
    let settings = format!("{home}/sidewinder/sidewinder.toml");
    machine.ok(&["sh", "-c", "printf '\n[daemon]\nplacement = \"scope\"\n' >>$0", &settings]);
    machine.ok(&[&user[..], &["systemctl", "--user", "start", "dbus.socket"]].concat());
    machine.ok(&[&user[..], &stop].concat());
    assert_eq!(machine.ok(&[&user[..], &call].concat()), "3");
    let list = ["systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "sidewinder-*.scope"];
    let list = [&user[..], &list].concat();
    let scopes = machine.ok(&list);
    assert!(scopes.contains("workers of pool default") && scopes.lines().count() == 1, "{scopes}");
    machine.ok(&[&user[..], &stop].concat());
    let patience = Instant::now() + Duration::from_secs(20);
    while !machine.ok(&list).is_empty() {
        assert!(Instant::now() < patience, "{}", machine.ok(&list));
    }
}
