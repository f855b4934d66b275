//! A server in a process of its own: the daemon, or the baseline. Both are asked in the same words.

pub(crate) mod bare;
mod mirrors;

use rustix::process::{Pid, Signal, kill_process};
use sidewinder_proto::v1;
use sidewinder_proto::v1::calls_client::CallsClient;
use sidewinder_proto::v1::clients_client::ClientsClient;
use sidewinder_proto::v1::pools_client::PoolsClient;
use sidewinder_tests::arena::Arena;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};
use tonic::transport::{Channel, Endpoint};

/// Between two looks at something that is on its way.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A server that runs. Dropped, it is stopped, and its end is waited for: what is measured next has the machine alone.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    endpoint: Endpoint,
    channel: Channel,
    /// Just before its process was started.
    pub(crate) begun: SystemTime,
}

impl Served {
    /// The baseline.
    pub(crate) async fn bare(arena: &Arena) -> io::Result<Self> {
        let socket = fresh(arena, "bare");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--bare").arg(&socket);
        Self::start(command, &socket).await
    }

    /// The floor: the baseline with as many processes of Python behind it.
    pub(crate) async fn floor(arena: &Arena) -> io::Result<Self> {
        let socket = fresh(arena, "floor");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--floor").arg(&socket).arg("--mirror").arg(arena.python());
        Self::start(command, &socket).await
    }

    /// This daemon, with so many workers. All of them are started; [`Self::ready`] waits for them.
    pub(crate) async fn daemon(arena: &Arena, name: &str, binary: &Path, workers: usize) -> io::Result<Self> {
        let count = workers.to_string();
        Self::pool(arena, name, binary, &["--tools", "echoes", "--workers", &count], &[]).await
    }

    /// This daemon, with a pool of these arguments and these variables.
    pub(crate) async fn pool(
        arena: &Arena,
        name: &str,
        binary: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> io::Result<Self> {
        let socket = fresh(arena, name);
        let mut command = Command::new(binary);
        arena.place(&mut command);
        command.envs(variables.iter().copied()).arg("run").args(arguments);
        command.args(["--drain-timeout", "0s", "--socket"]).arg(&socket).current_dir(tools());
        Self::start(command, &socket).await
    }

    async fn start(mut command: Command, socket: &Path) -> io::Result<Self> {
        let log = socket.with_extension("log");
        command.stderr(File::create(&log)?);
        let begun = SystemTime::now();
        let mut child = command.spawn()?;
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()));
        let endpoint = endpoint.map_err(io::Error::other)?;
        loop {
            if let Ok(channel) = endpoint.connect().await {
                return Ok(Self { child, endpoint, channel, begun });
            }
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(io::Error::other(format!("{command:?} ended with {status}: {log}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) fn calls(&self) -> CallsClient<Channel> {
        CallsClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub(crate) fn pools(&self) -> PoolsClient<Channel> {
        PoolsClient::new(self.channel.clone())
    }

    /// A client with a connection of its own.
    pub(crate) async fn another(&self) -> io::Result<ClientsClient<Channel>> {
        Ok(ClientsClient::new(self.endpoint.connect().await.map_err(io::Error::other)?))
    }

    /// A caller with a connection of its own.
    pub(crate) async fn caller(&self) -> io::Result<CallsClient<Channel>> {
        Ok(CallsClient::new(self.endpoint.connect().await.map_err(io::Error::other)?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time that its process has had, whatever else the machine was doing. Its workers are not in it.
    pub(crate) fn processor_time(&self) -> io::Result<Duration> {
        processor_time(self.pid())
    }

    /// Waits until so many workers are ready. Returns each with the moment in which it was first seen so.
    pub(crate) async fn ready(&self, workers: usize) -> io::Result<Vec<(v1::Worker, SystemTime)>> {
        let mut pools = self.pools();
        let mut ready: Vec<(v1::Worker, SystemTime)> = Vec::new();
        // A look costs more when there is more to see: it must not slow down what it looks at.
        let pause = LOOK_EVERY.max(Duration::from_micros(200) * u32::try_from(workers).unwrap_or(u32::MAX));
        loop {
            let answer = pools.list_workers(v1::ListWorkersRequest::default()).await;
            let now = SystemTime::now();
            for worker in answer.map_err(io::Error::other)?.into_inner().workers {
                let known = ready.iter().any(|(known, _)| known.slot == worker.slot);
                if worker.state() == v1::State::Running && !known {
                    ready.push((worker, now));
                }
            }
            if ready.len() >= workers {
                return Ok(ready);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Not reaped yet, so the id is still its own.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// Processor time that the threads of a process have had.
pub(crate) fn processor_time(pid: u32) -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let said = fs::read_to_string(thread?.path().join("schedstat"))?;
        let ran = said.split_ascii_whitespace().next().and_then(|ran| ran.parse::<u64>().ok());
        nanoseconds += ran.ok_or_else(|| io::Error::other("no schedstat in this kernel"))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Where the tools are.
pub(crate) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")
}

fn fresh(arena: &Arena, name: &str) -> PathBuf {
    let socket = arena.file(name);
    // What a killed server has left.
    let _ = fs::remove_file(&socket);
    socket
}
