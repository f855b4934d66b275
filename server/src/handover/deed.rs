//! A deed: what the descriptors of a parcel are, in a sealed piece of memory that lies beside them.
//!
//! The store does not say in which order it gives descriptors back, so the deed names each by its inode.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// What a deed may have: most of it is what a worker offers.
const DEED_MAX: u64 = 4 << 20;

/// What was parked. Fields may be added; a reader skips those that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    Keeper(KeeperDeed),
    Life(LifeDeed),
}

/// A keeper: its lifeline, and its run record with the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeeperDeed {
    pub(crate) run: String,
    pub(crate) pool: String,
    pub(crate) record: PathBuf,
    /// A digest of the rules by which it was started.
    pub(crate) rules: u64,
    pub(crate) inodes: Vec<u64>,
}

/// A life that has been ready: its calls, its control, its standard output, its standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LifeDeed {
    /// The run of its keeper.
    pub(crate) run: String,
    /// Its number there.
    pub(crate) number: u32,
    pub(crate) slot: u16,
    pub(crate) life: u32,
    /// A digest of the rules by which it was started.
    pub(crate) rules: u64,
    /// What it offers, as JSON.
    pub(crate) offer: String,
    pub(crate) inodes: Vec<u64>,
}

impl Deed {
    /// What names it in the store.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Keeper(keeper) => format!("keeper.{}", keeper.run),
            Self::Life(life) => format!("life.{}.{}", life.run, life.number),
        }
    }

    /// Writes it down for good.
    pub(super) fn seal(&self) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("sidewinder-deed", flags)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        Ok(file.into())
    }

    fn inodes(&self) -> &[u64] {
        match self {
            Self::Keeper(keeper) => &keeper.inodes,
            Self::Life(life) => &life.inodes,
        }
    }
}

/// Finds the deed of a parcel, and puts what lies beside it in its order. Nothing: it is not whole.
pub(super) fn read(fds: Vec<OwnedFd>) -> Option<(Deed, Vec<OwnedFd>)> {
    let (deeds, mut others): (Vec<_>, Vec<_>) = fds.into_iter().partition(is_sealed);
    let mut file = File::from(deeds.into_iter().next()?);
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.take(DEED_MAX).read_to_end(&mut text).ok()?;
    let deed: Deed = serde_json::from_slice(&text).ok()?;
    let mut ordered = Vec::new();
    for wanted in deed.inodes() {
        let at = others.iter().position(|fd| inode(fd).is_ok_and(|inode| inode == *wanted))?;
        ordered.push(others.swap_remove(at));
    }
    Some((deed, ordered))
}

fn is_sealed(fd: &OwnedFd) -> bool {
    fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SealFlags::WRITE))
}

/// What tells a descriptor from others, for as long as it is open anywhere.
pub(crate) fn inode(fd: impl AsFd) -> io::Result<u64> {
    Ok(fstat(fd)?.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn life(inodes: Vec<u64>) -> Deed {
        let (run, offer) = ("ab".repeat(16), "{}".to_owned());
        Deed::Life(LifeDeed { run, number: 7, slot: 1, life: 2, rules: 3, offer, inodes })
    }

    #[test]
    fn a_parcel_is_read_in_whatever_order_it_comes() {
        let (one, two) = UnixStream::pair().expect("sockets");
        let fds: [OwnedFd; 2] = [one.into(), two.into()];
        let inodes: Vec<u64> = fds.iter().map(|fd| inode(fd).expect("an inode")).collect();
        let deed = life(inodes.clone());
        let [one, two] = fds;
        let copy = |fd: &OwnedFd| fd.try_clone().expect("a copy");
        let sealed = deed.seal().expect("sealed");
        let (read, fds) = read(vec![copy(&two), copy(&sealed), copy(&one)]).expect("whole");
        assert_eq!(read, deed);
        assert_eq!(fds.iter().map(|fd| inode(fd).expect("an inode")).collect::<Vec<_>>(), inodes);
        assert!(super::read(vec![copy(&two), copy(&sealed)]).is_none(), "one is missing");
        assert!(super::read(vec![one, two]).is_none(), "no deed");
        assert!(File::from(sealed).write_all(b"x").is_err(), "it is sealed");
    }

    /// Whatever a build adds, it reads what the first one has parked, and that one reads what it parks.
    #[test]
    fn deeds_of_the_first_build_are_read_and_it_reads_ours() {
        let keeper = KeeperDeed {
            run: "ab".repeat(16),
            pool: "default".to_owned(),
            record: PathBuf::from("/run/sidewinder/runs/abababababababababababababababab"),
            rules: 3,
            inodes: vec![7, 8],
        };
        let Deed::Life(mut life) = life(vec![1, 2, 3, 4]) else { panic!("a life") };
        life.rules = u64::MAX;
        let all = [
            (include_str!("golden/keeper.json"), Deed::Keeper(keeper)),
            (include_str!("golden/life.json"), Deed::Life(life)),
        ];
        for (golden, deed) in all {
            let mut value: serde_json::Value = serde_json::from_str(golden).expect("JSON");
            assert_eq!(
                serde_json::to_value(&deed).expect("JSON"),
                value,
                "a field more goes into a file more"
            );
            let fields = value.as_object_mut().expect("one kind").values_mut().next().expect("its fields");
            fields.as_object_mut().expect("fields").insert("later".to_owned(), true.into());
            assert_eq!(serde_json::from_value::<Deed>(value).expect("a deed"), deed);
        }
    }

    #[test]
    fn names_are_short_enough_for_a_store() {
        assert!(life(Vec::new()).name().len() < 255);
    }
}
