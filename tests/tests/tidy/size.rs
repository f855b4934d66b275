//! House numbers: a file is about 150 lines and a folder holds what fits in a head.

use std::collections::BTreeMap;

use crate::Finding;
use crate::tree::{File, Tree};

const FILE_SMELLS: usize = 400;
const FILE_FAILS: usize = 500;
/// A table of cases may run longer than what it tests.
const TEST_FILE_FAILS: usize = 600;

const FOLDER_SMELLS: usize = 10;
const FOLDER_FAILS: usize = 12;
/// Folders that are collections: one more of the same does not make them harder to read.
const COLLECTIONS: &[(&str, &str)] = &[
    ("tests/zoo", "one animal a file"),
    ("tests/machine/guest", "one family of cases a file, all on one disk"),
];

/// Past the number that fails.
pub(crate) fn long_files(tree: &Tree) -> Vec<Finding> {
    measured(tree)
        .filter(|(file, lines)| *lines > bound(file))
        .map(|(file, lines)| {
            let what = format!("{lines} lines, the bound is {}: split it by what it knows", bound(file));
            Finding::new(&file.path, lines, what)
        })
        .collect()
}

/// Past the number that fails, counting modules only: the root has its files from the tools.
pub(crate) fn full_folders(tree: &Tree) -> Vec<Finding> {
    folders(tree)
        .into_iter()
        .filter(|(_, files)| *files > FOLDER_FAILS)
        .map(|(folder, files)| {
            let what =
                format!("{files} modules, the bound is {FOLDER_FAILS}: give some a folder of their own");
            Finding::new(folder, 1, what)
        })
        .collect()
}

/// Past the number that smells, and not yet failing.
pub(crate) fn growing(tree: &Tree) -> Vec<Finding> {
    let files = measured(tree).filter(|(file, lines)| *lines > FILE_SMELLS && *lines <= bound(file)).map(
        |(file, lines)| {
            Finding::new(&file.path, lines, format!("warning: {lines} lines, {FILE_SMELLS} smell"))
        },
    );
    let folders = folders(tree)
        .into_iter()
        .filter(|(_, files)| *files > FOLDER_SMELLS && *files <= FOLDER_FAILS)
        .map(|(folder, files)| {
            Finding::new(folder, 1, format!("warning: {files} modules, {FOLDER_SMELLS} is the house number"))
        });
    files.chain(folders).collect()
}

fn measured(tree: &Tree) -> impl Iterator<Item = (&File, usize)> {
    tree.files.iter().filter(|file| file.is_source()).map(|file| (file, file.text.lines().count()))
}

fn bound(file: &File) -> usize {
    if file.is_test() { TEST_FILE_FAILS } else { FILE_FAILS }
}

fn folders(tree: &Tree) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for file in tree.files.iter().filter(|file| file.is_source()) {
        *counts.entry(file.folder()).or_default() += 1;
    }
    for (collection, _reason) in COLLECTIONS {
        counts.remove(collection);
    }
    counts
}
