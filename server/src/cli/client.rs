//! How the verbs that ask find the daemon: at the socket that is named, at that of this user, or at that of the system.

use crate::config::default_socket;
use sidewinder_proto::v1::admin_client::AdminClient;
use sidewinder_proto::v1::calls_client::CallsClient;
use sidewinder_proto::v1::clients_client::ClientsClient;
use sidewinder_proto::v1::pools_client::PoolsClient;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// How a certificate begins.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// Who does not answer for so long is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// No daemon answers.
const NO_DAEMON: u8 = 124;

/// Where a daemon says that it listens, for the verbs as well.
const SOCKET_VARIABLE: &str = "SIDEWINDER_LISTEN_SOCKET";
/// Where the unit for the whole system listens. Only root can put anything there.
const SYSTEM_SOCKET: &str = "/run/sidewinder/sidewinder.sock";

/// The longest path of a socket.
const SOCKET_MAX: usize = 107;

/// Where the daemon is.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The daemon's unix socket; by default that of this user, or that of the system
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// A daemon on the network, as http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with = "socket")]
    address: Option<String>,
    /// With https: the authority of the daemon's certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "address")]
    ca: Option<PathBuf>,
    /// With https, where clients need a certificate: ours, as PEM
    #[arg(long, value_name = "FILE", requires_all = ["address", "key"])]
    certificate: Option<PathBuf>,
    /// And its private key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

/// Why a verb has no answer.
#[derive(Debug)]
pub(super) enum Failed {
    NoDaemon(String),
    /// It went away in the middle.
    Lost(String),
    Answer(Box<Status>),
    Here(String),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        if std::iter::successors(status.source(), |&why| why.source())
            .any(<dyn std::error::Error>::is::<TimeoutExpired>)
        {
            let why = "no answer within --timeout; the tool may have run";
            return Self::Answer(Box::new(Status::deadline_exceeded(why)));
        }
        let is_unclear = matches!(status.code(), Code::Unknown | Code::Unavailable);
        // What the daemon says has no source on this side.
        match status.source() {
            Some(broken) if is_unclear => Self::Lost(reason(broken)),
            Some(_) | None => Self::Answer(Box::new(status)),
        }
    }
}

impl Where {
    pub(super) async fn connect(&self) -> Result<Channel, Failed> {
        if let Some(address) = &self.address {
            return self.connect_to(address).await;
        }
        let socket = self.place().map_err(|error| Failed::Here(error.to_string()))?;
        if socket.as_os_str().len() > SOCKET_MAX {
            let shown = socket.display();
            return Err(Failed::Here(format!(
                "{shown} is longer than {SOCKET_MAX} bytes, which no socket can be: name a shorter --socket"
            )));
        }
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

    async fn connect_to(&self, address: &str) -> Result<Channel, Failed> {
        let missing =
            |why: String| Failed::NoDaemon(format!("no daemon answers at {address} ({why}){}", advice(&why)));
        let scheme = address.split_once("://").map(|(scheme, _)| scheme);
        let mut endpoint = match scheme {
            Some("http" | "https") => Endpoint::from_shared(address.to_owned()),
            Some(_) | None => {
                return Err(Failed::Here(format!("{address} is no address: write https://HOST:PORT")));
            }
        }
        .map_err(|error| missing(reason(&error)))?
        .connect_timeout(PATIENCE);
        if scheme == Some("https") {
            endpoint = endpoint.tls_config(self.tls()?).map_err(|error| Failed::Here(reason(&error)))?;
        }
        endpoint.connect().await.map_err(|error| missing(reason(&error)))
    }

    fn tls(&self) -> Result<ClientTlsConfig, Failed> {
        let text = |path: &PathBuf| {
            std::fs::read(path)
                .map_err(|error| Failed::Here(format!("cannot read {}: {error}", path.display())))
        };
        let Some(ca) = &self.ca else {
            return Err(Failed::Here(
                "https takes --ca FILE: the authority of the daemon's certificate".to_owned(),
            ));
        };
        let authority = text(ca)?;
        if !authority.windows(PEM.len()).any(|part| part == PEM) {
            return Err(Failed::Here(format!(
                "{} holds no certificate: --ca takes one in PEM",
                ca.display()
            )));
        }
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        Ok(match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                tls.identity(Identity::from_pem(text(certificate)?, text(key)?))
            }
            (_, _) => tls,
        })
    }

    fn place(&self) -> io::Result<PathBuf> {
        let named = || std::env::var_os(SOCKET_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        if let Some(socket) = self.socket.clone().or_else(named) {
            return std::path::absolute(socket);
        }
        let own = default_socket();
        let system = Path::new(SYSTEM_SOCKET);
        let is_there = own.as_ref().is_ok_and(|own| own.exists());
        if !is_there && system.exists() { Ok(system.to_owned()) } else { own }
    }

    pub(super) async fn calls(&self) -> Result<CallsClient<Channel>, Failed> {
        let client = CallsClient::new(self.connect().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    pub(super) async fn admin(&self) -> Result<AdminClient<Channel>, Failed> {
        Ok(AdminClient::new(self.connect().await?))
    }

    pub(super) async fn clients(&self) -> Result<ClientsClient<Channel>, Failed> {
        Ok(ClientsClient::new(self.connect().await?))
    }

    pub(super) async fn pools(&self) -> Result<PoolsClient<Channel>, Failed> {
        Ok(PoolsClient::new(self.connect().await?))
    }
}

/// What to do about what TLS says, in its words.
fn advice(why: &str) -> &'static str {
    const AUTHORITY: &str =
        ": --ca names another authority than the one that signed the daemon's certificate";
    let known = [
        ("UnknownIssuer", AUTHORITY),
        ("BadSignature", AUTHORITY),
        (
            "CaUsedAsEndEntity",
            ": the daemon shows an authority's own certificate; have the authority sign one for it",
        ),
        ("not valid for name", ": the daemon's certificate names other hosts; take one of them"),
    ];
    known.iter().find(|(words, _)| why.contains(words)).map_or("", |(_, advice)| advice)
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
        Err(Failed::Lost(why)) => {
            super::fail(&format!(
                "the daemon went away before it had answered ({why}): what it was asked for may be done, or not"
            ));
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
