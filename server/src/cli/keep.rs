//! `sidewinder keep`: any command, so that nothing of it survives its caller, its keeper or itself.

use crate::config::time::duration;
use crate::keep::{self, Error, Graceful, Order};
use crate::own::limit::{self, Limit};
use crate::own::subtree::Wish;
use sidewinder_keeper_kernel::complain;
use sidewinder_keeper_wire::Tier;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const AFTER: &str = "\
Exit status: that of COMMAND; 128+N when signal N ended it; 125 when sidewinder failed; 126 when COMMAND cannot be \
executed; 127 when it is not found.

Signals: TERM, INT, HUP and QUIT go to COMMAND, and after the grace its whole tree is killed; a second one kills at \
once. USR1, USR2 and WINCH are passed on.

Example: sidewinder keep --limit memory=2G --grace 10s -- python3 train.py";

/// Run a command so that nothing of it survives
///
/// When COMMAND ends, whatever it started is killed. When the caller or sidewinder itself dies, even by kill -9,
/// COMMAND and all its descendants are killed, daemons included.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    /// Time between the signal and the kill when asked to stop
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    grace: Duration,
    /// The same when the caller or the owner vanished; 0 kills at once
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    orphan_grace: Duration,
    /// A limit: memory, memory-high, swap (bytes, K M G T), cpu (processors), pids, io (8:0,rbps=1M), files,
    /// file-size, cpu-time (seconds), core
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit::parse)]
    limits: Vec<Limit>,
    /// Refuse to start unless the tree is held at least this strongly: A (PID namespace), B (cgroup) or C (lineage)
    #[arg(long, value_name = "TIER")]
    require_tier: Option<Tier>,
    /// Whether to use a PID namespace
    #[arg(long, value_name = "auto|off", default_value = "auto", value_parser = ["auto", "off"])]
    namespace: String,
    /// Where to make a cgroup: `auto` (where one is delegated), `off`, or below a directory
    #[arg(long, value_name = "auto|off|DIR", default_value = "auto")]
    cgroup: OsString,
    /// The user to become, with --gid (needs privilege)
    #[arg(long, value_name = "N", requires = "gid")]
    uid: Option<u32>,
    /// The group to become (needs privilege)
    #[arg(long, value_name = "N")]
    gid: Option<u32>,
    /// Add to the niceness
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    nice: Option<i32>,
    /// How willingly the kernel kills it when memory runs out: -1000 to 1000
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    oom_score_adj: Option<i32>,
    /// The processors it may run on, such as 0,2-3
    #[arg(long, value_name = "LIST", value_parser = processors)]
    cpus: Option<Processors>,
    /// The directory to run in
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Let set-uid programs keep their power (sudo, ping)
    #[arg(long)]
    allow_new_privileges: bool,
    /// Append what happens to a file, one JSON object a line; `-` is standard error
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Debug)]
struct Processors(Vec<u32>);

pub(super) fn run(arguments: Arguments, caller: Option<OwnedFd>) -> ExitCode {
    let order = Order {
        command: arguments.command,
        graceful: Graceful { stop: arguments.grace, orphan: arguments.orphan_grace },
        limits: arguments.limits,
        require_tier: arguments.require_tier,
        namespace: arguments.namespace == "auto",
        cgroup: match arguments.cgroup.to_str() {
            Some("auto") => Wish::Auto,
            Some("off") => Wish::Off,
            Some(path) => match std::path::absolute(path) {
                Ok(path) => Wish::Below(path),
                Err(error) => return super::fail(&format!("--cgroup {path}: {error}")),
            },
            None => return super::fail(&"the path of --cgroup must be UTF-8"),
        },
        uid: arguments.uid,
        gid: arguments.gid,
        nice: arguments.nice,
        oom_score_adj: arguments.oom_score_adj,
        cpus: arguments.cpus.map_or_else(Vec::new, |cpus| cpus.0),
        cwd: arguments.cwd,
        new_privileges: arguments.allow_new_privileges,
        report: arguments.report,
    };
    match keep::keep(order, caller) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain!("{error}");
            ExitCode::from(match error {
                Error::NotFound(_) => super::NOT_FOUND,
                Error::NotExecutable(_) => super::NOT_EXECUTABLE,
                Error::Other(_) => super::FAILED,
            })
        }
    }
}

fn processors(text: &str) -> Result<Processors, String> {
    let wrong = || format!("`{text}` is no list of processors: write 0,2-3");
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) =
            (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
        if first > last || last >= 1024 {
            return Err(wrong());
        }
        cpus.extend(first..=last);
    }
    Ok(Processors(cpus))
}
