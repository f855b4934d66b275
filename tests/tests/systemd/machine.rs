//! A real systemd of our own: booted in namespaces in a fraction of a second, asked by `systemctl`, ended with its test.
//!
//! Nothing of it is seen from outside but its processes and one cgroup, and both are gone when it is dropped. Every wait
//! has an end. Where it cannot be had (an ordinary user, no systemd) [`Machine::boot`] says so, past the test harness.

use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};
use sidewinder_tests::arena::{Arena, tests};
use sidewinder_tests::daemon::Said;
use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// It boots in a fraction of a second; on a busy machine in a few.
const BOOT_MAX: Duration = Duration::from_secs(30);
/// A fact that does not come in this time does not come.
const NEVER: Duration = Duration::from_mins(1);

const TARGET: &str = "[Unit]\nRequires=sysinit.target systemd-journald.service\n\
                      After=sysinit.target systemd-journald.service\n";
const JOURNALD: &str = "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitIntervalSec=0\n";

/// A booted systemd.
#[derive(Debug)]
pub(crate) struct Machine {
    arena: Arena,
    cgroup: PathBuf,
    unshare: Child,
    init: i32,
}

/// What is to be there before it boots.
#[derive(Debug)]
pub(crate) struct Plan {
    arena: Arena,
}

impl Plan {
    /// The files of a machine, or why there can be none.
    fn new(name: &str) -> io::Result<Self> {
        let plan = Self { arena: Arena::prepare(name)? };
        plan.file("etc/systemd/system/arena.target", TARGET);
        plan.file("etc/systemd/journald.conf.d/arena.conf", JOURNALD);
        plan.copy("usr/bin/sidewinder", plan.arena.binary());
        let served = fs::read_dir(tests().join("served"))?;
        for item in served.flatten().filter(|item| item.path().is_file()) {
            plan.copy(&format!("srv/tools/{}", item.file_name().display()), &item.path());
        }
        Ok(plan)
    }

    /// A file with this text.
    pub(crate) fn file(&self, path: &str, text: &str) {
        let place = self.place(path);
        fs::write(place, text).expect("a file");
    }

    /// The same file as there.
    pub(crate) fn copy(&self, path: &str, from: &Path) {
        fs::copy(from, self.place(path)).expect("a copy");
    }

    /// Not this file, after all.
    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.place(path)).expect("a file");
    }

    /// The binary under test.
    pub(crate) fn binary(&self) -> &Path {
        self.arena.binary()
    }

    /// A unit of this name with this text.
    pub(crate) fn unit(&self, name: &str, text: &str) {
        self.file(&format!("etc/systemd/system/{name}"), text);
    }

    fn place(&self, path: &str) -> PathBuf {
        let place = self.arena.file("root").join(path);
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        place
    }
}

/// Says something past the test harness, which keeps quiet about success.
pub(crate) fn tell(what: &str) {
    writeln!(io::stderr(), "systemd: {what}").expect("standard error takes a line");
}

/// The root that is laid under that of the machine.
pub(crate) fn lower() -> PathBuf {
    std::env::var_os("SIDEWINDER_TEST_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// Why no systemd can be booted here.
fn obstacle() -> Option<String> {
    if !geteuid().is_root() {
        return Some("only root can boot one".to_owned());
    }
    let root = lower();
    let needed =
        ["usr/lib/systemd/systemd", "usr/bin/unshare", "usr/bin/nsenter", "usr/bin/timeout", "sbin/ip"];
    let missing = needed.into_iter().find(|path| !root.join(path).exists());
    missing.map(|path| format!("{path} is missing; on Debian: apt-get install systemd util-linux iproute2"))
}

impl Machine {
    /// Boots one with what `furnish` puts there. `None`: it cannot be had here, and that has been said.
    pub(crate) fn boot(name: &str, furnish: impl FnOnce(&Plan)) -> Option<Self> {
        if let Some(why) = obstacle() {
            tell(&format!("{name}: NOT RUN, no systemd of our own: {why}"));
            return None;
        }
        let plan = Plan::new(name).expect("a place");
        furnish(&plan);
        Some(Self::start(plan).expect("a booted systemd"))
    }

    fn start(Plan { arena }: Plan) -> io::Result<Self> {
        let notices = UnixDatagram::bind(arena.file("notify"))?;
        notices.set_read_timeout(Some(BOOT_MAX))?;
        let cgroup = make_cgroup(&arena)?;
        let log = fs::File::create(arena.file("boot.log"))?;
        let mut command = Command::new(tests().join("systemd/boot.sh"));
        command.arg(arena.file("")).arg(&cgroup).stdin(Stdio::null());
        let unshare = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut machine = Self { arena, cgroup, unshare, init: 0 };
        let mut notice = [0; 4096];
        loop {
            let length = notices.recv(&mut notice).map_err(|error| machine.explain(&error))?;
            if String::from_utf8_lossy(&notice[..length]).contains("READY=1") {
                break;
            }
        }
        let id = machine.unshare.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        machine.init = children.trim().parse().map_err(|_| io::Error::other("no first process"))?;
        Ok(machine)
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        let log = fs::read_to_string(self.arena.file("boot.log")).unwrap_or_default();
        io::Error::other(format!("systemd did not boot ({error}): {log}"))
    }

    /// The binary under test.
    pub(crate) fn binary(&self) -> &Path {
        self.arena.binary()
    }

    /// A command inside, to be started.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        let init = self.init.to_string();
        command.args(["--kill-after=1", "60", "nsenter", "--all", "--target", &init]).args(words);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").stdin(Stdio::null());
        command
    }

    /// Runs a command inside to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Said {
        let output = self.command(words).output().expect("a command inside");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said {
            status: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs a command that must succeed; what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.status, 0, "{words:?}: {said:?}\n{}", self.journal());
        said.stdout.trim_end().to_owned()
    }

    /// Writes a file inside.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let place = self.root().join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        fs::write(place, text).expect("a file");
    }

    /// One property of a unit.
    pub(crate) fn show(&self, unit: &str, property: &str) -> String {
        self.ok(&["systemctl", "show", "--value", "--property", property, unit])
    }

    /// Waits until a property of a unit is as wanted, and returns it.
    #[track_caller]
    pub(crate) fn until(&self, unit: &str, property: &str, wanted: impl Fn(&str) -> bool) -> String {
        let patience = Instant::now() + NEVER;
        loop {
            let value = self.show(unit, property);
            if wanted(&value) {
                return value;
            }
            assert!(Instant::now() < patience, "{unit}: {property} stays {value}\n{}", self.journal());
        }
    }

    /// The file system as it is seen inside, for sockets and files.
    pub(crate) fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.init))
    }

    /// Everything that was logged.
    pub(crate) fn journal(&self) -> String {
        self.run(&["journalctl", "--no-pager", "--output=short-precise"]).stdout
    }

    /// What a unit has logged, with all fields.
    pub(crate) fn entries(&self, unit: &str) -> Vec<serde_json::Value> {
        self.ok(&["journalctl", "--sync"]);
        let text = self.ok(&["journalctl", "--no-pager", "--output=json", "--unit", unit]);
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Processes of a unit, by their names.
    pub(crate) fn processes(&self, unit: &str) -> Vec<String> {
        let cgroup = self.show(unit, "ControlGroup");
        let mut found = Vec::new();
        if !cgroup.is_empty() {
            collect(&self.cgroup.join(cgroup.trim_start_matches('/')), &mut found);
        }
        found
    }
}

fn collect(cgroup: &Path, found: &mut Vec<String>) {
    let ids = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    for id in ids.lines() {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        found.push(format!("{id} {}", name.trim_end()));
    }
    for below in fs::read_dir(cgroup).into_iter().flatten().flatten().filter(|item| item.path().is_dir()) {
        collect(&below.path(), found);
    }
}

fn make_cgroup(arena: &Arena) -> io::Result<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mut mounts = table.lines().filter(|line| line.contains(" - cgroup2 "));
    let mount = mounts.find_map(|line| line.split_ascii_whitespace().nth(4));
    let mount = mount.ok_or_else(|| io::Error::other("no cgroup v2 is mounted"))?;
    let name = arena.file("").file_name().map(|name| name.to_string_lossy().into_owned());
    let path = Path::new(mount).join(name.unwrap_or_default());
    fs::create_dir(&path)?;
    Ok(path)
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With the first process of its namespace everybody dies; a stranger cannot be met by a pidfd.
        let id = Pid::from_child(&self.unshare);
        if let Ok(unshare) = pidfd_open(id, PidfdFlags::empty()) {
            let _ = pidfd_send_signal(&unshare, Signal::KILL);
        }
        let _ = self.unshare.wait();
        // The kernel lets a cgroup go when the last of the dead has left it.
        let patience = Instant::now() + Duration::from_secs(10);
        while remove_tree(&self.cgroup).is_err() && Instant::now() < patience {
            std::thread::yield_now();
        }
    }
}

fn remove_tree(cgroup: &Path) -> io::Result<()> {
    for below in fs::read_dir(cgroup)?.flatten().filter(|item| item.path().is_dir()) {
        remove_tree(&below.path())?;
    }
    fs::remove_dir(cgroup)
}
