//! From what is written in the file, the environment and the flags to a draft: the later overrides the earlier.
//!
//! Pure: the file's text, the variables and the flags are given. Every problem is collected, and whatever is not at
//! fault is read all the same, so that nobody corrects a file one error at a time.

pub(super) mod document;

use super::keys::form::said;
use super::keys::{DAEMON, DaemonDraft, FLAGS, Key, Of, POOL, PoolDraft, SECTIONS, SHORT, split, variable};
use super::problem::{Place, Problems, nearest};
use document::Entry;
use std::collections::BTreeMap;
use std::path::Path;

/// The pool of a command line that names none.
pub(super) const DEFAULT_POOL: &str = "default";

/// What somebody wrote, wherever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written<'a> {
    pub(super) file: Option<(&'a Path, &'a str)>,
    pub(super) variables: &'a [(String, String)],
    /// Flags of `sidewinder run` with their values, and `--pool`.
    pub(super) flags: &'a [(&'static str, String)],
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) daemon: DaemonDraft,
    pub(crate) pools: BTreeMap<String, PoolDraft>,
    /// Where each key was written last, by its name from the top of the file; a pool counts as a key.
    pub(crate) places: BTreeMap<String, Place>,
    /// The file could not be understood as a whole, so nothing can be said of what is not there.
    pub(super) broken: bool,
}

/// Reads everything.
pub(super) fn read(written: Written<'_>) -> (Draft, Problems) {
    let mut draft = Draft::default();
    let mut problems = Problems::default();
    if let Some((path, text)) = written.file {
        let (entries, faults) = document::read(path, text);
        let lines: Vec<usize> = faults.0.iter().filter_map(|problem| line(&problem.place)).collect();
        draft.top(&entries, &mut problems);
        // What is said of a line that could not be understood is a guess.
        problems.0.retain(|problem| line(&problem.place).is_none_or(|line| !lines.contains(&line)));
        draft.broken = !faults.0.is_empty();
        problems.0.extend(faults.0);
    }
    draft.overrides(written, &mut problems);
    (draft, problems)
}

fn line(place: &Place) -> Option<usize> {
    match place {
        Place::File { line, .. } => Some(*line),
        Place::Variable(_) | Place::Flag(_) | Place::Unwritten => None,
    }
}

/// One value that overrides the file.
struct Override<'a> {
    of: Of,
    key: &'static str,
    place: Place,
    words: &'a str,
}

impl Draft {
    /// The place of the pool's key, or of the nearest thing that was written.
    pub(super) fn place(&self, pool: &str, key: &str) -> Place {
        let full = format!("pools.{pool}.{key}");
        let table = split(&full).0;
        let beside =
            || self.places.range(format!("{table}.")..).next().filter(|(name, _)| split(name).0 == table);
        let found = self.places.get(&full).or_else(|| beside().map(|(_, place)| place));
        found.or_else(|| self.places.get(&format!("pools.{pool}"))).cloned().unwrap_or(Place::Unwritten)
    }

    fn top(&mut self, entries: &[Entry], problems: &mut Problems) {
        for entry in entries {
            let is_section = SECTIONS.iter().any(|(name, _)| *name == entry.name);
            match entry.node.table() {
                Some(inner) if is_section => {
                    let table = Table { keys: DAEMON, top: "", path: entry.name.clone() };
                    table.fill(&mut self.daemon, inner, &mut self.places, problems);
                }
                Some(inner) if entry.name == "pools" => self.pools(inner, problems),
                None if is_section => {
                    let what = format!("this is a table: write [{}]", entry.name);
                    problems.add(&entry.place, &entry.name, what);
                }
                None if entry.name == "pools" => {
                    problems.add(&entry.place, "pools", "this is a table of tables: write [pools.NAME]");
                }
                Some(_) | None => {
                    let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).chain(["pools"]).collect();
                    unknown(entry, "", &names, problems);
                }
            }
        }
    }

    fn pools(&mut self, entries: &[Entry], problems: &mut Problems) {
        for entry in entries {
            let name = format!("pools.{}", entry.name);
            self.places.insert(name.clone(), entry.place.clone());
            let pool = self.pools.entry(entry.name.clone()).or_default();
            if let Some(inner) = entry.node.table() {
                let table = Table { keys: POOL, top: &name, path: String::new() };
                table.fill(pool, inner, &mut self.places, problems);
            } else {
                problems.add(&entry.place, &name, format!("a pool is a table: write [{name}]"));
            }
        }
    }

    fn overrides(&mut self, written: Written<'_>, problems: &mut Problems) {
        let mut overrides = from_variables(written.variables, problems);
        overrides.extend(written.flags.iter().filter_map(|(flag, words)| {
            let (_, of, key) = FLAGS.iter().find(|(known, _, _)| known == flag)?;
            Some(Override { of: *of, key, place: Place::Flag((*flag).to_owned()), words })
        }));
        let chosen = written.flags.iter().rev().find(|(flag, _)| *flag == "--pool");
        let chosen = chosen.map(|(flag, words)| (Place::Flag((*flag).to_owned()), words.clone()));
        let chosen = chosen.or_else(|| {
            let (name, words) = written.variables.iter().find(|(name, _)| name == "SIDEWINDER_POOL")?;
            (!words.is_empty()).then(|| (Place::Variable(name.clone()), words.clone()))
        });
        if let Some((place, name)) = &chosen {
            self.places.entry(format!("pools.{name}")).or_insert_with(|| place.clone());
            self.pools.entry(name.clone()).or_default();
        }
        for Override { of, key, place, words } in overrides {
            match of {
                Of::Daemon => {
                    apply(DAEMON, key, &mut self.daemon, &place, words, "", problems);
                    self.places.insert(key.to_owned(), place);
                }
                Of::Pool => self.override_pool(chosen.as_ref(), key, place, words, problems),
            }
        }
    }

    fn override_pool(
        &mut self,
        chosen: Option<&(Place, String)>,
        key: &str,
        place: Place,
        words: &str,
        problems: &mut Problems,
    ) {
        let mut known = self.pools.keys();
        let name = match (chosen, known.next(), known.next()) {
            (Some((_, name)), _, _) => name.clone(),
            (None, None, _) => DEFAULT_POOL.to_owned(),
            (None, Some(only), None) => only.clone(),
            (None, Some(_), Some(_)) => {
                let names: Vec<&str> = self.pools.keys().map(String::as_str).collect();
                let what = format!("of which pool? Say --pool with one of {}", names.join(", "));
                problems.add(&place, "", what);
                return;
            }
        };
        let top = format!("pools.{name}");
        let pool = self.pools.entry(name).or_default();
        apply(POOL, key, pool, &place, words, &top, problems);
        self.places.entry(top.clone()).or_insert_with(|| place.clone());
        self.places.insert(format!("{top}.{key}"), place);
    }
}

/// The variables that speak of a key. One that means nothing to us is a problem, unless it is not meant for us.
fn from_variables<'a>(variables: &'a [(String, String)], problems: &mut Problems) -> Vec<Override<'a>> {
    let known: Vec<(String, Of, &'static str)> = DAEMON
        .iter()
        .map(|key| (variable(Of::Daemon, key.name), Of::Daemon, key.name))
        .chain([(SHORT.0.to_owned(), Of::Daemon, SHORT.1)])
        .chain(POOL.iter().map(|key| (variable(Of::Pool, key.name), Of::Pool, key.name)))
        .collect();
    let prefixes = SECTIONS.iter().map(|(name, _)| *name).chain(["pool"]);
    let ours: Vec<String> = prefixes.map(|name| variable(Of::Daemon, name) + "_").collect();
    let mut overrides = Vec::new();
    for (name, words) in variables {
        // Whatever starts us may have to name a variable also when it has nothing to say.
        if words.is_empty() || (name != SHORT.0 && !ours.iter().any(|prefix| name.starts_with(prefix))) {
            continue;
        }
        let place = Place::Variable(name.clone());
        if let Some((_, of, key)) = known.iter().find(|(known, _, _)| known == name) {
            overrides.push(Override { of: *of, key, place, words });
        } else if !["_SERVICE_", "_PORT"].iter().any(|part| name.contains(part)) {
            // Those are made by Kubernetes for its services.
            let meant = nearest(name, known.iter().map(|(known, _, _)| known.as_str()));
            problems.guess(&place, "", "no setting has this variable", meant);
        }
    }
    overrides
}

fn apply<T>(
    keys: &[Key<T>],
    name: &str,
    target: &mut T,
    place: &Place,
    words: &str,
    top: &str,
    problems: &mut Problems,
) {
    let Some(key) = keys.iter().find(|key| key.name == name) else { return };
    if let Err(wrong) = (key.set)(target, &said(place.clone(), words)) {
        problems.add_all(&joined(top, name), wrong);
    }
}

/// A table of the file: which keys it may have, and where it is.
struct Table<'a, T: 'static> {
    keys: &'static [Key<T>],
    /// Of the pool, or nothing.
    top: &'a str,
    /// Below that.
    path: String,
}

impl<T> Table<'_, T> {
    fn fill(
        &self,
        target: &mut T,
        entries: &[Entry],
        places: &mut BTreeMap<String, Place>,
        problems: &mut Problems,
    ) {
        for entry in entries {
            let name = joined(&self.path, &entry.name);
            let full = joined(self.top, &name);
            let inside = format!("{name}.");
            if let Some(key) = self.keys.iter().find(|key| key.name == name) {
                places.insert(full.clone(), entry.place.clone());
                if let Err(wrong) = (key.set)(target, &entry.node) {
                    problems.add_all(&full, wrong);
                }
            } else if self.keys.iter().any(|key| key.name.starts_with(&inside)) {
                if let Some(inner) = entry.node.table() {
                    let below = Table { keys: self.keys, top: self.top, path: name };
                    below.fill(target, inner, places, problems);
                } else {
                    problems.add(&entry.place, &full, format!("this is a table: write [{full}]"));
                }
            } else {
                unknown(entry, &joined(self.top, &self.path), &self.names(), problems);
            }
        }
    }

    /// Every name that can stand in this table.
    fn names(&self) -> Vec<&'static str> {
        let inside = if self.path.is_empty() { String::new() } else { format!("{}.", self.path) };
        let below = self.keys.iter().filter_map(|key| key.name.strip_prefix(inside.as_str()));
        let mut names: Vec<&str> = below.filter_map(|name| name.split('.').next()).collect();
        names.dedup();
        names
    }
}

fn unknown(entry: &Entry, table: &str, names: &[&'static str], problems: &mut Problems) {
    let full = joined(table, &entry.name);
    let home = home(&entry.name);
    let meant = if home.is_none() { nearest(&entry.name, names.iter().copied()) } else { None };
    let what = match (&home, &meant) {
        (Some(home), _) => format!("there is no such key here: it belongs below [{home}]"),
        (None, Some(_)) => "there is no such key".to_owned(),
        (None, None) => format!("there is no such key; there are {}", names.join(", ")),
    };
    problems.guess(&entry.place, &full, what, meant);
}

/// The table where a key of this name belongs.
fn home(name: &str) -> Option<String> {
    let daemon = DAEMON.iter().map(|key| split(key.name)).find(|(_, leaf)| *leaf == name);
    let pool = || POOL.iter().map(|key| split(key.name)).find(|(_, leaf)| *leaf == name);
    let pool = || pool().map(|(table, _)| joined("pools.NAME", table));
    daemon.map(|(table, _)| table.to_owned()).or_else(pool)
}

fn joined(table: &str, name: &str) -> String {
    let parts: Vec<&str> = [table, name].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(".")
}
