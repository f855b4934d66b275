//! `sidewinder run`: the daemon.

use crate::app;
use crate::config::time::duration;
use crate::config::{LogFormat, Overrides, Source, Telemetry, WORKERS_MAX};
use crate::telemetry::Log;
use crate::telemetry::log::filter;
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(WORKERS_MAX)))]
    workers: Option<u16>,
    /// Calls that one worker runs at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    seats: Option<u16>,
    /// The interpreter; by default the python3 of a virtual environment, or of the path
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// The name of the pool
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// The unix socket to listen on; a private one of this user by default
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// A TCP address to listen on as well; only loopback, unless --insecure
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<SocketAddr>,
    /// Listen on a public address without TLS
    #[arg(long)]
    insecure: bool,
    /// How long a stop lets calls go on
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    drain_timeout: Option<Duration>,
    /// Whether to use a PID namespace
    #[arg(long, value_name = "auto|off", value_parser = ["auto", "off"])]
    namespace: Option<String>,
    /// What to log: a level, or TARGET=LEVEL with commas between; `SIDEWINDER_LOG` says the same [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = checked_filter)]
    log: Option<String>,
    /// How the log looks
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Where Prometheus can fetch metrics; only loopback, unless --insecure
    #[arg(long, value_name = "ADDRESS")]
    prometheus: Option<SocketAddr>,
    /// Where to send metrics by OTLP over gRPC, such as <http://127.0.0.1:4317>
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// How often to send them [default: 60s]
    #[arg(long, value_name = "DURATION", requires = "otlp", value_parser = duration)]
    otlp_interval: Option<Duration>,
}

fn checked_filter(wish: &str) -> Result<String, String> {
    filter(wish).map(|_| wish.to_owned())
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    let source = Source { overrides: arguments.overrides() };
    let daemon = || {
        let settings = source.read()?;
        let log = Log::begin(&settings.telemetry)?;
        let done = app::run(source, settings, &log).map_err(|error| error.to_string());
        log.end();
        done
    };
    match daemon() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

impl Arguments {
    fn telemetry(&self) -> Telemetry {
        let log =
            self.log.clone().or_else(|| std::env::var("SIDEWINDER_LOG").ok().filter(|log| !log.is_empty()));
        let unsaid = Telemetry::default();
        Telemetry {
            log: log.unwrap_or(unsaid.log),
            log_format: self.log_format,
            prometheus: self.prometheus,
            otlp: self.otlp.clone(),
            otlp_interval: self.otlp_interval.unwrap_or(unsaid.otlp_interval),
        }
    }

    fn overrides(self) -> Overrides {
        Overrides {
            telemetry: self.telemetry(),
            tools: self.tools,
            expose: self.expose,
            workers: self.workers,
            seats: self.seats,
            python: self.python,
            pool: self.pool,
            socket: self.socket,
            tcp: self.tcp,
            insecure: self.insecure,
            drain: self.drain_timeout,
            namespace: self.namespace.map(|wish| wish == "auto"),
        }
    }
}
