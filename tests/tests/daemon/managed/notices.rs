//! What the daemon tells a service manager, heard by a stand-in that reads its socket.

use crate::answer;
use rustix::process::Signal;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::{Daemon, tools};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// A notice that has not come by then does not come.
const NEVER: Duration = Duration::from_secs(20);

/// The service manager's ear.
struct Ear(UnixDatagram);

impl Ear {
    fn open(arena: &Arena) -> Self {
        let socket = UnixDatagram::bind(arena.file("notify")).unwrap();
        socket.set_read_timeout(Some(NEVER)).unwrap();
        Self(socket)
    }

    fn hear(&self) -> String {
        let mut notice = [0; 4096];
        let length = self.0.recv(&mut notice).expect("a notice");
        String::from_utf8(notice[..length].to_vec()).unwrap()
    }

    /// Everything up to a notice with this word, that included.
    fn until(&self, word: &str) -> Vec<String> {
        let mut heard = vec![self.hear()];
        while !heard.last().unwrap().contains(word) {
            heard.push(self.hear());
        }
        heard
    }
}

fn start<'a>(arena: &'a Arena, arguments: &[&str], variables: &[(&str, &str)]) -> Daemon<'a> {
    let daemon = Daemon::start_with(arena, arguments, |command| {
        command.env("NOTIFY_SOCKET", arena.file("notify")).envs(variables.iter().copied());
    });
    daemon.unwrap()
}

/// Tools that can be imported once a file is there.
fn slow_tools(arena: &Arena) -> (String, std::path::PathBuf) {
    let go = arena.file("go");
    let text = format!(
        "import os, time\nimport sidewinder\nwhile not os.path.exists({:?}):\n    time.sleep(0.01)\n\n\n\
         @sidewinder.tool\ndef nothing() -> None:\n    pass\n",
        go.display().to_string()
    );
    std::fs::create_dir_all(arena.file("slow")).unwrap();
    std::fs::write(arena.file("slow/slow_tools.py"), text).unwrap();
    (arena.file("slow").display().to_string(), go)
}

#[test]
fn the_manager_hears_of_start_reload_and_stop() {
    let arena = Arena::prepare("notices").unwrap();
    let ear = Ear::open(&arena);
    let (directory, go) = slow_tools(&arena);
    let daemon = start(&arena, &["--tools", "slow_tools", "--directory", &directory, "--workers", "2"], &[]);
    let loading = ear.until("EXTEND_TIMEOUT_USEC=").concat();
    assert!(
        loading.contains("STATUS=starting; ") && loading.contains("0 of 1 workers are healthy"),
        "{loading}"
    );
    assert!(!loading.contains("READY=1"), "{loading}");
    std::fs::write(go, "").unwrap();
    let ready = ear.until("READY=1").pop().unwrap();
    assert!(ready.contains("STATUS=serving 1 pool, "), "{ready}");

    daemon.send(Signal::HUP).unwrap();
    let reloading = ear.until("RELOADING=1").pop().unwrap();
    let at = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(at.parse::<u64>().unwrap() > 0, "{reloading}");
    ear.until("READY=1");

    daemon.send(Signal::TERM).unwrap();
    ear.until("STOPPING=1");
    let (status, log) = daemon.end().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_busy_daemon_that_stops_asks_for_more_time() {
    let arena = Arena::prepare("draining").unwrap();
    let ear = Ear::open(&arena);
    let daemon = start(&arena, &["--tools", "plain", "--workers", "1"], &[]);
    ear.until("READY=1");
    let mut call = daemon.verb("call", &["sleep", r#"{"seconds": 1000}"#]).spawn().unwrap();
    ear.until("STATUS=serving 1 pool, 1 worker; 1 call running, 0 waiting");
    daemon.send(Signal::TERM).unwrap();
    let heard = ear.until("EXTEND_TIMEOUT_USEC=").concat();
    assert!(heard.contains("STOPPING=1") && heard.contains("STATUS=stopping; 1 call running"), "{heard}");
    daemon.send(Signal::TERM).unwrap();
    call.wait().unwrap();
    assert_eq!(daemon.end().unwrap().0.code(), Some(0));
}

#[test]
fn enough_workers_have_to_be_healthy_unless_listening_is_enough() {
    let cases: [(&str, &[&str], bool); 4] = [
        ("SIDEWINDER_DAEMON_MIN_READY", &["--workers", "1"], true),
        ("SIDEWINDER_DAEMON_READY_WHEN", &["--workers", "1"], false),
        ("SIDEWINDER_NONE", &["--workers", "1"], true),
        ("SIDEWINDER_NONE", &["--min", "0", "--max", "1"], false),
    ];
    for (variable, size, waits) in cases {
        let arena = Arena::prepare("enough").unwrap();
        let ear = Ear::open(&arena);
        let (directory, go) = slow_tools(&arena);
        let value = if variable.ends_with("WHEN") { "listening" } else { "7" };
        let arguments = [&["--tools", "slow_tools", "--directory", &directory], size].concat();
        let _daemon = start(&arena, &arguments, &[(variable, value)]);
        if waits {
            assert!(!ear.until("EXTEND_TIMEOUT_USEC=").concat().contains("READY=1"), "{variable} {size:?}");
            std::fs::write(go, "").unwrap();
        }
        ear.until("READY=1");
    }
}

/// No more time is asked for when nobody is coming any more: the manager's own patience is to end that.
#[test]
fn a_pool_that_is_given_up_is_never_ready() {
    let arena = Arena::prepare("hopeless").unwrap();
    let ear = Ear::open(&arena);
    let unfit = tools().join("unfit").display().to_string();
    let _daemon = start(&arena, &["--tools", "fatal", "--directory", &unfit, "--workers", "1"], &[]);
    let heard = ear.until("and no other is coming").concat();
    assert!(!heard.contains("READY=1"), "{heard}");
}

#[test]
fn the_watchdog_is_fed_while_everybody_answers_and_no_longer() {
    let arena = Arena::prepare("watchdog").unwrap();
    let ear = Ear::open(&arena);
    let variables = [("WATCHDOG_USEC", "900000")];
    let arguments = ["--tools", "plain", "--workers", "1", "--namespace", "off"];
    let mut daemon = start(&arena, &arguments, &variables);
    answer(&daemon, "add", r#"{"a": 1}"#);
    for _ in 0..3 {
        ear.until("WATCHDOG=1");
    }
    // A stopped keeper is woken by being asked; only a frozen one does not answer.
    let Some(ice) = Ice::around(&arena) else {
        let said = writeln!(std::io::stderr(), "NOT RUN: a frozen keeper needs a cgroup of one's own");
        return said.unwrap();
    };
    let line = daemon.log_until("no sign of life").unwrap();
    assert!(line.contains("the keeper of pool default does not answer"), "{line}");
    ear.until("STATUS=no sign of life: ");
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let heard = ear.hear();
        assert!(!heard.contains("WATCHDOG=1"), "a daemon with a frozen keeper says that all is well");
    }
    drop(ice);
    ear.until("WATCHDOG=1");
}

/// A frozen cgroup with the keeper in it.
struct Ice {
    cgroup: std::path::PathBuf,
    home: std::path::PathBuf,
    keeper: String,
}

impl Ice {
    fn around(arena: &Arena) -> Option<Self> {
        let record = arena.records().pop()?;
        let facts = std::fs::read_to_string(arena.runtime().join("runs").join(record)).ok()?;
        let keeper =
            facts.lines().find_map(|line| line.strip_prefix("keeper="))?.split(' ').next()?.to_owned();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
        let own = std::fs::read_to_string(format!("/proc/{keeper}/cgroup")).ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let home = std::path::Path::new(mount).join(own.trim_start_matches('/'));
        let cgroup = home.join(format!("ice-{keeper}"));
        std::fs::create_dir(&cgroup).ok()?;
        let ice = Self { cgroup, home, keeper };
        std::fs::write(ice.cgroup.join("cgroup.procs"), &ice.keeper).ok()?;
        std::fs::write(ice.cgroup.join("cgroup.freeze"), "1").ok()?;
        Some(ice)
    }
}

impl Drop for Ice {
    fn drop(&mut self) {
        let _ = std::fs::write(self.cgroup.join("cgroup.freeze"), "0");
        let _ = std::fs::write(self.home.join("cgroup.procs"), &self.keeper);
        let _ = std::fs::remove_dir(&self.cgroup);
    }
}
