//! Workers that are forked: one import for all, a life of one's own for each.

use super::config::{start, write};
use super::orders::{are_ready, order, until};
use super::{answer, refusal};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::Daemon;
use sidewinder_tests::procfs;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Instant;

fn forked<'a>(arena: &'a Arena, tools: &str, more: &[&str]) -> Daemon<'a> {
    let arguments = [&["--tools", tools, "--fork-server"], more].concat();
    Daemon::start(arena, &arguments).expect("a daemon")
}

fn said(daemon: &Daemon<'_>, tool: &str) -> Value {
    serde_json::from_str(&answer(daemon, tool, "{}")).expect("JSON")
}

fn fork_server_says(daemon: &Daemon<'_>) -> String {
    daemon.status().unwrap()["pools"][0]["fork_server"].as_str().unwrap_or_default().to_owned()
}

/// The processes of the workers, as this process knows them.
fn workers(daemon: &Daemon<'_>) -> Vec<i32> {
    let status = daemon.status().unwrap();
    let workers = status["workers"].as_array().unwrap().iter();
    let running = workers.filter(|worker| worker["state"] == "RUNNING");
    running.filter_map(|worker| i32::try_from(worker["pid"].as_i64()?).ok()).collect()
}

fn keeper_of(worker: i32) -> i32 {
    procfs::entry(procfs::entry(worker).unwrap().parent).unwrap().parent
}

/// The fork servers below a keeper.
fn fork_servers(keeper: i32) -> Vec<i32> {
    let entries = procfs::pids().into_iter().filter_map(procfs::entry);
    entries
        .filter(|e| e.parent == keeper && e.name == "sw-fork-server" && e.state != 'Z')
        .map(|e| e.pid)
        .collect()
}

fn kill(pid: i32) {
    let pidfd = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
}

#[test]
fn workers_share_one_import_and_nothing_else() {
    for namespace in ["auto", "off"] {
        let arena = Arena::prepare("forked").unwrap();
        let daemon = forked(&arena, "forks.own", &["--workers", "3", "--namespace", namespace]);
        are_ready(&daemon, 3);
        assert_eq!(fork_server_says(&daemon), "ready");
        let (mut importers, mut chances, mut runs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        // Each of them in turn: one that has served leaves.
        for _ in 0..3 {
            let pids: [i32; 2] = serde_json::from_value(said(&daemon, "importer")).unwrap();
            importers.insert(pids[0]);
            runs.insert(pids[1]);
            chances.insert(answer(&daemon, "chance", "{}"));
            assert_eq!(
                said(&daemon, "sockets"),
                serde_json::json!([3, 4]),
                "calls and control, and no other"
            );
            let hooks = said(&daemon, "hooks");
            let (before, after) = hooks.as_array().unwrap().split_last_chunk::<2>().unwrap();
            assert!(!before.is_empty() && before.iter().all(|hook| hook == "before"), "{hooks}");
            assert_eq!(after, &["after", "setup"]);
            let identity = said(&daemon, "identity");
            assert!(identity["session"] == true && identity["thread"] == true, "{identity}");
            assert_eq!(identity["stdin"], "/dev/null");
            let all = workers(&daemon);
            kill(*all.iter().find(|worker| procfs::inner_pid(**worker) == Some(pids[1])).unwrap());
            until("the next is there", || workers(&daemon).len() == 3 && workers(&daemon) != all);
        }
        assert_eq!(
            (importers.len(), runs.len(), chances.len()),
            (1, 3, 3),
            "{importers:?} {runs:?} {chances:?}"
        );
        assert!(runs.is_disjoint(&importers));
    }
}

#[test]
fn a_forked_worker_has_the_descriptors_of_any_other() {
    let arena = Arena::prepare("fds").unwrap();
    let cold = Daemon::start(&arena, &["--tools", "forks.own", "--workers", "1"]).unwrap();
    let expected = descriptors(&cold);
    drop(cold);
    let arena = Arena::prepare("fds-forked").unwrap();
    let daemon = forked(&arena, "forks.own", &["--workers", "1"]);
    assert_eq!(descriptors(&daemon), expected);
}

/// The least of some looks: whoever answers a ping has one more for a moment.
fn descriptors(daemon: &Daemon<'_>) -> Option<u64> {
    (0..5).filter_map(|_| said(daemon, "descriptors").as_u64()).min()
}

/// The fork server has the limits of a worker, and descriptors of those that it is about to fork.
#[test]
fn many_are_forked_with_few_descriptors() {
    let arena = Arena::prepare("few-files").unwrap();
    let text = "[pools.few]\ntools = [\"forks.own\"]\nworkers = 24\nfork_server = true\n\
                [pools.few.limits]\nfiles = 28\n";
    let daemon = start(&arena, text);
    are_ready(&daemon, 24);
    let by_themselves = workers(&daemon).into_iter().filter(|pid| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        !command.contains("sidewinder._fork")
    });
    assert_eq!(by_themselves.count(), 0, "all are forked");
}

/// KiB that nobody else has. It is printed as it is, and the bound is generous: interpreters differ.
#[test]
fn a_forked_worker_has_few_pages_of_its_own() {
    const BOUND: u64 = 3 * 1024;
    let own = |more: &[&str]| {
        let arena = Arena::prepare("own-pages").unwrap();
        let arguments = [&["--tools", "forks.own", "--workers", "8"], more].concat();
        let daemon = Daemon::start(&arena, &arguments).unwrap();
        are_ready(&daemon, 8);
        let mut own: Vec<u64> = workers(&daemon).into_iter().map(own_pages).collect();
        own.sort_unstable();
        own[own.len() / 2]
    };
    let (forked, alone) = (own(&["--fork-server"]), own(&[]));
    println!("KiB of a worker's own: {forked} forked, {alone} by itself");
    assert!(forked < BOUND && forked * 3 < alone * 2, "{forked} and {alone} KiB");
}

/// It shows itself to root alone, and root asks these questions too.
#[test]
fn the_warden_of_a_forked_worker_is_a_small_program() {
    const BOUND: u64 = 300;
    let arena = Arena::prepare("small-warden").unwrap();
    let daemon = forked(&arena, "forks.own", &["--workers", "1"]);
    are_ready(&daemon, 1);
    let warden = procfs::entry(workers(&daemon)[0]).unwrap().parent;
    match std::fs::read_link(format!("/proc/{warden}/exe")) {
        Ok(program) => {
            // The program is memory too, and as long as there is one warden it would count as its own.
            let written = weighed(warden, &["Anonymous:"]);
            println!("KiB that a warden has written: {written}");
            assert!(program.to_string_lossy().starts_with("/memfd:sidewinder-warden"), "{program:?}");
            assert!(written < BOUND, "{written} KiB");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
    }
}

fn own_pages(pid: i32) -> u64 {
    weighed(pid, &["Private_Clean:", "Private_Dirty:"])
}

/// The sum of these, in KiB.
fn weighed(pid: i32, names: &[&str]) -> u64 {
    let weights = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let of = |name: &str| {
        let value = weights.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap()
    };
    names.iter().map(|name| of(name)).sum()
}

#[test]
fn a_killed_worker_is_replaced_without_importing_and_its_siblings_live() {
    let arena = Arena::prepare("replaced").unwrap();
    let daemon = forked(&arena, "forks.own", &["--workers", "2"]);
    are_ready(&daemon, 2);
    answer(&daemon, "chance", "{}");
    let before = workers(&daemon);
    let killed = Instant::now();
    kill(before[0]);
    until("the next is there", || {
        let now = workers(&daemon);
        now.len() == 2 && now[0] != before[0] && now[1] == before[1]
    });
    println!("replaced after {:?}, the looks included", killed.elapsed());
}

#[test]
fn a_killed_fork_server_takes_nobody_along_and_stands_again() {
    for namespace in ["auto", "off"] {
        let arena = Arena::prepare("server-killed").unwrap();
        let mut daemon = forked(&arena, "forks.own", &["--workers", "2", "--namespace", namespace]);
        are_ready(&daemon, 2);
        let before = workers(&daemon);
        let keeper = keeper_of(before[0]);
        let servers = fork_servers(keeper);
        assert_eq!(servers.len(), 1);
        kill(servers[0]);
        daemon.log_until("FORK_SERVER_DOWN").expect("told");
        daemon.log_until("FORK_SERVER_READY").expect("told");
        assert_eq!(workers(&daemon), before);
        let importer = said(&daemon, "importer")[0].clone();
        kill(before[0]);
        kill(before[1]);
        until("both are replaced", || {
            workers(&daemon).iter().filter(|pid| !before.contains(pid)).count() == 2
        });
        assert_ne!(said(&daemon, "importer")[0], importer, "they are forks of the new one");
        assert!(!fork_servers(keeper).contains(&servers[0]));
    }
}

#[test]
fn who_must_not_be_forked_is_started_cold_and_that_is_said() {
    let cases = [
        ("forks.with_thread", "busy-bee"),
        ("forks.with_socket", "connection"),
        ("forks.with_child", "process"),
    ];
    for (tools, why) in cases {
        let arena = Arena::prepare("unforkable").unwrap();
        let mut daemon = forked(&arena, tools, &["--workers", "1"]);
        let line = daemon.log_until("FORK_SERVER_DOWN").expect("told");
        assert!(line.contains(why), "{tools}: {line}");
        assert_eq!(answer(&daemon, "nothing", "{}"), "1");
        assert!(fork_server_says(&daemon).contains(why));
    }
}

#[test]
fn a_python_that_lacks_what_forks_need_starts_workers_cold() {
    let arena = Arena::prepare("lacking").unwrap();
    let write = |file: &str, text: &str| std::fs::write(arena.file(file), text).unwrap();
    write("ctypes.py", "raise ImportError('it was built without')");
    write("bare.py", "import sidewinder\n\n\n@sidewinder.tool\ndef nothing() -> None:\n    pass\n");
    let directory = arena.file("").display().to_string();
    let mut daemon = forked(&arena, "bare", &["--workers", "1", "--directory", &directory]);
    let line = daemon.log_until("FORK_SERVER_DOWN").expect("told");
    assert!(line.contains("it was built without"), "{line}");
    assert_eq!(answer(&daemon, "nothing", "{}"), "null");
}

#[test]
fn a_module_that_cannot_be_imported_is_told_as_without_a_fork_server() {
    let arena = Arena::prepare("broken-fork").unwrap();
    let daemon = forked(&arena, "broken", &["--workers", "1"]);
    until("it has given up", || daemon.status().unwrap()["pools"][0]["phase"] == "FATAL");
    let why = refusal(&daemon, &["add"]);
    assert!(why.contains("no_such_module_anywhere") && why.contains("broken.py"), "{why}");
}

#[test]
fn a_fork_server_that_hangs_costs_time_and_no_worker() {
    let arena = Arena::prepare("hanging").unwrap();
    let mut daemon = forked(&arena, "forks.hanging", &["--workers", "1"]);
    daemon.log_until("did not fork worker 0.1").expect("told");
    assert_eq!(answer(&daemon, "nothing", "{}"), "null");
}

#[test]
fn a_reload_forks_from_a_new_fork_server_and_the_old_one_leaves() {
    let pool = |extra: &str| {
        format!(
            "[pools.one]\ntools = [\"forks.own\"]\nworkers = 2\nfork_server = true\npreload = [\"json\"{extra}]\n"
        )
    };
    let arena = Arena::prepare("generations").unwrap();
    let daemon = start(&arena, &pool(""));
    are_ready(&daemon, 2);
    let before = workers(&daemon);
    let keeper = keeper_of(before[0]);
    let old = fork_servers(keeper);
    let importer = said(&daemon, "importer")[0].clone();
    write(&arena, &pool(", \"csv\""));
    order(&daemon, "reload", &[]);
    until("the old one has left", || !fork_servers(keeper).contains(&old[0]));
    until("every worker is new", || {
        let now = workers(&daemon);
        now.len() == 2 && now.iter().all(|pid| !before.contains(pid))
    });
    assert_ne!(said(&daemon, "importer")[0], importer);
    assert_eq!(fork_servers(keeper).len(), 1);
}

#[test]
fn a_killed_daemon_leaves_no_fork_server_and_no_fork() {
    for namespace in ["auto", "off"] {
        let arena = Arena::prepare("sudden-fork").unwrap();
        let daemon = forked(&arena, "forks.own", &["--workers", "3", "--namespace", namespace]);
        are_ready(&daemon, 3);
        let workers = workers(&daemon);
        let keeper = keeper_of(workers[0]);
        let wardens: Vec<i32> = workers.iter().map(|pid| procfs::entry(*pid).unwrap().parent).collect();
        let all = [workers, wardens, fork_servers(keeper), vec![keeper]].concat();
        assert_eq!(all.len(), 8);
        let handles: Vec<_> = all
            .iter()
            .map(|pid| pidfd_open(Pid::from_raw(*pid).unwrap(), PidfdFlags::empty()).unwrap())
            .collect();
        daemon.send(Signal::KILL).unwrap();
        daemon.end().unwrap();
        for (pid, handle) in all.iter().zip(&handles) {
            let limit = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
            let mut fds = [rustix::event::PollFd::new(handle, rustix::event::PollFlags::IN)];
            let ended = rustix::event::poll(&mut fds, Some(&limit)).unwrap();
            assert_eq!(ended, 1, "process {pid} outlived its daemon");
        }
    }
}
