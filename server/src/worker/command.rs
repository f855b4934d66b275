//! How a worker is started: which program, with which arguments, environment and directory.

use sidewinder_keeper_wire::{Failure, SpawnRequest};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The numbers at which a worker finds its output pipes and its two sockets.
pub(crate) const FDS: [u32; 4] = [1, 2, 3, 4];

/// The same of a fork server, which has no calls: there is its nest.
const FORK_SERVER_FDS: [u32; 3] = [FDS[0], FDS[1], FDS[3]];
const NEST: u32 = FDS[2];

/// Variables of the daemon that a worker may see; everything else is named by the user.
const INHERITED: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "SSL_CERT_FILE",
];

/// The tools of a pool and what runs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Command {
    /// The interpreter; `python3` of the virtual environment or of the path when absent.
    pub(crate) python: Option<PathBuf>,
    /// Another worker that speaks the protocol, with its arguments; Python's when empty.
    pub(crate) program: Vec<String>,
    /// Where workers run; where the daemon was started when absent.
    pub(crate) directory: Option<PathBuf>,
    /// Modules whose decorated functions are tools.
    pub(crate) tools: Vec<String>,
    /// Functions of other modules, as `module:function`.
    pub(crate) expose: Vec<String>,
    /// Calls that one worker runs at a time.
    pub(crate) seats: u16,
    /// Where the runtime is found, before everything else on Python's path.
    pub(crate) runtime: Option<PathBuf>,
    /// Further variables.
    pub(crate) environment: Vec<(String, String)>,
    /// Workers are forked from a process that has imported everything once.
    pub(crate) fork_server: bool,
    /// Modules that this process imports before the tools.
    pub(crate) preload: Vec<String>,
}

impl Command {
    /// The request for the keeper.
    pub(crate) fn request(&self) -> io::Result<SpawnRequest> {
        let arguments: Vec<OsString> = if self.program.is_empty() {
            vec![self.interpreter(), "-m".into(), "sidewinder.worker".into()]
        } else {
            self.program.iter().map(OsString::from).collect()
        };
        let directory = self.directory.clone().map_or_else(std::env::current_dir, Ok)?;
        // The kernel's answer would not say whether the directory or the program is missing.
        std::fs::metadata(&directory).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot run in {}: {error}", directory.display()))
        })?;
        Ok(SpawnRequest {
            arguments: arguments.into_iter().map(OsString::into_vec).collect(),
            environment: self.variables().into_iter().map(variable).collect(),
            directory: Some(directory.into_os_string().into_vec()),
            fds: FDS.to_vec(),
            ..SpawnRequest::default()
        })
    }

    /// The request for a fork server of such workers.
    pub(crate) fn fork_server_request(&self) -> io::Result<SpawnRequest> {
        let mut request = self.request()?;
        request.arguments.truncate(2);
        request.arguments.push(b"sidewinder._fork".to_vec());
        let own = [("SIDEWINDER_NEST_FD", NEST.to_string()), ("SIDEWINDER_PRELOAD", self.preload.join(","))];
        request.environment.extend(own.map(|(name, value)| variable((name.into(), value.into()))));
        request.fds = FORK_SERVER_FDS.to_vec();
        request.nest = Some(NEST);
        Ok(request)
    }

    /// What it names and this machine does not have: the key, and what is wrong with it.
    pub(crate) fn absent(&self) -> Option<(&'static str, String)> {
        if let Some(directory) = self.directory.as_ref().filter(|directory| !directory.is_dir()) {
            return Some(("directory", format!("there is no directory {} here", directory.display())));
        }
        let program = self.program.first().map_or_else(|| self.interpreter(), OsString::from);
        let key = if self.program.is_empty() { "python" } else { "command" };
        let absent = format!("there is no program {} here", program.display());
        (!self.is_found(Path::new(&program))).then_some((key, absent))
    }

    /// As `execvp` looks for it, from where the workers run.
    fn is_found(&self, program: &Path) -> bool {
        let from = self.directory.clone().unwrap_or_default();
        if program.components().count() > 1 {
            return is_program(&from.join(program));
        }
        let own = self.environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.into());
        let path = own.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
        std::env::split_paths(&path).any(|place| is_program(&from.join(place).join(program)))
    }

    fn interpreter(&self) -> OsString {
        let in_environment = || {
            let python = PathBuf::from(std::env::var_os("VIRTUAL_ENV")?).join("bin/python3");
            python.exists().then_some(python)
        };
        self.python.clone().or_else(in_environment).map_or_else(|| "python3".into(), PathBuf::into_os_string)
    }

    fn variables(&self) -> Vec<(OsString, OsString)> {
        let inherited = INHERITED.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
        let mut variables: Vec<(OsString, OsString)> = inherited.collect();
        if let Some(runtime) = &self.runtime {
            let mut path = runtime.clone().into_os_string();
            if let Some(position) = variables.iter().position(|(name, _)| name == "PYTHONPATH") {
                let (_, rest) = variables.swap_remove(position);
                path.push(":");
                path.push(rest);
            }
            variables.push(("PYTHONPATH".into(), path));
        }
        let own = [
            ("SIDEWINDER_CALLS_FD", FDS[2].to_string()),
            ("SIDEWINDER_CONTROL_FD", FDS[3].to_string()),
            ("SIDEWINDER_TOOLS", self.tools.join(",")),
            ("SIDEWINDER_EXPOSE", self.expose.join(",")),
            ("SIDEWINDER_SEATS", self.seats.to_string()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ];
        let named = self.environment.iter().map(|(name, value)| (name.into(), value.into()));
        variables.extend(own.into_iter().map(|(name, value)| (name.into(), value.into())).chain(named));
        variables
    }
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

fn variable((name, value): (OsString, OsString)) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}

/// Why a program could not be started, and what to do.
pub(super) fn explain(program: &str, failure: &Failure) -> String {
    let why = io::Error::from_raw_os_error(failure.errno);
    match failure.errno {
        0 => failure.message.clone(),
        libc::ENOENT => {
            format!("{program}: not found: name an interpreter with --python, or a `command` that is there")
        }
        _ => format!("{program}: {why} ({:?} {})", failure.stage, failure.message),
    }
}
