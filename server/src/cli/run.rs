//! `sidewinder run`: the daemon.

use super::time::duration;
use crate::app::{self, Settings};
use crate::worker::command::Command;
use sidewinder_core::{Policy, Size};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Serve tools written in Python
///
/// With nothing but --tools it listens on a private unix socket and keeps one worker for each processor.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: sidewinder run --tools my_module, and then: sidewinder call add '{\"a\": 1, \"b\": 2}'"
)]
pub(super) struct Arguments {
    /// Modules whose functions marked @sidewinder.tool are served; found as `python -m` finds them
    #[arg(long, value_name = "MODULE", value_delimiter = ',', required_unless_present = "expose")]
    tools: Vec<String>,
    /// Functions to serve as they are
    #[arg(long, value_name = "MODULE:FUNCTION", value_delimiter = ',')]
    expose: Vec<String>,
    /// Workers; one for each processor by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=2048))]
    workers: Option<u16>,
    /// Calls that one worker runs at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    seats: u16,
    /// The interpreter; by default the python3 of a virtual environment, or of the path
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// The name of the pool
    #[arg(long, value_name = "NAME", default_value = "default")]
    pool: String,
    /// The unix socket to listen on; a private one of this user by default
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// A TCP address to listen on as well; only loopback, unless --insecure
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<SocketAddr>,
    /// Listen on a public address without TLS
    #[arg(long, requires = "tcp")]
    insecure: bool,
    /// How long a stop lets calls go on
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    drain_timeout: Duration,
    /// Whether to use a PID namespace
    #[arg(long, value_name = "auto|off", default_value = "auto", value_parser = ["auto", "off"])]
    namespace: String,
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    match settings(arguments).and_then(|settings| app::run(settings).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

fn settings(arguments: Arguments) -> Result<Settings, String> {
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers =
        arguments.workers.unwrap_or_else(|| u16::try_from(processors()).unwrap_or(u16::MAX).min(2048));
    let size = Size::new(workers, workers, 0, 1).ok_or("--workers: too many")?;
    let policy = Policy { size, seats: arguments.seats, ..Policy::default() };
    let policy = policy.check().map_err(|flaws| {
        flaws.iter().map(|flaw| format!("{} must {}", flaw.name, flaw.must)).collect::<Vec<_>>().join("; ")
    })?;
    let socket = match arguments.socket {
        Some(socket) => std::path::absolute(socket),
        None => app::default_socket(),
    };
    Ok(Settings {
        pool: arguments.pool,
        policy,
        command: Command {
            python: arguments.python,
            tools: arguments.tools,
            expose: arguments.expose,
            seats: arguments.seats,
            ..Command::default()
        },
        socket: socket.map_err(|error| error.to_string())?,
        tcp: arguments.tcp,
        insecure: arguments.insecure,
        drain: arguments.drain_timeout,
        namespace: arguments.namespace == "auto",
    })
}
