//! The flags that override a configuration: what they say is read by the table of keys, as the file is.

use crate::config::Source;
use std::path::PathBuf;

/// What the daemon is to do, beside what its file says.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags without a value, each by itself")]
pub(in crate::cli) struct Flags {
    /// The configuration, in TOML; `SIDEWINDER_CONFIG` names one as well. Environment and flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The pool of which the flags speak; by default the only one, or a new one called `default`
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// Modules whose functions marked @sidewinder.tool are served; found as `python -m` finds them
    #[arg(long, value_name = "MODULE", value_delimiter = ',')]
    tools: Vec<String>,
    /// Functions to serve as they are
    #[arg(long, value_name = "MODULE:FUNCTION", value_delimiter = ',')]
    expose: Vec<String>,
    /// Workers at all times; one for each processor by default
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Workers kept even when there is nothing to do, instead of --workers
    #[arg(long, value_name = "N")]
    min: Option<String>,
    /// Never more workers than this
    #[arg(long, value_name = "N")]
    max: Option<String>,
    /// Idle workers wanted beyond the busy ones
    #[arg(long, value_name = "N")]
    spare: Option<String>,
    /// Workers that stay when nobody is there
    #[arg(long, value_name = "N")]
    warm: Option<String>,
    /// Calls that one worker runs at a time
    #[arg(long, value_name = "N")]
    seats: Option<String>,
    /// The interpreter; by default the python3 of a virtual environment, or of the path
    #[arg(long, value_name = "FILE")]
    python: Option<String>,
    /// Where workers run; by default where the daemon was started
    #[arg(long, value_name = "DIR")]
    directory: Option<String>,
    /// Import once, and fork workers from that process
    #[arg(long)]
    fork_server: bool,
    /// Modules that the fork server imports before the tools
    #[arg(long, value_name = "MODULE", value_delimiter = ',')]
    preload: Vec<String>,
    /// Calls waiting at a time; further ones are refused
    #[arg(long, value_name = "N")]
    waiting_max: Option<String>,
    /// Replace a worker after so many calls
    #[arg(long, value_name = "N")]
    recycle_calls: Option<String>,
    /// Memory of each worker with all its processes, such as 2G
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// How tightly workers are bound to clients; `auto` looks at who started the daemon
    #[arg(long, value_name = "auto|coupled|supervised|independent|distributed")]
    mode: Option<String>,
    /// Workers leave when nobody was there for so long; a minute by default
    #[arg(long, value_name = "DURATION|never")]
    no_client_timeout: Option<String>,
    /// The same before the first client
    #[arg(long, value_name = "DURATION|never")]
    startup_client_timeout: Option<String>,
    /// What calls have that go on without their client, once workers leave
    #[arg(long, value_name = "DURATION|never")]
    finish_grace: Option<String>,
    /// End once the workers have left; takes sockets of a service manager
    #[arg(long)]
    exit_when_idle: bool,
    /// Take only calls of attached clients
    #[arg(long)]
    require_lease: bool,
    /// The unix socket to listen on; a private one of this user by default
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// A TCP address to listen on as well; only loopback, unless --insecure
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<String>,
    /// Listen on public addresses without TLS
    #[arg(long)]
    insecure: bool,
    /// How long a stop lets calls go on
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<String>,
    /// Whether to use a PID namespace
    #[arg(long, value_name = "auto|off")]
    namespace: Option<String>,
    /// Where to make cgroups: `auto` (where one is delegated), `off`, or below a directory
    #[arg(long, value_name = "auto|off|DIR")]
    cgroup: Option<String>,
    /// What to log: a level, or TARGET=LEVEL with commas between; `SIDEWINDER_LOG` says the same
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// How a line of the log looks
    #[arg(long, value_name = "auto|human|json")]
    log_format: Option<String>,
    /// Where Prometheus can fetch metrics; only loopback, unless --insecure
    #[arg(long, value_name = "ADDRESS")]
    prometheus: Option<String>,
    /// Where to send metrics by OTLP over gRPC, such as `http://127.0.0.1:4317`
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// How often to send them
    #[arg(long, value_name = "DURATION")]
    otlp_interval: Option<String>,
}

impl Flags {
    /// Whether any of them was given.
    pub(in crate::cli) fn say_something(&self) -> bool {
        let Source { file, flags } = self.clone().source();
        file.is_some() || !flags.is_empty()
    }

    /// What they say.
    pub(in crate::cli) fn source(self) -> Source {
        let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(","));
        let said = [
            ("--pool", self.pool),
            ("--tools", list(self.tools)),
            ("--expose", list(self.expose)),
            ("--workers", self.workers),
            ("--min", self.min),
            ("--max", self.max),
            ("--spare", self.spare),
            ("--warm", self.warm),
            ("--seats", self.seats),
            ("--python", self.python),
            ("--directory", self.directory),
            ("--fork-server", self.fork_server.then(|| "true".to_owned())),
            ("--preload", list(self.preload)),
            ("--waiting-max", self.waiting_max),
            ("--recycle-calls", self.recycle_calls),
            ("--memory", self.memory),
            ("--mode", self.mode),
            ("--no-client-timeout", self.no_client_timeout),
            ("--startup-client-timeout", self.startup_client_timeout),
            ("--finish-grace", self.finish_grace),
            ("--exit-when-idle", self.exit_when_idle.then(|| "true".to_owned())),
            ("--require-lease", self.require_lease.then(|| "true".to_owned())),
            ("--socket", self.socket),
            ("--tcp", self.tcp),
            ("--insecure", self.insecure.then(|| "true".to_owned())),
            ("--drain-timeout", self.drain_timeout),
            ("--namespace", self.namespace),
            ("--cgroup", self.cgroup),
            ("--log", self.log),
            ("--log-format", self.log_format),
            ("--prometheus", self.prometheus),
            ("--otlp", self.otlp),
            ("--otlp-interval", self.otlp_interval),
        ];
        let flags = said.into_iter().filter_map(|(flag, words)| Some((flag, words?)));
        Source { file: self.config, flags: flags.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FLAGS;
    use clap::{Args, FromArgMatches};

    #[test]
    fn every_flag_of_the_table_is_taken() {
        for (flag, _, _) in FLAGS {
            let words =
                if ["--insecure", "--exit-when-idle", "--require-lease", "--fork-server"].contains(&flag) {
                    vec!["run", flag]
                } else {
                    vec!["run", flag, "x"]
                };
            let command = Flags::augment_args(clap::Command::new("run"));
            let matches = command.try_get_matches_from(words).expect(flag);
            let flags = Flags::from_arg_matches(&matches).expect(flag);
            assert!(flags.source().flags.iter().any(|(known, _)| *known == flag), "{flag}");
        }
    }
}
