//! TLS in front of a TCP listener: certificates from files, which can be read again while everybody is served.
//!
//! Reading is apart from using, so that whoever renews can read first, see that everything else is well, and only then
//! have the new certificate used: by connections from then on, those that are there keep theirs. HTTP/2 is the only
//! protocol that is agreed on, and a client that wants none is turned away, because it would not speak it either.
//!
//! With the certificates of an authority for clients, a client without one of those is turned away in the handshake. Who
//! it is beyond that says whose endings it finds, and nothing else: it may run every tool.

use crate::listener::Stream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::{TlsAcceptor, rustls};
use webpki::EndEntityCert;

/// The one protocol, as ALPN names it.
const HTTP2: &[u8] = b"h2";
/// A file longer than this (in bytes) holds no certificates that a handshake could carry.
const FILE_MAX: u64 = 1 << 20;

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate and those between it and its authority, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM. Nobody else may read it.
    pub key: PathBuf,
    /// The authorities of clients, as PEM; without it clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

/// Why a file is of no use, and what to do.
#[derive(Debug)]
pub struct BadFile {
    path: PathBuf,
    what: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for BadFile {}

/// What was read, and is good.
#[derive(Clone, Debug)]
pub struct Fresh(Arc<ServerConfig>);

/// TLS as new connections get it. Clones are the same.
#[derive(Clone, Debug)]
pub struct Tls {
    files: Files,
    now: Arc<RwLock<Fresh>>,
}

impl Tls {
    /// Reads the files for the first time.
    pub fn load(files: Files) -> Result<Self, BadFile> {
        let now = read(&files)?;
        Ok(Self { files, now: Arc::new(RwLock::new(now)) })
    }

    /// Reads the files again. Nothing changes by that.
    pub fn read(&self) -> Result<Fresh, BadFile> {
        read(&self.files)
    }

    /// From now on connections get this.
    pub fn renew(&self, fresh: Fresh) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// Shakes hands. Whoever calls bounds it.
    pub(crate) async fn accept(&self, stream: Stream) -> io::Result<Stream> {
        let Stream::Tcp(stream) = stream else {
            return Err(io::Error::other("TLS is for TCP"));
        };
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner).0.clone();
        let stream = TlsAcceptor::from(now).accept(stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
            return Err(io::Error::other("the client did not ask for HTTP/2"));
        }
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// The subject of the certificate of a client.
pub(crate) fn subject_of(session: &ServerConnection) -> Option<Arc<[u8]>> {
    let certificate = session.peer_certificates()?.first()?;
    EndEntityCert::try_from(certificate).ok().map(|certificate| certificate.subject().into())
}

fn read(files: &Files) -> Result<Fresh, BadFile> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&files.certificate, error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| bad(path, format!("no authority: {error}")))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| bad(path, error.to_string()))?)
        }
    };
    let chain = certificates(&files.certificate)?;
    let mut config = builder.with_single_cert(chain, key(&files.key)?).map_err(|error| {
        bad(&files.key, format!("does not go with {}: {error}", files.certificate.display()))
    })?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(Fresh(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    let text = contents(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| bad(path, format!("is no PEM: {error}")))?;
    if all.is_empty() {
        return Err(bad(path, "has no `BEGIN CERTIFICATE`: name a file of certificates as PEM".to_owned()));
    }
    Ok(all)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, BadFile> {
    let there = fs::metadata(path).map_err(|error| bad(path, format!("cannot be read: {error}")))?;
    if there.mode() & 0o077 != 0 {
        let what = format!("other users can read this key (mode {:o}): chmod 600 it", there.mode() & 0o777);
        return Err(bad(path, what));
    }
    // What is wrong with it is not said in its own words: they may hold the key.
    let wrong = |_| bad(path, "has no usable private key: name a file with one, as PEM".to_owned());
    PrivateKeyDer::from_pem_slice(&contents(path)?).map_err(wrong)
}

fn contents(path: &Path) -> Result<Vec<u8>, BadFile> {
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
        let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_MAX);
        if fits { Ok(bytes) } else { Err(io::Error::other("it has more than 1 MiB")) }
    };
    read().map_err(|error| bad(path, format!("cannot be read: {error}")))
}

fn bad(path: &Path, what: String) -> BadFile {
    BadFile { path: path.to_owned(), what }
}
