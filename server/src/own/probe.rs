//! What this machine allows, found by trying.
//!
//! Nothing is concluded from versions: a keeper is started, a worker is put into a cgroup, a socket is asked for
//! its peer. Each "no" comes with what would make it a "yes".

use super::identity;
use super::lifeline::{Heard, Lifeline};
use super::record::{self, Found, Record};
use super::subtree::{self, Base, CONTROLLERS, Wish};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdFlags, pidfd_open};
use serde::Serialize;
use sidewinder_keeper_kernel::{cgroup, facts, lineage::Lineage, link::Link, sys};
use sidewinder_keeper_wire::{Graces, Report, Request, SpawnRequest, Tier, Welcome};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) yes: bool,
    pub(crate) detail: String,
    /// What to do about a "no".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<&'static str>,
}

/// What holds one kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Holder {
    Cgroup,
    EachProcess,
    Nothing,
}

/// Whether this machine gives a tier, and why.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Given {
    pub(crate) tier: String,
    pub(crate) meaning: &'static str,
    pub(crate) yes: bool,
    pub(crate) why: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Findings {
    #[serde(skip)]
    pub(crate) strength: Tier,
    pub(crate) tier: String,
    pub(crate) meaning: &'static str,
    pub(crate) tiers: Vec<Given>,
    pub(crate) checks: Vec<Check>,
    pub(crate) limits: Vec<(&'static str, Holder)>,
}

/// Tries everything.
pub(crate) fn probe() -> Findings {
    // The keepers that are tried end before this process does, and leave nobody to reap.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let base = subtree::find(&Wish::Auto);
    let namespace = try_keeper(true, None);
    let in_cgroup = base.as_ref().map_err(Clone::clone).and_then(try_cgroup);
    let mut checks = namespace_checks(&namespace);
    checks.extend(cgroup_checks(&base, &in_cgroup));
    checks.extend(kernel_checks());
    checks.push(leftovers());
    let tier = match (&namespace, &in_cgroup) {
        (Ok(welcome), _) if welcome.tier == Tier::A => Tier::A,
        (_, Ok(())) => Tier::B,
        (Ok(_) | Err(_), Err(_)) => Tier::C,
    };
    Findings {
        strength: tier,
        tier: tier.to_string(),
        meaning: tier.meaning(),
        tiers: tiers(&namespace, &checks),
        checks,
        limits: limits(base.as_ref().ok(), in_cgroup.is_ok()),
    }
}

const NAMESPACE: &str = "PID namespace (tier A)";
const CGROUP: &str = "delegated cgroup v2 (tier B)";
const CHILDREN: &str = "children of a process";

/// What the checks mean for each tier.
fn tiers(keeper: &io::Result<Welcome>, checks: &[Check]) -> Vec<Given> {
    let of = |name: &str| {
        let check = checks.iter().find(|check| check.name == name);
        check.map_or((false, "not tried".to_owned()), |check| (check.yes, check.detail.clone()))
    };
    let started = keeper.as_ref().map(drop).map_err(|error| format!("no keeper could be started: {error}"));
    let lineage = match (&started, of(CHILDREN)) {
        (Err(why), _) => (false, why.clone()),
        (Ok(()), (true, _)) => (true, "a keeper that gets every orphan, and sees its children".to_owned()),
        (Ok(()), (false, why)) => (false, format!("children cannot be listed: {why}")),
    };
    let groups = match started {
        Err(why) => (false, why),
        Ok(()) => {
            (true, "needs nothing but sessions; never chosen on Linux, where C is always there".to_owned())
        }
    };
    [(Tier::A, of(NAMESPACE)), (Tier::B, of(CGROUP)), (Tier::C, lineage), (Tier::D, groups)]
        .into_iter()
        .map(|(tier, (yes, why))| Given { tier: tier.to_string(), meaning: tier.meaning(), yes, why })
        .collect()
}

fn namespace_checks(namespace: &io::Result<Welcome>) -> Vec<Check> {
    let (yes, detail, fresh) = match namespace {
        Ok(welcome) => (welcome.tier == Tier::A, welcome.why.clone(), welcome.fresh_proc),
        Err(error) => (false, format!("no keeper could be started: {error}"), false),
    };
    let mut checks = vec![Check {
        name: NAMESPACE,
        yes,
        detail,
        fix: (!yes).then_some(
            "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
             kernel.apparmor_restrict_unprivileged_userns) or run with CAP_SYS_ADMIN",
        ),
    }];
    if yes {
        checks.push(Check {
            name: "fresh /proc inside",
            yes: fresh,
            detail: if fresh {
                "workers see only their pool".into()
            } else {
                "workers see the outer /proc".into()
            },
            fix: (!fresh)
                .then_some("the container hides parts of /proc: allow procMount: Unmasked, or live with it"),
        });
    }
    checks
}

fn cgroup_checks(base: &Result<Base, String>, in_cgroup: &Result<(), String>) -> Vec<Check> {
    let detail = match (base, in_cgroup) {
        (Err(why), _) | (Ok(_), Err(why)) => why.clone(),
        (Ok(base), Ok(())) => format!("{} ({})", base.path.display(), base.evidence),
    };
    let mut checks = vec![Check {
        name: CGROUP,
        yes: in_cgroup.is_ok(),
        detail,
        fix: in_cgroup.is_err().then_some(
            "run as a systemd unit with Delegate=yes (by hand: systemd-run --user --scope -p Delegate=yes …), or name \
             a writable cgroup with --cgroup",
        ),
    }];
    if let Ok(base) = base {
        checks.extend(CONTROLLERS.into_iter().map(|controller| {
            let yes = base.controllers.iter().any(|name| name == controller);
            Check {
                name: controller_check(controller),
                yes,
                detail: if yes { "delegated".to_owned() } else { "not delegated".to_owned() },
                fix: (!yes).then_some("delegate it (Delegate=yes), or mount cgroup v2 alone: systemd.unified_cgroup_hierarchy=1"),
            }
        }));
    }
    checks
}

fn controller_check(controller: &str) -> &'static str {
    match controller {
        "memory" => "memory controller",
        "pids" => "pids controller",
        "cpu" => "cpu controller",
        _ => "io controller",
    }
}

fn kernel_checks() -> Vec<Check> {
    let peer = Link::pair().and_then(|(one, _other)| sys::peer_pidfd(one.as_fd()));
    let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty());
    let inode = own.ok().and_then(|pidfd| identity::inode_of(&pidfd).ok().flatten());
    let children = Lineage::look().and_then(|lineage| lineage.children());
    let runtime = record::directory();
    vec![
        Check {
            name: "death of a client by pidfd",
            yes: peer.is_ok(),
            detail: peer.map_or_else(|error| error.to_string(), |_| "SO_PEERPIDFD".to_owned()),
            fix: Some("Linux 6.5 or later; without it the end of the connection is waited for"),
        },
        Check {
            name: "identity of a process",
            yes: inode.is_some(),
            detail: if inode.is_some() { "pidfd inode".into() } else { "process id and start time".into() },
            fix: Some("Linux 6.9 or later; without it the start time tells processes apart"),
        },
        Check {
            name: CHILDREN,
            yes: children.is_ok(),
            detail: children
                .map_or_else(|error| error.to_string(), |_| "/proc/thread-self/children".to_owned()),
            fix: Some("mount /proc; the kernel needs CONFIG_PROC_CHILDREN"),
        },
        Check {
            name: "private runtime directory",
            yes: runtime.is_ok(),
            detail: runtime.map_or_else(|error| error.to_string(), |path| path.display().to_string()),
            fix: Some("name one with SIDEWINDER_RUNTIME_DIR"),
        },
    ]
    .into_iter()
    .map(|check| Check { fix: check.fix.filter(|_| !check.yes), ..check })
    .collect()
}

fn leftovers() -> Check {
    let found = record::find_all().unwrap_or_default();
    let abandoned = found.iter().filter(|(_, found)| matches!(found, Found::Abandoned(..))).count();
    Check {
        name: "nothing left behind",
        yes: abandoned == 0,
        detail: format!("{abandoned} abandoned runs, {} living", found.len() - abandoned),
        fix: (abandoned > 0).then_some("sidewinder reap"),
    }
}

fn limits(base: Option<&Base>, usable: bool) -> Vec<(&'static str, Holder)> {
    let has = |name: &str| usable && base.is_some_and(|base| base.controllers.iter().any(|c| c == name));
    let root = rustix::process::geteuid().is_root();
    let holder = |name: &'static str| match name {
        _ if has(name) => Holder::Cgroup,
        "memory" => Holder::EachProcess,
        "pids" if !root => Holder::EachProcess,
        _ => Holder::Nothing,
    };
    CONTROLLERS.into_iter().map(|name| (name, holder(name))).collect()
}

fn try_keeper(namespace: bool, cgroup: Option<&Path>) -> io::Result<Welcome> {
    let record = Record::begin(facts::boot_id()?, None, "")?;
    let mut lifeline = Lifeline::start(namespace, &record)?;
    let result = lifeline.hello(Graces::default(), cgroup).and_then(|(welcome, keeper)| {
        if cgroup.is_some() {
            run_nothing(&mut lifeline)?;
        }
        Ok((welcome, keeper))
    });
    drop(lifeline);
    let welcome = result.map(|(welcome, keeper)| {
        let patience = rustix::fs::Timespec { tv_sec: 5, tv_nsec: 0 };
        let _ = rustix::event::poll(&mut [PollFd::new(&keeper, PollFlags::IN)], Some(&patience));
        while let Ok(Some(_)) = sys::reap() {}
        welcome
    });
    record.end();
    welcome
}

/// Puts a worker into a cgroup of its own, and kills it there.
fn try_cgroup(base: &Base) -> Result<(), String> {
    let attempt = || -> io::Result<()> {
        let record = Record::begin(facts::boot_id()?, None, "")?;
        let pool = subtree::pool_path(base, &record.facts.run);
        subtree::build(base, &pool, &[])?;
        record.end();
        let result = try_keeper(false, Some(&pool));
        let _ = cgroup::remove_tree(&pool);
        result.map(drop)
    };
    attempt().map_err(|error| format!("{}: {error}", base.path.display()))
}

fn run_nothing(lifeline: &mut Lifeline) -> io::Result<()> {
    let arguments = ["/proc/self/exe", "--version"].map(|text| text.as_bytes().to_vec()).to_vec();
    lifeline.spawn(1, SpawnRequest { arguments, ..SpawnRequest::default() }, &[])?;
    let until = Instant::now() + PATIENCE;
    loop {
        match lifeline.hear()? {
            Heard::Report(Report::Gone(..), _) => return lifeline.send(&Request::Acknowledge(1), &[]),
            Heard::Report(Report::Failed(_, failure), _) => {
                let why = io::Error::from_raw_os_error(failure.errno);
                return Err(io::Error::new(why.kind(), format!("{} {why}", failure.message)));
            }
            Heard::Report(..) => {}
            Heard::Closed => return Err(io::Error::other("the keeper left")),
            Heard::Nothing => lifeline.wait(until)?,
        }
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}
