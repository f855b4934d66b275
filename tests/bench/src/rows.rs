//! Rows: one figure of the daemon beside one of the baseline, measured in turn, again and again.
//!
//! The processors are shared with others, so a figure alone says little. Each round measures both sides within the same
//! second and gives one ratio; a row is the middle of its rounds and the spread of its ratios.

pub(crate) mod names;

use serde::Serialize;
use std::collections::BTreeMap;

/// What a row is about. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) place: usize,
    pub(crate) text: &'static str,
    pub(crate) unit: &'static str,
    /// What the figure is compared with, when it is not what the run compares with.
    pub(crate) beside: Option<&'static str>,
}

/// One round of a row.
#[derive(Clone, Copy, Debug)]
struct Pair {
    ours: f64,
    beside: Option<f64>,
}

/// What has been measured so far.
#[derive(Debug)]
pub(crate) struct Rows {
    beside: &'static str,
    pairs: BTreeMap<Name, Vec<Pair>>,
}

/// One row as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) rounds: usize,
    /// The middle of the rounds.
    pub(crate) sidewinder: f64,
    /// The same of what it is compared with.
    pub(crate) beside: Option<f64>,
    pub(crate) beside_what: Option<&'static str>,
    /// The middle, the lowest and the highest ratio of a round.
    pub(crate) ratio: Option<f64>,
    pub(crate) ratio_lowest: Option<f64>,
    pub(crate) ratio_highest: Option<f64>,
}

impl Rows {
    /// No rows yet. What a run compares with, unless a row has something of its own.
    pub(crate) fn beside(beside: &'static str) -> Self {
        Self { beside, pairs: BTreeMap::new() }
    }

    /// A round with both sides.
    pub(crate) fn add(&mut self, name: Name, ours: f64, beside: f64) {
        self.pairs.entry(name).or_default().push(Pair { ours, beside: Some(beside) });
    }

    /// A round of a figure that nothing is compared with.
    pub(crate) fn add_alone(&mut self, name: Name, ours: f64) {
        self.pairs.entry(name).or_default().push(Pair { ours, beside: None });
    }

    pub(crate) fn finish(&self) -> Vec<Row> {
        self.pairs.iter().map(|(name, pairs)| row(*name, pairs, self.beside)).collect()
    }
}

fn row(name: Name, pairs: &[Pair], what: &'static str) -> Row {
    let beside = sorted(pairs.iter().filter_map(|pair| pair.beside));
    let ratios = sorted(pairs.iter().filter_map(|pair| Some(pair.ours / pair.beside?)));
    Row {
        name: name.text,
        unit: name.unit,
        rounds: pairs.len(),
        sidewinder: middle(&sorted(pairs.iter().map(|pair| pair.ours))).unwrap_or(f64::NAN),
        beside: middle(&beside),
        beside_what: (!beside.is_empty()).then_some(name.beside.unwrap_or(what)),
        ratio: middle(&ratios),
        ratio_lowest: ratios.first().copied(),
        ratio_highest: ratios.last().copied(),
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even.is_multiple_of(2) => Some(f64::midpoint(sorted[half - 1], sorted[half])),
        _ => sorted.get(half).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name { place: 0, text: "a row", unit: "ms", beside: None };

    #[test]
    fn the_ratio_is_the_middle_of_the_rounds_not_the_ratio_of_the_middles() {
        let mut rows = Rows::beside("echo");
        for (ours, beside) in [(2.0, 1.0), (30.0, 10.0), (4.0, 4.0)] {
            rows.add(NAME, ours, beside);
        }
        let row = rows.finish().remove(0);
        assert_eq!((row.sidewinder, row.beside), (4.0, Some(4.0)));
        assert_eq!((row.ratio, row.ratio_lowest, row.ratio_highest), (Some(2.0), Some(1.0), Some(3.0)));
    }

    #[test]
    fn between_two_rounds_is_their_midpoint() {
        let mut rows = Rows::beside("echo");
        rows.add_alone(NAME, 1.0);
        rows.add_alone(NAME, 2.0);
        let row = rows.finish().remove(0);
        assert_eq!((row.sidewinder, row.beside, row.ratio), (1.5, None, None));
    }
}
