//! A configuration: what a daemon makes of it, what is said of a wrong one, and what a reload replaces.

use super::orders::{order, until};
use rustix::process::Signal;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::{Daemon, Said};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Writes a configuration, all at once, as somebody careful would.
pub(super) fn write(arena: &Arena, text: &str) -> String {
    let (path, draft) = (arena.file("sidewinder.toml"), arena.file("draft"));
    fs::write(&draft, text).unwrap();
    fs::rename(draft, &path).unwrap();
    path.display().to_string()
}

pub(super) fn start<'a>(arena: &'a Arena, text: &str) -> Daemon<'a> {
    let path = write(arena, text);
    Daemon::start(arena, &["--config", &path]).expect("a daemon")
}

fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let status = output.status.code().unwrap();
    Said { status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn verb(arena: &Arena, verb: &str, arguments: &[&str]) -> Said {
    let mut command = arena.sidewinder(verb);
    command.args(arguments);
    said(command)
}

pub(super) fn answer(daemon: &Daemon<'_>, pool: &str, tool: &str, arguments: &str) -> String {
    order(daemon, "call", &[tool, arguments, "--pool", pool]).trim_end().to_owned()
}

pub(super) fn names(daemon: &Daemon<'_>) -> Vec<String> {
    let status = daemon.status().unwrap();
    let pools = status["pools"].as_array().unwrap();
    pools.iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect()
}

/// The processes of a pool, once all of its workers are ready.
pub(super) fn pids(daemon: &Daemon<'_>, pool: &str) -> Vec<u64> {
    let mut status = serde_json::Value::Null;
    until("all are ready", || {
        status = daemon.status().unwrap();
        let pools = status["pools"].as_array().unwrap();
        pools
            .iter()
            .filter(|known| known["name"] == pool)
            .all(|pool| pool["ready"] != 0 && pool["ready"] == pool["processes"])
    });
    let workers = status["workers"].as_array().unwrap().clone();
    let mut pids: Vec<u64> = workers
        .iter()
        .filter(|worker| worker["pool"] == pool)
        .filter_map(|worker| worker["pid"].as_u64())
        .filter(|pid| *pid > 0)
        .collect();
    pids.sort_unstable();
    pids
}

/// A module of this place, whose tool says this.
fn module(arena: &Arena, name: &str, says: &str) -> PathBuf {
    let folder = arena.file("modules");
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "\"\"\"A tool.\"\"\"\nimport os\nimport sidewinder\n\n@sidewinder.tool\ndef word() -> str:\n    return {says}\n"
    );
    fs::write(folder.join(format!("{name}.py")), text).unwrap();
    folder
}

#[test]
fn each_pool_of_a_file_is_served_as_it_is_written() {
    let arena = Arena::prepare("several").unwrap();
    module(
        &arena,
        "here",
        "os.environ['WORD'] + ' ' + os.environ['SIDEWINDER_SEATS'] + ' ' + os.getcwd().rsplit('/', 1)[1]",
    );
    let python = arena.python().to_string_lossy().into_owned();
    let text = format!(
        "[listen]\nsocket = \"runtime/sidewinder.sock\"\n\
         [pools.plain]\ntools = [\"plain\"]\nmin = 1\nmax = 3\n\
         [pools.own]\ntools = [\"here\"]\ndirectory = \"modules\"\nseats = 2\nworkers = 1\nenvironment = {{ WORD = \"said\" }}\n\
         [pools.any]\ncommand = [\"{python}\", \"-m\", \"sidewinder.worker\"]\nexpose = [\"resource:getrlimit\"]\nworkers = 1\n\
         [pools.any.limits]\nfiles = 123\n"
    );
    let daemon = start(&arena, &text);
    assert_eq!(names(&daemon), ["any", "own", "plain"]);
    assert_eq!(answer(&daemon, "plain", "add", r#"{"a": 1}"#), "3");
    assert_eq!(answer(&daemon, "own", "word", "{}"), "\"said 2 modules\"");
    // RLIMIT_NOFILE is 7.
    assert_eq!(answer(&daemon, "any", "getrlimit", "[7]"), "[123,123]");
}

#[test]
fn every_problem_is_reported_at_once_and_keeps_the_daemon_from_starting() {
    let arena = Arena::prepare("problems").unwrap();
    let text = "[daemon]\ndrain_timout = \"5s\"\n[limits]\nmessage = \"64MB\"\n\
                [pools.a]\nworkers = 0\ntools = [\"t\"]\n[pools.a.line]\nwaiting_max = \"many\"\n";
    let path = write(&arena, text);
    let expected = [
        "2:1: daemon.drain_timout: there is no such key; did you mean `drain_timeout`?",
        "4:11: limits.message: `64MB` is no size: write 512M, 2G, 64MiB or a number of bytes",
        "6:1: pools.a.workers: 0 is out of range: write 1 to 4095",
        "9:15: pools.a.line.waiting_max: `many` is not what belongs here: write a whole number",
    ];
    let lines: Vec<String> = expected.iter().map(|line| format!("{path}:{line}\n")).collect();
    let told = verb(&arena, "check-config", &[&path]);
    assert_eq!((told.status, told.stdout), (1, lines.concat() + "4 problems\n"), "{}", told.stderr);
    let told = verb(&arena, "check-config", &[&path, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["problems"].as_array().unwrap().len(), 4);
    assert_eq!(told["problems"][1]["line"], 4);
    assert_eq!(told["problems"][1]["column"], 11);
    assert_eq!(told["problems"][0]["meant"], "drain_timeout");
    let told = verb(&arena, "run", &["--config", &path, "--seats", "none"]);
    assert_eq!(told.status, 125);
    for line in expected.into_iter().chain(["--seats: pools.a.seats: `none`"]) {
        assert!(told.stderr.contains(line), "{line}\n{}", told.stderr);
    }
    let told = verb(&arena, "check-config", &["/no/such/file"]);
    assert!(told.status == 1 && told.stdout.contains("cannot read /no/such/file"), "{told:?}");
}

#[test]
fn a_directory_or_a_program_that_is_not_there_is_named() {
    let arena = Arena::prepare("not-there").unwrap();
    let pool = |name: &str, rest: &str| format!("[pools.{name}]\nworkers = 1\n{rest}\n");
    let text = pool("place", "tools = [\"plain\"]\ndirectory = \"/no/such/place\"")
        + &pool("program", "command = [\"/no/such/program\"]");
    let daemon = start(&arena, &text);
    for (pool, words) in [("place", "/no/such/place"), ("program", "/no/such/program: not found")] {
        let refused = daemon.ask("call", &["add", "{}", "--pool", pool]).unwrap();
        assert!(refused.status == 1 && refused.stderr.contains(words), "{refused:?}");
        let way_back = format!("`sidewinder restart {pool}` tries again");
        assert!(refused.stderr.contains(&way_back), "{refused:?}");
    }
}

#[test]
fn what_a_configuration_names_and_a_machine_does_not_have_is_told_and_no_problem() {
    let arena = Arena::prepare("absent").unwrap();
    let text = format!(
        "[listen]\ntcp = \"127.0.0.1:0\"\ntls_certificate = \"/no/certificate\"\ntls_key = \"/no/key\"\n\
         [pools.a]\ntools = [\"plain\"]\npython = \"/no/python\"\n\
         [pools.b]\ncommand = [\"no-such-program\"]\n\
         [pools.c]\ntools = [\"plain\"]\ndirectory = \"/no/place\"\n\
         [pools.d]\ncommand = [\"sh\"]\n[pools.e]\ncommand = [\"./own\"]\ndirectory = \"modules\"\n\
         [pools.f]\ncommand = [\"own\"]\nenvironment.PATH = \"{}\"\n",
        arena.file("modules").display()
    );
    let path = write(&arena, &text);
    fs::create_dir_all(arena.file("modules")).unwrap();
    fs::write(arena.file("modules/own"), "").unwrap();
    let all = verb(&arena, "check-config", &[&path]).stdout;
    assert_eq!(
        all.matches("there is no program").count(),
        4,
        "a file that nobody may execute is none: {all}"
    );
    fs::set_permissions(arena.file("modules/own"), fs::Permissions::from_mode(0o755)).unwrap();
    let told = verb(&arena, "check-config", &[&path]);
    assert!(told.status == 0 && told.stdout.starts_with("no problem\n"), "{told:?}");
    let absent: Vec<&str> = told.stdout.lines().filter_map(|line| line.strip_prefix("absent: ")).collect();
    let expected = [
        "pools.a.python: there is no program /no/python here",
        "pools.b.command: there is no program no-such-program here",
        "pools.c.directory: there is no directory /no/place here",
        "listen.tls_certificate: /no/certificate cannot be read: No such file or directory (os error 2)",
        "listen.tls_key: /no/key cannot be read: No such file or directory (os error 2)",
    ];
    assert_eq!(absent, expected, "{told:?}");
    let told = verb(&arena, "check-config", &[&path, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["absent"].as_array().unwrap().len(), expected.len());
    assert_eq!(told["absent"][1]["key"], "pools.b.command");
}

#[test]
fn the_printed_defaults_are_a_good_configuration() {
    let arena = Arena::prepare("defaults").unwrap();
    let path = write(&arena, &verb(&arena, "print-config", &[]).stdout);
    let told = verb(&arena, "check-config", &[&path]);
    assert!(told.status == 0 && told.stdout.contains("no problem"), "{told:?}");
    // Without a pool it says what to do.
    let told = verb(&arena, "run", &[]);
    assert!(told.status == 125 && told.stderr.contains("--tools"), "{told:?}");
}

#[test]
fn environment_and_flags_override_the_file() {
    let arena = Arena::prepare("override").unwrap();
    module(&arena, "here", "os.environ['SIDEWINDER_SEATS']");
    let path = write(
        &arena,
        "[pools.a]\ndirectory = \"modules\"\ntools = [\"nowhere\"]\nworkers = 1\nseats = 1\nenvironment.KEY = \"hush\"\n",
    );
    let change = |command: &mut Command| {
        command.env("SIDEWINDER_CONFIG", &path);
        command.env("SIDEWINDER_POOL_TOOLS", "here").env("SIDEWINDER_POOL_SEATS", "2");
    };
    let mut command = arena.sidewinder("print-config");
    command.args(["--effective", "--seats", "3"]);
    change(&mut command);
    let told = said(command);
    for line in [
        "tools = [\"here\"]  # SIDEWINDER_POOL_TOOLS".to_owned(),
        "seats = 3  # --seats".to_owned(),
        format!("workers = 1  # {path}:4:1"),
        "drain_timeout = \"30s\"\n".to_owned(),
    ] {
        assert!(told.stdout.contains(&line), "{line}\n{told:?}");
    }
    assert!(told.stdout.contains("KEY") && !told.stdout.contains("hush"), "{told:?}");
    let daemon = Daemon::start_with(&arena, &["--seats", "3"], change).unwrap();
    assert_eq!(answer(&daemon, "a", "word", "{}"), "\"3\"");
}

#[test]
fn a_rule_changes_under_the_workers_that_run() {
    let arena = Arena::prepare("amended").unwrap();
    let text =
        |waiting: u32| format!("[pools.a]\ntools = [\"plain\"]\nworkers = 2\nline.waiting_max = {waiting}\n");
    let mut daemon = start(&arena, &text(100));
    let before = pids(&daemon, "a");
    assert_eq!(before.len(), 2);
    write(&arena, &text(0));
    daemon.send(Signal::HUP).unwrap();
    daemon.log_until("changed a").unwrap();
    assert_eq!(pids(&daemon, "a"), before);
    // The rule holds: with both workers busy nobody may wait.
    let slow = |_| daemon.verb("call", &["sleep", r#"{"seconds": 1000}"#, "--pool", "a"]).spawn().unwrap();
    let slow: Vec<_> = (0..2).map(slow).collect();
    until("both are busy", || daemon.status().unwrap()["pools"][0]["running"] == 2);
    let refused = daemon.ask("call", &["add", r#"{"a": 1}"#, "--pool", "a"]).unwrap();
    assert!(refused.status == 1 && refused.stderr.contains("FULL"), "{refused:?}");
    for mut call in slow {
        call.kill().unwrap();
        call.wait().unwrap();
    }
}

#[test]
fn other_tools_come_start_first_and_no_call_is_dropped() {
    let arena = Arena::prepare("replaced").unwrap();
    module(&arena, "first", "'first'");
    module(&arena, "second", "'second'");
    let text =
        |tools: &str| format!("[pools.a]\ntools = [\"{tools}\"]\ndirectory = \"modules\"\nworkers = 2\n");
    let daemon = start(&arena, &text("first"));
    let before = pids(&daemon, "a");
    let (go_on, served) = (AtomicBool::new(true), AtomicU32::new(0));
    let wrong: Vec<Said> = std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut wrong = Vec::new();
            while go_on.load(Ordering::Relaxed) {
                let said = daemon.ask("call", &["word", "--pool", "a"]).unwrap();
                served.fetch_add(1, Ordering::Relaxed);
                if said.status != 0 {
                    wrong.push(said);
                }
            }
            wrong
        });
        let some_more = || {
            let enough = served.load(Ordering::Relaxed) + 5;
            until("calls go on", || calls.is_finished() || served.load(Ordering::Relaxed) >= enough);
        };
        let replaced = |old: &[u64], word: &str| {
            daemon.send(Signal::HUP).unwrap();
            until("nobody of before is left", || pids(&daemon, "a").iter().all(|pid| !old.contains(pid)));
            assert_eq!(answer(&daemon, "a", "word", "{}"), format!("\"{word}\""));
            some_more();
        };
        some_more();
        write(&arena, &text("second"));
        replaced(&before, "second");
        let second = pids(&daemon, "a");
        // The file is as it was, the module is not: fresh workers read it again.
        module(&arena, "second", "'third'");
        order(&daemon, "reload", &["--renew", "a"]);
        replaced(&second, "third");
        go_on.store(false, Ordering::Relaxed);
        calls.join().unwrap()
    });
    assert!(wrong.is_empty(), "{} of {} calls failed: {:?}", wrong.len(), served.into_inner(), wrong[0]);
}

#[test]
fn pools_come_and_go() {
    let arena = Arena::prepare("come-and-go").unwrap();
    let pool = |name: &str| format!("[pools.{name}]\ntools = [\"plain\"]\nworkers = 1\n");
    let mut daemon = start(&arena, &(pool("old") + &pool("stays")));
    let stays = pids(&daemon, "stays");
    let old = pids(&daemon, "old");
    write(&arena, &(pool("stays") + &pool("new") + "[limits]\nconnections = 7\n"));
    daemon.send(Signal::HUP).unwrap();
    let line = daemon.log_until("added new; removed old").unwrap();
    assert!(line.contains("limits take a new start"), "{line}");
    assert_eq!(names(&daemon), ["new", "stays"]);
    assert_eq!(answer(&daemon, "new", "add", r#"{"a": 1}"#), "3");
    assert_eq!(pids(&daemon, "stays"), stays);
    let gone = daemon.ask("call", &["add", r#"{"a": 1}"#, "--pool", "old"]).unwrap();
    assert!(gone.status == 1 && gone.stderr.contains("UNKNOWN_POOL"), "{gone:?}");
    until("its worker is gone", || !fs::exists(format!("/proc/{}", old[0])).unwrap());
}

#[test]
fn a_bad_file_changes_nothing_and_is_told() {
    let arena = Arena::prepare("bad-reload").unwrap();
    let good = "[pools.a]\ntools = [\"plain\"]\nworkers = 1\n";
    let mut daemon = start(&arena, good);
    let before = pids(&daemon, "a");
    let path = write(
        &arena,
        "[pools.a]\ntools = [\"other\"]\nworkrs = 1\nseats = \"x\"\n[pools.b]\ntools = [\"plain\"]\n",
    );
    daemon.send(Signal::HUP).unwrap();
    let line = daemon.log_until("nothing was changed").unwrap();
    assert!(line.contains(&format!("{path}:3:1")) && line.contains(&format!("{path}:4:9")), "{line}");
    assert_eq!((names(&daemon), pids(&daemon, "a")), (vec!["a".to_owned()], before.clone()));
    let refused = daemon.ask("reload", &[]).unwrap();
    assert!(refused.status == 1 && refused.stderr.contains("did you mean `workers`"), "{refused:?}");
    // What is mended is taken, and nothing of the bad file has stayed.
    write(&arena, good);
    assert!(order(&daemon, "reload", &[]).starts_with("nothing has changed;"));
    assert_eq!(pids(&daemon, "a"), before);
}

/// Without a cgroup nothing on the machine holds a processor limit.
#[test]
fn a_reload_that_the_machine_refuses_leaves_no_pool_behind() {
    let arena = Arena::prepare("refused").unwrap();
    let first = "[daemon]\ncgroup = \"off\"\n[pools.first]\nexpose = [\"math:hypot\"]\nworkers = 1\n";
    let daemon = start(&arena, first);
    order(&daemon, "wait", &["--ready"]);
    let before = arena.records();
    let more = "[pools.second]\nexpose = [\"math:hypot\"]\nworkers = 1\n\
                [pools.third]\nexpose = [\"math:hypot\"]\nworkers = 1\nlimits.cpu = 0.5\n";
    write(&arena, &format!("{first}{more}"));
    let reload = daemon.ask("reload", &[]).unwrap();
    assert!(reload.status == 1 && reload.stderr.contains("nothing holds limit cpu"), "{reload:?}");
    assert_eq!(names(&daemon), ["first"]);
    until("the second pool is gone again", || arena.records() == before);
    assert_eq!(answer(&daemon, "first", "hypot", "[3, 4]"), "5.0");
}
