//! What an earlier daemon has left, sorted by whom it belongs to.

use super::deed::{self, Deed, KeeperDeed, LifeDeed};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// Everything that came back from the store. What nobody takes ends with this: its descriptors are closed.
#[derive(Debug, Default)]
pub(crate) struct Left {
    keepers: Vec<LeftKeeper>,
    lives: Vec<LeftLife>,
    /// Names of parcels that are not whole.
    torn: Vec<String>,
}

/// A keeper without an owner.
#[derive(Debug)]
pub(crate) struct LeftKeeper {
    pub(crate) deed: KeeperDeed,
    pub(crate) lifeline: OwnedFd,
    pub(crate) record: OwnedFd,
}

/// A life whose daemon is gone.
#[derive(Debug)]
pub(crate) struct LeftLife {
    pub(crate) deed: LifeDeed,
    pub(crate) calls: OwnedFd,
    pub(crate) control: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl Left {
    /// Reads parcels: descriptors with their names, of which each may come several times.
    pub(crate) fn read(parcels: Vec<(String, OwnedFd)>) -> Self {
        let mut by_name: BTreeMap<String, Vec<OwnedFd>> = BTreeMap::new();
        for (name, fd) in parcels {
            by_name.entry(name).or_default().push(fd);
        }
        let mut left = Self::default();
        for (name, fds) in by_name {
            if left.sort(fds).is_none() {
                left.torn.push(name);
            }
        }
        left
    }

    fn sort(&mut self, fds: Vec<OwnedFd>) -> Option<()> {
        let (deed, fds) = deed::read(fds)?;
        match deed {
            Deed::Keeper(deed) => {
                let [lifeline, record] = <[OwnedFd; 2]>::try_from(fds).ok()?;
                self.keepers.push(LeftKeeper { deed, lifeline, record });
            }
            Deed::Life(deed) => {
                let [calls, control, stdout, stderr] = <[OwnedFd; 4]>::try_from(fds).ok()?;
                self.lives.push(LeftLife { deed, calls, control, stdout, stderr });
            }
        }
        Some(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keepers.is_empty() && self.lives.is_empty() && self.torn.is_empty()
    }

    /// A keeper of this pool that was started by these rules, with its lives.
    pub(crate) fn take(&mut self, pool: &str, rules: u64) -> Option<(LeftKeeper, Vec<LeftLife>)> {
        let fits = |keeper: &LeftKeeper| keeper.deed.pool == pool && keeper.deed.rules == rules;
        let keeper = self.keepers.swap_remove(self.keepers.iter().position(fits)?);
        let lives = std::mem::take(&mut self.lives);
        let (its, others) = lives.into_iter().partition(|life| life.deed.run == keeper.deed.run);
        self.lives = others;
        Some((keeper, its))
    }

    /// The names of what nobody has taken, and for whom it was.
    pub(crate) fn rest(self) -> Vec<String> {
        let keepers = self.keepers.into_iter().map(|left| Deed::Keeper(left.deed).name());
        let lives = self.lives.into_iter().map(|left| Deed::Life(left.deed).name());
        keepers.chain(lives).chain(self.torn).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn keeper(run: &str, pool: &str, rules: u64) -> Vec<(String, OwnedFd)> {
        let (one, two) = UnixStream::pair().expect("sockets");
        let fds: Vec<OwnedFd> = vec![one.into(), two.into()];
        let inodes = fds.iter().map(|fd| deed::inode(fd).expect("an inode")).collect();
        let (run, pool) = (run.to_owned(), pool.to_owned());
        let deed = Deed::Keeper(KeeperDeed { run, pool, record: "/record".into(), rules, inodes });
        let sealed = deed.seal().expect("sealed");
        fds.into_iter().chain([sealed]).map(|fd| (deed.name(), fd)).collect()
    }

    #[test]
    fn each_pool_finds_its_keeper_and_the_rest_is_named() {
        let torn = ("life.x.1".to_owned(), OwnedFd::from(UnixStream::pair().expect("sockets").0));
        let parcels = [keeper("1", "blue", 5), keeper("2", "green", 5), vec![torn]];
        let mut left = Left::read(parcels.into_iter().flatten().collect());
        assert!(left.take("blue", 6).is_none(), "other rules");
        assert_eq!(left.take("blue", 5).expect("there").0.deed.run, "1");
        assert!(left.take("blue", 5).is_none(), "taken");
        assert_eq!(left.rest(), ["keeper.2", "life.x.1"]);
    }
}
