//! What is wrong with what somebody wrote: where, what, what is allowed, and perhaps what was meant.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the file, counted from 1; the column in characters.
    File { path: Arc<Path>, line: usize, column: usize },
    /// In an environment variable.
    Variable(String),
    /// On the command line.
    Flag(String),
    /// Nowhere: that is what is wrong, or it is a default.
    Unwritten,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    /// The key from the top of the file, with dots; empty when no key is at fault.
    pub(crate) key: String,
    pub(crate) what: String,
    /// The name that was probably meant.
    pub(crate) meant: Option<String>,
}

/// Every problem, in the order in which they are met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

/// Everything that is wrong with one value.
#[derive(Clone, Debug, Default)]
pub(super) struct Wrong(pub(super) Vec<(Place, String)>);

impl Place {
    /// The folder from which a path that is written here starts.
    pub(super) fn folder(&self) -> PathBuf {
        match self {
            Self::File { path, .. } => path.parent().unwrap_or(Path::new("")).to_owned(),
            Self::Variable(_) | Self::Flag(_) | Self::Unwritten => PathBuf::new(),
        }
    }
}

impl Problems {
    pub(super) fn add(&mut self, place: &Place, key: &str, what: impl Into<String>) {
        self.guess(place, key, what, None);
    }

    pub(super) fn guess(&mut self, place: &Place, key: &str, what: impl Into<String>, meant: Option<String>) {
        self.0.push(Problem { place: place.clone(), key: key.to_owned(), what: what.into(), meant });
    }

    pub(super) fn add_all(&mut self, key: &str, wrong: Wrong) {
        wrong.0.into_iter().for_each(|(place, what)| self.add(&place, key, what));
    }

    /// By place, each once.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort();
        self.0.dedup();
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
            Self::Unwritten => f.write_str("settings"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        self.meant.as_ref().map_or(Ok(()), |meant| write!(f, "; did you mean `{meant}`?"))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// A name with more bytes than this is no slip of the pen.
const GUESSED_MAX: usize = 100;

/// The name that is so near to what was written that it was probably meant.
pub(super) fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    if written.len() > GUESSED_MAX {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let near = names.map(|name| (distance(&plain(written), &plain(name)), name)).min()?;
    (near.0 <= (written.chars().count() / 3).max(1)).then(|| near.1.to_owned())
}

/// How many characters have to be added, removed, replaced or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let swapped = i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
                let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replaced.min(swap).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_guessed() {
        let names = ["waiting_max", "client_waiting_max", "tools"];
        let guess = |written| nearest(written, names.into_iter());
        assert_eq!(guess("waiting_mx").as_deref(), Some("waiting_max"));
        assert_eq!(guess("Waiting-Max").as_deref(), Some("waiting_max"));
        assert_eq!(guess("tolos").as_deref(), Some("tools"));
        assert_eq!(guess("speed"), None);
        assert_eq!(guess(&"waiting_max".repeat(10)), None);
    }
}
