//! The forms of values: how each is written, read and shown.
//!
//! A form is a type without values. What it reads and shows is a type parameter, so that a count can be a `u8` here
//! and an optional `u32` there, and nobody writes the bounds twice.

use crate::config::problem::{Place, Wrong};
use crate::config::reading::document::{Node, Value};
use crate::config::time;
use crate::lifecycle::{self, Mode, Patience};
use crate::own::limit;
use crate::own::subtree::Wish;
use crate::systemd::When;
use crate::telemetry::log::filter;
use crate::telemetry::{LogFormat, masked};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How a value is written, for people.
pub(crate) trait Said {
    const SAID: &'static str;
}

/// How a value becomes a `T`, and the way back; nothing to show means that it is absent.
pub(crate) trait Form<T>: Said {
    fn read(node: &Node) -> Result<T, Wrong>;
    fn show(value: &T) -> Option<String>;
}

macro_rules! forms {
    ($($(#[$why:meta])* $name:ident: $said:literal;)+) => {
        $($(#[$why])* pub(crate) struct $name;
        impl Said for $name {
            const SAID: &'static str = $said;
        })+
    };
}

forms! {
    Count: "a whole number";
    Bytes: "a size, such as 512KiB or 64MiB";
    Span: "a duration, such as 250ms, 5s, 2m or 1h";
    Text: "a text";
    File: "a path; a relative one starts at the file that says it";
    /// A program by its name is looked for on the path.
    Program: "a path, or a name to be looked for on the path";
    List: "a list of texts";
    Arguments: "a list of texts";
    Truth: "true or false";
    Switch: "`auto` or `off`";
    Group: "`auto`, `off`, or the path of a cgroup";
    Placement: "`unit` or `scope`";
    Users: "a list of user names and numbers";
    Address: "an address and a port, such as 127.0.0.1:9000";
    Url: "an http or https URL";
    Filter: "`off`, `error`, `warn`, `info`, `debug`, `trace`, or target=level with commas between";
    Look: "`auto`, `human` or `json`";
    Readiness: "`healthy` or `listening`";
    Variables: "a table of texts";
    Tightness: "`auto`, `coupled`, `supervised`, `independent` or `distributed`";
    Wait: "a duration, or `never`";
}

impl<T, F: Form<T>> Form<Option<T>> for F {
    fn read(node: &Node) -> Result<Option<T>, Wrong> {
        F::read(node).map(Some)
    }

    fn show(value: &Option<T>) -> Option<String> {
        value.as_ref().and_then(F::show)
    }
}

macro_rules! numbers {
    ($($number:ty)+) => {
        $(impl Form<$number> for Count {
            fn read(node: &Node) -> Result<$number, Wrong> {
                let number = match &node.value {
                    Value::Whole(number) => Some(*number),
                    Value::Words(words) => words.trim().parse().ok(),
                    Value::Text(_)
                    | Value::Real(_)
                    | Value::Flag(_)
                    | Value::List(_)
                    | Value::Table(_)
                    | Value::Strange => None,
                };
                let number = number.ok_or_else(|| wrong::<Self>(node))?;
                <$number>::try_from(number).map_err(|_| {
                    // TOML has no larger numbers.
                    let most = u64::try_from(<$number>::MAX).unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs());
                    told(node, format!("{number} is out of range: write a whole number from 0 to {most}"))
                })
            }

            fn show(value: &$number) -> Option<String> {
                Some(value.to_string())
            }
        }

        impl Form<$number> for Bytes {
            fn read(node: &Node) -> Result<$number, Wrong> {
                let bytes = limit::size(&words::<Self>(node)?).map_err(|what| told(node, what))?;
                <$number>::try_from(bytes).map_err(|_| {
                    let most = limit::shown(u64::try_from(<$number>::MAX).unwrap_or(u64::MAX));
                    told(node, format!("{} is out of range: at most {most}", limit::shown(bytes)))
                })
            }

            fn show(value: &$number) -> Option<String> {
                Some(quoted(&limit::shown(u64::try_from(*value).unwrap_or(u64::MAX))))
            }
        })+
    };
}

numbers!(u8 u16 u32 u64 usize);

/// A form that is read from a text, a number standing for the text that it is written as.
macro_rules! texts {
    ($($form:ident: $of:ty, $node:ident $read:expr, $value:ident $show:expr;)+) => {
        $(impl Form<$of> for $form {
            fn read($node: &Node) -> Result<$of, Wrong> {
                $read
            }

            fn show($value: &$of) -> Option<String> {
                $show
            }
        })+
    };
}

texts! {
    Span: Duration,
        node time::duration(&words::<Self>(node)?).map_err(|what| told(node, what)),
        span Some(quoted(&time::shown(*span)));
    Text: String, node words::<Self>(node), text Some(quoted(text));
    File: PathBuf, node path::<Self>(node, true), path Some(quoted(&path.to_string_lossy()));
    Program: PathBuf,
        node words::<Self>(node).and_then(|words| path::<Self>(node, words.contains('/'))),
        path Some(quoted(&path.to_string_lossy()));
    Truth: bool, node truth(node), truth Some(truth.to_string());
    Switch: bool,
        node one_of::<Self, _>(node, &[("auto", true), ("off", false)]),
        on Some(quoted(if *on { "auto" } else { "off" }));
    Placement: bool,
        node one_of::<Self, _>(node, &[("unit", false), ("scope", true)]),
        scope Some(quoted(if *scope { "scope" } else { "unit" }));
    Group: Wish, node group(node), wish Some(match wish {
            // A scope is said by another key.
            Wish::Auto | Wish::Scope => quoted("auto"),
            Wish::Off => quoted("off"),
            Wish::Below(path) => quoted(&path.to_string_lossy()),
        });
    Address: SocketAddr,
        node words::<Self>(node)?.parse().map_err(|_| wrong::<Self>(node)),
        address Some(quoted(&address.to_string()));
    Url: String, node url(node), url Some(quoted(&masked::url(url)));
    Filter: String, node log_filter(node), filter Some(quoted(filter));
    Look: LogFormat, node one_of::<Self, _>(node, &LOOKS), look shown_of(&LOOKS, look);
    Tightness: lifecycle::Wish, node one_of::<Self, _>(node, &MODES), wish shown_of(&MODES, wish);
    Wait: Patience, node wait(node), patience Some(match patience {
            Patience::Never => quoted("never"),
            Patience::For(span) => quoted(&time::shown(*span)),
        });
    Readiness: When, node one_of::<Self, _>(node, &WHENS), when shown_of(&WHENS, when);
    List: Vec<String>,
        node all(items(node, wrong::<Self>)?.iter().map(words::<Text>)),
        items shown_list(items.iter().map(|item| quoted(item)));
    Arguments: Vec<String>,
        node List::read(node),
        items shown_list(items.iter().map(|item| quoted(&masked::argument(item))));
    Users: Vec<u32>,
        node all(items(node, wrong::<Self>)?.iter().map(user)),
        users shown_list(users.iter().map(u32::to_string));
    Variables: BTreeMap<String, String>, node variables(node), variables shown_names(variables);
}

const LOOKS: [(&str, LogFormat); 3] =
    [("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)];

const MODES: [(&str, lifecycle::Wish); 5] = [
    ("auto", lifecycle::Wish::Auto),
    ("coupled", lifecycle::Wish::Is(Mode::Coupled)),
    ("supervised", lifecycle::Wish::Is(Mode::Supervised)),
    ("independent", lifecycle::Wish::Is(Mode::Independent)),
    ("distributed", lifecycle::Wish::Is(Mode::Distributed)),
];

fn wait(node: &Node) -> Result<Patience, Wrong> {
    let written = words::<Wait>(node)?;
    if written == "never" {
        return Ok(Patience::Never);
    }
    time::duration(&written).map(Patience::For).map_err(|what| told(node, format!("{what}, or `never`")))
}
const WHENS: [(&str, When); 2] = [("healthy", When::Healthy), ("listening", When::Listening)];

/// This text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted + "\""
}

/// A text, or what a number stands for.
pub(super) fn words<S: Said>(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::Text(text) | Value::Words(text) => Ok(text.clone()),
        Value::Whole(number) => Ok(number.to_string()),
        Value::Real(number) => Ok(number.to_string()),
        Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Strange => Err(wrong::<S>(node)),
    }
}

pub(super) fn told(node: &Node, what: impl Into<String>) -> Wrong {
    Wrong(vec![(node.place.clone(), what.into())])
}

fn wrong<S: Said>(node: &Node) -> Wrong {
    let got = match &node.value {
        Value::Text(text) | Value::Words(text) => format!("`{text}`"),
        Value::Whole(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Strange => "this".to_owned(),
    };
    told(node, format!("{got} is not what belongs here: write {}", S::SAID))
}

fn one_of<S: Said, T: Copy>(node: &Node, names: &[(&str, T)]) -> Result<T, Wrong> {
    let written = words::<S>(node)?;
    names.iter().find(|(name, _)| *name == written).map(|(_, value)| *value).ok_or_else(|| wrong::<S>(node))
}

fn shown_of<T: PartialEq>(names: &[(&str, T)], value: &T) -> Option<String> {
    names.iter().find(|(_, known)| known == value).map(|(name, _)| quoted(name))
}

fn truth(node: &Node) -> Result<bool, Wrong> {
    if let Value::Flag(flag) = &node.value {
        return Ok(*flag);
    }
    if let Value::Words(words) = &node.value {
        return words.parse().map_err(|_| wrong::<Truth>(node));
    }
    Err(wrong::<Truth>(node))
}

/// A path of a file begins where the file is, so that both can be moved together.
fn path<S: Said>(node: &Node, resolve: bool) -> Result<PathBuf, Wrong> {
    let written = words::<S>(node)?;
    if written.is_empty() {
        return Err(wrong::<S>(node));
    }
    if !resolve {
        return Ok(written.into());
    }
    std::path::absolute(node.place.folder().join(&written)).map_err(|error| told(node, error.to_string()))
}

fn group(node: &Node) -> Result<Wish, Wrong> {
    Ok(match words::<Group>(node)?.as_str() {
        "auto" => Wish::Auto,
        "off" => Wish::Off,
        _ => Wish::Below(path::<Group>(node, true)?),
    })
}

/// Whoever writes the log says what it understands.
fn log_filter(node: &Node) -> Result<String, Wrong> {
    let written = words::<Filter>(node)?;
    filter(&written).map_err(|what| told(node, what))?;
    Ok(written)
}

fn url(node: &Node) -> Result<String, Wrong> {
    let text = words::<Url>(node)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']));
    if host && !text.contains(char::is_whitespace) {
        Ok(text)
    } else {
        Err(wrong::<Url>(&said(node.place.clone(), &masked::url(&text))))
    }
}

/// The items of a list; in a variable or a flag they stand between commas.
fn items(node: &Node, wrong: fn(&Node) -> Wrong) -> Result<Vec<Node>, Wrong> {
    if let Some(items) = node.list() {
        return Ok(items.to_vec());
    }
    let Value::Words(words) = &node.value else { return Err(wrong(node)) };
    let parts = words.split(',').map(str::trim).filter(|part| !part.is_empty());
    Ok(parts.map(|part| said(node.place.clone(), part)).collect())
}

/// Every item, or everything that is wrong with any of them.
fn all<T>(items: impl Iterator<Item = Result<T, Wrong>>) -> Result<Vec<T>, Wrong> {
    let (mut good, mut bad) = (Vec::new(), Wrong::default());
    for item in items {
        match item {
            Ok(item) => good.push(item),
            Err(wrong) => bad.0.extend(wrong.0),
        }
    }
    if bad.0.is_empty() { Ok(good) } else { Err(bad) }
}

fn shown_list(items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<String> = items.collect();
    (!items.is_empty()).then(|| format!("[{}]", items.join(", ")))
}

/// A user by number, or by a name that this machine knows.
fn user(node: &Node) -> Result<u32, Wrong> {
    let written = words::<Users>(node)?;
    if written.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return written.parse().map_err(|_| wrong::<Users>(node));
    }
    let table = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = users.find_map(|fields| match fields.as_slice() {
        [name, _, number, ..] if *name == written => number.parse().ok(),
        _ => None,
    });
    let unknown = || format!("/etc/passwd knows no user `{written}`: write a name from there, or a number");
    found.ok_or_else(|| told(node, unknown()))
}

/// Values may be secrets, so no problem shows one.
fn variables(node: &Node) -> Result<BTreeMap<String, String>, Wrong> {
    let Some(entries) = node.table() else {
        return Err(told(node, "only a table belongs here: write { NAME = \"text\" }"));
    };
    let read = entries.iter().map(|entry| {
        let at = |what| Wrong(vec![(entry.place.clone(), what)]);
        if entry.name.is_empty() || entry.name.contains(['=', '\0']) {
            return Err(at(format!("`{}` is no name of a variable", entry.name.escape_debug())));
        }
        let value = words::<Text>(&entry.node).ok().filter(|value| !value.contains('\0'));
        let value = value.ok_or_else(|| at(format!("the value of {} is no text", entry.name)))?;
        Ok((entry.name.clone(), value))
    });
    Ok(all(read)?.into_iter().collect())
}

/// Only names: a value may be a secret.
fn shown_names(variables: &BTreeMap<String, String>) -> Option<String> {
    let names = variables.keys().map(|name| format!("{} = \"…\"", quoted(name)));
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| format!("{{ {} }}", names.join(", ")))
}

/// What a flag or a variable says.
pub(crate) fn said(place: Place, words: &str) -> Node {
    Node { place, value: Value::Words(words.to_owned()) }
}
