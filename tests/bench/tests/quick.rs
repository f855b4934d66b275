//! Quick mode goes through everything once: every row comes about, and each says a number. No time passes or fails.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

use serde_json::Value;
use std::process::Command;

/// What the table promises. Proportional memory is left out: not every user may look at it.
const ROWS: [&str; 27] = [
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
];

/// The rows that stand beside nothing.
const ALONE: [&str; 2] = ["keeper, resident", "warden of a worker, resident"];

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
        assert!(table.contains(name) && page.contains(name), "{name} is not shown");
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}
