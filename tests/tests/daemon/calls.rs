//! Calls that go well, and calls that make no sense.

use super::{answer, plain, refusal};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::Daemon;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[test]
fn a_tool_answers_and_streams() {
    let arena = Arena::prepare("answers").unwrap();
    let daemon = plain(&arena);
    assert_eq!(answer(&daemon, "add", r#"{"a": 40}"#), "42");
    assert_eq!(answer(&daemon, "add", r#"{"a": 40, "b": 1}"#), "41");
    assert_eq!(answer(&daemon, "count", r#"{"until": 3}"#), "[0,1,2]");
    let said = daemon.ask("stream", &["count", r#"{"until": 100}"#]).unwrap();
    let expected = (0..100).map(|number| format!("{number}\n")).collect::<Vec<_>>().concat();
    assert_eq!((said.status, said.stdout), (0, expected));
    assert_eq!(answer(&daemon, "shout", r#"{"text": "a print breaks nothing"}"#), "null");
}

#[test]
fn the_tools_are_described() {
    let arena = Arena::prepare("described").unwrap();
    let daemon = plain(&arena);
    answer(&daemon, "add", r#"{"a": 1}"#);
    let said = daemon.ask("tools", &[]).unwrap();
    assert!(said.stdout.contains("add(a: int, b: int = 2) -> int\n    Adds two numbers."), "{said:?}");
    assert!(said.stdout.contains("count(until: int"), "{said:?}");
    let status = daemon.status().unwrap();
    assert_eq!(status["pools"][0]["phase"], "SERVING");
    assert_eq!(status["workers"][0]["state"], "RUNNING");
    assert_eq!(status["workers"][0]["served"], 1);
}

#[test]
fn what_makes_no_sense_is_said_with_its_reason() {
    let arena = Arena::prepare("nonsense").unwrap();
    let daemon = plain(&arena);
    let cases: [(&[&str], &str); 5] = [
        (&["no_such_tool"], "UNKNOWN_TOOL"),
        (&["add", r#"{"c": 1}"#], "BAD_ARGUMENTS"),
        (
            &["add", r#"{"a": 1}"#, "--pool", "other"],
            "UNKNOWN_POOL: no pool is called `other`; there is only default",
        ),
        (&[""], "BAD_REQUEST"),
        (&["fail", r#"{"message": "on purpose"}"#], "ValueError: on purpose"),
    ];
    for (arguments, reason) in cases {
        let why = refusal(&daemon, arguments);
        assert!(why.contains(reason), "{arguments:?}: {why}");
    }
    let said = daemon.ask("call", &["add", "{a: 1}"]).unwrap();
    assert_eq!(said.status, 125);
    assert!(said.stderr.contains("no JSON"), "{said:?}");
    let far = arena.file(&"x".repeat(107));
    let said = daemon.ask("status", &["--socket", far.to_str().unwrap()]).unwrap();
    assert!(said.status == 125 && said.stderr.contains("name a shorter --socket"), "{said:?}");
    // Nothing of this has cost a worker.
    assert_eq!(daemon.status().unwrap()["workers"][0]["life"], "0.1");
}

#[test]
fn a_deadline_reaches_the_tool_and_frees_the_worker() {
    let arena = Arena::prepare("deadline").unwrap();
    let daemon = plain(&arena);
    let pid = answer(&daemon, "who", "{}");
    let why = refusal(&daemon, &["sleep", r#"{"seconds": 1000}"#, "--timeout", "200ms"]);
    // Whoever is quicker says so: the daemon, or the verb.
    assert!(why.contains("DEADLINE") || why.contains("no answer within --timeout"), "{why}");
    daemon.send(Signal::STOP).unwrap();
    let why = refusal(&daemon, &["who", "--timeout", "200ms"]);
    daemon.send(Signal::CONT).unwrap();
    assert!(why.contains("DeadlineExceeded: no answer within --timeout"), "{why}");
    assert_eq!(answer(&daemon, "who", "{}"), pid, "the worker gave up the call and lives");
}

#[test]
fn a_slow_reader_stops_the_generator() {
    let arena = Arena::prepare("slow").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "plain", "--workers", "2"]).unwrap();
    let note = arena.file("note");
    let arguments = format!(r#"{{"until": 10000000, "note": "{}"}}"#, note.display());
    let mut verb = daemon.verb("stream", &["count", &arguments]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::with_capacity(64, verb.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    // Nobody reads. The generator runs until every window between it and us is full, and then stands still: beside
    // it, a stream that is read comes to its end, and in all that time it has not gone a single step.
    let mut before = String::from("nothing yet");
    loop {
        let read = daemon.ask("stream", &["count", r#"{"until": 2000}"#]).unwrap();
        assert_eq!(read.status, 0, "{}", read.stderr);
        let now = std::fs::read_to_string(&note).unwrap();
        if now == before && !now.is_empty() {
            break;
        }
        assert!(
            now.is_empty() || now.parse::<u64>().unwrap() < 1_000_000,
            "the generator ran ahead to {now}"
        );
        before = now;
    }
    verb.kill().unwrap();
    verb.wait().unwrap();
    // Another stream that nobody reads takes one of the two workers: the one that answers was freed.
    let mut other =
        daemon.verb("stream", &["count", r#"{"until": 10000000}"#]).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::with_capacity(64, other.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    assert_eq!(answer(&daemon, "add", r#"{"a": 1}"#), "3", "the worker is free again");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_module_that_cannot_be_imported_is_what_the_caller_reads() {
    let arena = Arena::prepare("broken").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "broken", "--workers", "1"]).unwrap();
    let why = refusal(&daemon, &["add"]);
    assert!(why.contains("no_such_module_anywhere"), "{why}");
    let trouble = daemon.status().unwrap()["pools"][0]["trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("ModuleNotFoundError"), "{trouble}");
}

#[test]
fn a_missing_interpreter_is_named() {
    let arena = Arena::prepare("interpreter").unwrap();
    let arguments = ["--tools", "plain", "--workers", "1", "--python", "/no/such/python"];
    let daemon = Daemon::start(&arena, &arguments).unwrap();
    let why = refusal(&daemon, &["add"]);
    assert!(why.contains("/no/such/python"), "{why}");
}

#[test]
fn functions_are_served_as_they_are() {
    let arena = Arena::prepare("expose").unwrap();
    let daemon =
        Daemon::start(&arena, &["--expose", "math:hypot,os.path:basename", "--workers", "1"]).unwrap();
    assert_eq!(answer(&daemon, "basename", r#"{"p": "/a/b"}"#), "\"b\"");
    assert_eq!(answer(&daemon, "hypot", "[3, 4]"), "5.0");
}

#[test]
fn raw_bytes_go_both_ways_from_a_file_and_from_standard_input() {
    let arena = Arena::prepare("raw").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "values", "--workers", "1"]).unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let file = arena.file("bytes");
    std::fs::write(&file, &bytes).unwrap();
    let argument = format!("@{}", file.display());
    let said = daemon.verb("call", &["same", &argument, "--raw"]).output().unwrap();
    assert_eq!((said.status.code(), said.stdout), (Some(0), bytes.clone()));
    let input = Stdio::from(File::open(&file).unwrap());
    let said = daemon.verb("call", &["same", "-", "--raw"]).stdin(input).output().unwrap();
    assert_eq!((said.status.code(), said.stdout), (Some(0), bytes));
}

/// Compiling it anew would be much of the start of every worker.
#[test]
fn the_runtime_is_private_and_keeps_its_bytecode() {
    let arena = Arena::prepare("bytecode").unwrap();
    let daemon = plain(&arena);
    answer(&daemon, "who", "{}");
    let placed = runtimes(&arena);
    assert_eq!(placed.len(), 1, "{placed:?}");
    assert_eq!(std::fs::metadata(&placed[0]).unwrap().permissions().mode() & 0o777, 0o700);
    let compiled = std::fs::read_dir(placed[0].join("sidewinder/__pycache__")).unwrap().count();
    assert!(compiled > 5, "{compiled} files");
}

fn runtimes(arena: &Arena) -> Vec<PathBuf> {
    let names = std::fs::read_dir(arena.runtime()).unwrap().map(|entry| entry.unwrap().path());
    let is_placed =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("runtime-"));
    names.filter(is_placed).collect()
}

/// A daemon of another version runs from the one, and nobody from the other.
#[test]
fn the_runtime_of_another_version_is_removed_once_nobody_uses_it() {
    let arena = Arena::prepare("versions").unwrap();
    drop(plain(&arena));
    let own = runtimes(&arena).remove(0);
    let [used, unused] =
        ["runtime-00000000000000aa", "runtime-00000000000000bb"].map(|name| arena.runtime().join(name));
    std::fs::rename(&own, &unused).unwrap();
    std::fs::DirBuilder::new().mode(0o700).create(&used).unwrap();
    let theirs = File::open(&used).unwrap();
    flock(&theirs, FlockOperation::LockShared).unwrap();
    let daemon = plain(&arena);
    assert!(used.exists() && !unused.exists(), "{:?}", runtimes(&arena));
    // Its own is used in this sense as well.
    let alone = FlockOperation::NonBlockingLockExclusive;
    assert!(flock(File::open(&own).unwrap(), alone).is_err());
    drop((daemon, theirs));
    drop(plain(&arena));
    assert_eq!(runtimes(&arena), [own]);
}

/// As Python itself would find them: from the environment that is active, or from that of the interpreter.
#[test]
fn tools_are_found_in_a_virtual_environment() {
    let arena = Arena::prepare("venv").unwrap();
    let venv = arena.file("venv");
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&venv).status().unwrap();
    assert!(made.success());
    let library = std::fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path();
    let module = "import sys\n\n\ndef where() -> str:\n    return sys.prefix\n";
    std::fs::write(library.join("site-packages/only_here.py"), module).unwrap();
    let python = venv.join("bin/python3");
    let arguments = ["--expose", "only_here:where", "--workers", "1"];
    let named = [&arguments[..], &["--python", python.to_str().unwrap()]].concat();
    let expected = format!("\"{}\"", venv.display());
    let daemon = Daemon::start(&arena, &named).unwrap();
    assert_eq!(answer(&daemon, "where", "{}"), expected);
    drop(daemon);
    let active = |command: &mut Command| _ = command.env("VIRTUAL_ENV", &venv);
    let daemon = Daemon::start_with(&arena, &arguments, active).unwrap();
    assert_eq!(answer(&daemon, "where", "{}"), expected);
}

/// A shell learns every verb that there is.
#[test]
fn completions_know_every_verb_and_bash_reads_them() {
    let arena = Arena::prepare("completions").unwrap();
    let help = Command::new(arena.binary()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.contains(&"call") && verbs.contains(&"completions"), "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let said = arena.sidewinder("completions").arg(shell).output().unwrap();
        let script = String::from_utf8(said.stdout).unwrap();
        for verb in &verbs {
            assert!(said.status.success() && script.contains(verb), "{shell} does not know {verb}");
        }
        if shell == "bash" {
            let path = arena.file("completions");
            std::fs::write(&path, script).unwrap();
            assert!(Command::new("bash").arg("-n").arg(path).status().unwrap().success());
        }
    }
}

/// What `make run` shows a newcomer, from the first call to the death of a keeper.
#[test]
fn the_show_of_make_run_comes_to_its_end() {
    let arena = Arena::prepare("show").unwrap();
    let mut show = Command::new("sh");
    arena.place(&mut show);
    show.arg(sidewinder_tests::arena::tests().join("show.sh")).env("SIDEWINDER_BIN", arena.binary());
    let said = show.stdin(Stdio::null()).output().unwrap();
    let (shown, complained) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{}: {shown}{complained}", said.status);
    let mut rest = &*shown;
    for words in [
        "sidewinder call add",
        "\n42\n",
        "\n0\n1\n2\n",
        "WORKER_DIED",
        "\n2\n",
        "$ kill -9 ",
        "\n4\n",
        "stopped, and nothing is left",
        "kill -9 the owner",
        "nothing is left after",
        "kill -9 the caller",
        "nothing is left after",
    ] {
        let Some((_, after)) = rest.split_once(words) else { panic!("no `{words}` in what is left: {rest}") };
        rest = after;
    }
}
