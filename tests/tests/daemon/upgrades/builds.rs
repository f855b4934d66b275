//! An upgrade from another build of this program. `make test-builds` makes one from an earlier revision.

use super::{keyed, leads_to, link, order, place, result, run, sight, start, until};
use sidewinder_tests::client::load::Load;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Where the other build is.
const VARIABLE: &str = "SIDEWINDER_EARLIER_BIN";

/// Workers whose runtime the new build would place again are replaced when their calls have ended; all others stay.
#[test]
#[ignore = "takes a second build of the program: make test-builds"]
fn workers_of_an_earlier_build_go_on() {
    let earlier = PathBuf::from(std::env::var_os(VARIABLE).expect("the path of an earlier build"));
    let Some(arena) = place("builds") else { return };
    leads_to(&arena, &earlier);
    let version = || String::from_utf8(Command::new(link(&arena)).arg("--version").output().unwrap().stdout);
    let old = version().unwrap();
    let (mut daemon, _) = start(&arena, &[]);
    let (workers, _) = sight(&daemon);
    let begun = Instant::now();
    let long = run(&daemon, keyed("long", 4));
    until("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1);
    let load = Load::start(&daemon.socket());
    leads_to(&arena, arena.binary());
    let new = version().unwrap();
    assert_ne!(old, new, "the same build twice proves nothing");
    let said = order(&daemon, "upgrade", &[]);
    for _ in &workers {
        daemon.log_until("goes on after its daemon").unwrap();
    }
    assert!(long.join().unwrap().is_err(), "its connection is gone");
    assert_eq!(result(&daemon, "long").expect("its ending"), "\"rested\"");
    assert!(begun.elapsed() >= Duration::from_secs(3), "it did not run again");
    let seen = load.end().unwrap();
    let after = sight(&daemon).0;
    let kept = workers.intersection(&after).count();
    eprintln!(
        "{} to {}, {}: {} of {} workers taken over, {kept} of them there still, the running keyed call kept; {seen}",
        old.trim(),
        new.trim(),
        said.trim(),
        workers.len(),
        workers.len()
    );
    assert_eq!(seen.refused, 0);
}
