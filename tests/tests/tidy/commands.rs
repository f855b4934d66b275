//! Every `make …` and `sidewinder …` that a document names is a target of the Makefile, or a verb
//! and its flags according to the binary's own help.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::Finding;
use crate::markdown::{Document, code_spans};
use crate::snippets::binary;
use crate::tree::Tree;

/// A changelog tells of commands that were.
const HISTORY: &str = "CHANGELOG.md";

pub(crate) fn unknown(tree: &Tree) -> Vec<Finding> {
    let known = match Known::gather(tree) {
        Ok(known) => known,
        Err(what) => return vec![Finding::new("Makefile", 1, what)],
    };
    let mut findings = Vec::new();
    for file in tree.with_extension("md").filter(|file| file.name() != HISTORY) {
        for (line, command) in mentions(&Document::parse(&file.text)) {
            let wrong = known.judge(command);
            findings.extend(wrong.map(|what| Finding::new(&file.path, line, format!("`{command}`: {what}"))));
        }
    }
    findings
}

/// Whatever stands where a command could: a code span, or a line of a fenced block.
fn mentions<'a>(document: &Document<'a>) -> Vec<(usize, &'a str)> {
    let spans = document.prose.iter().flat_map(|(number, line)| code_spans(line).map(|span| (*number, span)));
    let fenced = document.fences.iter().flat_map(|fence| fence.lines.iter().zip(fence.line..));
    let typed = fenced.map(|(line, number)| (number, line.trim_start().trim_start_matches("$ ")));
    spans.chain(typed).collect()
}

/// The flags of one verb, without their dashes' values.
type Flags = BTreeSet<String>;

/// What can be typed.
struct Known {
    targets: BTreeSet<String>,
    /// The flags before any verb are under the empty name.
    verbs: BTreeMap<String, Flags>,
}

impl Known {
    fn gather(tree: &Tree) -> Result<Self, String> {
        let makefile =
            tree.files.iter().find(|file| file.path == "Makefile").ok_or("there is no Makefile")?;
        let general = help(&[])?;
        let mut verbs = BTreeMap::from([(String::new(), flags(&general))]);
        for verb in listed_verbs(&general) {
            let own = help(&[verb])?;
            verbs.insert(verb.to_owned(), flags(&own));
        }
        Ok(Self { targets: targets(&makefile.text), verbs })
    }

    /// What is wrong with the command, if it is one of ours.
    fn judge(&self, command: &str) -> Option<String> {
        let ends = ["&&", "||", "|", ";", "#", "--", "&"];
        let mut words = command
            .split_whitespace()
            .skip_while(|word| word.contains('=') && !word.starts_with('-'))
            .take_while(|word| !ends.contains(word))
            .map(|word| word.trim_matches(['[', ']', '(', ')', ',', '.', ';']))
            .filter(|word| !word.contains('…'));
        match words.next()? {
            "make" => words
                .find(|word| is_name(word) && !self.targets.contains(*word))
                .map(|word| format!("the Makefile has no target {word}")),
            "sidewinder" => self.judge_sidewinder(words.collect()),
            _ => None,
        }
    }

    fn judge_sidewinder(&self, mut words: Vec<&str>) -> Option<String> {
        let verb = words.first().copied().filter(|word| is_name(word)).unwrap_or_default();
        if !verb.is_empty() {
            words.remove(0);
        }
        let Some(flags) = self.verbs.get(verb) else {
            return Some(format!("the binary has no verb {verb}"));
        };
        let typed =
            words.iter().filter(|word| word.starts_with("--")).filter_map(|word| word.split('=').next());
        let mut wrong = typed.filter(|flag| !flags.contains(*flag));
        wrong.next().map(|flag| format!("there is no flag {flag}"))
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

fn help(verb: &[&str]) -> Result<String, String> {
    let binary = binary();
    let output = Command::new(&binary)
        .args(verb)
        .arg("--help")
        .output()
        .map_err(|error| format!("cannot run {}: {error}. `make build` makes it", binary.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn listed_verbs(help: &str) -> impl Iterator<Item = &str> {
    let section = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    section.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next())
}

fn flags(help: &str) -> Flags {
    let words = help.split(|c: char| c.is_whitespace() || ",=[]`'\"()".contains(c));
    words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(|word| word.trim_end_matches('.').to_owned())
        .collect()
}

fn targets(makefile: &str) -> BTreeSet<String> {
    let rules = makefile.lines().filter_map(|line| line.split_once(':'));
    rules.filter(|(name, _)| is_name(name)).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn commands_are_judged_by_what_is_known() {
    let keep: Flags = flags("      --limit NAME=VALUE  repeatable\n      --grace <DURATION>, see there.");
    let verbs = BTreeMap::from([(String::new(), Flags::from(["--help".into()])), ("keep".to_owned(), keep)]);
    let known = Known { targets: targets("run: build ## x\n.PHONY: run\n\tcmd: x\nA := b\n"), verbs };
    for fine in [
        "make run",
        "make",
        "MATRIX=full make run",
        "make …",
        "sidewinder",
        "sidewinder --help",
        "sidewinder keep [--limit memory=1G …] -- COMMAND --any",
        "sidewinder-core",
        "ls",
    ] {
        assert_eq!(known.judge(fine), None, "{fine}");
    }
    for wrong in ["make tea", "make run tea", "sidewinder tea", "sidewinder keep --tea=1", "sidewinder --tea"]
    {
        assert!(known.judge(wrong).is_some(), "{wrong}");
    }
}
