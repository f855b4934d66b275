//! Runs `sidewinder reap --json` and reads what it says.

use std::io;

use serde::Deserialize;

use crate::arena::Arena;

/// What became of one run, as the command says it.
#[derive(Debug, Clone, Deserialize)]
pub struct Said {
    /// The run.
    pub run: String,
    /// `living` when it was left alone; why it was ended otherwise.
    pub verdict: String,
    /// The processes that were killed, or would have been.
    pub processes: Vec<i32>,
    /// The processes that are still there.
    pub left: Vec<i32>,
}

impl Said {
    /// Whether the command says that it ended this run.
    pub fn ended(&self, run: &str) -> bool {
        self.run == run && self.verdict != "living"
    }
}

/// Ends what is left of earlier runs of this place. A command that fails is an error.
pub fn reap(arena: &Arena) -> io::Result<Vec<Said>> {
    run(arena, &["--json"])
}

/// Only asks what is left.
pub fn look(arena: &Arena) -> io::Result<Vec<Said>> {
    run(arena, &["--json", "--dry-run"])
}

fn run(arena: &Arena, arguments: &[&str]) -> io::Result<Vec<Said>> {
    let output = arena.sidewinder("reap").args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!(
            "sidewinder reap ended with {} and said {text:?} {complaint:?}",
            output.status
        )));
    }
    read(&output.stdout)
}

/// Reads what the command wrote.
pub fn read(stdout: &[u8]) -> io::Result<Vec<Said>> {
    let parse = |line: &str| {
        serde_json::from_str(line).map_err(|error| io::Error::other(format!("reap said {line:?}: {error}")))
    };
    String::from_utf8_lossy(stdout).lines().map(parse).collect()
}
