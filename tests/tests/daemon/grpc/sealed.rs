//! TLS: who gets in, who does not, and certificates that are renewed while everybody is served.

use super::Daemon;
use crate::orders::until;
use rustix::process::Signal;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::Said;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes this long.
const SOON: Duration = Duration::from_secs(20);

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().expect("openssl");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// An authority, with a certificate for the daemon and one for a client.
fn authority(arena: &Arena, name: &str) -> PathBuf {
    let folder = arena.file(name);
    fs::create_dir(&folder).unwrap();
    openssl(&folder, &format!("req -x509 {KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.crt"));
    let more = [("tls", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")];
    for (name, extension) in more {
        openssl(
            &folder,
            &format!("req {KEY} -subj /CN={name} -addext {extension} -keyout {name}.key -out {name}.csr"),
        );
        openssl(
            &folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -days 2 -copy_extensions copyall -out {name}.crt"
            ),
        );
        fs::set_permissions(folder.join(format!("{name}.key")), fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// Puts certificate and key where the daemon reads them.
fn place(arena: &Arena, from: &Path) {
    for name in ["tls.crt", "tls.key"] {
        fs::copy(from.join(name), arena.file(name)).unwrap();
    }
}

fn config(arena: &Arena, more: &str) -> String {
    let path = arena.file("sidewinder.toml");
    let text = format!(
        "[listen]\ntcp = \"0.0.0.0:0\"\ntls_certificate = \"tls.crt\"\ntls_key = \"tls.key\"\n{more}\n\
         [pools.default]\nexpose = [\"math:hypot\"]\nworkers = 1\n"
    );
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A daemon that can be reached from other machines, and its port.
fn start<'a>(arena: &'a Arena, more: &str) -> (Daemon<'a>, u16) {
    let mut daemon = Daemon::launch(arena, &["--config", &config(arena, more)]).unwrap();
    let line = daemon.log_until("listens on").unwrap();
    let port = line.split(" and 0.0.0.0:").nth(1).and_then(|rest| rest.split(' ').next()).expect("a port");
    let port = port.parse().expect("a port");
    (daemon, port)
}

fn ask(daemon: &Daemon<'_>, port: u16, ca: &Path, more: &[&str]) -> Said {
    let (address, ca) = (format!("https://127.0.0.1:{port}"), ca.join("ca.crt").display().to_string());
    let arguments = ["hypot", "[3, 4]", "--address", &address, "--ca", &ca];
    daemon.ask("call", &[&arguments, more].concat()).unwrap()
}

/// The daemon closes this connection; an alert may come first.
fn is_closed(mut client: TcpStream) {
    client.set_read_timeout(Some(SOON)).unwrap();
    let mut rest = Vec::new();
    // A reset is an end as well; a timeout is not.
    let ended = client.read_to_end(&mut rest).map_err(|error| error.kind());
    assert!(ended.is_ok() || ended == Err(std::io::ErrorKind::ConnectionReset), "{ended:?}");
    assert!(rest.len() < 64, "{rest:?}");
}

#[test]
fn who_speaks_tls_is_served_and_others_are_turned_away_in_time() {
    let arena = Arena::prepare("sealed").unwrap();
    let (ours, others) = (authority(&arena, "ours"), authority(&arena, "others"));
    place(&arena, &ours);
    let (daemon, port) = start(&arena, "[limits]\nhandshake = \"500ms\"");
    let said = ask(&daemon, port, &ours, &[]);
    assert_eq!((said.status, said.stdout.as_str()), (0, "5.0\n"), "{said:?}");
    let said = ask(&daemon, port, &others, &[]);
    assert_eq!(said.status, 124, "an authority that nobody trusts: {said:?}");
    assert!(said.stderr.contains("--ca names another authority"), "{said:?}");
    fs::write(arena.file("ca.crt"), "no certificate").unwrap();
    let said = ask(&daemon, port, &arena.file(""), &[]);
    assert!(said.stderr.contains("holds no certificate: --ca takes one in PEM"), "{said:?}");
    let plain = format!("http://127.0.0.1:{port}");
    let said = daemon.ask("call", &["hypot", "[3, 4]", "--address", &plain]).unwrap();
    assert_ne!(said.status, 0, "{said:?}");
    let dial = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut plain = dial();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    is_closed(plain);
    is_closed(dial());
    let mut half = dial();
    half.write_all(&[22, 3, 1, 1, 0]).unwrap();
    is_closed(half);
    assert_eq!(ask(&daemon, port, &ours, &[]).status, 0);
}

#[test]
fn a_certificate_that_cannot_be_a_daemons_is_told_with_what_to_do() {
    let cases = [
        ("self", "-subj /CN=own -addext subjectAltName=IP:127.0.0.1", "have the authority sign one"),
        (
            "other",
            "-subj /CN=own -addext subjectAltName=DNS:other.example -addext basicConstraints=critical,CA:false",
            "names other hosts",
        ),
    ];
    for (name, subject, words) in cases {
        let arena = Arena::prepare(&format!("sealed-{name}")).unwrap();
        let folder = arena.file("");
        openssl(&folder, &format!("req -x509 {KEY} -days 2 {subject} -keyout tls.key -out tls.crt"));
        fs::set_permissions(arena.file("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::copy(arena.file("tls.crt"), arena.file("ca.crt")).unwrap();
        let (daemon, port) = start(&arena, "");
        let said = ask(&daemon, port, &folder, &[]);
        assert!(said.status == 124 && said.stderr.contains(words), "{name}: {said:?}");
    }
}

#[test]
fn a_handshake_that_nobody_goes_on_with_does_not_hold_up_a_stop() {
    let arena = Arena::prepare("sealed-stop").unwrap();
    place(&arena, &authority(&arena, "ours"));
    let (daemon, port) = start(&arena, "[limits]\nhandshake = \"10m\"");
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    daemon.send(Signal::TERM).unwrap();
    let asked = Instant::now();
    assert_eq!(daemon.end().unwrap().0.code(), Some(0));
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    drop(client);
}

#[test]
fn certificates_are_renewed_by_a_reload_and_bad_files_change_nothing() {
    let arena = Arena::prepare("renewed").unwrap();
    let (old, new) = (authority(&arena, "old"), authority(&arena, "new"));
    place(&arena, &old);
    let (daemon, port) = start(&arena, "");
    assert_eq!(ask(&daemon, port, &old, &[]).status, 0);
    let refused = |words: &str| {
        let said = daemon.ask("reload", &[]).unwrap();
        assert!(said.status == 1 && said.stderr.contains(words), "{words}: {said:?}");
        assert_eq!(ask(&daemon, port, &old, &[]).status, 0, "{words}");
    };
    fs::copy(new.join("tls.key"), arena.file("tls.key")).unwrap();
    refused("tls.key: does not go with");
    fs::write(arena.file("tls.crt"), "nothing").unwrap();
    refused("tls.crt: has no `BEGIN CERTIFICATE`");
    fs::remove_file(arena.file("tls.crt")).unwrap();
    refused("tls.crt: cannot be read: No such file");
    place(&arena, &new);
    daemon.send(Signal::HUP).unwrap();
    until("the new one is used", || ask(&daemon, port, &new, &[]).status == 0);
    assert_eq!(ask(&daemon, port, &old, &[]).status, 124, "the old one is not");
}

#[test]
fn a_client_without_a_certificate_is_turned_away_where_one_is_asked_for() {
    let arena = Arena::prepare("mutual").unwrap();
    let (ours, others) = (authority(&arena, "ours"), authority(&arena, "others"));
    place(&arena, &ours);
    let (daemon, port) = start(&arena, "tls_client_ca = \"ours/ca.crt\"");
    let with = |folder: &Path| {
        let file = |name: &str| folder.join(name).display().to_string();
        ask(&daemon, port, &ours, &["--certificate", &file("client.crt"), "--key", &file("client.key")])
    };
    let said = with(&ours);
    assert_eq!((said.status, said.stdout.as_str()), (0, "5.0\n"), "{said:?}");
    assert_ne!(with(&others).status, 0);
    assert_ne!(ask(&daemon, port, &ours, &[]).status, 0);
}

/// Of one address come clients with certificates of two names: each name may hold so many leases.
#[test]
fn a_client_is_known_by_the_subject_of_its_certificate() {
    let arena = Arena::prepare("subject").unwrap();
    let ours = authority(&arena, "ours");
    place(&arena, &ours);
    let (daemon, port) = start(&arena, "tls_client_ca = \"ours/ca.crt\"\n[clients]\nper_peer = 1");
    let file = |name: &str| ours.join(name).display().to_string();
    let attach = |name: &str, whose: &str| {
        let (address, ca) = (format!("https://127.0.0.1:{port}"), file("ca.crt"));
        let (certificate, key) = (file(&format!("{whose}.crt")), file(&format!("{whose}.key")));
        let place = ["--address", &address, "--ca", &ca, "--certificate", &certificate, "--key", &key];
        let mut command = daemon.verb("attach", &[&["--name", name][..], &place].concat());
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let is_there = |name: &str| {
        let all: serde_json::Value =
            serde_json::from_str(&daemon.ask("clients", &["--json"]).unwrap().stdout).unwrap();
        all["clients"].as_array().unwrap().iter().any(|client| client["name"] == name)
    };
    let mut first = attach("first", "client");
    until("it is there", || is_there("first"));
    let second = attach("second", "client").wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && told.contains("TOO_MANY_LEASES"), "{told}");
    // The daemon's own certificate says nothing of what it is for, so it will do for a client.
    let mut third = attach("third", "tls");
    until("it is there as well", || is_there("third"));
    for client in [&mut first, &mut third] {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let arena = Arena::prepare("open-key").unwrap();
    place(&arena, &authority(&arena, "ours"));
    fs::set_permissions(arena.file("tls.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut run = arena.sidewinder("run");
    let output = run.args(["--config", &config(&arena, "")]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("tls.key: other users can read this key (mode 644): chmod 600 it"), "{told}");
}
