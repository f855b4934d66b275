//! The figures: one row for each worker and tier, one for each target and tier.

use std::collections::BTreeMap;
use std::time::Duration;

use sidewinder_tests::arena::Tier;
use sidewinder_tests::figures::{Figures, milliseconds};

use crate::case::Verdict;
use crate::law;
use crate::plan::{Case, Target, ZOO};

#[derive(Debug, Default)]
struct Row {
    figures: Figures,
    bound: Duration,
    late: usize,
    survivors: usize,
    failed: usize,
}

/// Rows by the name of what they are about, and the tier.
#[derive(Debug, Default)]
pub(crate) struct Table {
    workers: BTreeMap<(&'static str, Tier), Row>,
    targets: BTreeMap<(&'static str, Tier), Row>,
    passed: usize,
    failed: usize,
}

impl Table {
    pub(crate) fn add(&mut self, case: &Case, verdict: &Verdict) {
        let failed = usize::from(!verdict.problems.is_empty());
        self.failed += failed;
        self.passed += 1 - failed;
        let bound = law::bound(case.worker);
        let worker = self.workers.entry((case.worker, case.tier)).or_default();
        let target = self.targets.entry((case.target.name(), case.tier)).or_default();
        for row in [worker, target] {
            row.bound = row.bound.max(bound);
            row.survivors += verdict.survivors;
            row.failed += failed;
            if let Some(took) = verdict.took {
                row.figures.add(took);
                row.late += usize::from(took > bound);
            }
        }
    }

    /// Single cases may be late on a loaded machine; a row whose median is late breaks the promise.
    pub(crate) fn failed(&self) -> usize {
        let rows = self.workers.values().chain(self.targets.values());
        self.failed + rows.filter(|row| row.figures.median() > row.bound).count()
    }

    /// Prints everything. `late` counts cases over the promised bound; a case fails at the bound times the test factor.
    pub(crate) fn print(&self, tiers: &[Tier]) {
        println!(
            "milliseconds from the last signal to ECHILD; a case fails {} times later than its bound",
            law::TEST_FACTOR
        );
        println!(
            "{:<16} tier {:>4} {:>8} {:>8} {:>8} {:>7} {:>5} {:>9} {:>6}",
            "worker / victim", "n", "p50", "p99", "max", "bound", "late", "survivors", "failed"
        );
        let targets = Target::ALL.map(Target::name);
        for (names, rows) in [(&ZOO[..], &self.workers), (&targets[..], &self.targets)] {
            for name in names {
                for tier in crate::in_order(tiers) {
                    if let Some(row) = rows.get(&(*name, tier)) {
                        row.print(name, tier);
                    }
                }
            }
        }
        println!("{} passed, {} failed", self.passed, self.failed);
    }
}

impl Row {
    fn print(&self, name: &str, tier: Tier) {
        println!(
            "{name:<16} {tier:>4} {:>4} {:>8} {:>8} {:>8} {:>7} {:>5} {:>9} {:>6}",
            self.figures.count(),
            milliseconds(self.figures.median()),
            milliseconds(self.figures.percentile(99)),
            milliseconds(self.figures.worst()),
            self.bound.as_millis(),
            self.late,
            self.survivors,
            self.failed
        );
    }
}
