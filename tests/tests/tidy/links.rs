//! Every relative link leads somewhere, and every file that a document names is there.
//!
//! A code span is taken for a path of this tree when it begins with one of its rooms, or when it is
//! the bare name of a file in a language the tree is written in. Other names with dots and slashes
//! (a user's `tools.py`, a media type) are none of ours.

use crate::Finding;
use crate::markdown::{Document, code_spans, link_targets};
use crate::tree::{File, Tree};

/// A changelog tells of files that were.
const HISTORY: &str = "CHANGELOG.md";

pub(crate) fn dead(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.with_extension("md") {
        for (number, line) in Document::parse(&file.text).prose {
            let links = link_targets(line).filter_map(|target| broken_link(tree, file, target));
            findings.extend(links.map(|what| Finding::new(&file.path, number, what)));
            if file.name() == HISTORY {
                continue;
            }
            let paths = code_spans(line).filter(|span| is_path(tree, span) && !path_exists(tree, file, span));
            findings.extend(paths.map(|path| {
                Finding::new(
                    &file.path,
                    number,
                    format!("`{path}` does not exist: correct it or take it out"),
                )
            }));
        }
    }
    findings
}

fn broken_link(tree: &Tree, file: &File, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { file.path.clone() } else { resolve(file.folder(), path) };
    if !tree.has(&path) {
        return Some(format!("link to {target}: there is no {path}"));
    }
    let linked = tree.files.iter().find(|file| file.path == path)?;
    let known = fragment.is_empty() || Document::parse(&linked.text).anchors().iter().any(|a| a == fragment);
    (!known).then(|| format!("link to {target}: {path} has no heading #{fragment}"))
}

fn is_path(tree: &Tree, span: &str) -> bool {
    let plain = !span.is_empty() && span.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    match span.split_once('/') {
        Some((room, _)) => plain && (room.starts_with('.') || tree.has(room)),
        None => {
            plain && [".rs", ".md", ".sh", ".proto"].iter().any(|end| span.len() > 3 && span.ends_with(end))
        }
    }
}

/// From the root, from the document's own folder, or a bare name anywhere.
fn path_exists(tree: &Tree, file: &File, path: &str) -> bool {
    let bare = !path.contains('/') && tree.files.iter().any(|other| other.name() == path);
    bare || tree.has(path) || tree.has(&resolve(file.folder(), path))
}

fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[test]
fn paths_are_resolved_from_the_document() {
    assert_eq!(resolve("docs/deep", "../other/./a.md"), "docs/other/a.md");
    assert_eq!(resolve("", "a.md"), "a.md");
}
