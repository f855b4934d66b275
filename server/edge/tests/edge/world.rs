//! A server to test: its place, its bounds, its end.

use crate::client::Client;
use crate::echo::{Echo, Facts};
use sidewinder_edge::limits::Limits;
use sidewinder_edge::listener::Listener;
use sidewinder_edge::peer::Users;
use sidewinder_edge::routes::Routes;
use sidewinder_edge::server::{Crowd, Sight, Stopped, Wish, serve};
use sidewinder_edge::tally::{Count, Tally};
use sidewinder_proto::v1::calls_server::CallsServer;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Nothing here takes this long unless it never ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An empty directory that goes with its owner.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sw-edge-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A running server on a unix socket.
pub(crate) struct World {
    pub(crate) path: PathBuf,
    pub(crate) tally: Arc<Tally>,
    pub(crate) crowd: Crowd,
    pub(crate) facts: Facts,
    wish: watch::Sender<Wish>,
    server: JoinHandle<Stopped>,
    _scratch: Scratch,
}

impl World {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with_users(limits, Users::private())
    }

    pub(crate) fn with_users(limits: Limits, users: Users) -> Self {
        let scratch = Scratch::new();
        let path = scratch.0.join("run/sidewinder.sock");
        let listener = Listener::unix(&path, users).unwrap();
        Self::over(listener, limits, path, scratch)
    }

    /// On a listener of any kind.
    pub(crate) fn on(listener: Listener, limits: Limits) -> Self {
        Self::over(listener, limits, PathBuf::from("/no/socket"), Scratch::new())
    }

    fn over(listener: Listener, limits: Limits, path: PathBuf, scratch: Scratch) -> Self {
        let facts = Facts::default();
        let calls = CallsServer::new(Echo(facts.clone()));
        let (routes, _) = Routes::default().with(calls).with_standard_services().unwrap();
        let sight = Sight::default();
        let (tally, crowd) = (Arc::clone(&sight.tally), sight.crowd.clone());
        let (wish, wished) = watch::channel(Wish::Serve);
        let server = tokio::spawn(serve(vec![listener], routes, limits, sight, wished));
        Self { path, tally, crowd, facts, wish, server, _scratch: scratch }
    }

    pub(crate) async fn dial(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::over(self.dial().await).await
    }

    /// Lets nobody in, or in again.
    pub(crate) fn wish(&self, wish: Wish) {
        self.wish.send(wish).unwrap();
    }

    pub(crate) fn wish_to_stop(&self, within: Duration) {
        self.wish.send(Wish::StopWithin(within)).unwrap();
    }

    /// Waits for the end that was wished for, and tells how long that took.
    pub(crate) async fn ended(self) -> (Stopped, Duration) {
        let begun = Instant::now();
        let stopped = timeout(PATIENCE, self.server).await.expect("the server never ends").unwrap();
        assert!(!self.path.exists(), "the socket is still there");
        (stopped, begun.elapsed())
    }

    pub(crate) async fn stop(self, within: Duration) -> (Stopped, Duration) {
        self.wish_to_stop(within);
        self.ended().await
    }
}

/// Waits until a count is there. There is nothing to be woken by, so it looks again and again.
pub(crate) async fn reaches(count: &Count, value: u64) {
    fact(|| count.get() >= value).await;
}

pub(crate) async fn fact(mut holds: impl FnMut() -> bool) {
    let looking = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("it never became true");
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}
