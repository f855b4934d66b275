//! The daemon under a real service manager. Each test boots a systemd of its own.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what it expects")]

mod activation;
mod endings;
mod files;
mod followed;
mod installed;
mod journal;
mod live;
mod machine;
mod others;
mod scope;

use machine::Machine;

/// A service that stays, and one that says a word and fails.
const STAYS: &str = "[Service]\nExecStart=/bin/sleep infinity\n";
const FAILS: &str = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo said; exit 3'\n";

#[test]
fn a_systemd_of_our_own_runs_units_keeps_a_journal_and_leaves_nothing() {
    let furnish = |plan: &machine::Plan| {
        plan.unit("stays.service", STAYS);
        plan.unit("fails.service", FAILS);
    };
    let Some(machine) = Machine::boot("boots", furnish) else { return };
    machine.ok(&["systemctl", "start", "stays.service"]);
    machine.until("stays.service", "ActiveState", |state| state == "active");
    assert!(machine.processes("stays.service")[0].ends_with(" sleep"));
    assert_ne!(machine.run(&["systemctl", "start", "fails.service"]).status, 0);
    assert_eq!(machine.show("fails.service", "ExecMainStatus"), "3");
    let said = machine.entries("fails.service");
    assert!(said.iter().any(|entry| entry["MESSAGE"] == "said"), "{}", machine.journal());
    let root = machine.root();
    drop(machine);
    assert!(!root.join("etc").exists(), "it is still there");
}
