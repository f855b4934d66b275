//! Quick mode goes through everything once: every row comes about, and each says a number. No time passes or fails; memory that
//! is held for each of many has a bound.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

use serde_json::Value;
use std::process::Command;

/// What the table promises. Proportional memory is left out: not every user may look at it.
const ROWS: [&str; 43] = [
    "raw bytes, 1 caller, p50",
    "raw bytes, 1 caller, p99",
    "JSON add, 1 caller, p50",
    "JSON add, 1 caller, p99",
    "raw bytes, a worker's own socket, p50",
    "added to that by the whole sidecar, p50",
    "raw bytes, attached, p50",
    "raw bytes, attached, goes on if lost, p50",
    "16 callers, 2 workers",
    "32 callers, 2 workers",
    "processor time of a call, server alone",
    "one stream",
    "echo of 1 MiB, p50",
    "echo of 16 MiB, p50",
    "processor time of that, server alone",
    "echo of 64 MB, p50",
    "echo of 64 MB, a plain socket beside it, p50",
    "1 worker: all ready",
    "1 worker: p50 ready",
    "10 workers: all ready",
    "10 workers: p50 ready",
    "100 workers: all ready",
    "100 workers: p50 ready",
    "daemon, resident",
    "keeper, resident",
    "warden of a worker, resident",
    "idle worker, resident",
    "waiting call, resident",
    "100 clients, 100 idle workers, daemon",
    "100 idle workers, nobody attached, daemon",
    "the same, with keeper, wardens and workers",
    "10 workers: 1 caller, p50",
    "100 workers: 1 caller, p50",
    "500 workers: 1 caller, p50",
    "10 workers: processor time of a call",
    "100 workers: processor time of a call",
    "500 workers: processor time of a call",
    "32 clients connected: 1 caller, p50",
    "1,000 clients connected: 1 caller, p50",
    "32 clients at once: processor time of a call",
    "1,000 clients at once: processor time of a call",
    "daemon, for each idle worker, resident",
    "daemon, for each connected client, resident",
];

/// The rows that stand beside nothing.
const ALONE: [&str; 6] = [
    "keeper, resident",
    "warden of a worker, resident",
    "100 idle workers, nobody attached, daemon",
    "the same, with keeper, wardens and workers",
    "daemon, for each idle worker, resident",
    "daemon, for each connected client, resident",
];

/// KiB that the daemon may hold for each. Far above what it does, far below what would matter.
const HELD_MAX: [(&str, f64); 3] = [
    ("waiting call, resident", 64.0),
    ("daemon, for each idle worker, resident", 256.0),
    ("daemon, for each connected client, resident", 256.0),
];

#[test]
fn quick_mode_produces_every_row() {
    let folder = std::env::temp_dir().join(format!("sidewinder-bench-test-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    let (json, page) = (folder.join("rows.json"), folder.join("bench.md"));
    let mut bench = Command::new(env!("CARGO_BIN_EXE_sidewinder-bench"));
    let output = bench.arg("--quick").arg("--json").arg(&json).arg("--write").arg(&page).output();
    let output = output.expect("the bench runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let said = std::fs::read(&json).expect("a report");
    let report: Value = serde_json::from_slice(&said).expect("JSON");
    let page = std::fs::read_to_string(&page).expect("a page");
    let table = String::from_utf8_lossy(&output.stdout);
    for name in ROWS {
        let found = report["rows"].as_array().and_then(|rows| rows.iter().find(|row| row["name"] == name));
        let row = found.unwrap_or_else(|| panic!("no row `{name}` in {report:#}"));
        let is_number = |field: &str| row[field].as_f64().is_some_and(f64::is_finite);
        assert!(is_number("sidewinder"), "{row}");
        let compared = ["beside", "ratio", "ratio_lowest", "ratio_highest"].map(is_number);
        assert_eq!(compared, [!ALONE.contains(&name); 4], "{row}");
        let held_max = HELD_MAX.iter().find(|(held, _)| *held == name);
        let within = |(_, most): &(_, f64)| row["sidewinder"].as_f64().is_some_and(|held| held <= *most);
        assert!(held_max.is_none_or(within), "more than {held_max:?}: {row}");
        assert!(table.contains(name) && page.contains(name), "{name} is not shown");
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

/// What the laps are made of is answered, and nobody has grown after them.
#[test]
fn a_short_soak_ends_well() {
    let output = Command::new(env!("CARGO_BIN_EXE_sidewinder-bench")).args(["--soak", "2000"]).output();
    let output = output.expect("the soak runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().count(), 21, "a line for each lap, and one for the end: {said}");
}

/// On either runtime the client gives the figures that the Elixir side looks for, and they are of something that was done.
#[test]
fn the_client_alone_is_measured_on_both_runtimes() {
    let bench = env!("CARGO_BIN_EXE_sidewinder-bench");
    let socket = std::env::temp_dir().join(format!("sidewinder-bench-client-{}.sock", std::process::id()));
    let mut server = Command::new(bench).arg("--bare").arg(&socket).spawn().expect("the bare echo");
    while !socket.exists() {
        assert!(server.try_wait().expect("a child").is_none(), "the bare echo has ended");
        std::thread::yield_now();
    }
    let elixir = include_str!("../../../client-elixir/bench/figures.exs");
    for flags in [&[][..], &["--multi-thread"]] {
        let output = Command::new(bench).arg("--client").arg(&socket).args(flags).output();
        let output = output.expect("the client runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let figures: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        for name in ["unary", "callers_32", "callers_256", "large", "stream"] {
            assert!(figures[name].as_f64().is_some_and(|figure| figure > 0.0), "{name}: {figures}");
            assert!(elixir.contains(&format!("\"{name}\"")), "figures.exs asks for {name} no more");
        }
        assert!(flags.iter().all(|flag| elixir.contains(flag)), "figures.exs asks for {flags:?} no more");
    }
    server.kill().and_then(|()| server.wait()).expect("the bare echo ends");
    std::fs::remove_file(&socket).expect("removed");
}
