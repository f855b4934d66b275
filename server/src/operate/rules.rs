//! By which rules a keeper or a worker was started, as one number that every build comes to in the same way.
//!
//! A successor looks for it in what was left. If another build came to another number from the same wishes, it would end
//! the workers that it is there to keep. So nothing of it is left to how a type prints itself or how a library hashes: each
//! rule is a line, `name=value`, in the order written here, with the values as the settings have them. A rule that nobody
//! has said has no line, so a build that knows one more agrees with those before it about everybody who does without. What
//! is here stays as it is; the numbers in the test are those of the first build that had this.

use crate::config::Settings;
use crate::handover::Digest;
use crate::own::limit::Limit;
use crate::own::subtree::Wish;
use crate::worker::command::Command;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// The rules of the keepers of a daemon that listens there.
pub(super) fn of_keepers(settings: &Settings) -> u64 {
    let mut rules = Rules::default();
    rules.path("instance", Some(&settings.listen.socket));
    rules.say("namespace", (!settings.namespace).then_some("off"));
    match &settings.cgroup {
        Wish::Auto => {}
        Wish::Off => rules.say("cgroup", ["off"]),
        Wish::Below(path) => rules.path("cgroup", Some(path)),
        Wish::Scope => rules.say("placement", ["scope"]),
    }
    rules.digest()
}

/// The rules of a worker.
pub(super) fn of_workers(
    command: &Command,
    limits: &[Limit],
    interrupt: Duration,
    message_max: usize,
) -> u64 {
    // Whoever adds a field is asked here what it means to those who were started without.
    let Command {
        python,
        program,
        directory,
        tools,
        expose,
        seats,
        runtime,
        environment,
        fork_server,
        preload,
    } = command;
    let mut rules = Rules::default();
    rules.path("python", python.as_deref());
    rules.say("program", program);
    rules.path("directory", directory.as_deref());
    rules.say("tools", tools);
    rules.say("expose", expose);
    rules.say("seats", [seats.to_string()]);
    rules.path("runtime", runtime.as_deref());
    rules.say("environment", environment.iter().map(|(name, value)| format!("{name}={value}")));
    rules.say("fork_server", fork_server.then_some("true"));
    rules.say("preload", preload);
    rules.say("limit", limits.iter().map(Limit::to_string));
    rules.say("interrupt", [interrupt.as_nanos().to_string()]);
    rules.say("message", [message_max.to_string()]);
    rules.digest()
}

/// Lines, of which none can be taken for two.
#[derive(Debug, Default)]
struct Rules(String);

impl Rules {
    fn say(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        values.into_iter().for_each(|value| self.line(name, value.as_ref().as_bytes()));
    }

    fn path(&mut self, name: &str, path: Option<&Path>) {
        path.into_iter().for_each(|path| self.line(name, path.as_os_str().as_encoded_bytes()));
    }

    fn line(&mut self, name: &str, value: &[u8]) {
        // A text takes whatever is written to it.
        let _ = writeln!(self.0, "{name}={}", value.escape_ascii());
    }

    fn digest(&self) -> u64 {
        Digest::new().of(self.0.as_bytes()).number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::own::limit;
    use std::path::PathBuf;

    fn settings(flags: &[(&'static str, &str)]) -> Settings {
        let always = [("--tools", "t"), ("--socket", "/run/s.sock")];
        let flags = always.iter().chain(flags).map(|(flag, words)| (*flag, (*words).to_owned())).collect();
        Source { flags, ..Source::default() }.read().expect("settings")
    }

    fn keepers(flags: &[(&'static str, &str)]) -> u64 {
        of_keepers(&settings(flags))
    }

    fn full() -> Command {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Command {
            python: Some("/usr/bin/python3".into()),
            program: texts(&["w", "--fast"]),
            directory: Some("/srv/a b".into()),
            tools: texts(&["one", "two"]),
            expose: texts(&["math:hypot"]),
            seats: 8,
            runtime: Some("/run/runtime-1".into()),
            environment: vec![("NAME".to_owned(), "grün\n\"x\"".to_owned())],
            fork_server: true,
            preload: texts(&["numpy"]),
        }
    }

    fn workers(command: &Command, limits: &[&str]) -> u64 {
        let limits: Vec<Limit> = limits.iter().map(|text| limit::parse(text).expect("a limit")).collect();
        of_workers(command, &limits, Duration::from_secs(2), 4 << 20)
    }

    /// Numbers of the first build. One that has to be changed here ends the workers of everybody who upgrades.
    #[test]
    fn every_build_comes_to_the_same_numbers() {
        let numbers = [
            keepers(&[]),
            keepers(&[("--namespace", "off"), ("--cgroup", "off")]),
            keepers(&[("--cgroup", "/sys/fs/cgroup/a")]),
            workers(&Command { seats: 1, tools: vec!["t".to_owned()], ..Command::default() }, &[]),
            workers(&full(), &["memory=1G", "cpu=1.5", "io=8:0,rbps=1M"]),
        ];
        let golden: [u64; 5] = [
            0x0154_8b54_0ba0_8fed,
            0x79f1_e7e9_6403_15e0,
            0x450e_2faf_700f_cc09,
            0x2663_35aa_dfc7_cfce,
            0xa30f_d84c_ce44_1f49,
        ];
        assert_eq!(numbers, golden);
    }

    #[test]
    fn each_rule_counts_and_none_can_be_taken_for_two() {
        let with = |change: fn(&mut Command)| {
            let mut command = full();
            change(&mut command);
            workers(&command, &["pids=9"])
        };
        let all = [
            with(|_| ()),
            with(|c| c.python = None),
            with(|c| c.python = Some(PathBuf::from("python3"))),
            with(|c| c.program = vec!["w --fast".to_owned()]),
            with(|c| c.program.truncate(1)),
            with(|c| c.directory = None),
            with(|c| c.tools.swap(0, 1)),
            with(|c| c.tools = vec!["one\ntools=two".to_owned()]),
            with(|c| c.expose.clear()),
            with(|c| c.seats = 9),
            with(|c| c.runtime = Some("/run/runtime-2".into())),
            with(|c| c.environment.clear()),
            with(|c| c.environment[0].1.push('x')),
            with(|c| c.fork_server = false),
            with(|c| c.preload.clear()),
            workers(&full(), &[]),
            workers(&full(), &["pids=10"]),
            of_workers(&full(), &[], Duration::from_secs(3), 4 << 20),
            of_workers(&full(), &[], Duration::from_secs(2), 8 << 20),
        ];
        let different: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
        let placed = of_keepers(&Settings { cgroup: Wish::Scope, ..settings(&[]) });
        let keepers =
            [placed, keepers(&[]), keepers(&[("--namespace", "off")]), keepers(&[("--cgroup", "off")])];
        let different: std::collections::BTreeSet<u64> = keepers.into_iter().collect();
        assert_eq!(different.len(), keepers.len());
    }
}
