//! What must stay where it is: unsafe code in its one audited file, the lints of the workspace in
//! every crate, and a developer's machine out of the tree.

use crate::Finding;
use crate::tree::{File, Tree};

/// The audited file. The compiler refuses `unsafe` everywhere (`unsafe_code = "deny"`) unless an
/// attribute lifts that, so the attribute is what is looked for.
const MAY_BE_UNSAFE: &str = "server/keeper/kernel/src/sys.rs";

/// Written in two halves, or this file would be the first finding.
const UNSAFE_LINT: &str = concat!("unsafe", "_code");

/// Roots of paths that exist on one machine only.
const PRIVATE: &[&str] = &["home", "Users", "root", "work"];

pub(crate) fn unsafe_elsewhere(tree: &Tree) -> Vec<Finding> {
    let advice = format!("lifts the ban on unsafe code: it may live in {MAY_BE_UNSAFE} only");
    tree.with_extension("rs")
        .filter(|file| file.path != MAY_BE_UNSAFE)
        .flat_map(|file| matching_lines(file, lifts_the_ban))
        .map(|(file, line)| Finding::new(&file.path, line, advice.clone()))
        .collect()
}

fn lifts_the_ban(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let confirms = code.contains("forbid(") || code.contains("deny(");
    code.contains(UNSAFE_LINT) && !confirms
}

/// Without `[lints] workspace = true` a crate has no rules at all, and with a `clippy.toml` of its
/// own it loses the house number of the root's.
pub(crate) fn crates_without_lints(tree: &Tree) -> Vec<Finding> {
    let number = "too-many-lines-threshold = 70";
    let manifests = tree
        .files
        .iter()
        .filter(|file| file.name() == "Cargo.toml" && file.text.contains("[package]"))
        .filter(|file| !file.text.contains("[lints]\nworkspace = true"))
        .map(|file| Finding::new(&file.path, 1, "add `[lints]` with `workspace = true`"));
    let thresholds =
        tree.files.iter().filter(|file| file.name() == "clippy.toml" && !file.text.contains(number)).map(
            |file| Finding::new(&file.path, 1, format!("hides the root's clippy.toml: repeat `{number}`")),
        );
    manifests.chain(thresholds).collect()
}

pub(crate) fn private_paths(tree: &Tree) -> Vec<Finding> {
    let roots: Vec<String> = PRIVATE.iter().map(|root| format!("/{root}/")).collect();
    tree.files
        .iter()
        .flat_map(|file| matching_lines(file, |line| roots.iter().any(|root| names_path(line, root))))
        .map(|(file, line)| Finding::new(&file.path, line, "names a path of one machine: make it relative"))
        .collect()
}

/// Whether `root` begins a path here, and is not the middle of a longer one.
fn names_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        let before = line.get(..at).and_then(|start| start.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}*~:/".contains(c))
    })
}

fn matching_lines(file: &File, wanted: impl Fn(&str) -> bool) -> Vec<(&File, usize)> {
    let numbered = file.text.lines().zip(1..);
    numbered.filter(|(line, _)| wanted(line)).map(|(_, number)| (file, number)).collect()
}

#[test]
fn a_path_is_private_only_from_its_beginning() {
    let root = format!("/{}/", PRIVATE[0]);
    assert!(names_path(&format!("cd {root}ann"), &root));
    assert!(!names_path(&format!("server{root}ann"), &root));
    assert!(!names_path(&format!("https://example.org{root}ann"), &root));
}

#[test]
fn the_lint_may_be_confirmed_and_spoken_of() {
    assert!(lifts_the_ban(&format!("#![allow({UNSAFE_LINT}, reason = \"…\")]")));
    assert!(!lifts_the_ban(&format!("#![forbid({UNSAFE_LINT})]")));
    assert!(!lifts_the_ban(&format!("//! `{UNSAFE_LINT}` is denied")));
}
