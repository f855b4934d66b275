//! The keeper stays what a reviewer reads in one sitting, and stands on crates that do not know it.

use crate::Finding;
use crate::tree::{File, Tree};

/// Its own crate, without what it stands on.
const KEEPER: &str = "server/keeper/src/";
/// Lines of code in all its files: neither blank, nor a comment, nor a test.
const CODE_MAX: usize = 800;
/// Where the order is told in which it is read.
const GUIDE: &str = "server/keeper/src/lib.rs";
/// Each crate, and which of ours it may stand on.
const STANDS_ON: &[(&str, &[&str])] = &[
    ("server/keeper/kernel/Cargo.toml", &[]),
    ("server/keeper/wire/Cargo.toml", &[]),
    ("server/keeper/warden/Cargo.toml", &["sidewinder-keeper-kernel", "sidewinder-keeper-wire"]),
    (
        "server/keeper/Cargo.toml",
        &["sidewinder-keeper-kernel", "sidewinder-keeper-warden", "sidewinder-keeper-wire"],
    ),
];

pub(crate) fn too_long_for_one_sitting(tree: &Tree) -> Vec<Finding> {
    let total: usize = files(tree).map(|file| lines_of_code(&file.text)).sum();
    let what = format!(
        "{total} lines of code, the bound is {CODE_MAX}: make it simpler, or find what is not the keeper"
    );
    let unbounded = total > CODE_MAX || total == 0;
    unbounded.then(|| Finding::new(KEEPER, 1, what)).into_iter().collect()
}

/// Each file has its place in the order of reading.
pub(crate) fn not_in_the_guide(tree: &Tree) -> Vec<Finding> {
    let guide = tree.files.iter().find(|file| file.path == GUIDE).map_or("", |file| &file.text);
    let told =
        |name: &str| guide.lines().any(|line| line.starts_with("//!") && line.contains(&format!("`{name}`")));
    files(tree)
        .filter(|file| file.path != GUIDE && !told(file.name()))
        .map(|file| Finding::new(&file.path, 1, format!("has no place in the order of reading in {GUIDE}")))
        .collect()
}

pub(crate) fn standing_on_more(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (manifest, allowed) in STANDS_ON {
        let Some(file) = tree.files.iter().find(|file| file.path == *manifest) else {
            findings.push(Finding::new(manifest, 1, "is gone: change the rule with it"));
            continue;
        };
        let lines = file.text.lines().zip(1..).skip_while(|(line, _)| *line != "[dependencies]").skip(1);
        for (line, number) in lines.take_while(|(line, _)| !line.starts_with('[')) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if name.starts_with("sidewinder") && !allowed.contains(&name) {
                findings.push(Finding::new(manifest, number, format!("may not stand on {name}")));
            }
        }
    }
    findings
}

fn files(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.with_extension("rs").filter(|file| file.path.starts_with(KEEPER))
}

/// Tests stand at the end of a file.
fn lines_of_code(text: &str) -> usize {
    let code = text.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]");
    code.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[test]
fn comments_blank_lines_and_tests_are_no_code() {
    let text = "//! Theory.\n\nfn one() {\n    // Why.\n    two();\n}\n\n#[cfg(test)]\nmod tests {}\n";
    assert_eq!(lines_of_code(text), 3);
}

#[test]
fn a_file_that_is_too_long_or_not_told_of_and_a_crate_that_knows_more_are_found() {
    let file = |path: &str, text: String| File { path: path.to_owned(), text };
    let manifest = |name: &str| format!("[dependencies]\nlibc = \"1\"\n{name}.workspace = true\n\n[lints]\n");
    let mut files = vec![
        file(GUIDE, "//! 1. `told.rs`\n".to_owned()),
        file("server/keeper/src/told.rs", "one();\n".repeat(CODE_MAX)),
    ];
    files.extend(STANDS_ON.iter().map(|(path, _)| file(path, manifest("sidewinder-keeper-wire"))));
    let mut tree = Tree { files };
    assert!(too_long_for_one_sitting(&tree).is_empty() && not_in_the_guide(&tree).is_empty());
    let knows: Vec<String> = standing_on_more(&tree).into_iter().map(|finding| finding.path).collect();
    assert_eq!(knows, ["server/keeper/kernel/Cargo.toml", "server/keeper/wire/Cargo.toml"]);
    tree.files.push(file("server/keeper/src/more.rs", "one();\n".to_owned()));
    assert_eq!((too_long_for_one_sitting(&tree).len(), not_in_the_guide(&tree).len()), (1, 1));
}
