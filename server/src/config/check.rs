//! From a draft to settings: whether what was written makes sense together.

use super::keys::PoolDraft;
use super::problem::{Place, Problems};
use super::reading::Draft;
use super::settings::{Listen, PoolSettings, Settings};
use crate::lifecycle::{Mode, Wish};
use crate::own::{record, subtree as cgroup};
use crate::worker::command::Command;
use sidewinder_core::{Policy, SLOTS_MAX, Size};
use sidewinder_edge::tls::Files;
use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::path::PathBuf;

const NAME_MAX: usize = 64;
/// More workers than this are not started for the number of processors alone.
const BY_PROCESSORS_MAX: u16 = 2048;
/// More threads than this pass on more calls than any number of workers answers.
const THREADS_MAX: u16 = 64;

/// The settings; with any problem they are of no use.
pub(super) fn settings(draft: &Draft, problems: &mut Problems) -> Settings {
    let daemon = &draft.daemon;
    let at = |key: &str| draft.places.get(key).cloned().unwrap_or(Place::Unwritten);
    for flaw in daemon.limits.flaws() {
        let key = format!("limits.{}", flaw.name);
        problems.add(&at(&key), &key, format!("this must {}", flaw.must));
    }
    let tls = tls(draft, problems);
    let addresses = [
        ("listen.tcp", daemon.tcp.filter(|_| tls.is_none()), "`tls_certificate` and `tls_key`"),
        ("telemetry.prometheus", daemon.telemetry.prometheus, "a proxy that has it"),
    ];
    for (key, address, seal) in addresses {
        let public = address.filter(|address| !address.ip().to_canonical().is_loopback());
        if let (Some(address), false) = (public, daemon.insecure) {
            let what = format!(
                "other machines can reach {address} and there is no TLS: take a loopback address, or {seal}, or say \
                 `insecure = true` in [listen]"
            );
            problems.add(&at(key), key, what);
        }
    }
    if daemon.telemetry.otlp_interval.is_zero() {
        problems.add(&at("telemetry.otlp_interval"), "telemetry.otlp_interval", "this must not be nothing");
    }
    if daemon.telemetry.trace_percent > 100 {
        problems.add(&at("telemetry.trace_percent"), "telemetry.trace_percent", "this must be at most 100");
    }
    if daemon.threads.is_some_and(|threads| !(1..=THREADS_MAX).contains(&threads)) {
        problems.add(
            &at("daemon.threads"),
            "daemon.threads",
            format!("this must be from 1 to {THREADS_MAX}"),
        );
    }
    if draft.pools.is_empty() && !draft.broken {
        let what =
            "there is no pool: name a module with --tools, or write [pools.NAME] in a file for --config";
        problems.add(&Place::Unwritten, "pools", what);
    }
    let socket = daemon.socket.clone().map_or_else(default_socket, Ok).unwrap_or_else(|error| {
        problems.add(&Place::Unwritten, "listen.socket", error.to_string());
        PathBuf::new()
    });
    names(draft, problems);
    lifecycle(draft, problems);
    upgrade(draft, problems);
    let cgroup = cgroup(draft, problems);
    let pools = draft.pools.iter().map(|(name, pool)| (name.clone(), checked(draft, name, pool, problems)));
    Settings {
        pools: pools.collect(),
        listen: Listen {
            socket,
            users: daemon.users.clone(),
            tcp: daemon.tcp,
            insecure: daemon.insecure,
            tls,
        },
        limits: daemon.limits.clone(),
        telemetry: daemon.telemetry.clone(),
        lifecycle: daemon.lifecycle.clone(),
        endings: daemon.endings,
        drain: daemon.drain,
        threads: daemon.threads.map_or_else(threads, usize::from),
        namespace: daemon.namespace,
        cgroup,
        live: daemon.live,
        upgrade: daemon.upgrade,
        reattach: daemon.reattach,
        ready: daemon.ready,
    }
}

/// Processors are for workers: they do far more for a call than who passes it on.
fn threads() -> usize {
    (processors() / 4).clamp(1, 4)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Certificate and key go together, and with an address that they are for.
fn tls(draft: &Draft, problems: &mut Problems) -> Option<Files> {
    let daemon = &draft.daemon;
    let keys = [
        ("listen.tls_certificate", &daemon.tls_certificate),
        ("listen.tls_key", &daemon.tls_key),
        ("listen.tls_client_ca", &daemon.tls_client_ca),
    ];
    let (said, _) = keys.into_iter().find(|(_, path)| path.is_some())?;
    let mut problem = |key: &str, what: &str| {
        let place = draft.places.get(said).cloned().unwrap_or(Place::Unwritten);
        problems.add(&place, key, what);
    };
    if daemon.tcp.is_none() {
        problem(said, "there is nothing to protect: name an address with `tcp`, or leave this out");
    }
    for (key, path) in &keys[..2] {
        if path.is_none() {
            problem(key, "this is missing: TLS takes a certificate and its key");
        }
    }
    let (certificate, key) = (daemon.tls_certificate.clone()?, daemon.tls_key.clone()?);
    Some(Files { certificate, key, client_ca: daemon.tls_client_ca.clone() })
}

/// Where the daemon of this user listens, when nobody says otherwise.
pub(crate) fn default_socket() -> io::Result<PathBuf> {
    let runs = record::directory()?;
    Ok(runs.parent().unwrap_or(&runs).join("sidewinder.sock"))
}

/// In every mode that it may come to. The same flaw is told once.
fn lifecycle(draft: &Draft, problems: &mut Problems) {
    let at = |key: &str| draft.places.get(key).cloned().unwrap_or(Place::Unwritten);
    let wishes = &draft.daemon.lifecycle;
    let modes = match wishes.mode {
        Wish::Is(mode) => vec![mode],
        Wish::Auto => Mode::ALL.to_vec(),
    };
    let flaws = modes.into_iter().filter_map(|mode| wishes.rules(mode).err()).flatten();
    let flaws: BTreeMap<&str, &str> = flaws.map(|flaw| (flaw.name, flaw.must)).collect();
    for (name, must) in flaws {
        problems.add(&at(name), name, format!("this must {must}"));
    }
    let key = "lifecycle.exit_when_idle";
    if let Some((name, pool)) = draft.pools.iter().find(|(_, pool)| wishes.exit_when_idle && pool.warm > 0) {
        let what =
            format!("pool {name} keeps {} warm, so the daemon never ends: remove one of them", pool.warm);
        problems.add(&at(key), key, what);
    }
}

/// A service manager that keeps workers for the next start has no next program to keep them for.
fn upgrade(draft: &Draft, problems: &mut Problems) {
    let key = "daemon.upgrade";
    if draft.daemon.upgrade && draft.daemon.live {
        let place = draft.places.get(key).cloned().unwrap_or(Place::Unwritten);
        let what = "this and `live` contradict each other: a restart of the unit upgrades a live daemon";
        problems.add(&place, key, what);
    }
}

/// A scope is a cgroup, and where it is is up to the service manager.
fn cgroup(draft: &Draft, problems: &mut Problems) -> cgroup::Wish {
    let key = "daemon.placement";
    let cgroup = &draft.daemon.cgroup;
    if !draft.daemon.scope {
        return cgroup.clone();
    }
    if *cgroup != cgroup::Wish::Auto {
        let place = draft.places.get(key).cloned().unwrap_or(Place::Unwritten);
        let what = "a scope has a cgroup of its own, and `cgroup` says otherwise: remove one of them";
        problems.add(&place, key, what);
    }
    cgroup::Wish::Scope
}

fn names(draft: &Draft, problems: &mut Problems) {
    let mut plain: BTreeMap<String, &str> = BTreeMap::new();
    for name in draft.pools.keys() {
        let key = format!("pools.{name}");
        let place = draft.places.get(&key).cloned().unwrap_or(Place::Unwritten);
        let fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fits) {
            problems.add(&place, &key, "the name of a pool has 1 to 64 of a-z, 0-9, _ and -");
        }
        if let Some(other) = plain.insert(name.to_lowercase().replace('-', "_"), name) {
            problems.add(&place, &key, format!("this name can be mistaken for `{other}`: take another one"));
        }
    }
}

fn checked(draft: &Draft, name: &str, pool: &PoolDraft, problems: &mut Problems) -> PoolSettings {
    let before = problems.0.len();
    let size = size(draft, name, pool, problems);
    program(draft, name, pool, problems);
    let policy = Policy {
        // A size with a flaw is told of, and never used.
        size: size.unwrap_or(Policy::default().size),
        warm: pool.warm,
        seats: pool.seats,
        line: pool.line.clone(),
        restart: pool.restart.clone(),
        recycle: pool.recycle.clone(),
        grace: pool.grace.clone(),
        poison: pool.poison.clone(),
    };
    let policy = policy.check().unwrap_or_else(|flaws| {
        for flaw in flaws {
            let key = format!("pools.{name}.{}", flaw.name);
            problems.add(&draft.place(name, flaw.name), &key, format!("this must {}", flaw.must));
        }
        sidewinder_core::Checked::default()
    });
    debug_assert!(size.is_some() || problems.0.len() > before, "a size without flaws is no size");
    let command = Command {
        python: pool.python.clone(),
        program: pool.command.clone(),
        directory: pool.directory.clone(),
        tools: pool.tools.clone(),
        expose: pool.expose.clone(),
        seats: policy.seats,
        runtime: None,
        environment: pool.environment.clone().into_iter().collect(),
        fork_server: pool.fork_server,
        preload: pool.preload.clone(),
    };
    PoolSettings { policy, command, limits: pool.limits.clone() }
}

fn program(draft: &Draft, name: &str, pool: &PoolDraft, problems: &mut Problems) {
    let mut flaw = |key: &str, what: String| {
        problems.add(&draft.place(name, key), &format!("pools.{name}.{key}"), what);
    };
    let served = [&pool.tools, &pool.expose, &pool.command].into_iter().any(|list| !list.is_empty());
    let said = |key: &str| draft.places.contains_key(&format!("pools.{name}.{key}"));
    // A key with a problem of its own is not an absent one.
    if !served && !draft.broken && !["tools", "expose", "command"].into_iter().any(said) {
        let place = draft.places.get(&format!("pools.{name}")).cloned().unwrap_or(Place::Unwritten);
        let what = "the pool serves nothing: give it `tools`, `expose` or a `command`";
        problems.add(&place, &format!("pools.{name}"), what);
        return;
    }
    for key in ["tools", "expose", "command"] {
        let list = match key {
            "tools" => &pool.tools,
            "expose" => &pool.expose,
            _ => &pool.command,
        };
        if !served && said(key) && list.is_empty() {
            flaw(key, "the pool serves nothing: name something here".to_owned());
        }
    }
    let is_name = |text: &str| text.split('.').all(|part| !part.is_empty() && part.chars().all(is_of_name));
    for module in pool.tools.iter().filter(|module| !is_name(module)) {
        flaw("tools", format!("`{module}` is no module: write a name as in `import a.b`"));
    }
    for module in pool.preload.iter().filter(|module| !is_name(module)) {
        flaw("preload", format!("`{module}` is no module: write a name as in `import a.b`"));
    }
    if !pool.preload.is_empty() && !pool.fork_server {
        flaw(
            "preload",
            "this has no effect without `fork_server = true`: write that, or remove this".to_owned(),
        );
    }
    if pool.fork_server && !pool.command.is_empty() {
        flaw("fork_server", "only Python's worker can be forked: remove this, or `command`".to_owned());
    }
    let is_function =
        |text: &str| text.split_once(':').is_some_and(|(module, f)| is_name(module) && is_name(f));
    for function in pool.expose.iter().filter(|function| !is_function(function)) {
        flaw("expose", format!("`{function}` is no function: write module:function"));
    }
    if pool.python.is_some() && !pool.command.is_empty() {
        flaw("python", "this has no effect beside `command`: remove one of them".to_owned());
    }
    if pool.command.iter().any(|word| word.contains('\0'))
        || pool.command.first().is_some_and(String::is_empty)
    {
        flaw(
            "command",
            "this is no command: the first word names a program, and no word has a zero byte".to_owned(),
        );
    }
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// How many workers, or every reason why that cannot be.
fn size(draft: &Draft, name: &str, pool: &PoolDraft, problems: &mut Problems) -> Option<Size> {
    let before = problems.0.len();
    let mut flaw = |key: &str, what: String| {
        problems.add(&draft.place(name, key), &format!("pools.{name}.{key}"), what);
    };
    let ranged = pool.min.is_some() || pool.max.is_some() || pool.spare > 0;
    let processors = u16::try_from(processors()).unwrap_or(u16::MAX).min(BY_PROCESSORS_MAX);
    let (min, max) = if ranged {
        let max = pool.max.unwrap_or_else(|| processors.max(pool.min.unwrap_or(0)).max(pool.spare));
        (pool.min.unwrap_or(1), max)
    } else {
        let workers = pool.workers.unwrap_or(processors);
        (workers, workers)
    };
    if ranged && pool.workers.is_some() {
        flaw(
            "workers",
            "this stands for `min` and `max` at once: write it, or write those and `spare`".to_owned(),
        );
    }
    let most = (SLOTS_MAX - pool.headroom.min(SLOTS_MAX)) / 2;
    let name_of_max = if ranged { "max" } else { "workers" };
    if max == 0 || max > most {
        flaw(name_of_max, format!("{max} is out of range: write 1 to {most}"));
    }
    if min > max && max > 0 {
        flaw("min", format!("{min} is more than `max` ({max})"));
    }
    if pool.spare > max && max > 0 {
        flaw("spare", format!("{} is more than `max` ({max})", pool.spare));
    }
    let fits = problems.0.len() == before;
    fits.then(|| Size::new(min, max, pool.spare, pool.headroom)).flatten()
}
