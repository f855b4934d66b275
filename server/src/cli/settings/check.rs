//! `sidewinder check-config`: every problem of a configuration at once.

use crate::cli::style::{Style, show};
use crate::config::{Place, Problem, Problems, Settings, Source};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a configuration, and report every problem at once
///
/// The environment overrides the file, as it does when the daemon runs.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0, or 1 when there is a problem. What the configuration names and this machine does not \
                  have (interpreters, directories, certificates) is told, and is no problem: it may be meant for another \
                  machine.\n\nExample: sidewinder check-config sidewinder.toml"
)]
pub(in crate::cli) struct Arguments {
    /// The file; by default the one that `SIDEWINDER_CONFIG` names
    file: Option<PathBuf>,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> ExitCode {
    let source = Source { file: arguments.file.clone(), flags: Vec::new() };
    let read = source.read();
    let (text, status) = match (&read, arguments.json) {
        (Ok(settings), false) => (summary(settings), ExitCode::SUCCESS),
        (Err(problems), false) => (listed(problems), ExitCode::FAILURE),
        (Ok(settings), true) => (
            json!({
                "problems": [],
                "pools": settings.pools.keys().collect::<Vec<_>>(),
                "absent": absent(settings).map(|(key, what)| json!({ "key": key, "what": what })).collect::<Vec<_>>(),
            })
            .to_string()
                + "\n",
            ExitCode::SUCCESS,
        ),
        (Err(problems), true) => {
            let problems: Vec<Value> = problems.0.iter().map(as_json).collect();
            (json!({ "problems": problems }).to_string() + "\n", ExitCode::FAILURE)
        }
    };
    match show(&text) {
        Ok(()) => status,
        Err(error) => crate::cli::fail(&format!("cannot say what was found: {error}")),
    }
}

fn listed(problems: &Problems) -> String {
    let style = Style::of_stdout();
    let count = match problems.0.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    format!("{problems}\n{}\n", style.bad(&count))
}

fn summary(settings: &Settings) -> String {
    let style = Style::of_stdout();
    let tcp = settings.listen.tcp.map(|tcp| format!(" and {tcp}")).unwrap_or_default();
    let pools = settings.pools.iter().map(|(name, pool)| {
        let size = pool.policy.size;
        let workers = if size.min() == size.max() {
            size.max().to_string()
        } else {
            format!("{} to {}", size.min(), size.max())
        };
        let command = &pool.command;
        let served: Vec<&str> = command
            .tools
            .iter()
            .chain(&command.expose)
            .chain(command.program.first())
            .map(String::as_str)
            .collect();
        format!(
            "pool {name}: workers: {workers}, seats of each: {}, serves {}\n",
            pool.policy.seats,
            served.join(", ")
        )
    });
    let pools: String = pools.collect();
    let absent = absent(settings).map(|(key, what)| format!("{} {key}: {what}\n", style.bad("absent:")));
    let absent: String = absent.collect();
    let socket = settings.listen.socket.display();
    format!("{}\nlistens on {socket}{tcp}\n{pools}{absent}", style.good("no problem"))
}

/// What the settings name and this machine does not have: the key, and what is wrong with it.
fn absent(settings: &Settings) -> impl Iterator<Item = (String, String)> {
    let pools = settings.pools.iter().filter_map(|(name, pool)| {
        pool.command.absent().map(|(key, what)| (format!("pools.{name}.{key}"), what))
    });
    let tls = settings.listen.tls.iter().flat_map(|tls| {
        let files = [
            ("certificate", Some(&tls.certificate)),
            ("key", Some(&tls.key)),
            ("client_ca", tls.client_ca.as_ref()),
        ];
        files.into_iter().filter_map(|(key, file)| Some((key, file?)))
    });
    let unread = tls.filter_map(|(key, file)| {
        let error = std::fs::File::open(file).err()?;
        Some((format!("listen.tls_{key}"), format!("{} cannot be read: {error}", file.display())))
    });
    pools.chain(unread)
}

fn as_json(problem: &Problem) -> Value {
    let (file, line, column) = match &problem.place {
        Place::File { path, line, column } => (Some(path.display().to_string()), Some(line), Some(column)),
        Place::Variable(_) | Place::Flag(_) | Place::Unwritten => (None, None, None),
    };
    json!({
        "place": problem.place.to_string(),
        "file": file,
        "line": line,
        "column": column,
        "key": problem.key,
        "what": problem.what,
        "meant": problem.meant,
    })
}
