//! The files of deploy/systemd, installed where an operator installs them.

use crate::machine::{Machine, Plan, tell};
use sidewinder_tests::arena::tests;
use std::fs;
use std::path::PathBuf;

/// The folder of the units.
pub(crate) fn folder() -> PathBuf {
    tests().join("../deploy/systemd")
}

/// One file of it.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Where each file goes.
const PLACES: [(&str, &str); 9] = [
    ("sidewinder.service", "etc/systemd/system/sidewinder.service"),
    ("sidewinder.socket", "etc/systemd/system/sidewinder.socket"),
    ("sidewinder-health.socket", "etc/systemd/system/sidewinder-health.socket"),
    ("sidewinder@.service", "etc/systemd/system/sidewinder@.service"),
    ("sidewinder@.socket", "etc/systemd/system/sidewinder@.socket"),
    ("sidewinder.slice", "etc/systemd/system/sidewinder.slice"),
    ("sidewinder.sysusers", "usr/lib/sysusers.d/sidewinder.conf"),
    ("sidewinder.tmpfiles", "usr/lib/tmpfiles.d/sidewinder.conf"),
    ("sidewinder.toml", "etc/sidewinder/sidewinder.toml"),
];

/// A systemd with everything installed, and further lines for the service; `None` where it cannot be had.
pub(crate) fn boot(name: &str, drop_ins: &[&str]) -> Option<Machine> {
    let furnish = |plan: &Plan| {
        for (file, place) in PLACES {
            plan.file(place, &text(file));
        }
        for (number, lines) in drop_ins.iter().enumerate() {
            plan.file(&format!("etc/systemd/system/sidewinder.service.d/{number}.conf"), lines);
        }
        // The module that the settings name, and a second one that cannot be served.
        plan.copy("opt/sidewinder/tools.py", &tests().join("served/plain.py"));
        plan.copy("opt/sidewinder/fatal.py", &tests().join("served/unfit/fatal.py"));
    };
    let machine = Machine::boot(name, furnish)?;
    has_bus(&machine);
    machine.ok(&["systemd-sysusers", "/usr/lib/sysusers.d/sidewinder.conf"]);
    machine.ok(&["systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/sidewinder.conf"]);
    Some(machine)
}

/// Whether there is a message bus, as on every machine that is more than a test. It is started by whoever first connects.
pub(crate) fn has_bus(machine: &Machine) -> bool {
    let there = machine.run(&["systemctl", "start", "dbus.socket"]).status == 0;
    if !there {
        tell("there is no message bus; apt-get install dbus dbus-user-session");
    }
    there
}

/// Starts the daemon with its socket, and waits until it is ready.
pub(crate) fn start(machine: &Machine) {
    machine.ok(&["systemctl", "start", "sidewinder.service"]);
}

/// Calls a tool that must answer.
#[track_caller]
pub(crate) fn call(machine: &Machine, tool: &str, arguments: &str) -> String {
    machine.ok(&["sidewinder", "call", tool, arguments])
}
