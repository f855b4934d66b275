//! The place where tests happen: the binary, a private runtime directory, a cgroup to build under.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, geteuid, setrlimit};

use crate::procfs;

/// How strongly a run is owned. Each is forced by options, never by luck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// A PID namespace.
    A,
    /// A delegated cgroup, without a namespace.
    B,
    /// Lineage only.
    C,
}

impl Tier {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// The letter in reports.
    pub fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.letter())
    }
}

/// Everything the tests need from the machine. Its directories go with it.
#[derive(Debug)]
pub struct Arena {
    binary: PathBuf,
    python: OsString,
    root: PathBuf,
    cgroup: Result<Cgroup, String>,
}

#[derive(Debug)]
struct Cgroup {
    path: PathBuf,
    ours: bool,
}

impl Arena {
    /// Prepares the place. The name tells apart the directories of several tests.
    pub fn prepare(name: &str) -> io::Result<Self> {
        let binary = find_binary()?;
        let root = std::env::temp_dir().join(format!("sidewinder-{name}-{}", procfs::own_pid()));
        DirBuilder::new().mode(0o700).create(&root)?;
        DirBuilder::new().mode(0o700).create(root.join("runtime"))?;
        // One byte: too small for a core file, and by convention "none" to a core pipe as well.
        setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) })?;
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        Ok(Self { binary, python, root, cgroup: find_cgroup() })
    }

    /// The tiers that can run here, and for each other one the reason why not.
    pub fn tiers(&self) -> Vec<(Tier, Result<(), String>)> {
        let delegated = self.cgroup.as_ref().map(|_| ()).map_err(Clone::clone);
        vec![(Tier::A, self.allows_namespaces()), (Tier::B, delegated), (Tier::C, Ok(()))]
    }

    /// Some containers allow no namespaces: then nothing of tier A can be shown.
    fn allows_namespaces(&self) -> Result<(), String> {
        let asked = self.sidewinder("doctor").args(["--require-tier", "A"]).stdout(Stdio::null()).output();
        match asked {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// `sidewinder VERB` in this place.
    pub fn sidewinder(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(verb).stdin(Stdio::null());
        self.place(&mut command);
        command
    }

    /// The environment that keeps a command inside this place.
    pub fn place(&self, command: &mut Command) {
        command.env("SIDEWINDER_RUNTIME_DIR", self.runtime()).env("TMPDIR", &self.root);
        command.env_remove("SIDEWINDER_RUN");
    }

    /// The arguments of `sidewinder keep` up to the command: the tier, and no patience.
    pub fn keep_arguments(&self, tier: Tier, report: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            ["keep", "--grace", "0s", "--orphan-grace", "0s"].map(OsString::from).to_vec();
        let cgroup = match (tier, &self.cgroup) {
            (Tier::A, _) => None,
            (Tier::B, Ok(cgroup)) => Some(cgroup.path.clone().into_os_string()),
            (Tier::B, Err(_)) | (Tier::C, _) => Some("off".into()),
        };
        if let Some(cgroup) = cgroup {
            arguments.extend(["--namespace".into(), "off".into(), "--cgroup".into(), cgroup]);
        }
        arguments.extend(["--report".into(), report.as_os_str().to_owned(), "--".into()]);
        arguments
    }

    /// `sidewinder keep` with these arguments; the command is still to be added.
    pub fn keep(&self, tier: Tier, report: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(self.keep_arguments(tier, report)).stdin(Stdio::null());
        self.place(&mut command);
        command
    }

    /// The command line of a nasty worker.
    pub fn worker(&self, name: &str) -> Vec<OsString> {
        let script = tests().join("zoo").join(name).with_extension("py");
        vec![self.python.clone(), script.into_os_string()]
    }

    /// The Python that runs the zoo.
    pub fn python(&self) -> &std::ffi::OsStr {
        &self.python
    }

    /// The binary under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The private runtime directory.
    pub fn runtime(&self) -> PathBuf {
        self.root.join("runtime")
    }

    /// A path for a file of one case.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The run records that exist now.
    pub fn records(&self) -> Vec<String> {
        let listing = fs::read_dir(self.runtime().join("runs")).into_iter().flatten().flatten();
        listing.map(|item| item.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Directories that runs have made under the cgroup of tier B and not removed.
    pub fn run_cgroups(&self) -> Vec<PathBuf> {
        let Ok(cgroup) = &self.cgroup else { return Vec::new() };
        let listing = fs::read_dir(&cgroup.path).into_iter().flatten().flatten();
        listing.map(|item| item.path()).filter(|path| path.is_dir() && is_run_directory(path)).collect()
    }

    /// Removes what a case has written, so that the next one starts clean.
    pub fn sweep_files(&self) {
        for item in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let path = item.path();
            if path == self.runtime() {
                continue;
            }
            // What cannot be removed now goes with the whole place.
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // Nothing here is needed any more; a leftover is a temporary directory.
        let _ = fs::remove_dir_all(&self.root);
        if let Ok(Cgroup { path, ours: true }) = &self.cgroup {
            let _ = fs::remove_dir(path);
        }
    }
}

/// The folder of the tests. Those that were copied elsewhere are told where; cargo says the same.
pub fn tests() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into()).into()
}

fn is_run_directory(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sidewinder-"))
}

fn find_binary() -> io::Result<PathBuf> {
    if let Some(given) = std::env::var_os("SIDEWINDER_BIN") {
        return Ok(given.into());
    }
    let own = std::env::current_exe()?;
    let beside = own.parent().and_then(Path::parent).map(|profile| profile.join("sidewinder"));
    beside.filter(|path| path.exists()).ok_or_else(|| {
        io::Error::other("no `sidewinder` beside the tests: run `cargo build` first, or set SIDEWINDER_BIN")
    })
}

fn find_cgroup() -> Result<Cgroup, String> {
    if let Some(given) = std::env::var_os("SIDEWINDER_TEST_CGROUP") {
        return Ok(Cgroup { path: given.into(), ours: false });
    }
    if !geteuid().is_root() {
        return Err("not root, and SIDEWINDER_TEST_CGROUP names no delegated cgroup".to_owned());
    }
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = table
        .lines()
        .filter(|line| line.contains(" - cgroup2 "))
        .find_map(|line| line.split_ascii_whitespace().nth(4))
        .ok_or_else(|| "no cgroup v2 file system is mounted".to_owned())?;
    let path = Path::new(mount).join(format!("sidewinder-tests-{}", procfs::own_pid()));
    match fs::create_dir(&path) {
        Ok(()) => Ok(Cgroup { path, ours: true }),
        Err(error) => Err(format!("cannot make a cgroup under {mount}: {error}")),
    }
}
