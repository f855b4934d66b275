//! What happens, for a program to read: one JSON object a line.

use serde::Serialize;
use sidewinder_keeper_kernel::complain;
use sidewinder_keeper_wire::{Ending, Gone};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Started {
        run: &'a str,
        tier: String,
        owner: u32,
        keeper: i32,
        /// Nothing when it had ended before it could be looked at.
        command: Option<i32>,
        namespace: Option<u64>,
        cgroup: Option<&'a str>,
    },
    Exited {
        code: Option<i32>,
        signal: Option<i32>,
    },
    Gone {
        user_s: f64,
        system_s: f64,
        peak_rss_bytes: u64,
        peak_tree_bytes: Option<u64>,
        oom_kills: u64,
        pids_refused: u64,
        warden_lost: bool,
    },
    KeeperLost,
}

impl Line<'_> {
    pub(super) fn exited(ending: Ending) -> Self {
        match ending {
            Ending::Code(code) => Self::Exited { code: Some(code), signal: None },
            Ending::Signal(signal) => Self::Exited { code: None, signal: Some(signal) },
        }
    }

    pub(super) fn gone(gone: &Gone) -> Self {
        Self::Gone {
            user_s: gone.user.as_secs_f64(),
            system_s: gone.system.as_secs_f64(),
            peak_rss_bytes: gone.peak_rss,
            peak_tree_bytes: gone.peak_tree,
            oom_kills: gone.oom_kills,
            pids_refused: gone.pids_refused,
            warden_lost: gone.warden_lost,
        }
    }
}

/// Where the lines go, if anywhere.
#[derive(Debug)]
pub(super) enum Journal {
    Nowhere,
    Stderr,
    File(File),
}

impl Journal {
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        Ok(match path {
            None => Self::Nowhere,
            Some(path) if path.as_os_str() == "-" => Self::Stderr,
            Some(path) => Self::File(
                File::options().append(true).create(true).mode(0o600).open(path).map_err(|error| {
                    io::Error::new(
                        error.kind(),
                        format!("cannot write the report to {}: {error}", path.display()),
                    )
                })?,
            ),
        })
    }

    /// A report that cannot be written (a full disk) ends nothing.
    pub(super) fn write(&mut self, line: &Line<'_>) {
        let Ok(mut text) = serde_json::to_string(line) else { return };
        text.push('\n');
        let result = match self {
            Self::Nowhere => Ok(()),
            Self::Stderr => io::stderr().write_all(text.as_bytes()),
            Self::File(file) => file.write_all(text.as_bytes()),
        };
        if let Err(error) = result {
            complain!("the report could not be written: {error}");
        }
    }
}
