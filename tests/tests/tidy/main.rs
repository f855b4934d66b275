//! The tidy test: rules of the house that no compiler knows.
//!
//! Each rule is a function from the tree to findings, and each finding says where and what to do.
//! A rule that has an exception names it, with its reason, in a constant at the top of its module.
//!
//! Deliberately not here: what another tool already judges. Function length and `unsafe` belong to
//! clippy and rustc (here it is only checked that nobody switched them off), the style of Python to ruff.

mod arrows;
mod commands;
mod confines;
mod keeper;
mod links;
mod markdown;
mod modules;
mod size;
mod snippets;
mod tree;

use std::fmt;
use std::io::Write;

use tree::Tree;

/// One broken rule at one place.
#[derive(Debug)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Reads the tree and fails with everything the rule found, not only the first.
#[track_caller]
fn hold(rule: impl Fn(&Tree) -> Vec<Finding>) {
    let findings =
        Tree::read().map_or_else(|error| vec![Finding::new(".", 1, error.to_string())], |tree| rule(&tree));
    assert!(findings.is_empty(), "\n{}\n", lines(&findings));
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn files_are_short() {
    hold(size::long_files);
}

#[test]
fn folders_are_small() {
    hold(size::full_folders);
}

/// Never fails: says what is on its way to failing. Past the test harness, which keeps quiet about success.
#[test]
fn what_grows_is_mentioned() {
    let tree = Tree::read().expect("the checkout can be read");
    let growing = size::growing(&tree);
    if !growing.is_empty() {
        writeln!(std::io::stderr(), "{}", lines(&growing)).expect("standard error takes a line");
    }
}

#[test]
fn modules_begin_with_their_theory() {
    hold(modules::without_theory);
}

#[test]
fn names_say_something() {
    hold(modules::empty_names);
}

#[test]
fn what_is_unsafe_stays_in_its_one_file() {
    hold(confines::unsafe_elsewhere);
}

#[test]
fn knowledge_goes_down() {
    hold(arrows::upward);
}

#[test]
fn the_keeper_is_read_in_one_sitting() {
    hold(keeper::too_long_for_one_sitting);
    hold(keeper::not_in_the_guide);
}

#[test]
fn what_the_keeper_stands_on_does_not_know_it() {
    hold(keeper::standing_on_more);
}

#[test]
fn every_crate_obeys_the_lints_of_the_workspace() {
    hold(confines::crates_without_lints);
}

#[test]
fn no_file_knows_a_developers_machine() {
    hold(confines::private_paths);
}

#[test]
fn links_and_paths_in_documents_exist() {
    hold(links::dead);
}

#[test]
fn commands_in_documents_exist() {
    hold(commands::unknown);
}

#[test]
fn commands_in_documents_run() {
    hold(snippets::failing);
}
