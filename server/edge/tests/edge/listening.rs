//! Sockets that are safe to open, and those that are not opened.

use crate::client::Client;
use crate::world::{PATIENCE, Scratch, World, mode_of, reaches};
use sidewinder_edge::limits::Limits;
use sidewinder_edge::listener::{Listener, NotListening};
use sidewinder_edge::peer::Users;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::timeout;

fn listen(path: &Path) -> Result<Listener, NotListening> {
    Listener::unix(path, Users::private())
}

/// Why it was refused.
fn refusal(result: Result<Listener, NotListening>) -> String {
    match result {
        Ok(listener) => panic!("{listener} listens"),
        Err(NotListening::Refused { why, .. }) => why,
        Err(error @ NotListening::System { .. }) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_is_made_is_private() {
    let scratch = Scratch::new();
    let path = scratch.0.join("a/b/sidewinder.sock");
    let listener = listen(&path).unwrap();
    assert_eq!(mode_of(&path), 0o600);
    assert_eq!(mode_of(path.parent().unwrap()), 0o700);
    assert_eq!(mode_of(&scratch.0.join("a/b/sidewinder.sock.lock")), 0o600);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_list_of_users_opens_the_file() {
    let scratch = Scratch::new();
    let path = scratch.0.join("open/sidewinder.sock");
    let _listener = Listener::unix(&path, Users::only([4_242])).unwrap();
    assert_eq!(mode_of(&path), 0o666);
    assert_eq!(mode_of(path.parent().unwrap()), 0o711);
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let scratch = Scratch::new();
    let path = scratch.0.join("sidewinder.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _listener = listen(&path).unwrap();
    tokio::net::UnixStream::connect(&path).await.unwrap();
}

#[tokio::test]
async fn a_living_socket_is_left_alone_and_does_not_notice() {
    let scratch = Scratch::new();
    let path = scratch.0.join("sidewinder.sock");
    let other = UnixListener::bind(&path).unwrap();
    other.set_nonblocking(true).unwrap();
    assert!(refusal(listen(&path)).contains("another program"));
    assert!(other.accept().is_err(), "it was disturbed");
    fs::remove_file(&path).unwrap();
    let _datagrams = UnixDatagram::bind(&path).unwrap();
    assert!(refusal(listen(&path)).contains("another program"));
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.0.join("sidewinder.sock");
    fs::write(&path, "precious").unwrap();
    assert!(refusal(listen(&path)).contains("no socket"));
    fs::remove_file(&path).unwrap();
    symlink("elsewhere", &path).unwrap();
    assert!(refusal(listen(&path)).contains("no socket"));
    assert!(fs::symlink_metadata(&path).is_ok());
}

#[tokio::test]
async fn a_second_daemon_is_refused_until_the_first_is_gone() {
    let scratch = Scratch::new();
    let path = scratch.0.join("sidewinder.sock");
    let first = listen(&path).unwrap();
    assert!(refusal(listen(&path)).contains("another daemon"));
    // Not even when somebody has removed the socket.
    fs::remove_file(&path).unwrap();
    assert!(refusal(listen(&path)).contains("another daemon"));
    drop(first);
    listen(&path).unwrap();
}

#[tokio::test]
async fn a_socket_that_took_the_place_is_not_removed() {
    let scratch = Scratch::new();
    let path = scratch.0.join("sidewinder.sock");
    let listener = listen(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
}

#[tokio::test]
async fn a_directory_that_others_can_write_to_is_refused() {
    let scratch = Scratch::new();
    for mode in [0o770, 0o702, 0o1777] {
        fs::set_permissions(&scratch.0, Permissions::from_mode(mode)).unwrap();
        assert!(refusal(listen(&scratch.0.join("sidewinder.sock"))).contains("chmod"), "{mode:o}");
    }
    fs::set_permissions(&scratch.0, Permissions::from_mode(0o755)).unwrap();
    listen(&scratch.0.join("sidewinder.sock")).unwrap();
}

#[tokio::test]
async fn a_link_is_no_directory() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.0.join("real")).unwrap();
    symlink("real", scratch.0.join("link")).unwrap();
    assert!(refusal(listen(&scratch.0.join("link/sidewinder.sock"))).contains("link"));
}

/// Only root can make something that belongs to somebody else.
#[tokio::test]
async fn somebody_elses_directory_or_socket_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.0.join("sidewinder.sock");
    drop(UnixListener::bind(&path).unwrap());
    std::os::unix::fs::lchown(&path, Some(4_242), None).unwrap();
    assert!(refusal(listen(&path)).contains("4242"));
    assert!(path.exists());
    std::os::unix::fs::lchown(&scratch.0, Some(4_242), None).unwrap();
    assert!(refusal(listen(&path)).contains("4242"));
}

#[tokio::test]
async fn a_path_that_is_too_long_is_refused() {
    let scratch = Scratch::new();
    assert!(refusal(listen(&scratch.0.join("x".repeat(108)))).contains("107"));
}

#[tokio::test]
async fn a_stranger_is_turned_away_with_a_word() {
    let world = World::with_users(Limits::default(), Users::only([4_242]));
    let client = Client::over(world.dial().await).await;
    let ended = timeout(PATIENCE, client.driver).await.expect("never told").unwrap();
    let error = ended.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INADEQUATE_SECURITY));
    assert!(error.to_string().contains("your user may not connect"), "{error}");
    reaches(&world.tally.strangers, 1).await;
    assert_eq!(world.tally.accepted.get(), 0);
    world.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn tcp_stays_on_this_machine_unless_told_otherwise() {
    for public in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "[::ffff:192.0.2.1]:80"] {
        assert!(refusal(Listener::tcp(public.parse().unwrap(), false)).contains("insecure"), "{public}");
    }
    for local in ["127.0.0.1:0", "127.8.8.8:0"] {
        assert!(Listener::tcp(local.parse().unwrap(), false).unwrap().tcp_address().is_some());
    }
    let inherited = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    assert!(refusal(Listener::tcp_from(inherited.try_clone().unwrap(), false)).contains("insecure"));
    assert!(Listener::tcp_from(inherited, true).is_ok());
}

/// With Nagle's algorithm each answer waits 40 ms for the client's acknowledgement.
#[tokio::test]
async fn answers_over_tcp_are_not_held_back() {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = listener.tcp_address().unwrap();
    let world = World::on(listener, Limits::default());
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut client = Client::over(stream).await;
    let begun = Instant::now();
    for _ in 0..50 {
        client.call("echo", &[7; 10_000]).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    world.stop(Duration::ZERO).await;
}
