//! Every row of the table, in its order.

use crate::rows::Name;

const fn row(place: usize, text: &'static str, unit: &'static str, beside: Option<&'static str>) -> Name {
    Name { place, text, unit, beside }
}

const ECHO: Option<&str> = None;
const WORKERS: Option<&str> = Some("workers without a daemon");
const WITHOUT: Option<&str> = Some("without a lease");
const IMPORTS: Option<&str> = Some("each imports for itself");
const NOBODY: Option<&str> = Some("nobody attached");
const FLOOR: Option<&str> = Some("the floor");
const ONE_WORKER: Option<&str> = Some("1 worker");
const ONE_CLIENT: Option<&str> = Some("1 client");
const ALONE: Option<&str> = None;

pub(crate) const RAW_P50: Name = row(10, "raw bytes, 1 caller, p50", "µs", ECHO);
pub(crate) const RAW_P99: Name = row(11, "raw bytes, 1 caller, p99", "µs", ECHO);
pub(crate) const JSON_P50: Name = row(12, "JSON add, 1 caller, p50", "µs", ECHO);
pub(crate) const JSON_P99: Name = row(13, "JSON add, 1 caller, p99", "µs", ECHO);
pub(crate) const SOCKET: Name = row(14, "raw bytes, a worker's own socket, p50", "µs", ECHO);
pub(crate) const ADDED: Name = row(15, "added to that by the whole sidecar, p50", "µs", ECHO);
pub(crate) const LEAST: Name = row(16, "that socket and the bare echo, one after the other", "µs", ECHO);
pub(crate) const FLOOR_P50: Name = row(17, "the floor itself, 1 caller, p50", "µs", ECHO);
pub(crate) const RAW_P50_FLOOR: Name = row(18, "raw bytes, 1 caller, p50, beside the floor", "µs", FLOOR);
pub(crate) const LEASED: Name = row(19, "raw bytes, attached, p50", "µs", WITHOUT);
pub(crate) const GOING_ON: Name = row(20, "raw bytes, attached, goes on if lost, p50", "µs", WITHOUT);
pub(crate) const CALLS_16: Name = row(21, "16 callers, 2 workers", "calls/s", ECHO);
pub(crate) const CALLS_32: Name = row(22, "32 callers, 2 workers", "calls/s", ECHO);
pub(crate) const FLOOR_32: Name = row(23, "the floor itself, 32 callers", "calls/s", ECHO);
pub(crate) const CALLS_32_FLOOR: Name = row(24, "32 callers, beside the floor", "calls/s", FLOOR);
pub(crate) const TIME: Name = row(25, "processor time of a call, server alone", "µs", ECHO);
pub(crate) const ITEMS: Name = row(30, "one stream", "items/s", ECHO);
pub(crate) const MIB_1: Name = row(40, "echo of 1 MiB, p50", "ms", ECHO);
pub(crate) const MIB_16: Name = row(41, "echo of 16 MiB, p50", "ms", ECHO);
pub(crate) const MIB_16_TIME: Name = row(42, "processor time of that, server alone", "ms", ECHO);

pub(crate) const MB_64: Name = row(43, "echo of 64 MB, p50", "ms", ECHO);
pub(crate) const MB_64_PLAIN: Name =
    row(44, "echo of 64 MB, a plain socket beside it, p50", "ms", Some("plain socket"));

/// How many workers, when all of them are ready, and when the middle one is.
pub(crate) const STARTS: [(usize, Name, Name); 3] = [
    (1, row(50, "1 worker: all ready", "ms", WORKERS), row(51, "1 worker: p50 ready", "ms", WORKERS)),
    (10, row(52, "10 workers: all ready", "ms", WORKERS), row(53, "10 workers: p50 ready", "ms", WORKERS)),
    (100, row(54, "100 workers: all ready", "ms", WORKERS), row(55, "100 workers: p50 ready", "ms", WORKERS)),
];

pub(crate) const FORKED: Name = row(56, "100 workers with NumPy, fork server: all ready", "ms", IMPORTS);
pub(crate) const FORKED_AFTER: Name = row(57, "the same, once the fork server stands", "ms", IMPORTS);
pub(crate) const REPLACED_NUMPY: Name = row(58, "killed worker with NumPy: next answer", "ms", IMPORTS);
pub(crate) const REPLACED_PANDAS: Name = row(59, "killed worker with pandas: next answer", "ms", IMPORTS);

pub(crate) const DAEMON_RSS: Name = row(60, "daemon, resident", "MiB", ECHO);
pub(crate) const DAEMON_PSS: Name = row(61, "daemon, proportional", "MiB", ECHO);
pub(crate) const KEEPER_RSS: Name = row(62, "keeper, resident", "MiB", ECHO);
pub(crate) const WARDEN_RSS: Name = row(63, "warden of a worker, resident", "MiB", ECHO);
pub(crate) const WORKER_RSS: Name = row(64, "idle worker, resident", "MiB", Some("idle python3"));
pub(crate) const WORKER_PSS: Name = row(65, "idle worker, proportional", "MiB", Some("idle python3"));
pub(crate) const FORKED_PSS: Name = row(66, "worker with NumPy, fork server, proportional", "MiB", IMPORTS);
pub(crate) const FORKED_OWN: Name = row(67, "the same, pages of its own", "MiB", IMPORTS);
pub(crate) const FORKED_WARDEN: Name = row(68, "its warden, pages of its own", "MiB", IMPORTS);
pub(crate) const WAITING: Name = row(69, "waiting call, resident", "KiB", ECHO);
pub(crate) const ATTACHED: Name = row(70, "100 clients, 100 idle workers, daemon", "% of a core", NOBODY);
pub(crate) const IDLE: Name = row(71, "100 idle workers, nobody attached, daemon", "% of a core", ALONE);
pub(crate) const IDLE_ALL: Name = row(72, "the same, with keeper, wardens and workers", "% of a core", ALONE);

/// How many workers a daemon has, to see what a call costs among them.
pub(crate) const CROWDS: [usize; 4] = [1, 10, 100, 500];
/// A caller's median, and the daemon's processor time for each call of 32 callers.
pub(crate) const AMONG_WORKERS: [(Name, Name); 3] = [
    (among(80, "10 workers: 1 caller, p50"), among(83, "10 workers: processor time of a call")),
    (among(81, "100 workers: 1 caller, p50"), among(84, "100 workers: processor time of a call")),
    (among(82, "500 workers: 1 caller, p50"), among(85, "500 workers: processor time of a call")),
];

/// How many clients it has, each with a connection.
pub(crate) const CLIENTS: [usize; 3] = [1, 32, 1_000];
/// A caller's median while they are connected, and the daemon's processor time for each call of all of them.
pub(crate) const AMONG_CLIENTS: [(Name, Name); 2] = [
    (
        beside(86, "32 clients connected: 1 caller, p50"),
        beside(88, "32 clients at once: processor time of a call"),
    ),
    (
        beside(87, "1,000 clients connected: 1 caller, p50"),
        beside(89, "1,000 clients at once: processor time of a call"),
    ),
];

const fn among(place: usize, text: &'static str) -> Name {
    row(place, text, "µs", ONE_WORKER)
}

const fn beside(place: usize, text: &'static str) -> Name {
    row(place, text, "µs", ONE_CLIENT)
}

pub(crate) const WORKER_PART: Name = row(90, "daemon, for each idle worker, resident", "KiB", ALONE);
pub(crate) const CLIENT_PART: Name = row(91, "daemon, for each connected client, resident", "KiB", ALONE);
