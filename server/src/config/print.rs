//! Settings as people read them: the documented defaults, what holds in the end, and the page of the documentation.

use super::keys::{
    DAEMON, DaemonDraft, FLAGS, Key, Of, POOL, POOL_TABLES, PoolDraft, SECTIONS, split, variable,
};
use super::problem::Place;
use super::reading::{DEFAULT_POOL, Draft};
use std::fmt::Write;

/// Every key with its unit, meaning and default, as a file that can be used.
pub(crate) fn defaults() -> String {
    let mut text = String::from(
        "# Every key of Sidewinder with its default. A line that begins with `# ` and a key is an example of a key\n\
         # that is absent by default.\n",
    );
    let daemon = DaemonDraft::default();
    for (section, about) in SECTIONS {
        let _ = write!(text, "\n# {about}\n[{section}]\n");
        of_table(DAEMON, section).for_each(|key| documented(&mut text, key, &daemon));
    }
    let pool = PoolDraft { tools: vec!["my_module".to_owned()], ..PoolDraft::default() };
    for (table, about) in POOL_TABLES {
        let _ = write!(text, "\n# {about}\n[{}]\n", below(DEFAULT_POOL, table));
        of_table(POOL, table).for_each(|key| documented(&mut text, key, &pool));
    }
    text
}

fn documented<T>(text: &mut String, key: &Key<T>, draft: &T) {
    let absent = if key.absent.is_empty() { String::new() } else { format!(" Absent: {}.", key.absent) };
    let _ = writeln!(text, "# {} This is {}.{absent}", key.meaning, key.said);
    let name = split(key.name).1;
    let _ = match (key.show)(draft) {
        Some(value) => writeln!(text, "{name} = {value}"),
        None => writeln!(text, "# {name} = {}", key.example),
    };
}

/// What holds in the end, and where each part of it comes from. Of variables for workers only the names, and `***`
/// where a secret may be.
pub(crate) fn effective(draft: &Draft) -> String {
    let mut text = String::from(
        "# What holds, and where it was said; without a place it is the default. `***` stands where a secret may be.\n",
    );
    for (section, _) in SECTIONS {
        held(&mut text, section, of_table(DAEMON, section), &draft.daemon, |key| draft.places.get(key));
    }
    for (name, pool) in &draft.pools {
        for (table, _) in POOL_TABLES {
            let place = |key: &str| draft.places.get(&format!("pools.{name}.{key}"));
            held(&mut text, &below(name, table), of_table(POOL, table), pool, place);
        }
    }
    text
}

fn held<'a, T: 'static>(
    text: &mut String,
    table: &str,
    keys: impl Iterator<Item = &'static Key<T>>,
    draft: &T,
    place: impl Fn(&str) -> Option<&'a Place>,
) {
    let lines = keys.filter_map(|key| {
        let value = (key.show)(draft)?;
        let place = place(key.name).map(|place| format!("  # {place}")).unwrap_or_default();
        let hidden = if key.name == "environment" { "# only the names: " } else { "" };
        Some(format!("{hidden}{} = {value}{place}\n", split(key.name).1))
    });
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        let _ = write!(text, "\n[{table}]\n{}", lines.concat());
    }
}

/// The page of the documentation.
pub(crate) fn page() -> String {
    let mut text = String::from(INTRODUCTION);
    let daemon = DaemonDraft::default();
    for (section, about) in SECTIONS {
        let _ = write!(text, "\n## `[{section}]`\n\n{about}\n\n{HEAD}");
        of_table(DAEMON, section).for_each(|key| row(&mut text, key, &daemon));
    }
    let pool = PoolDraft::default();
    for (table, about) in POOL_TABLES {
        let _ = write!(text, "\n## `[{}]`\n\n{about}\n\n{HEAD}", below("NAME", table));
        of_table(POOL, table).for_each(|key| row(&mut text, key, &pool));
    }
    text.push_str(FLAGS_HEAD);
    for (flag, of, key) in FLAGS {
        let table = if of == Of::Pool { "pools.NAME." } else { "" };
        let _ = writeln!(text, "| `{flag}` | `{}` | `{table}{key}` |", variable(of, key));
    }
    text
}

const HEAD: &str = "| key | default | meaning | written as |\n|---|---|---|---|\n";

const INTRODUCTION: &str = "\
# Configuration

Made by `sidewinder print-config --page` from the table of keys that the daemon reads; a test keeps it fresh.

- `sidewinder run --config FILE` reads a file in TOML. `SIDEWINDER_CONFIG` names one as well. Without one, `--tools` is
  enough.
- The environment overrides the file, and flags override both. A key of the daemon has the variable
  `SIDEWINDER_` and its name in capitals, with `_` for each `.` and `-`: `listen.tcp` is `SIDEWINDER_LISTEN_TCP`. A key of
  a pool has `SIDEWINDER_POOL_` in front: `line.waiting_max` is `SIDEWINDER_POOL_LINE_WAITING_MAX`. In a variable, a list
  is written with commas. `SIDEWINDER_LOG` is short for `SIDEWINDER_TELEMETRY_LOG`. An empty variable says nothing, and one that has such a name and no such key is a problem.
- Variables and flags of a pool speak of the pool that `--pool` or `SIDEWINDER_POOL` names, else of the only one there is;
  where there is none they make one, called `default`.
- `sidewinder check-config FILE` reports every problem at once, each with its line and column. What the file names and
  this machine does not have (interpreters, directories, certificates) is told as `absent`, and is no problem.
  `sidewinder print-config` prints a file with every default, and `--effective` what holds in the end: of
  `environment` only the names, and `***` for user and query of a URL and for the value of a `NAME=VALUE` in `command`.
- `SIGHUP` and `sidewinder reload` read everything again. Rules of a pool hold at once and for the workers that
  run. What workers are started with (`tools`, `expose`, `python`, `command`, `directory`, `environment`, `seats`, `limits`
  and `grace.interrupt`) replaces them, each new one beside the old one, without dropping a call. Pools come and go.
  The files of `listen.tls_*` are read again, for connections from then on. Everything else
  outside `pools` takes a new start of the daemon, and that is said. A file with a problem changes nothing.
- A path that begins neither with `/` nor on a command line starts at the folder of its file.
- A unit of size is a power of 1024. A duration without a unit is in seconds.
";

const FLAGS_HEAD: &str = "
## Flags of `sidewinder run`

| flag | variable | key |
|---|---|---|
";

fn row<T>(text: &mut String, key: &Key<T>, draft: &T) {
    let default = match (key.show)(draft) {
        Some(value) => format!("`{value}`"),
        None => key.absent.to_owned(),
    };
    let said = key.said.replace('|', "\\|");
    let _ = writeln!(text, "| `{}` | {default} | {} | {said} |", split(key.name).1, key.meaning);
}

fn of_table<T>(keys: &'static [Key<T>], table: &str) -> impl Iterator<Item = &'static Key<T>> {
    keys.iter().filter(move |key| split(key.name).0 == table)
}

fn below(pool: &str, table: &str) -> String {
    if table.is_empty() { format!("pools.{pool}") } else { format!("pools.{pool}.{table}") }
}
