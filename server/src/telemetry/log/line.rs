//! One line of the log: what `tracing` tells, with the fields that operators look for by name.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;
use std::time::SystemTime;
use tracing::Level;
use tracing::field::{Field, Visit};

/// One line of the log.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// Counts the lines of this run, from 1.
    pub(crate) sequence: u64,
    #[serde(serialize_with = "show")]
    pub(crate) at: At,
    #[serde(serialize_with = "show")]
    pub(crate) level: Level,
    pub(crate) text: String,
    /// Empty: of the daemon.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) pool: String,
    /// Empty: of the whole pool.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) worker: String,
    /// Zero: of no call, or nobody knows of which.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) call: u64,
    /// What a worker has printed: `stdout`, `stderr`, or `log` for what it said by its context.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) stream: String,
    /// The event that it tells. Empty: it tells none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) what: String,
    #[serde(flatten)]
    pub(crate) fields: BTreeMap<String, String>,
}

/// A moment, shown as RFC 3339.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) SystemTime);

impl fmt::Display for At {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at = prost_types::Timestamp::from(self.0);
        at.nanos -= at.nanos % 1_000_000;
        // Always as wide: a whole second would be shown without a fraction.
        let text = at.to_string();
        let whole = text.trim_end_matches('Z');
        if whole.contains('.') { write!(out, "{whole}Z") } else { write!(out, "{whole}.000Z") }
    }
}

impl Line {
    pub(super) fn new(level: Level) -> Self {
        Self {
            sequence: 0,
            at: At(SystemTime::now()),
            level,
            text: String::new(),
            pool: String::new(),
            worker: String::new(),
            call: 0,
            stream: String::new(),
            what: String::new(),
            fields: BTreeMap::new(),
        }
    }

    /// What the log says about itself.
    pub(super) fn note(level: Level, text: String) -> Self {
        Self { text, ..Self::new(level) }
    }

    /// Bytes that it holds, roughly.
    pub(super) fn weight(&self) -> usize {
        let field =
            |(name, value): (&String, &String)| name.len() + value.len() + size_of::<(String, String)>();
        let fields: usize = self.fields.iter().map(field).sum();
        size_of::<Self>() + self.text.len() + self.pool.len() + self.worker.len() + fields
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// For people. Nothing in it drives their terminal.
    pub(crate) fn human(&self, coloured: bool) -> String {
        let (on, off) = if coloured { (colour(self.level), "\x1b[0m") } else { ("", "") };
        format!("{} {on}{:>5}{off} {}", self.at, self.level, self.said())
    }

    /// Who said what, without when and how loud. Nothing in it drives a terminal.
    pub(super) fn said(&self) -> String {
        let mut line = String::new();
        self.write_place(&mut line);
        line.extend(self.text.chars().map(shown));
        for (name, value) in &self.fields {
            let _ = write!(line, " {name}=");
            line.extend(value.chars().map(shown));
        }
        line
    }

    fn write_place(&self, line: &mut String) {
        line.push_str(&self.pool);
        if !self.worker.is_empty() {
            let _ = write!(line, "/{}", self.worker);
        }
        if self.call != 0 {
            let _ = write!(line, " call {}", self.call);
        }
        if !self.stream.is_empty() {
            let _ = write!(line, " {}", self.stream);
        }
        if !self.pool.is_empty() {
            line.push_str(": ");
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.text),
            "pool" => value.clone_into(&mut self.pool),
            "worker" => value.clone_into(&mut self.worker),
            "stream" => value.clone_into(&mut self.stream),
            "what" => value.clone_into(&mut self.what),
            name => {
                self.fields.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "call" {
            self.call = value;
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn shown(c: char) -> char {
    if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[2m",
    }
}

fn show<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn line() -> Line {
        Line {
            sequence: 7,
            at: At(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)),
            pool: "image".to_owned(),
            worker: "2.1".to_owned(),
            stream: "stdout".to_owned(),
            ..Line::note(Level::WARN, "a\x1b[2Jb".to_owned())
        }
    }

    #[test]
    fn people_see_who_spoke_and_nothing_drives_their_terminal() {
        let expected = "1970-01-01T00:00:01.500Z  WARN image/2.1 stdout: a\u{fffd}[2Jb";
        assert_eq!(line().human(false), expected);
        assert!(line().human(true).contains("\x1b[33m WARN\x1b[0m"));
    }

    #[test]
    fn programs_get_one_object_a_line() {
        let json: serde_json::Value = serde_json::from_str(&line().json()).expect("JSON");
        assert_eq!(json["at"], "1970-01-01T00:00:01.500Z");
        assert_eq!(
            (&json["level"], &json["pool"], &json["worker"]),
            (&"WARN".into(), &"image".into(), &"2.1".into())
        );
        assert_eq!(json["text"], "a\x1b[2Jb");
        assert_eq!(json.get("call"), None);
    }

    #[test]
    fn a_whole_second_is_as_wide_as_any_other() {
        assert_eq!(At(SystemTime::UNIX_EPOCH).to_string(), "1970-01-01T00:00:00.000Z");
    }
}
