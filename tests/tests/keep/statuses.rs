//! The exit status is the command's, and Sidewinder's own failures are told apart.

use super::{WAYS, assert_clean, keep, run};
use sidewinder_tests::arena::Arena;

#[test]
fn the_commands_own_status_comes_through() {
    let arena = Arena::prepare("statuses").unwrap();
    for way in WAYS {
        for (script, status) in
            [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)]
        {
            assert_eq!(run(&mut keep(&arena, way, script)).0, status, "{script}");
        }
    }
    assert_clean(&arena);
}

#[test]
fn what_cannot_run_is_said_with_the_statuses_of_a_shell() {
    let arena = Arena::prepare("cannot-run").unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--", "no-such-program"], 127, "not found"),
        (&["--", "/etc/passwd"], 126, "cannot be executed"),
        (&["--cwd", "/no/such/place", "--", "true"], 125, "/no/such/place"),
        (&["--limit", "cpu=1", "--cgroup", "off", "--", "true"], 125, "doctor"),
        (&["--cgroup", "/tmp", "--", "true"], 125, "cgroup"),
        (
            &["--require-tier", "A", "--namespace", "off", "--cgroup", "off", "--", "true"],
            125,
            "tier A is required",
        ),
    ];
    for (arguments, status, word) in cases {
        let (seen, _, stderr) = run(arena.sidewinder("keep").args(arguments));
        assert_eq!(seen, status, "{arguments:?}: {stderr}");
        assert!(stderr.contains(word), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "one line says it all: {stderr}");
    }
    assert_clean(&arena);
}

#[test]
fn every_tier_is_tried_and_the_strongest_one_given() {
    let arena = Arena::prepare("tiers").unwrap();
    let (status, said, stderr) = run(arena.sidewinder("doctor").arg("--json"));
    assert_eq!(status, 0, "{stderr}");
    let findings: serde_json::Value = serde_json::from_str(&said).unwrap();
    let tiers = findings["tiers"].as_array().unwrap();
    let letters: Vec<&str> = tiers.iter().map(|given| given["tier"].as_str().unwrap()).collect();
    assert_eq!(letters, ["A", "B", "C", "D"]);
    for given in tiers {
        let (tier, yes) = (given["tier"].as_str().unwrap(), given["yes"].as_bool().unwrap());
        assert!(given["why"].as_str().is_some_and(|why| !why.is_empty()), "{given}");
        // Lineage needs no permission, and so it is what `keep` falls back to.
        assert!(yes || ["A", "B"].contains(&tier), "{given}");
        // What a tier is said to give, `keep` gives, and a tier weaker than the machine's own is given as well.
        let first = tiers.iter().find(|given| given["yes"] == true).unwrap();
        let expected = tier >= first["tier"].as_str().unwrap();
        for verb in [&["doctor", "--require-tier", tier][..], &["keep", "--require-tier", tier, "--", "true"]]
        {
            let (status, _, stderr) = run(arena.sidewinder(verb[0]).args(&verb[1..]));
            assert_eq!(status == 0, expected, "{verb:?}: {stderr}");
        }
    }
    assert_eq!(findings["tier"], tiers.iter().find(|given| given["yes"] == true).unwrap()["tier"]);
    assert_clean(&arena);
}

#[test]
fn an_environment_that_is_too_large_is_refused_by_its_size() {
    let arena = Arena::prepare("environment").unwrap();
    let (status, _, stderr) =
        run(keep(&arena, WAYS[0], "true").env("ONE", "x".repeat(70_000)).env("TWO", "x".repeat(70_000)));
    assert_eq!(status, 125);
    assert!(stderr.contains("at most 131072 fit"), "{stderr}");
    assert_clean(&arena);
}

#[test]
fn limits_of_a_process_are_in_force() {
    let arena = Arena::prepare("limits").unwrap();
    let options =
        ["--limit", "files=64", "--limit", "core=0", "--limit", "cpu-time=5s", "--limit", "file-size=1M"];
    let (_, stdout, _) = run(&mut keep(&arena, &options, "ulimit -n; ulimit -c; ulimit -t; ulimit -f"));
    assert_eq!(stdout, "64\n0\n5\n2048\n");
    let hog = "exec \"$PYTHON\" -c 'bytearray(200 << 20)'";
    let options = ["--cgroup", "off", "--limit", "memory=100M"];
    let (status, _, stderr) = run(keep(&arena, &options, hog).env("PYTHON", arena.python()));
    assert_eq!(status, 1, "{stderr}");
    assert!(stderr.contains("MemoryError") && stderr.contains("each process by itself"), "{stderr}");
}
