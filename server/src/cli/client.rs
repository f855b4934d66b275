//! How the verbs that ask find the daemon: the socket of this user, unless one is named.

use crate::config::default_socket;
use sidewinder_proto::v1::admin_client::AdminClient;
use sidewinder_proto::v1::calls_client::CallsClient;
use sidewinder_proto::v1::pools_client::PoolsClient;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// No daemon answers.
const NO_DAEMON: u8 = 124;

/// Where the daemon is.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The daemon's unix socket; that of this user by default
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Why a verb has no answer.
#[derive(Debug)]
pub(super) enum Failed {
    NoDaemon(String),
    Answer(Box<Status>),
    Here(String),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Answer(Box::new(status))
    }
}

impl Where {
    pub(super) async fn connect(&self) -> Result<Channel, Failed> {
        let socket = match &self.socket {
            Some(socket) => std::path::absolute(socket),
            None => default_socket(),
        };
        let socket = socket.map_err(|error| Failed::Here(error.to_string()))?;
        let missing = |why: String| {
            Failed::NoDaemon(format!(
                "no daemon listens on {} ({why}): start one with `sidewinder run --tools MODULE`, or name its --socket",
                socket.display()
            ))
        };
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()));
        let endpoint = endpoint.map_err(|error| missing(error.to_string()))?;
        endpoint.connect().await.map_err(|error| missing(reason(&error)))
    }

    pub(super) async fn calls(&self) -> Result<CallsClient<Channel>, Failed> {
        let client = CallsClient::new(self.connect().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    pub(super) async fn admin(&self) -> Result<AdminClient<Channel>, Failed> {
        Ok(AdminClient::new(self.connect().await?))
    }

    pub(super) async fn pools(&self) -> Result<PoolsClient<Channel>, Failed> {
        Ok(PoolsClient::new(self.connect().await?))
    }
}

fn reason(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), reason)
}

/// Runs what a verb does, and says what went wrong.
pub(super) fn ask(verb: impl Future<Output = Result<(), Failed>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&error),
    };
    match runtime.block_on(verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::NoDaemon(why)) => {
            super::fail(&why);
            ExitCode::from(NO_DAEMON)
        }
        Err(Failed::Here(why)) => super::fail(&why),
        Err(Failed::Answer(status)) => {
            super::fail(&describe(&status));
            ExitCode::FAILURE
        }
    }
}

/// The message, the reason, and the traceback when there is one.
fn describe(status: &Status) -> String {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let kind = if reason.is_empty() { code(status.code()) } else { reason };
    let mut text = format!("{kind}: {}", status.message());
    if let Some(debug) = details.debug_info() {
        for line in &debug.stack_entries {
            text = format!("{text}\n{}", line.trim_end());
        }
        if !debug.detail.is_empty() {
            text = format!("{text}\n{}", debug.detail.trim_end());
        }
    }
    text
}

fn code(code: Code) -> String {
    format!("{code:?}")
}
