//! When the daemon is ready, and how it is, in words for people. Pure: the pools are given as they were seen.

use std::fmt::Write;

/// When a service manager is told that the daemon is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// It listens, earlier runs are swept away, and enough workers are healthy.
    Healthy,
    /// It listens.
    Listening,
}

/// The rule of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) when: When,
    /// Healthy workers of each pool. One that keeps fewer is ready with those that it keeps.
    pub(crate) min_ready: u16,
}

impl Default for Rule {
    fn default() -> Self {
        Self { when: When::Healthy, min_ready: 1 }
    }
}

/// One pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) pool: String,
    /// Workers that take calls.
    pub(crate) healthy: usize,
    /// Workers that it keeps even when there is nothing to do.
    pub(crate) kept: usize,
    /// Another one is on its way, or will be.
    pub(crate) coming: bool,
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

impl Rule {
    fn wanted(self, pool: &Sight) -> usize {
        usize::from(self.min_ready).min(pool.kept)
    }

    /// The pools that are not ready.
    pub(crate) fn missing(self, pools: &[Sight]) -> Vec<&Sight> {
        pools.iter().filter(|pool| pool.healthy < self.wanted(pool)).collect()
    }
}

/// What a daemon that is not ready waits for, and whether waiting makes sense.
pub(crate) fn starting(rule: Rule, pools: &[Sight], swept: bool) -> (String, bool) {
    let missing = rule.missing(pools);
    let mut parts: Vec<String> = Vec::new();
    if !swept {
        parts.push("what earlier runs left is looked for".to_owned());
    }
    for pool in &missing {
        let mut part =
            format!("{}: {} of {} workers are healthy", pool.pool, pool.healthy, rule.wanted(pool));
        if !pool.coming {
            part.push_str(", and no other is coming");
        }
        parts.push(part);
    }
    let hope = missing.iter().all(|pool| pool.coming);
    (format!("starting; {}", parts.join("; ")), hope)
}

/// How a daemon that serves is doing.
pub(crate) fn serving(pools: &[Sight]) -> String {
    let healthy: usize = pools.iter().map(|pool| pool.healthy).sum();
    let mut text = format!("serving {}, {}; ", many(pools.len(), "pool"), many(healthy, "worker"));
    text.push_str(&busy(pools));
    let without: Vec<&str> =
        pools.iter().filter(|pool| pool.healthy < pool.kept.min(1)).map(|pool| pool.pool.as_str()).collect();
    if !without.is_empty() {
        let _ = write!(text, "; no worker is healthy in {}", without.join(", "));
    }
    text
}

/// What there is to do.
pub(crate) fn busy(pools: &[Sight]) -> String {
    let running: usize = pools.iter().map(|pool| pool.running).sum();
    let waiting: usize = pools.iter().map(|pool| pool.waiting).sum();
    format!("{} running, {waiting} waiting", many(running, "call"))
}

fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(pool: &str, healthy: usize, kept: usize, coming: bool) -> Sight {
        Sight { pool: pool.to_owned(), healthy, kept, coming, ..Sight::default() }
    }

    #[test]
    fn each_pool_has_to_have_enough_healthy_workers() {
        let rule = |min_ready| Rule { min_ready, ..Rule::default() };
        let pools = [pool("a", 2, 4, true), pool("on-demand", 0, 0, false), pool("b", 1, 1, false)];
        assert_eq!(rule(0).missing(&pools), Vec::<&Sight>::new());
        assert_eq!(rule(2).missing(&pools), Vec::<&Sight>::new());
        assert_eq!(rule(3).missing(&pools), [&pools[0]]);
        assert_eq!(rule(9).missing(&[pool("a", 4, 4, false)]), Vec::<&Sight>::new());
    }

    #[test]
    fn waiting_makes_sense_while_workers_are_coming() {
        let (text, hope) = starting(Rule::default(), &[pool("a", 0, 2, true)], false);
        assert_eq!(text, "starting; what earlier runs left is looked for; a: 0 of 1 workers are healthy");
        assert!(hope);
        let (text, hope) = starting(Rule::default(), &[pool("a", 0, 2, true), pool("b", 0, 1, false)], true);
        assert!(text.ends_with("b: 0 of 1 workers are healthy, and no other is coming"), "{text}");
        assert!(!hope);
    }

    #[test]
    fn people_read_how_it_is() {
        let mut pools = [pool("a", 2, 2, false), pool("b", 0, 1, true)];
        (pools[0].running, pools[1].waiting) = (1, 3);
        assert_eq!(
            serving(&pools),
            "serving 2 pools, 2 workers; 1 call running, 3 waiting; no worker is healthy in b"
        );
    }
}
