//! Pools in transient scopes of their own: where everybody is, what is left of a scope, and who is refused one.

use crate::installed::{boot, call, start, text};
use crate::machine::{Machine, tell};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const SERVICE: &str = "sidewinder.service";
const SECOND: &str = "\\n[pools.second]\\nexpose = [\"math:hypot\"]\\nworkers = 1\\n";
/// A fact that does not come in this time does not come.
const NEVER: Duration = Duration::from_secs(30);

/// Every scope of a daemon that systemd knows, in whatever state.
pub(crate) fn scopes(machine: &Machine) -> BTreeSet<String> {
    let list = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "sidewinder-*.scope"];
    let said = machine.ok(&list);
    said.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// Waits until the scopes are as wanted.
#[track_caller]
fn until(machine: &Machine, what: &str, wanted: impl Fn(&BTreeSet<String>) -> bool) -> BTreeSet<String> {
    let patience = Instant::now() + NEVER;
    loop {
        let found = scopes(machine);
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < patience, "{what}: {found:?}\n{}", machine.journal());
    }
}

fn named<'a>(processes: &'a [String], name: &str) -> Vec<&'a String> {
    processes.iter().filter(|process| process.ends_with(&format!(" {name}"))).collect()
}

fn placed(name: &str, lines: &[&str]) -> Option<Machine> {
    let conf = text("scope.conf");
    let machine = boot(name, &[&[conf.as_str()], lines].concat())?;
    machine.ok(&["sh", "-c", &format!("printf '{SECOND}' >>/etc/sidewinder/sidewinder.toml")]);
    start(&machine);
    Some(machine)
}

#[test]
fn each_pool_is_in_a_scope_of_its_own_that_goes_with_it() {
    let Some(machine) = placed("scope", &[]) else { return };
    assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
    let first = scopes(&machine);
    assert_eq!(first.len(), 2, "{}", machine.journal());
    let mut pools = BTreeSet::new();
    for scope in &first {
        assert_eq!(machine.show(scope, "Slice"), "sidewinder.slice");
        assert_eq!(machine.show(scope, "Delegate"), "yes");
        assert!(machine.show(scope, "Before").split(' ').any(|unit| unit == SERVICE));
        pools.extend(machine.show(scope, "Description").split(' ').next_back().map(str::to_owned));
        let inside = machine.processes(scope);
        assert!(!named(&inside, "python3").is_empty(), "{inside:?}");
        assert!(named(&inside, "sw-keeper").len() == 1, "one keeper: {inside:?}");
    }
    assert_eq!(pools, BTreeSet::from(["default".to_owned(), "second".to_owned()]));
    assert_eq!(machine.processes(SERVICE).len(), 1, "only the daemon is in the unit");
    // A scope that somebody stops is a keeper that dies: its pool gets another one, and the other pool notices nothing.
    let (stopped, kept) = (first.first().expect("one"), first.last().expect("another"));
    machine.ok(&["systemctl", "stop", stopped]);
    let second = until(&machine, "another scope", |now| now.len() == 2 && !now.contains(stopped));
    assert!(second.contains(kept), "{second:?}");
    assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
    let other = machine.ok(&["sidewinder", "call", "--pool", "second", "hypot", "[3, 4]"]);
    assert_eq!(other, "5.0");
    // Other limits are for other workers, in the same scopes.
    machine.ok(&["sh", "-c", "printf 'limits.files = 512\n' >>/etc/sidewinder/sidewinder.toml"]);
    machine.ok(&["systemctl", "reload", SERVICE]);
    assert_eq!(scopes(&machine), second);
    // Without a farewell the scopes go just the same.
    let begun = Instant::now();
    machine.ok(&["systemctl", "kill", "--kill-who=main", "--signal=KILL", SERVICE]);
    let third = until(&machine, "the next daemon's", |now| now.len() == 2 && now.is_disjoint(&second));
    tell(&format!("scopes, kill -9 of the daemon: those of the next one after {:?}", begun.elapsed()));
    assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
    let begun = Instant::now();
    machine.ok(&["systemctl", "stop", "sidewinder.socket", SERVICE]);
    let all = until(&machine, "no scope", BTreeSet::is_empty);
    tell(&format!("scopes, systemctl stop: {} scopes gone after {:?}", third.len(), begun.elapsed()));
    assert_eq!(all.len(), 0);
    assert_eq!(machine.ok(&["find", "/sys/fs/cgroup", "-name", "sidewinder-*"]), "");
}

/// What asks the manager is refused in words that say what to do, and nothing is started.
#[test]
fn who_may_not_have_a_scope_is_told_the_way_out() {
    let lines = "[Service]\nEnvironment=SIDEWINDER_DAEMON_PLACEMENT=scope\nRestart=no\n";
    let Some(machine) = boot("no-scope", &[lines]) else { return };
    assert_ne!(machine.run(&["systemctl", "start", SERVICE]).status, 0);
    let log = machine.journal();
    for words in ["no D-Bus at /run/user/", "run the daemon as root", "placement = \"unit\""] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert_eq!(machine.processes(SERVICE), Vec::<String>::new());
    // One that answers and does not do it.
    machine.write("/etc/systemd/system/sidewinder-.scope.d/no.conf", "[Unit]\nAssertPathExists=/nowhere\n");
    machine.write(&format!("/etc/systemd/system/{SERVICE}.d/9.conf"), &text("scope.conf"));
    machine.ok(&["systemctl", "daemon-reload"]);
    assert_ne!(machine.run(&["systemctl", "start", SERVICE]).status, 0);
    let log = machine.journal();
    assert!(log.contains("the manager tried, and its result is `assert`"), "{log}");
    assert_eq!((machine.processes(SERVICE), scopes(&machine)), (Vec::new(), BTreeSet::new()));
}

/// A bus that takes connections and says nothing: the daemon gives up, and what was to become its keeper does not outlive it.
#[test]
fn a_bus_that_says_nothing_is_not_waited_for_for_ever() {
    let restart = "[Service]\nRestart=no\n";
    let lines = [text("live.conf"), text("scope.conf"), restart.to_owned()];
    let Some(machine) = boot("silent-bus", &lines.each_ref().map(String::as_str)) else { return };
    machine.ok(&["systemctl", "start", "dbus.service"]);
    machine.ok(&["systemctl", "kill", "--signal=STOP", "dbus.service"]);
    machine.ok(&["systemctl", "start", "--no-block", SERVICE]);
    // With `KillMode=process` systemd leaves everybody but the daemon alone.
    let patience = Instant::now() + NEVER;
    let both = loop {
        let both = machine.processes(SERVICE);
        if both.len() == 2 {
            break both;
        }
        assert!(Instant::now() < patience, "{both:?}\n{}", machine.journal());
    };
    machine.ok(&["systemctl", "kill", "--kill-who=main", "--signal=KILL", SERVICE]);
    machine.until(SERVICE, "ActiveState", |state| state == "failed");
    while !machine.processes(SERVICE).is_empty() {
        assert!(Instant::now() < patience, "{both:?}\n{}", machine.journal());
    }
    let begun = Instant::now();
    assert_ne!(machine.run(&["systemctl", "start", SERVICE]).status, 0);
    tell(&format!("scopes, a bus that says nothing: given up after {:?}", begun.elapsed()));
    let log = machine.journal();
    assert!(log.contains("no answer through /run/dbus/system_bus_socket within 5s"), "{log}");
    assert_eq!(machine.processes(SERVICE), Vec::<String>::new());
}
