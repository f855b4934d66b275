//! Every fenced `sh` and `console` block of README.md and docs/ runs, as a reader would run it:
//! from top to bottom, in a new folder, with the built binary on the path.
//!
//! - `sh`: the block is a script and has to succeed.
//! - `console`: lines that begin with `$ ` are typed, the lines below are what has to come out. In
//!   them `…` stands for anything, and alone on a line for any lines. With nothing below, the output
//!   is not looked at. A command has to succeed, unless the next one is `echo $?`.
//! - Whatever must not run here (what installs, what needs another machine) is fenced as `text`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Finding;
use crate::markdown::{Document, Fence};
use crate::tree::{File, Tree};

/// A reader's patience with one block.
const SECONDS: &str = "60";
/// Printed between the outputs of a session; no program of ours prints it.
const SEPARATOR: char = '\u{1e}';

/// The binary under test: the one the Makefile built, or the one beside this test.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("SIDEWINDER_BIN").map_or_else(beside_this_test, PathBuf::from)
}

fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    test.ancestors().nth(2).unwrap_or(Path::new("")).join("sidewinder")
}

pub(crate) fn failing(tree: &Tree) -> Vec<Finding> {
    let told = tree.with_extension("md").filter(|file| file.path == "README.md" || file.folder() == "docs");
    told.flat_map(|file| {
        run(file).unwrap_or_else(|error| vec![Finding::new(&file.path, 1, format!("cannot be run: {error}"))])
    })
    .collect()
}

fn run(file: &File) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let document = Document::parse(&file.text);
    let folder = Folder::new(&file.path.replace('/', "-"))?;
    for fence in &document.fences {
        match fence.language {
            "sh" => findings.extend(run_script(file, fence, &folder)?),
            "console" => findings.extend(run_session(file, fence, &folder)?),
            _ => {}
        }
    }
    Ok(findings)
}

fn run_script(file: &File, fence: &Fence<'_>, folder: &Folder) -> io::Result<Option<Finding>> {
    let (succeeded, output) = folder.sh(&format!("set -eu\n{}\n", fence.lines.join("\n")))?;
    let what = format!("this block fails: correct it, or fence it as `text`. It printed:\n{output}");
    Ok((!succeeded).then(|| Finding::new(&file.path, fence.line, what)))
}

/// One typed command and what has to come out.
#[derive(Debug, Default)]
struct Typed<'a> {
    line: usize,
    command: String,
    expected: Vec<&'a str>,
}

fn typed<'a>(fence: &Fence<'a>) -> Vec<Typed<'a>> {
    let mut all: Vec<Typed<'a>> = Vec::new();
    for (line, number) in fence.lines.iter().zip(fence.line..) {
        match (line.strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) => {
                all.push(Typed { line: number, command: command.to_owned(), expected: Vec::new() });
            }
            (None, Some(last)) if last.command.ends_with('\\') => {
                last.command.push('\n');
                last.command.push_str(line);
            }
            (None, Some(last)) => last.expected.push(line.trim_end()),
            (None, None) => all.push(Typed { line: number, ..Typed::default() }),
        }
    }
    all
}

/// All commands go to one shell, so that `cd`, variables and `$?` work as they do for a reader.
fn run_session(file: &File, fence: &Fence<'_>, folder: &Folder) -> io::Result<Vec<Finding>> {
    let commands = typed(fence);
    let mark = format!("status=$?; printf '{SEPARATOR}%s\\n' \"$status\"; (exit \"$status\")\n");
    let script: Vec<String> = commands.iter().map(|typed| format!("{}\n{mark}", typed.command)).collect();
    let (_, output) = folder.sh(&script.concat())?;

    let mut findings = Vec::new();
    let mut rest = output.as_str();
    for (index, typed) in commands.iter().enumerate() {
        let (printed, status, after) = next_output(rest);
        rest = after;
        let status_is_shown = commands.get(index + 1).is_some_and(|next| next.command == "echo $?");
        let got: Vec<&str> = printed.lines().map(str::trim_end).collect();
        if typed.command.is_empty() {
            let what = "a `console` block begins with a `$ ` line";
            findings.push(Finding::new(&file.path, typed.line, what));
        } else if status != Some("0") && !status_is_shown {
            let what = format!("`{}` ends with {}:\n{printed}", typed.command, status.unwrap_or("no status"));
            findings.push(Finding::new(&file.path, typed.line, what));
        } else if !typed.expected.is_empty() && !agrees(&typed.expected, &got) {
            let what = format!("`{}` prints something else:\n{printed}", typed.command);
            findings.push(Finding::new(&file.path, typed.line, what));
        }
    }
    Ok(findings)
}

/// What one command printed, its status, and what the later ones printed.
fn next_output(output: &str) -> (&str, Option<&str>, &str) {
    let Some((printed, rest)) = output.split_once(SEPARATOR) else {
        return (output, None, "");
    };
    let (status, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    (printed, Some(status), rest)
}

fn agrees(expected: &[&str], got: &[&str]) -> bool {
    match expected.split_first() {
        None => got.is_empty(),
        Some((&"…", later)) => (0..=got.len()).any(|skipped| agrees(later, &got[skipped..])),
        Some((line, later)) => {
            got.split_first().is_some_and(|(first, rest)| line_agrees(line, first) && agrees(later, rest))
        }
    }
}

fn line_agrees(expected: &str, got: &str) -> bool {
    match expected.split_once('…') {
        None => expected == got,
        Some((start, later)) => got.strip_prefix(start).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| line_agrees(later, &rest[at..]))
        }),
    }
}

/// A new folder for the blocks of one document, with a home and a runtime directory of their own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("sidewinder-{}-{name}", std::process::id()));
        for part in ["here", "home", "run"] {
            fs::create_dir_all(folder.join(part))?;
        }
        Ok(Self(folder))
    }

    /// Runs a script and gives back whether it succeeded, and everything it printed. The output goes
    /// to a file: a daemon that the script leaves behind must not hold us up.
    fn sh(&self, script: &str) -> io::Result<(bool, String)> {
        let (script_file, output_file) = (self.0.join("script"), self.0.join("output"));
        fs::write(&script_file, script)?;
        let output = fs::File::create(&output_file)?;
        let binary = binary();
        let folder = binary.parent().unwrap_or(Path::new("")).display();
        let status = Command::new("timeout")
            .args(["--kill-after=5", SECONDS, "sh"])
            .arg(&script_file)
            .current_dir(self.0.join("here"))
            .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()))
            .env("HOME", self.0.join("home"))
            .env("SIDEWINDER_RUNTIME_DIR", self.0.join("run"))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()?;
        Ok((status.success(), String::from_utf8_lossy(&fs::read(&output_file)?).into_owned()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the temporary directory is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn expected_output_may_leave_things_open() {
    let got = ["tier A", "pid 17 of 18", "done"];
    assert!(agrees(&["tier A", "pid … of …", "done"], &got));
    assert!(agrees(&["tier A", "…"], &got));
    assert!(agrees(&["…", "done"], &got));
    assert!(!agrees(&["tier A", "done"], &got));
    assert!(!agrees(&["tier B", "…"], &got));
    assert!(!agrees(&["tier A", "pid …", "done", "more"], &got));
}

#[test]
fn a_block_that_lies_is_found() {
    let text = "```sh\nmkdir a\n```\n```sh\ncd a\nfalse\n```\n\
        ```console\n$ cd a && echo \\\n  1 2\n1 …\n$ pwd\n…/here/a\n$ echo 3\n4\n$ (exit 7)\n$ echo $?\n7\n$ false\n```\n";
    let file = File { path: "lies.md".to_owned(), text: text.to_owned() };
    let findings = run(&file).expect("a temporary folder can be made");
    let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [5, 14, 19], "{}", crate::lines(&findings));
}
