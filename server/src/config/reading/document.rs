//! A TOML file as a tree that knows where each part of it stands.

use crate::config::problem::{Place, Problems};
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its place.
#[derive(Clone, Debug)]
pub(in crate::config) struct Node {
    pub(in crate::config) place: Place,
    pub(in crate::config) value: Value,
}

#[derive(Clone, Debug)]
pub(in crate::config) enum Value {
    Text(String),
    Whole(i128),
    Real(f64),
    Flag(bool),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// A date, or a number that no computer knows.
    Strange,
    /// From a variable or a flag: means what the key makes of it.
    Words(String),
}

impl Node {
    pub(in crate::config) fn table(&self) -> Option<&[Entry]> {
        if let Value::Table(entries) = &self.value { Some(entries) } else { None }
    }

    pub(in crate::config) fn list(&self) -> Option<&[Self]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }
}

/// One key of a table.
#[derive(Clone, Debug)]
pub(in crate::config) struct Entry {
    pub(in crate::config) name: String,
    pub(in crate::config) place: Place,
    pub(in crate::config) node: Node,
}

/// Where lines begin.
struct Lines<'a> {
    path: Arc<Path>,
    text: &'a str,
    starts: Vec<usize>,
}

/// Reads a file. What can be made of it is returned also when it has faults.
pub(in crate::config) fn read(path: &Path, text: &str) -> (Vec<Entry>, Problems) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
    let lines = Lines { path: path.into(), text, starts: std::iter::once(0).chain(breaks).collect() };
    let mut problems = Problems::default();
    for error in errors {
        let place = lines.place(error.span().map_or(0, |span| span.start));
        problems.add(&place, "", format!("no TOML: {}", error.message()));
    }
    (lines.entries(table.get_ref()), problems)
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Place::File { path: Arc::clone(&self.path), line, column: before.chars().count() + 1 }
    }

    /// In the order of the file.
    fn entries(&self, table: &DeTable<'_>) -> Vec<Entry> {
        let mut entries: Vec<(usize, Entry)> = table
            .iter()
            .map(|(key, value)| {
                let place = self.place(key.span().start);
                let entry = Entry { name: key.get_ref().to_string(), place, node: self.node(value) };
                (key.span().start, entry)
            })
            .collect();
        entries.sort_by_key(|(offset, _)| *offset);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                i128::from_str_radix(number.as_str(), number.radix()).map_or(Value::Strange, Value::Whole)
            }
            DeValue::Float(number) => number.as_str().parse().map_or(Value::Strange, Value::Real),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(_) => Value::Strange,
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Value::Table(self.entries(table)),
        };
        Node { place, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_knows_its_line_and_column() {
        let (entries, problems) = read(Path::new("f"), "[a]\n  \"ä\" = [1,\n   \"x\"]\n[a.b]\nc = true\n");
        assert!(problems.0.is_empty(), "{problems}");
        let Value::Table(a) = &entries[0].node.value else { panic!("{entries:?}") };
        let Value::List(items) = &a[0].node.value else { panic!("{a:?}") };
        let Value::Table(b) = &a[1].node.value else { panic!("{a:?}") };
        let places = [&entries[0].place, &a[0].place, &items[1].place, &a[1].place, &b[0].node.place];
        assert_eq!(places.map(ToString::to_string), ["f:1:2", "f:2:3", "f:3:4", "f:4:4", "f:5:5"]);
    }

    #[test]
    fn every_fault_of_the_file_is_told() {
        let (_, problems) = read(Path::new("f"), "a = \nb = 1\nb = 2\nc = [\n");
        let problems = problems.sorted();
        let lines: Vec<String> = problems.0.iter().map(|problem| problem.place.to_string()).collect();
        assert!(lines.len() >= 3, "{problems}");
        assert!(lines[0].starts_with("f:1:") && lines[1].starts_with("f:3:"), "{problems}");
    }
}
