//! The direction of knowledge between the rooms of the binary.

use crate::Finding;
use crate::tree::Tree;

/// Each room may name those after it, and none before it.
const DOWNWARDS: &[&str] = &[
    "cli",
    "app",
    "rpc",
    "operate",
    "config",
    "keep",
    "lifecycle",
    "presence",
    "endings",
    "pool",
    "worker",
    "own",
    "handover",
    "systemd",
    "telemetry",
];

pub(crate) fn upward(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.with_extension("rs") {
        let Some(room) = file.path.strip_prefix("server/src/").and_then(place) else { continue };
        for (number, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for named in code.match_indices("crate::").filter_map(|(at, _)| place(&code[at + 7..])) {
                if named < room {
                    let what = format!("{} may not know {}", DOWNWARDS[room], DOWNWARDS[named]);
                    findings.push(Finding::new(&file.path, number + 1, what));
                }
            }
        }
    }
    findings
}

/// How far down the room is that a path begins with.
fn place(path: &str) -> Option<usize> {
    let end = path.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(path.len());
    DOWNWARDS.iter().position(|room| *room == &path[..end])
}

#[test]
fn an_upward_arrow_is_found() {
    let file = |path: &str, text: &str| crate::tree::File { path: path.to_owned(), text: text.to_owned() };
    let tree = Tree {
        files: vec![
            file("server/src/worker/life.rs", "use crate::own::hold;\nlet dice = crate::pool::dice();"),
            file("server/src/app.rs", "use crate::pool::Pools;"),
        ],
    };
    let lines: Vec<usize> = upward(&tree).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [2]);
}
