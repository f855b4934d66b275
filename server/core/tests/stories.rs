//! Stories in data files: what happens, when, and what is decided.
//!
//! ```text
//! # a comment
//! policy workers=1..2 headroom=0 waiting=2      settings that differ from the default
//! 0ms    start           -> spawn 0.1 g0        time, event, the exact effects in order
//! 1s     ready 0.1                              no arrow: no effect
//! 2s     submit 1 client=7 deadline=1s          a deadline counts from the event
//!        -> assign 1 0.1                        effects may go on below
//!        see 0=RUNNING waiting=0 phase=Serving  what a snapshot shows
//!        next 3s                                the next deadline
//! ```
//!
//! Between two lines every deadline is kept to the moment, and must decide nothing: what a pool does by itself
//! has to be told as a `wait`.
#![expect(clippy::disallowed_methods, reason = "a story starts at a real instant, and only there")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a story fails by its file and line"
)]

#[path = "story/event.rs"]
mod event;
#[path = "story/settings.rs"]
mod settings;
#[path = "story/tell.rs"]
mod tell;

use std::path::Path;

#[test]
fn every_story_ends_as_it_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "story"));
    files.sort();
    assert!(files.len() >= 10, "the stories are missing");
    let problems: Vec<String> = files.iter().filter_map(|file| tell::tell(file).err()).collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
