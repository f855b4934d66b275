//! A module begins with its theory and has a name that says something.

use crate::Finding;
use crate::tree::{File, Tree};

/// Names under which anything could live, and so everything does.
const EMPTY: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "type", "types", "manager", "managers"];

pub(crate) fn without_theory(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|file| file.is_source())
        .filter_map(|file| {
            let advice = missing_theory(file)?;
            Some(Finding::new(&file.path, 1, advice))
        })
        .collect()
}

fn missing_theory(file: &File) -> Option<&'static str> {
    let mut lines = file.text.lines().map(str::trim).filter(|line| !line.is_empty());
    match file.extension() {
        "rs" if !lines.next().is_some_and(|line| line.starts_with("//!")) => {
            Some("begin with `//!`: what this module is about and why it is so")
        }
        "py" => {
            let first = lines.find(|line| !line.starts_with('#')).unwrap_or_default();
            let docstring = ["\"\"\"", "r\"\"\""].iter().any(|quote| first.starts_with(quote));
            (!docstring).then_some("begin with a docstring: what this module is about and why it is so")
        }
        "sh" if !lines.nth(1).is_some_and(|line| line.starts_with("# ")) => {
            Some("below `#!/bin/sh`, begin with a comment: what this script does and when")
        }
        _ => None,
    }
}

pub(crate) fn empty_names(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|file| file.is_source())
        .filter_map(|file| {
            let part = file.path.split('/').find(|part| EMPTY.contains(&stem(part)))?;
            Some(Finding::new(&file.path, 1, format!("`{part}` says nothing: name it by what it knows")))
        })
        .collect()
}

fn stem(part: &str) -> &str {
    part.split_once('.').map_or(part, |(stem, _)| stem).trim_matches('_')
}
