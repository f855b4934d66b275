//! The units as files: nothing in them is unknown, each is hardened as promised, instances differ by their names alone.

use crate::installed::{folder, text};
use crate::machine::tell;
use sidewinder_tests::arena::tests;
use std::process::Command;

/// Exposure that `systemd-analyze security` may find, from 0 to 10.
const GENERAL_MAX: f64 = 2.5;
const CPU_ONLY_MAX: f64 = 0.5;

fn analyze(arguments: &[&str]) -> Option<std::process::Output> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            tell(&format!("NOT RUN: systemd-analyze: {error}"));
            None
        }
    }
}

fn exposure(unit: &str) -> Option<f64> {
    let place = std::env::temp_dir().join(format!("sidewinder-exposure-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let path = place.join("sidewinder.service");
    std::fs::write(&path, unit).unwrap();
    let output = analyze(&["security", "--offline=true", "--no-pager", &path.display().to_string()])?;
    std::fs::remove_dir_all(&place).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find(|line| line.contains("Overall exposure level")).expect(&said);
    let number = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
    Some(number.unwrap().parse().unwrap())
}

#[test]
fn services_are_hardened() {
    let service = text("sidewinder.service");
    let cpu_only = format!("{service}\n{}", text("cpu-only.conf"));
    let live = format!("{service}\n{}", text("live.conf"));
    let all = [
        ("general", service, GENERAL_MAX),
        ("live", live, GENERAL_MAX),
        ("CPU-only", cpu_only, CPU_ONLY_MAX),
    ];
    for (name, unit, most) in all {
        let Some(found) = exposure(&unit) else { return };
        tell(&format!("exposure of the {name} profile: {found} (at most {most})"));
        assert!(found <= most, "{name}: {found}");
    }
}

/// A key with a slip of the pen is ignored by systemd, and said only in its log.
#[test]
fn systemd_understands_every_line() {
    let units = folder();
    let all = ["sidewinder.service", "sidewinder.socket", "sidewinder-health.socket", "sidewinder.slice"];
    let instance = ["sidewinder@.service", "sidewinder@.socket"];
    let paths = all.iter().chain(&instance).map(|name| units.join(name).display().to_string());
    let user = ["user/sidewinder.service", "user/sidewinder.socket"];
    let user = user.iter().map(|name| units.join(name).display().to_string());
    for (manager, paths) in [("--system", paths.collect::<Vec<_>>()), ("--user", user.collect())] {
        let mut arguments = vec!["verify", "--man=no", "--recursive-errors=no", manager];
        arguments.extend(paths.iter().map(String::as_str));
        let Some(output) = analyze(&arguments) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        // Whether the program is installed on this machine is no matter of the unit.
        let ours = said
            .lines()
            .filter(|line| line.contains("deploy/systemd") && !line.contains("is not executable"));
        assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

/// What no test installs or reads is believed by nobody.
#[test]
fn every_file_of_deploy_is_named_by_a_test() {
    let sources = std::fs::read_dir(tests().join("tests/systemd")).unwrap().flatten();
    let sources: String = sources.map(|item| std::fs::read_to_string(item.path()).unwrap()).collect();
    let mut folders = vec![tests().join("../deploy")];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(folder).unwrap().flatten() {
            let name = item.file_name().to_string_lossy().into_owned();
            if item.path().is_dir() {
                folders.push(item.path());
            } else {
                let named = sources.contains(&format!("{name}\"")) || sources.contains(&format!("/{name}"));
                assert!(named, "no test names {}", item.path().display());
            }
        }
    }
}

/// The template is the unit with other names: what is learnt for one holds for the other.
#[test]
fn the_template_is_the_unit_with_other_names() {
    let keys = |name: &str| -> Vec<String> {
        let unit = text(name).replace("sidewinder@%i.socket", "sidewinder.socket");
        let unit =
            unit.replace("instance-%i.sock", "sidewinder.sock").replace("/%i.toml", "/sidewinder.toml");
        let unit = unit.replace("StateDirectory=sidewinder/instance-%i", "StateDirectory=sidewinder");
        let unit =
            unit.replace("lib/sidewinder/instance-%i", "lib/sidewinder").replace("instance-%i", "system");
        let unit = unit.replace("Sidewinder %i,", "Sidewinder,");
        unit.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(keys("sidewinder@.service"), keys("sidewinder.service"));
    assert_eq!(keys("sidewinder@.socket"), keys("sidewinder.socket"));
}
