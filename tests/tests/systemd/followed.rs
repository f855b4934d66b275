//! deploy/README.md, followed by an operator who types every block on a fresh machine.

use crate::installed::has_bus;
use crate::machine::{Machine, Plan};
use sidewinder_tests::arena::tests;
use std::fs;
use std::path::Path;

const CHECKOUT: &str = "srv/checkout";

/// The `sh` blocks of a document.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match (&mut open, line) {
            (None, "```sh") => open = Some(String::new()),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

fn copy_tree(plan: &Plan, from: &Path, to: &str) {
    for item in fs::read_dir(from).unwrap().flatten() {
        let place = format!("{to}/{}", item.file_name().display());
        if item.path().is_dir() {
            copy_tree(plan, &item.path(), &place);
        } else {
            plan.copy(&place, &item.path());
        }
    }
}

#[test]
fn an_operator_who_follows_the_readme_gets_there() {
    let deploy = tests().join("../deploy");
    let furnish = |plan: &Plan| {
        copy_tree(plan, &deploy, &format!("{CHECKOUT}/deploy"));
        plan.copy(&format!("{CHECKOUT}/target/release/sidewinder"), plan.binary());
        plan.remove("usr/bin/sidewinder");
    };
    let Some(machine) = Machine::boot("followed", furnish) else { return };
    assert!(has_bus(&machine));
    let blocks = blocks(&fs::read_to_string(deploy.join("README.md")).unwrap());
    assert!(blocks.len() >= 9, "{} blocks", blocks.len());
    for block in blocks {
        let script = format!("set -eu\ncd /{CHECKOUT}\n{block}");
        let said = machine.run(&["sh", "-c", &script]);
        assert_eq!(said.status, 0, "{block}\n{said:?}\n{}", machine.journal());
    }
}
