//! Where settings come from, so that they can be read again.

use super::check;
use super::problem::{Place, Problems};
use super::reading::{self, Draft, Written};
use super::settings::Settings;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

/// The variable that names a file.
const FILE_VARIABLE: &str = "SIDEWINDER_CONFIG";
/// A file longer than this (in bytes) is no configuration.
const FILE_MAX: u64 = 1 << 20;

/// Where settings come from: the file is overridden by the environment, and that by the flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) file: Option<PathBuf>,
    /// Flags with their values, as they were typed.
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl Source {
    /// Reads the settings as they are written now, or names every problem.
    pub(crate) fn read(&self) -> Result<Settings, Problems> {
        self.read_with_draft().map(|(settings, _)| settings)
    }

    /// The same, with what was written where.
    pub(crate) fn read_with_draft(&self) -> Result<(Settings, Draft), Problems> {
        let text = match self.file() {
            Some(path) => {
                let text = text(&path)?;
                Some((path, text))
            }
            None => None,
        };
        let texts = |name: OsString, value: OsString| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        let variables: Vec<(String, String)> =
            std::env::vars_os().filter_map(|(name, value)| texts(name, value)).collect();
        let file = text.as_ref().map(|(path, text)| (path.as_path(), text.as_str()));
        settle(Written { file, variables: &variables, flags: &self.flags })
    }

    /// The file that is read, if any.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let named = || std::env::var_os(FILE_VARIABLE).filter(|name| !name.is_empty());
        self.file.clone().or_else(|| named().map(PathBuf::from))
    }
}

/// From what is written to settings, or every problem.
pub(super) fn settle(written: Written<'_>) -> Result<(Settings, Draft), Problems> {
    let (draft, mut problems) = reading::read(written);
    let settings = check::settings(&draft, &mut problems);
    if problems.0.is_empty() { Ok((settings, draft)) } else { Err(problems.sorted()) }
}

fn text(path: &PathBuf) -> Result<String, Problems> {
    let read = || {
        // Counted as it is read: a pipe does not say how much it has.
        let mut text = String::new();
        fs::File::open(path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
        if u64::try_from(text.len()).is_ok_and(|length| length <= FILE_MAX) {
            return Ok(text);
        }
        Err(std::io::Error::other("it has more than 1 MiB: this is no configuration"))
    };
    read().map_err(|error| {
        let mut problems = Problems::default();
        problems.add(&Place::Unwritten, "", format!("cannot read {}: {error}", path.display()));
        problems
    })
}
