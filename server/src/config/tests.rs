//! What a file, variables and flags together mean, and everything that can be wrong with them.

use super::keys::{DAEMON, FLAGS, Key, Of, POOL, split};
use super::reading::{Draft, Written};
use super::source::settle;
use super::*;
use crate::own::subtree::Wish;
use sidewinder_core::Policy;
use sidewinder_edge::limits::Limits;
use std::path::Path;

const POOL_A: &str = "[pools.a]\ntools = [\"t\"]\n";

fn read(
    text: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<(Settings, Draft), Problems> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let variables: Vec<(String, String)> = variables.iter().map(owned).collect();
    let flags: Vec<(&'static str, String)> =
        flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let file = (!text.is_empty()).then_some((Path::new("/etc/f.toml"), text));
    settle(Written { file, variables: &variables, flags: &flags })
}

fn good(text: &str) -> Settings {
    read(text, &[], &[]).unwrap_or_else(|problems| panic!("{problems}\nin\n{text}")).0
}

fn bad(text: &str) -> Vec<String> {
    read(text, &[], &[]).expect_err(text).0.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_but_tools_is_enough() {
    let (settings, _) = read("", &[], &[("--tools", "t")]).expect("settings");
    let pool = &settings.pools["default"];
    assert_eq!(pool.command.tools, ["t"]);
    assert_eq!(pool.policy.line, Policy::default().line);
    assert_eq!(pool.policy.size.min(), pool.policy.size.max());
    assert_eq!(settings.limits, Limits::default());
    let none = read("", &[], &[]).expect_err("no pool").to_string();
    assert!(none.contains("--tools") && none.contains("[pools.NAME]"), "{none}");
}

#[test]
fn what_is_printed_as_default_is_accepted_and_is_the_default() {
    assert_eq!(good(&defaults()), good("[pools.default]\ntools = [\"my_module\"]"));
}

#[test]
fn every_key_is_read_shown_and_documented() {
    fn each<T>(keys: &'static [Key<T>], top: &str, before: &T, of: impl Fn(&Draft) -> T) {
        for key in keys {
            let (table, leaf) = split(key.name);
            let table =
                [top, table].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
            let text = format!("[{table}]\n{leaf} = {}\n", key.example);
            // Alone it may lack something; what is read of it does not depend on that.
            let file = Some((Path::new("/f"), text.as_str()));
            let (draft, problems) = reading::read(Written { file, ..Written::default() });
            assert!(problems.0.is_empty(), "{problems}");
            let shown = (key.show)(&of(&draft)).unwrap_or_else(|| panic!("{} is not read", key.name));
            let expected = match key.name {
                "environment" => "{ \"NAME\" = \"…\" }",
                _ => key.example,
            };
            assert_eq!(shown, expected, "{}", key.name);
            assert_ne!((key.show)(before), Some(shown), "the example of {} is its default", key.name);
            assert!((key.show)(before).is_some() || !key.absent.is_empty(), "{} has no default", key.name);
            assert!(page().contains(&format!("| `{leaf}` |")) && defaults().contains(&format!("{leaf} = ")));
        }
    }
    each(DAEMON, "", &keys::DaemonDraft::default(), |draft| draft.daemon.clone());
    each(POOL, "pools.a", &keys::PoolDraft::default(), |draft| draft.pools["a"].clone());
}

#[test]
fn no_key_stands_outside_of_the_tables_that_are_printed() {
    let tables = |name: &&str| keys::SECTIONS.iter().any(|(table, _)| split(name).0 == *table);
    assert!(DAEMON.iter().map(|key| key.name).all(|name| tables(&name)));
    let pool_tables = |name: &str| keys::POOL_TABLES.iter().any(|(table, _)| split(name).0 == *table);
    assert!(POOL.iter().all(|key| pool_tables(key.name)));
    for (flag, of, name) in FLAGS {
        let known = match of {
            Of::Daemon => DAEMON.iter().any(|key| key.name == name),
            Of::Pool => POOL.iter().any(|key| key.name == name),
        };
        assert!(known, "{flag} speaks of no key");
    }
}

/// Written anew with `sidewinder print-config --page > docs/configuration.md`.
#[test]
fn the_page_is_fresh() {
    assert!(page() == include_str!("../../../docs/configuration.md"), "make docs/configuration.md anew");
}

#[test]
fn every_problem_is_told_at_its_place_and_with_what_is_allowed() {
    let text = "\
[daemon]
drain_timeout = \"5 parsecs\"
[listen]
users = [0, \"no such user\",
  \"nor this\"]
tcp = \"0.0.0.0:1\"
[limit]
message = 1
[pools.a]
tools = [\"not a module\"]
min = 3
max = 2
socket = \"x\"
[pools.a.line]
waiting_mx = 5
waiting_max = -1
[pools.a.restart]
delay_max = \"1ms\"
jitter_percent = 100
[pools.B]
python = \"p\"
[pools.c]
tools = [\"t\"]
seats = true
[pools.c.limits]
memory = \"much\"
cpus = 2
";
    let expected = [
        ("2:17", "daemon.drain_timeout: `5 parsecs` is no duration: write 250ms"),
        ("4:13", "listen.users: /etc/passwd knows no user `no such user`"),
        ("5:3", "listen.users: /etc/passwd knows no user `nor this`"),
        ("6:1", "listen.tcp: other machines can reach 0.0.0.0:1"),
        ("7:2", "limit: there is no such key; did you mean `limits`?"),
        ("10:1", "pools.a.tools: `not a module` is no module"),
        ("11:1", "pools.a.min: 3 is more than `max` (2)"),
        ("13:1", "pools.a.socket: there is no such key here: it belongs below [listen]"),
        ("15:1", "pools.a.line.waiting_mx: there is no such key; did you mean `waiting_max`?"),
        ("16:15", "pools.a.line.waiting_max: -1 is out of range: write a whole number from 0"),
        ("18:1", "pools.a.restart.delay_min: this must not exceed delay_max"),
        ("19:1", "pools.a.restart.jitter_percent: this must be below 100"),
        ("20:8", "pools.B: the name of a pool has"),
        ("20:8", "pools.B: the pool serves nothing"),
        ("24:9", "pools.c.seats: true is not what belongs here: write a whole number"),
        ("26:10", "pools.c.limits.memory: `much` is no size"),
        ("27:1", "pools.c.limits.cpus: there is no such key; did you mean `cpu`?"),
    ];
    let told = bad(text);
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, (place, words)) in told.iter().zip(expected) {
        assert!(told.starts_with(&format!("/etc/f.toml:{place}: {words}")), "{place} {words}\n{told}");
    }
}

#[test]
fn calls_are_passed_on_by_some_threads_and_never_by_none() {
    let threads = |said: &str| format!("[daemon]\nthreads = {said}\n{POOL_A}");
    assert_eq!(good(&threads("3")).threads, 3);
    assert!((1..=4).contains(&good(POOL_A).threads));
    for said in ["0", "65"] {
        let told = bad(&threads(said));
        assert_eq!(told, ["/etc/f.toml:2:1: daemon.threads: this must be from 1 to 64"], "{said}");
    }
}

#[test]
fn what_is_told_to_the_outside_is_checked_as_well() {
    let told = bad(&format!(
        "[telemetry]\nlog = \"loud\"\nprometheus = \"0.0.0.0:9464\"\notlp = \"ftp://x\"\notlp_interval = 0\n\
         trace_percent = 101\n{POOL_A}"
    ));
    let expected = [
        "2:7: telemetry.log: `loud` does not say what to log",
        "3:1: telemetry.prometheus: other machines can reach 0.0.0.0:9464",
        "4:8: telemetry.otlp: `ftp://x` is not what belongs here: write an http or https URL",
        "5:1: telemetry.otlp_interval: this must not be nothing",
        "6:1: telemetry.trace_percent: this must be at most 100",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(&format!("/etc/f.toml:{expected}")), "{expected}\n{told}");
    }
}

#[test]
fn a_broken_line_hides_no_problem_of_another_and_invents_none() {
    let told = bad("[daemon]\ndrain_timeout = \nnamespac = \"off\"\n");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("/etc/f.toml:2:") && told[0].contains("no TOML"), "{told:#?}");
    assert!(told[1].contains("did you mean `namespace`"), "{told:#?}");
}

#[test]
fn a_key_at_the_wrong_place_is_sent_home() {
    let told = bad("tools = [\"t\"]\n");
    assert!(told[0].contains("it belongs below [pools.NAME]"), "{told:?}");
    let told = bad(&format!("{POOL_A}waiting_max = 1"));
    assert!(told[0].contains("it belongs below [pools.NAME.line]"), "{told:?}");
    let told = bad("pools = 1\nlisten = 1\n");
    assert!(told.iter().any(|what| what.contains("[pools.NAME]")), "{told:?}");
    assert!(told.iter().any(|what| what.contains("write [listen]")), "{told:?}");
}

#[test]
fn names_that_can_be_mistaken_for_each_other_are_refused() {
    let told = bad("[pools.a-b]\ntools = [\"t\"]\n[pools.a_b]\ntools = [\"t\"]\n");
    assert_eq!(told, ["/etc/f.toml:3:8: pools.a_b: this name can be mistaken for `a-b`: take another one"]);
}

#[test]
fn sizes_are_written_in_one_of_two_ways() {
    let size = |text: &str| good(&format!("{POOL_A}{text}")).pools["a"].policy.size;
    let of = |size: sidewinder_core::Size| (size.min(), size.max(), size.spare(), size.headroom());
    assert_eq!(of(size("workers = 3\nheadroom = 2")), (3, 3, 0, 2));
    assert_eq!(of(size("max = 9")), (1, 9, 0, 1));
    assert_eq!(of(size("min = 0\nmax = 4\nspare = 2")), (0, 4, 2, 1));
    assert_eq!(of(size("min = 4000")), (4000, 4000, 0, 1));
    for wrong in ["workers = 3\nmin = 1", "workers = 0", "max = 5000", "max = 2\nspare = 3", "min = 65536"] {
        bad(&format!("{POOL_A}{wrong}"));
    }
}

#[test]
fn the_environment_overrides_the_file_and_flags_override_both() {
    let text = format!("[daemon]\ndrain_timeout = 1\n{POOL_A}line.waiting_max = 1\nworkers = 1\n");
    let variables = [
        ("SIDEWINDER_DAEMON_DRAIN_TIMEOUT", "2s"),
        ("SIDEWINDER_POOL_LINE_WAITING_MAX", "2"),
        ("SIDEWINDER_POOL_WORKERS", "2"),
        ("SIDEWINDER_POOL_EXPOSE", "math:hypot, os.path:basename"),
        ("SIDEWINDER_LISTEN_TCP", ""),
        ("SIDEWINDER_LOG", "debug"),
        ("SIDEWINDER_LIMITS_PORT_80_TCP", "made by Kubernetes"),
    ];
    let (settings, draft) = read(&text, &variables, &[("--workers", "3")]).expect("settings");
    let pool = &settings.pools["a"];
    assert_eq!((settings.drain.as_secs(), settings.telemetry.log.as_str()), (2, "debug"));
    assert_eq!((pool.policy.line.waiting_max, pool.policy.size.max()), (2, 3));
    assert_eq!(pool.command.expose, ["math:hypot", "os.path:basename"]);
    let shown = effective(&draft);
    assert!(shown.contains("workers = 3  # --workers"), "{shown}");
    assert!(shown.contains("waiting_max = 2  # SIDEWINDER_POOL_LINE_WAITING_MAX"), "{shown}");
    assert!(shown.contains("tools = [\"t\"]  # /etc/f.toml:4:1"), "{shown}");
    assert_eq!(good(&shown).limits, settings.limits, "what holds can be used as a file");
}

#[test]
fn overrides_say_which_pool_they_mean() {
    let two = format!("{POOL_A}[pools.b]\ntools = [\"t\"]\n");
    let told = read(&two, &[], &[("--workers", "3")]).expect_err("which").to_string();
    assert_eq!(told, "--workers: of which pool? Say --pool with one of a, b");
    let (settings, _) = read(&two, &[], &[("--workers", "3"), ("--pool", "b")]).expect("settings");
    assert_eq!(settings.pools["b"].policy.size.max(), 3);
    let told = read(&two, &[("SIDEWINDER_POOL", "c")], &[]).expect_err("serves nothing").to_string();
    assert!(told.starts_with("SIDEWINDER_POOL: pools.c: the pool serves nothing"), "{told}");
}

#[test]
fn a_variable_that_means_nothing_is_told() {
    let variables = [("SIDEWINDER_LISTEN_TPC", "127.0.0.1:1"), ("SIDEWINDER_LIMITS_MESSAGE", "1GB")];
    let told = read(POOL_A, &variables, &[]).expect_err("two problems").to_string();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("SIDEWINDER_LIMITS_MESSAGE: limits.message: `1GB` is no size"), "{told}");
    assert!(lines[1].ends_with("did you mean `SIDEWINDER_LISTEN_TCP`?"), "{told}");
}

#[test]
fn what_may_be_secret_is_never_shown() {
    let text = format!("{POOL_A}environment = {{ TOKEN = \"hush\", PORT = 80 }}\n");
    let (settings, draft) = read(&text, &[], &[]).expect("settings");
    let expected =
        [("PORT", "80"), ("TOKEN", "hush")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(settings.pools["a"].command.environment, expected);
    let shown = effective(&draft);
    assert!(shown.contains("TOKEN") && !shown.contains("hush"), "{shown}");
    let told =
        bad(&format!("{POOL_A}environment = {{ TOKEN = [\"hush\"], \"A=B\" = \"hush\" }}\n")).join("\n");
    assert!(told.contains("TOKEN is no text") && told.contains("`A=B` is no name"), "{told}");
    assert!(!told.contains("hush"), "{told}");
}

#[test]
fn tls_takes_a_certificate_a_key_and_an_address() {
    let tls = |lines: &str| format!("[listen]\n{lines}\n{POOL_A}");
    let whole = "tcp = \"0.0.0.0:1\"\ntls_certificate = \"c\"\ntls_key = \"/k\"";
    let files = good(&tls(whole)).listen.tls.expect("TLS");
    assert_eq!((files.certificate.as_path(), files.key.as_path()), (Path::new("/etc/c"), Path::new("/k")));
    for (lines, words) in [
        ("tcp = \"0.0.0.0:1\"\ntls_certificate = \"c\"", "listen.tls_key: this is missing"),
        ("tcp = \"127.0.0.1:1\"\ntls_key = \"k\"", "listen.tls_certificate: this is missing"),
        ("tcp = \"127.0.0.1:1\"\ntls_client_ca = \"a\"", "listen.tls_key: this is missing"),
        ("tls_certificate = \"c\"\ntls_key = \"k\"", "there is nothing to protect"),
    ] {
        let told = bad(&tls(lines)).join("\n");
        assert!(told.contains(words), "{lines}: {told}");
    }
}

#[test]
fn a_scope_is_a_place_of_its_own() {
    let of = |lines: &str| format!("[daemon]\n{lines}\n{POOL_A}");
    assert_eq!(good(&of("placement = \"unit\"")).cgroup, Wish::Auto);
    assert_eq!(good(&of("placement = \"scope\"\ncgroup = \"auto\"")).cgroup, Wish::Scope);
    for cgroup in ["off", "/sys/fs/cgroup/x"] {
        let told = bad(&of(&format!("placement = \"scope\"\ncgroup = \"{cgroup}\""))).join("\n");
        assert!(told.contains("f.toml:2:1: daemon.placement: a scope has a cgroup of its own"), "{told}");
    }
}

#[test]
fn a_secret_is_not_shown() {
    let text = "[telemetry]\notlp = \"https://me:hush@host:4317/v1?key=hush\"\n\
                [pools.a]\ncommand = [\"env\", \"TOKEN=hush\", \"--key=hush\", \"w\"]\n";
    let (settings, draft) = read(text, &[], &[]).expect("settings");
    assert_eq!(settings.telemetry.otlp.as_deref(), Some("https://me:hush@host:4317/v1?key=hush"));
    assert_eq!(settings.pools["a"].command.program, ["env", "TOKEN=hush", "--key=hush", "w"]);
    let shown = effective(&draft);
    assert!(shown.contains("otlp = \"https://***@host:4317/v1?***\""), "{shown}");
    assert!(shown.contains("command = [\"env\", \"TOKEN=***\", \"--key=***\", \"w\"]"), "{shown}");
    let told = bad("[telemetry]\notlp = \"ftp://me:hush@host\"\n[pools.a]\ntools = [\"t\"]\n").join("\n");
    for text in [shown, told] {
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn paths_start_at_their_file() {
    let text = format!("[listen]\nsocket = \"run/s\"\n{POOL_A}directory = \"../d\"\npython = \"python3\"\n");
    let settings = good(&text);
    assert_eq!(settings.listen.socket, Path::new("/etc/run/s"));
    let command = &settings.pools["a"].command;
    assert_eq!(command.directory.as_deref(), Some(Path::new("/etc/../d")));
    assert_eq!(command.python.as_deref(), Some(Path::new("python3")));
}

#[test]
fn another_worker_takes_the_place_of_python() {
    let pool = &good("[pools.a]\ncommand = [\"w\", \"-x\"]\n").pools["a"];
    assert_eq!(pool.command.program, ["w", "-x"]);
    bad(&format!("{POOL_A}command = [\"w\"]\npython = \"p\"\n"));
    bad("[pools.a]\ncommand = [\"\"]\n");
}
