//! The log of a unit, as entries with fields in the journal.

use crate::installed::{boot, call, start};
use serde_json::Value;

#[test]
fn lines_have_fields() {
    let Some(machine) = boot("journal", &[]) else { return };
    machine.ok(&["cp", "/srv/tools/loud.py", "/opt/sidewinder/"]);
    machine.ok(&["sed", "-i", "s/\"tools\"/\"tools\", \"loud\"/", "/etc/sidewinder/sidewinder.toml"]);
    start(&machine);
    assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
    let entries = machine.entries("sidewinder.service");
    let of = |what: &str| entries.iter().find(|entry| entry["SIDEWINDER_WHAT"] == what).unwrap();
    let ready = of("WORKER_READY");
    assert_eq!(ready["SIDEWINDER_POOL"], "default", "{ready}");
    assert_eq!(ready["PRIORITY"], "6");
    let (place, life) =
        (ready["SIDEWINDER_SLOT"].as_str().unwrap(), ready["SIDEWINDER_LIFE"].as_str().unwrap());
    assert_eq!(ready["SIDEWINDER_WORKER"], format!("{place}.{life}"));
    assert_eq!(ready["SYSLOG_IDENTIFIER"], "sidewinder");
    // What a worker prints, and what a call says by its context.
    call(&machine, "shout", r#"{"text": "heard"}"#);
    call(&machine, "note", "{}");
    let all = machine.entries("sidewinder.service");
    let of = |stream: &str| {
        let found = all.iter().find(|entry| entry["SIDEWINDER_STREAM"] == stream);
        found.unwrap_or_else(|| panic!("{}", machine.journal())).clone()
    };
    assert!(of("stdout")["MESSAGE"].as_str().unwrap().ends_with(" stdout: heard"));
    let noted: Value = of("log");
    assert!(noted["SIDEWINDER_CALL"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{noted}");
}

#[test]
fn a_redirected_log_is_json() {
    let Some(machine) = boot("redirected", &["[Service]\nStandardError=append:/var/log/sidewinder.log\n"])
    else {
        return;
    };
    start(&machine);
    let log = machine.ok(&["cat", "/var/log/sidewinder.log"]);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().any(|line| line["what"] == "WORKER_READY"), "{log}");
    let entries = machine.entries("sidewinder.service");
    assert!(entries.iter().all(|entry| entry["SIDEWINDER_WHAT"] == Value::Null), "{}", machine.journal());
}
