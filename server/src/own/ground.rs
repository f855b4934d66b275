//! What a keeper stands on: the record of its run, a cgroup where there is one, and what holds the limits.

use super::identity::{self, Identity};
use super::lifeline::{Gated, Lifeline};
use super::limit::{self, Held, Limit};
use super::record::Record;
use super::subtree::{self, Base, Wish};
use crate::systemd::enclose;
use sidewinder_keeper_kernel::{cgroup, facts};
use sidewinder_keeper_wire::{Graces, Welcome};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The ground of one keeper.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) record: Record,
    pub(crate) cgroup: Option<PathBuf>,
    pub(crate) why_no_cgroup: Option<String>,
    pub(crate) held: Held,
    /// Limits that wait for the scope of the keeper, and whether its workers are root's.
    awaits_scope: Option<(Vec<Limit>, bool)>,
}

/// A keeper that stands: the way to it, its pidfd, and what it said of itself.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) lifeline: Lifeline,
    pub(crate) keeper: OwnedFd,
    pub(crate) welcome: Welcome,
}

impl Ground {
    /// Prepares everything that has to be there before the keeper. `root` says whether its workers are root's.
    pub(crate) fn prepare(wish: &Wish, limits: &[Limit], root: bool, instance: &str) -> Result<Self, String> {
        let begin = || Record::begin(facts::boot_id()?, identity::own().ok(), instance);
        let record = begin().map_err(|error| {
            format!("cannot record the run, so nothing would find what is left of it: {error}")
        })?;
        let mut ground = Self::bare(record, None);
        match ground.lay(wish, limits, root) {
            Ok(()) => Ok(ground),
            Err(why) => {
                ground.clear();
                Err(why)
            }
        }
    }

    /// Stands on what an earlier owner has prepared. From here on a sweep knows that somebody is there.
    pub(crate) fn take_over(
        record: Record,
        wish: &Wish,
        limits: &[Limit],
        root: bool,
    ) -> Result<Self, String> {
        let cgroup = record.facts.cgroup.as_ref().map(PathBuf::from);
        let mut ground = Self::bare(record, cgroup);
        let own = identity::own().ok();
        let noted = ground.record.note(|facts| facts.owner = own);
        noted.map_err(|error| format!("cannot write to the record of the run: {error}"))?;
        ground.hold_to(wish, limits, root)?;
        Ok(ground)
    }

    fn bare(record: Record, cgroup: Option<PathBuf>) -> Self {
        Self { record, cgroup, why_no_cgroup: None, held: Held::default(), awaits_scope: None }
    }

    fn lay(&mut self, wish: &Wish, limits: &[Limit], root: bool) -> Result<(), String> {
        if *wish == Wish::Scope {
            self.awaits_scope = Some((limits.to_vec(), root));
            return Ok(());
        }
        let base = subtree::find(wish);
        let controllers: &[String] = base.as_ref().map_or(&[], |base| &base.controllers);
        self.held = limit::place(limits, controllers, root)?;
        match base {
            Ok(base) => self.build(&base)?,
            Err(why) if matches!(wish, Wish::Below(_)) => return Err(why),
            Err(why) => self.why_no_cgroup = Some(why),
        }
        Ok(())
    }

    fn build(&mut self, base: &Base) -> Result<(), String> {
        // Known before it is made: whatever happens between, a sweep finds it.
        let path = subtree::pool_path(base, &self.record.facts.run);
        let noted = self.record.note(|facts| facts.cgroup = Some(path.to_string_lossy().into_owned()));
        let wanted = wanted(&self.held);
        noted
            .and_then(|()| subtree::build(base, &path, &wanted))
            .map_err(|error| format!("cannot build a cgroup: {error}. Use --cgroup off to do without one"))?;
        self.cgroup = Some(path);
        Ok(())
    }

    /// Builds in a scope of its own, which takes a process: so what becomes the keeper is there before.
    fn build_in_scope(
        &mut self,
        limits: &[Limit],
        root: bool,
        keeper: u32,
        pool: &str,
    ) -> Result<(), String> {
        let scope = format!("sidewinder-{}.scope", self.record.facts.run);
        let about = format!("Sidewinder at {}, workers of pool {pool}", self.record.facts.instance);
        enclose(keeper, &scope, &about)?;
        let base = subtree::settle(&scope, keeper)?;
        self.held = limit::place(limits, &base.controllers, root)?;
        self.build(&base)
    }

    /// Other limits for the workers that are started from now on. On a failure the old ones hold.
    pub(crate) fn hold_to(&mut self, wish: &Wish, limits: &[Limit], root: bool) -> Result<(), String> {
        let base = self.cgroup.as_ref().and_then(|pool| subtree::find_again(wish, pool).ok());
        let controllers: &[String] = base.as_ref().map_or(&[], |base| &base.controllers);
        let held = limit::place(limits, controllers, root)?;
        if let (Some(base), Some(path)) = (&base, &self.cgroup) {
            subtree::widen(base, path, &wanted(&held))
                .map_err(|error| format!("cannot hand controllers down: {error}"))?;
        }
        self.held = held;
        Ok(())
    }

    /// Starts the keeper of a pool. Blocks for the few milliseconds that it takes.
    pub(crate) fn start(&mut self, namespace: bool, graces: Graces, pool: &str) -> io::Result<Standing> {
        let mut lifeline = match self.awaits_scope.take() {
            None => Lifeline::start(namespace, &self.record)?,
            Some((limits, root)) => {
                let gated = Gated::start(namespace, &self.record)?;
                self.build_in_scope(&limits, root, gated.process(), pool).map_err(io::Error::other)?;
                gated.open()?
            }
        };
        let (welcome, keeper) = lifeline.hello(graces, self.cgroup.as_deref())?;
        self.record.note(|facts| facts.keeper = Identity::of(&keeper).ok())?;
        Ok(Standing { lifeline, keeper, welcome })
    }

    /// Nothing stands on it any more: nothing is left of it.
    pub(crate) fn clear(self) {
        if let Some(path) = &self.cgroup {
            let _ = cgroup::remove_tree(path);
        }
        self.record.end();
    }
}

/// The controllers that hold the limits.
fn wanted(held: &Held) -> Vec<&'static str> {
    let mut wanted: Vec<_> = held.tree.knobs().iter().map(|(controller, _, _)| *controller).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}
