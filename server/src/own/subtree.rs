//! The part of the cgroup tree that we may use.
//!
//! A cgroup is ours when the user names it, when its manager says so (systemd marks a delegated one with an
//! attribute), when it is a scope that the service manager has made for us, or when it is the root of all that can be seen.
//! Below it each run builds one cgroup, and the keeper one for each worker; keepers and wardens stay outside, so that killing
//! a cgroup never kills who counts the dead.

use rustix::fs::Access;
use sidewinder_keeper_kernel::cgroup;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The controllers that hold a limit.
pub(crate) const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "io"];
/// The leaf that our own process moves to when its cgroup must become an inner one.
const OWNER_LEAF: &str = "sidewinder-owner";
/// The leaf of a keeper in a scope of its own.
const KEEPER_LEAF: &str = "sidewinder-keeper";

/// Why what is made around a keeper is ours.
const SCOPE: &str = "a scope of its own";

/// How to look for a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Auto,
    Off,
    Below(PathBuf),
    /// A scope of its own for each run, around its keeper.
    Scope,
}

/// A cgroup that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) path: PathBuf,
    /// Why it is ours.
    pub(crate) evidence: &'static str,
    /// The controllers it has.
    pub(crate) controllers: Vec<String>,
}

/// Looks for a cgroup that is ours, or says why there is none.
pub(crate) fn find(wish: &Wish) -> Result<Base, String> {
    match wish {
        Wish::Off => Err("switched off (--cgroup off)".to_owned()),
        Wish::Below(path) => usable(path.clone(), "named by --cgroup"),
        Wish::Scope => Err("a scope is made around a keeper, and there is none yet".to_owned()),
        Wish::Auto => {
            let own = cgroup_of("self")?;
            let evidence = evidence(&own)
                .ok_or_else(|| format!("the cgroup {} is not delegated to this process", own.display()))?;
            usable(evidence.1, evidence.0)
        }
    }
}

/// The same for a run that has its cgroup already.
pub(crate) fn find_again(wish: &Wish, pool: &Path) -> Result<Base, String> {
    match (wish, pool.parent()) {
        (Wish::Scope, Some(scope)) => usable(scope.to_owned(), SCOPE),
        (Wish::Scope | Wish::Auto | Wish::Off | Wish::Below(_), _) => find(wish),
    }
}

/// Settles in a scope that was made around a keeper, which goes to a leaf: a cgroup that hands controllers down has no
/// process of its own.
pub(crate) fn settle(scope: &str, keeper: u32) -> Result<Base, String> {
    let path = cgroup_of(&keeper.to_string())?;
    if path.file_name().is_none_or(|name| name != scope) {
        return Err(format!("the keeper was to be in {scope}, and is in {}", path.display()));
    }
    let base = usable(path, SCOPE)?;
    move_into_leaf(&base.path, KEEPER_LEAF, keeper).map_err(|error| {
        format!("{}: the keeper cannot be moved to a leaf ({error})", base.path.display())
    })?;
    Ok(base)
}

/// Makes the cgroup of one run. Controllers are enabled only when a limit needs them.
pub(crate) fn build(base: &Base, pool: &Path, wanted: &[&str]) -> io::Result<()> {
    if !wanted.is_empty() {
        enable(&base.path, wanted)?;
    }
    fs::create_dir(pool)?;
    enable(pool, wanted).inspect_err(|_| {
        let _ = cgroup::remove_tree(pool);
    })
}

/// Hands further controllers down to a cgroup that was built before.
pub(crate) fn widen(base: &Base, pool: &Path, wanted: &[&str]) -> io::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    enable(&base.path, wanted)?;
    enable(pool, wanted)
}

/// Where the cgroup of a run is.
pub(crate) fn pool_path(base: &Base, run: &str) -> PathBuf {
    base.path.join(format!("sidewinder-{run}"))
}

fn usable(path: PathBuf, evidence: &'static str) -> Result<Base, String> {
    let shown = path.display();
    let read = |file: &str| fs::read_to_string(path.join(file));
    let controllers =
        read("cgroup.controllers").map_err(|error| format!("{shown} is no cgroup v2 ({error})"))?;
    rustix::fs::access(&path, Access::WRITE_OK)
        .map_err(|error| format!("{shown} cannot be written ({error})"))?;
    if read("cgroup.type").is_ok_and(|kind| kind.trim() != "domain") {
        return Err(format!("{shown} is a threaded cgroup"));
    }
    let controllers = controllers.split_ascii_whitespace().map(str::to_owned).collect();
    Ok(Base { path, evidence, controllers })
}

/// The cgroup that a process is in, as a path.
fn cgroup_of(process: &str) -> Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
    let (root, point) = mounts.lines().find_map(cgroup2_mount).ok_or("no cgroup v2 is mounted")?;
    let place = format!("/proc/{process}/cgroup");
    let memberships = fs::read_to_string(&place).map_err(|error| format!("{place}: {error}"))?;
    let inside =
        memberships.lines().find_map(|line| line.strip_prefix("0::")).ok_or("not in any cgroup v2")?;
    let below = Path::new(inside)
        .strip_prefix(root)
        .map_err(|_| format!("the cgroup {inside} is not visible here"))?;
    Ok(if below.as_os_str().is_empty() { point } else { point.join(below) })
}

fn cgroup2_mount(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut fields = place.split(' ').skip(3);
    kind.starts_with("cgroup2 ").then_some(())?;
    Some((PathBuf::from(fields.next()?), PathBuf::from(fields.next()?)))
}

/// What shows that a cgroup, or the one around it, is ours.
fn evidence(own: &Path) -> Option<(&'static str, PathBuf)> {
    if is_delegated(own) {
        return Some(("delegated by its manager", own.to_owned()));
    }
    let parent = own.parent().filter(|parent| is_delegated(parent));
    if let Some(parent) = parent {
        return Some(("a subgroup of a delegated cgroup", parent.to_owned()));
    }
    let is_root = own.parent().is_some_and(|parent| !parent.join("cgroup.controllers").exists());
    is_root.then(|| ("the root of the visible hierarchy", own.to_owned()))
}

fn is_delegated(path: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0u8; 8];
        rustix::fs::getxattr(path, *name, &mut value[..]).is_ok_and(|length| value[..length] == *b"1")
    })
}

fn enable(path: &Path, wanted: &[&str]) -> io::Result<()> {
    let knob = path.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&knob)?;
    let missing: Vec<&str> =
        wanted.iter().copied().filter(|name| !enabled.split_ascii_whitespace().any(|e| e == *name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let request = missing.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    match fs::write(&knob, &request) {
        // Processes and controllers cannot share an inner cgroup: ours moves into a leaf.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) && is_home(path) => {
            move_into_leaf(path, OWNER_LEAF, 0)?;
            fs::write(&knob, &request).map_err(|error| {
                let why = format!(
                    "{}: cannot enable {request} ({error}): other processes are in it",
                    path.display()
                );
                io::Error::new(error.kind(), why)
            })
        }
        result => result.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: cannot enable {request} ({error})", path.display()))
        }),
    }
}

/// Whether this process itself is in that cgroup. To move it from elsewhere would make no room.
fn is_home(path: &Path) -> bool {
    let own = cgroup_of("self").and_then(|own| fs::canonicalize(own).map_err(|error| error.to_string()));
    own.is_ok_and(|own| fs::canonicalize(path).is_ok_and(|path| path == own))
}

/// Moves a process, or this one, which is 0.
fn move_into_leaf(path: &Path, leaf: &str, process: u32) -> io::Result<()> {
    let leaf = path.join(leaf);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::write(leaf.join("cgroup.procs"), process.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mount_of_cgroup_v2() {
        let hybrid =
            "30 28 0:26 / /sys/fs/cgroup/unified rw,relatime shared:11 - cgroup2 cgroup2 rw,nsdelegate";
        let found = cgroup2_mount(hybrid);
        assert_eq!(found, Some((PathBuf::from("/"), PathBuf::from("/sys/fs/cgroup/unified"))));
        assert_eq!(
            cgroup2_mount("31 28 0:27 / /sys/fs/cgroup/pids rw shared:12 - cgroup cgroup rw,pids"),
            None
        );
    }
}
