//! What a reload has to do: the difference between what was and what is wished now. Pure.

use super::settings::{PoolSettings, Settings};
use crate::own::subtree::Wish;
use std::collections::{BTreeMap, BTreeSet};

/// What happens to one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Its rules hold from now on; nobody is replaced.
    Amend,
    /// Its workers are replaced, start-first.
    Renew,
    /// It is new.
    Add,
    /// Nobody wishes for it any more.
    Remove,
}

/// What a reload does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) pools: BTreeMap<String, Change>,
    /// Settings that differ and take a new start of the daemon.
    pub(crate) needs_restart: Vec<&'static str>,
    /// Settings of the daemon itself that differ and hold at once.
    pub(crate) daemon: Vec<&'static str>,
}

impl Changes {
    /// The way from `old` to `new`. The pools named in `renew` get fresh workers in any case.
    pub(crate) fn between(old: &Settings, new: &Settings, renew: &BTreeSet<String>) -> Self {
        let names: BTreeSet<&String> = old.pools.keys().chain(new.pools.keys()).collect();
        let pools = names.into_iter().filter_map(|name| {
            let change = change(old.pools.get(name), new.pools.get(name), renew.contains(name))?;
            Some((name.clone(), change))
        });
        let placement = (old.cgroup == Wish::Scope) != (new.cgroup == Wish::Scope);
        let fixed = [
            ("listen", old.listen != new.listen),
            ("limits", old.limits != new.limits),
            ("drain_timeout", old.drain != new.drain),
            ("threads", old.threads != new.threads),
            ("namespace", old.namespace != new.namespace),
            ("placement", placement),
            ("cgroup", !placement && old.cgroup != new.cgroup),
            ("live", (old.live, old.reattach) != (new.live, new.reattach)),
            ("upgrade", old.upgrade != new.upgrade),
            ("mode", old.lifecycle.mode != new.lifecycle.mode),
            ("endings", old.endings != new.endings),
            ("readiness", old.ready != new.ready),
            ("telemetry", old.telemetry != new.telemetry),
        ];
        let amended = [("clients", !old.lifecycle.rules_as(&new.lifecycle))];
        let daemon = amended.into_iter().filter_map(|(name, differs)| differs.then_some(name));
        let needs_restart = fixed.into_iter().filter_map(|(name, differs)| differs.then_some(name));
        Self { pools: pools.collect(), needs_restart: needs_restart.collect(), daemon: daemon.collect() }
    }

    /// The names of the pools to which this happens.
    pub(crate) fn of(&self, wanted: Change) -> Vec<String> {
        let these = self.pools.iter().filter(|(_, change)| **change == wanted);
        these.map(|(name, _)| name.clone()).collect()
    }
}

fn change(old: Option<&PoolSettings>, new: Option<&PoolSettings>, renew: bool) -> Option<Change> {
    match (old, new) {
        (None, None) => None,
        (None, Some(_)) => Some(Change::Add),
        (Some(_), None) => Some(Change::Remove),
        (Some(old), Some(new)) => {
            let same_workers = old.command == new.command
                && old.limits == new.limits
                && old.policy.seats == new.policy.seats
                && old.policy.grace.interrupt == new.policy.grace.interrupt;
            match (same_workers && !renew, old.policy == new.policy) {
                (false, _) => Some(Change::Renew),
                (true, false) => Some(Change::Amend),
                (true, true) => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use sidewinder_core::{Policy, Size};

    fn settings(pools: &[(&str, &str, u16)]) -> Settings {
        let source = Source { flags: vec![("--tools", "any".to_owned())], ..Source::default() };
        let mut settings = source.read().expect("settings");
        let template = settings.pools.pop_first().expect("the pool of the flags").1;
        for (name, tools, max) in pools {
            let mut pool = template.clone();
            pool.command.tools = vec![(*tools).to_owned()];
            let size = Size::new(1, *max, 0, 1).expect("a size");
            pool.policy = Policy { size, ..Policy::default() }.check().expect("no flaws");
            settings.pools.insert((*name).to_owned(), pool);
        }
        settings
    }

    fn between(old: &Settings, new: &Settings, renew: &[&str]) -> Vec<(String, Change)> {
        let renew = renew.iter().map(|name| (*name).to_owned()).collect();
        Changes::between(old, new, &renew).pools.into_iter().collect()
    }

    #[test]
    fn only_what_differs_changes() {
        let old = settings(&[("gone", "a", 1), ("grows", "a", 1), ("other", "a", 1), ("same", "a", 1)]);
        let new = settings(&[("grows", "a", 2), ("new", "a", 1), ("other", "b", 1), ("same", "a", 1)]);
        let expected = [
            ("gone", Change::Remove),
            ("grows", Change::Amend),
            ("new", Change::Add),
            ("other", Change::Renew),
        ];
        assert_eq!(between(&old, &new, &[]), expected.map(|(name, change)| (name.to_owned(), change)));
        assert_eq!(between(&old, &old, &["same"]), [("same".to_owned(), Change::Renew)]);
    }

    #[test]
    fn what_holds_for_the_whole_life_of_the_daemon_is_named() {
        let old = settings(&[]);
        let mut new = old.clone();
        new.listen.insecure = true;
        new.limits.connections = 7;
        assert_eq!(Changes::between(&old, &new, &BTreeSet::new()).needs_restart, ["listen", "limits"]);
    }
}
