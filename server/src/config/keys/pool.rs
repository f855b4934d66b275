//! The keys of a pool.

use super::{Key, form, key};
use crate::config::problem::Wrong;
use crate::config::reading::document::Node;
use crate::own::limit::{self, Limit};
use sidewinder_core::{GraceRules, LineRules, PoisonRules, Policy, RecycleRules, RestartRules};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is written, before it is known whether it makes sense.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PoolDraft {
    pub(crate) tools: Vec<String>,
    pub(crate) expose: Vec<String>,
    pub(crate) python: Option<PathBuf>,
    pub(crate) command: Vec<String>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) fork_server: bool,
    pub(crate) preload: Vec<String>,
    pub(crate) workers: Option<u16>,
    pub(crate) min: Option<u16>,
    pub(crate) max: Option<u16>,
    pub(crate) spare: u16,
    pub(crate) headroom: u16,
    pub(crate) warm: u16,
    pub(crate) seats: u16,
    pub(crate) line: LineRules,
    pub(crate) restart: RestartRules,
    pub(crate) recycle: RecycleRules,
    pub(crate) grace: GraceRules,
    pub(crate) poison: PoisonRules,
    pub(crate) limits: Vec<Limit>,
}

impl Default for PoolDraft {
    fn default() -> Self {
        let Policy { size, warm, seats, line, restart, recycle, grace, poison } = Policy::default();
        Self {
            tools: Vec::new(),
            expose: Vec::new(),
            python: None,
            command: Vec::new(),
            directory: None,
            environment: BTreeMap::new(),
            fork_server: false,
            preload: Vec::new(),
            workers: None,
            min: None,
            max: None,
            spare: size.spare(),
            headroom: size.headroom(),
            warm,
            seats,
            line,
            restart,
            recycle,
            grace,
            poison,
            limits: Vec::new(),
        }
    }
}

/// A limit of each worker, read as the flag of `keep` reads it.
macro_rules! limit {
    ($name:literal, $said:literal, $example:literal, $meaning:literal) => {
        Key {
            name: concat!("limits.", $name),
            said: $said,
            absent: "none",
            example: $example,
            meaning: $meaning,
            set: |pool, node| set_limit(pool, $name, node),
            show: |pool| show_limit(pool, $name),
        }
    };
}

/// Everything that can be said of a pool.
pub(crate) const POOL: &[Key<PoolDraft>] = &[
    key!(List "tools" tools, "[\"my_module\"]",
        "Modules whose functions marked @sidewinder.tool are served.", absent "none"),
    key!(List "expose" expose, "[\"math:hypot\"]", "Functions to serve as they are.", absent "none"),
    key!(Program "python" python, "\"/usr/bin/python3\"",
        "The interpreter.", absent "the python3 of a virtual environment, or of the path"),
    key!(Arguments "command" command, "[\"my-worker\", \"--fast\"]",
        "A worker of any kind that speaks the worker protocol, instead of `python`.", absent "Python's worker"),
    key!(File "directory" directory, "\"/tmp\"",
        "Where workers run, and where Python finds modules first.", absent "where the daemon was started"),
    key!(Variables "environment" environment, "{ NAME = \"text\" }",
        "Further variables for workers.", absent "none"),
    key!(Truth "fork_server" fork_server, "true",
        "Import once, and fork workers from that process. Where that cannot be, each worker starts by itself."),
    key!(List "preload" preload, "[\"numpy\"]",
        "Modules that the fork server imports before the tools.", absent "none"),
    key!(Count "workers" workers, "4", "So many workers at all times, instead of `min`, `max` and `spare`.",
        absent "one for each processor, unless there is a `min`, `max` or `spare`"),
    key!(Count "min" min, "2", "Workers kept even when there is nothing to do.",
        absent "1, if there is a `max` or `spare`"),
    key!(Count "max" max, "16", "Never more workers than this, but for replacements.",
        absent "one for each processor, and no fewer than `min` and `spare`"),
    key!(Count "spare" spare, "2", "Idle workers wanted beyond the busy ones."),
    key!(Count "headroom" headroom, "2", "Processes above `max` while a worker is replaced."),
    key!(Count "warm" warm, "1", "Workers that stay when nobody is there."),
    key!(Count "seats" seats, "8", "Calls that one worker runs at a time."),
    key!(Count "line.waiting_max" line.waiting_max, "50", "Calls waiting at a time. Further ones are refused."),
    key!(Count "line.client_waiting_max" line.client_waiting_max, "10",
        "Calls of one client waiting at a time.", absent "no limit"),
    key!(Count "line.client_running_max" line.client_running_max, "10",
        "Calls of one client running at a time; its others wait.", absent "no limit"),
    key!(Count "line.affinity_keys_max" line.affinity_keys_max, "500",
        "Affinity keys remembered; the one not used for longest is forgotten first."),
    key!(Span "restart.start_timeout" restart.start_timeout, "\"10s\"", "From the start of a worker to ready."),
    key!(Span "restart.delay_min" restart.delay_min, "\"200ms\"",
        "The pause after the first early death. Each further one doubles it."),
    key!(Span "restart.delay_max" restart.delay_max, "\"10s\"", "The longest pause."),
    key!(Count "restart.jitter_percent" restart.jitter_percent, "5",
        "Up to this percentage is taken off each pause."),
    key!(Span "restart.early" restart.early, "\"5s\"",
        "A worker that dies this soon after it was ready, and without having served, has died early."),
    key!(Count "restart.deaths_max" restart.deaths_max, "3", "So many early deaths within the window are FATAL."),
    key!(Span "restart.deaths_window" restart.deaths_window, "\"30s\"", "The window."),
    key!(Count "recycle.calls" recycle.calls, "1000", "Calls begun in one worker.", absent "no limit"),
    key!(Span "recycle.age" recycle.age, "\"24h\"", "Since the worker was ready.", absent "no limit"),
    key!(Span "recycle.idle" recycle.idle, "\"1h\"",
        "Without a call, after at least one.", absent "no limit"),
    key!(Bytes "recycle.resident" recycle.resident, "\"1GiB\"", "Resident memory.", absent "no limit"),
    key!(Span "recycle.scale_down" recycle.scale_down, "\"30s\"",
        "Without a call, when there are more workers than needed."),
    key!(Count "recycle.spread_percent" recycle.spread_percent, "20",
        "Each worker has up to this percentage taken off each of these limits."),
    key!(Span "grace.interrupt" grace.interrupt, "\"5s\"", "From the interrupt of a call to the kill of its worker."),
    key!(Span "grace.sibling" grace.sibling, "\"10s\"", "More time than that for other calls on the same worker."),
    key!(Span "grace.stop" grace.stop, "\"10s\"", "From the order to leave to the kill."),
    key!(Span "grace.kill" grace.kill, "\"20s\"", "From the kill to the notice that it had no effect."),
    key!(Span "grace.suspect" grace.suspect, "\"20s\"", "For an idle worker that is silent."),
    key!(Count "poison.strikes_max" poison.strikes_max, "3", "Workers one call key may kill before it is refused."),
    key!(Span "poison.quarantine" poison.quarantine, "\"10m\"", "For how long after the last of them."),
    key!(Count "poison.keys_max" poison.keys_max, "100",
        "Keys remembered; the oldest strike is forgotten first."),
    limit!("memory", "a size, such as 512M or 2G", "\"1GiB\"", "Memory of the whole tree of a worker."),
    limit!(
        "memory-high",
        "a size, such as 512M or 2G",
        "\"512MiB\"",
        "Memory above which the kernel slows it down."
    ),
    limit!("swap", "a size, such as 512M or 2G", "\"0\"", "Swap."),
    limit!("cpu", "a number of processors, such as 1.5", "\"1.5\"", "Processors."),
    limit!("pids", "a whole number", "\"100\"", "Processes and threads."),
    limit!(
        "io",
        "MAJOR:MINOR,rbps=1M,wbps=…,riops=…,wiops=…, or a list of them",
        "[\"8:0,rbps=1048576\"]",
        "Bytes and operations a second of a device."
    ),
    limit!("files", "a whole number", "\"256\"", "Open files of each process."),
    limit!("file-size", "a size, such as 512M or 2G", "\"1GiB\"", "The size of a file that it writes."),
    limit!("cpu-time", "a whole number of seconds", "\"600\"", "Processor time of each process."),
    limit!("core", "a size, such as 512M or 2G", "\"0\"", "The size of a core file."),
];

fn set_limit(pool: &mut PoolDraft, name: &str, node: &Node) -> Result<(), Wrong> {
    let items = node.list().filter(|_| name == "io").unwrap_or(std::slice::from_ref(node));
    let mut read = Vec::new();
    for item in items {
        let words = form::words::<form::Text>(item)?;
        let limit = limit::parse(&format!("{name}={words}")).map_err(|what| form::told(item, what))?;
        read.push(limit);
    }
    pool.limits.retain(|limit| limit.name() != name);
    pool.limits.append(&mut read);
    Ok(())
}

fn show_limit(pool: &PoolDraft, name: &str) -> Option<String> {
    let these = pool.limits.iter().filter(|limit| limit.name() == name);
    let values: Vec<String> = these.map(|limit| form::quoted(&limit.value())).collect();
    match values.as_slice() {
        [] => None,
        [value] if name != "io" => Some(value.clone()),
        _ => Some(format!("[{}]", values.join(", "))),
    }
}
