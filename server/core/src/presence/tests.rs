//! Single decisions, told one at a time. What must always hold is the business of the simulation.

use super::*;
use crate::policy::SPAN_MAX;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

struct Stage {
    begin: Instant,
    presence: Presence,
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "a story starts at a real instant, and only there")]
    fn new(rules: PresenceRules) -> Self {
        let begin = Instant::now();
        let rules = rules.check().expect("rules without flaws");
        Self { begin, presence: Presence::new(begin, rules, 100) }
    }

    fn told(&mut self, at: u64, fact: Fact) -> Vec<Deed> {
        let mut deeds = self.wait(at);
        self.presence.handle(self.begin + ms(at), fact, &mut deeds);
        deeds
    }

    /// Comes by whenever that is wished for, so that no pause is our own.
    fn wait(&mut self, at: u64) -> Vec<Deed> {
        let (mut deeds, until) = (Vec::new(), self.begin + ms(at));
        while let Some(next) = self.presence.next_deadline().filter(|next| *next <= until) {
            self.presence.handle_timeout(next, &mut deeds);
        }
        deeds
    }

    fn attach(&mut self, at: u64, run: &str) -> (Granted, Vec<Deed>) {
        let mut deeds = self.wait(at);
        let asked = Asked { run: run.into(), peer: "p".into(), interval: None, ttl: None, remote: false };
        let granted = self.presence.attach(self.begin + ms(at), asked, &mut deeds).expect("there is room");
        (granted, deeds)
    }
}

#[test]
fn a_lease_ends_its_time_after_the_last_word() {
    let mut stage = Stage::new(PresenceRules::default());
    let (granted, _) = stage.attach(0, "a");
    assert_eq!((granted.interval, granted.ttl), (ms(2_000), ms(10_000)));
    assert!(stage.told(4_000, Fact::Heard(granted.lease, granted.epoch)).is_empty());
    assert!(stage.wait(13_999).is_empty());
    let end = Deed::End { lease: granted.lease, why: Parting::Expired };
    let nobody = Deed::TellNobody { leaves_in: Some(ms(60_000)) };
    assert_eq!(stage.wait(14_000), [end, nobody]);
    assert!(stage.told(14_001, Fact::Heard(granted.lease, granted.epoch)).is_empty(), "it comes too late");
    assert_eq!(stage.wait(74_000), [Deed::Release { within: Some(ms(24 * 3_600_000)) }]);
}

#[test]
fn coming_back_cancels_the_count_and_recalls_workers() {
    let mut stage = Stage::new(PresenceRules::default());
    assert!(stage.wait(100_000).is_empty(), "nothing is counted before the pools are ready");
    assert!(stage.told(100_000, Fact::Ready).is_empty());
    assert!(stage.told(130_000, Fact::Came).is_empty(), "a call of a passer-by is somebody");
    assert!(stage.wait(500_000).is_empty());
    assert!(stage.told(500_000, Fact::Went).is_empty());
    assert!(stage.wait(559_999).is_empty());
    assert_eq!(stage.wait(560_000).len(), 1);
    let (_, deeds) = stage.attach(560_001, "a");
    assert_eq!(deeds, [Deed::TellSomebody, Deed::Recall]);
}

#[test]
fn a_pause_of_our_own_puts_everything_off() {
    let mut stage = Stage::new(PresenceRules::default());
    let (granted, _) = stage.attach(0, "a");
    stage.wait(1_000);
    let mut deeds = Vec::new();
    stage.presence.handle_timeout(stage.begin + ms(61_000), &mut deeds);
    assert!(matches!(deeds[..], [Deed::TellStalled(_)]), "{deeds:?}");
    assert!(stage.wait(69_800).is_empty());
    let end = Deed::End { lease: granted.lease, why: Parting::Expired };
    assert_eq!(stage.wait(70_250).first(), Some(&end));
}

#[test]
fn the_same_run_goes_on_and_another_run_is_somebody_else() {
    let mut stage = Stage::new(PresenceRules::default());
    let (first, _) = stage.attach(0, "app run-1");
    let (second, deeds) = stage.attach(100, "app run-1");
    assert_eq!((second.lease, second.resumed), (first.lease, true));
    assert!(second.epoch > first.epoch && first.epoch > Epoch(100));
    assert_eq!(deeds, [Deed::Overtake { lease: first.lease, epoch: second.epoch }]);
    let now = stage.begin + ms(200);
    let mut admit = |lease, epoch| stage.presence.admit(now, lease, epoch, &mut Vec::new());
    assert_eq!(admit(first.lease, first.epoch), Err(Fenced::Stale));
    assert_eq!(admit(first.lease, second.epoch), Ok(()));
    assert_eq!(admit(first.lease, Epoch(second.epoch.0 + 1)), Err(Fenced::Expired), "never granted");
    assert!(stage.told(300, Fact::Died(first.lease, first.epoch)).is_empty(), "an old stream is no news");
    let (other, _) = stage.attach(400, "app run-2");
    assert_ne!(other.lease, first.lease);
}

#[test]
fn at_once_means_at_once_and_idle_ends_the_daemon() {
    let rules = PresenceRules { no_client: Some(ms(0)), exit_when_idle: true, ..PresenceRules::default() };
    let mut stage = Stage::new(rules);
    let (granted, _) = stage.attach(0, "a");
    let deeds = stage.told(10, Fact::Left(granted.lease, granted.epoch));
    let release = Deed::Release { within: Some(ms(24 * 3_600_000)) };
    assert_eq!(deeds.last(), Some(&release));
    assert_eq!(stage.told(20, Fact::Emptied), [Deed::Exit]);
    stage.told(30, Fact::Came);
    assert!(stage.told(40, Fact::Emptied).is_empty(), "somebody is there");
}

#[test]
fn wishes_are_brought_within_bounds() {
    let mut stage = Stage::new(PresenceRules::default());
    let now = stage.begin;
    let mut ask = |run: &str, interval, ttl, remote| {
        let asked = Asked { run: run.into(), peer: "p".into(), interval, ttl, remote };
        let granted = stage.presence.attach(now, asked, &mut Vec::new()).expect("there is room");
        (granted.interval, granted.ttl)
    };
    assert_eq!(ask("a", None, None, true), (ms(2_000), ms(15_000)));
    assert_eq!(ask("b", Some(ms(0)), Some(ms(0)), false), (ms(100), ms(500)));
    assert_eq!(ask("c", None, Some(ms(1_000)), false), (ms(500), ms(1_000)), "two beats fit into a lease");
    let year = Some(ms(31_536_000_000));
    assert_eq!(ask("d", year, year, false), (ms(3_600_000), ms(86_400_000)));
}

#[test]
fn other_rules_hold_for_what_is_counted_by_them() {
    let rules = PresenceRules { startup: None, ..PresenceRules::default() };
    let mut stage = Stage::new(rules.clone());
    stage.told(0, Fact::Ready);
    let amend = |stage: &mut Stage, at: u64, rules: PresenceRules| {
        let mut deeds = stage.wait(at);
        stage.presence.amend(stage.begin + ms(at), rules.check().expect("no flaws"), &mut deeds);
        deeds
    };
    let sooner = PresenceRules { no_client: Some(ms(30_000)), ..rules.clone() };
    assert!(amend(&mut stage, 10, sooner.clone()).is_empty());
    assert!(stage.wait(500_000).is_empty(), "nobody has come yet, so that is not what is counted");
    amend(&mut stage, 500_000, PresenceRules { startup: Some(ms(10)), ..sooner });
    assert!(matches!(stage.wait(500_010)[..], [Deed::Release { .. }]));
}

#[test]
fn nobody_expires_while_the_daemon_stops() {
    let mut stage = Stage::new(PresenceRules::default());
    let (granted, _) = stage.attach(0, "a");
    assert!(stage.told(1_000, Fact::Stopping).is_empty());
    assert_eq!(stage.presence.next_deadline(), None);
    assert!(stage.told(60_000, Fact::Came).iter().all(|deed| matches!(deed, Deed::TellStalled(_))));
    let end = Deed::End { lease: granted.lease, why: Parting::Died };
    assert_eq!(stage.told(60_001, Fact::Died(granted.lease, granted.epoch)).first(), Some(&end));
}

/// A machine that is always slow is not one that stands still.
#[test]
fn a_daemon_that_is_starved_for_ever_expires_clients_all_the_same() {
    let mut stage = Stage::new(PresenceRules::default());
    stage.attach(0, "a");
    let mut deeds = Vec::new();
    for tick in 1..=200_u64 {
        stage.presence.handle_timeout(stage.begin + ms(tick * 300), &mut deeds);
    }
    let stalls = deeds.iter().filter(|deed| matches!(deed, Deed::TellStalled(_))).count();
    assert!(deeds.iter().any(|deed| matches!(deed, Deed::End { .. })), "{deeds:?}");
    assert_eq!(stalls, 1, "it is told once");
}

#[test]
fn two_beats_fit_into_every_lease() {
    let mut rules = PresenceRules::default();
    rules.interval.least = ms(2_000);
    let mut stage = Stage::new(rules);
    let asked =
        Asked { run: "a".into(), peer: "p".into(), interval: Some(ms(1)), ttl: Some(ms(500)), remote: false };
    let granted = stage.presence.attach(stage.begin, asked, &mut Vec::new()).expect("there is room");
    assert_eq!((granted.interval, granted.ttl), (ms(2_000), ms(4_000)));
}

#[test]
fn more_clients_than_may_be_are_denied() {
    let mut stage = Stage::new(PresenceRules { clients_max: 1, ..PresenceRules::default() });
    stage.attach(0, "a");
    let asked = Asked { run: "b".into(), peer: "p".into(), interval: None, ttl: None, remote: false };
    let denied = stage.presence.attach(stage.begin, asked, &mut Vec::new());
    assert_eq!(denied, Err(Denied::Full));
    stage.attach(1, "a");
}

/// Whoever comes by a little late has not stood still.
#[test]
fn a_pause_has_to_be_longer_than_its_bound() {
    for (pause, stalls) in [(ms(0), 0), (ms(1), 1)] {
        let mut stage = Stage::new(PresenceRules::default());
        stage.attach(0, "a");
        let mut deeds = Vec::new();
        stage.presence.handle_timeout(stage.begin + TICK + LATE + pause, &mut deeds);
        assert_eq!(deeds.len(), stalls, "{deeds:?}");
    }
}

#[test]
fn a_count_goes_on_under_rules_that_say_the_same_of_it() {
    let mut stage = Stage::new(PresenceRules::default());
    let amended = |stage: &mut Stage, at: u64, rules: PresenceRules| {
        let mut deeds = stage.wait(at);
        stage.presence.amend(stage.begin + ms(at), rules.check().expect("no flaws"), &mut deeds);
        (deeds, stage.presence.snapshot(stage.begin + ms(at)).leaves_in)
    };
    let (granted, _) = stage.attach(0, "a");
    let longer = PresenceRules { no_client: Some(ms(90_000)), ..PresenceRules::default() };
    assert_eq!(
        amended(&mut stage, 10, longer.clone()),
        (vec![], None),
        "somebody is there: nothing is counted"
    );
    stage.told(20, Fact::Left(granted.lease, granted.epoch));
    let other = PresenceRules { clients_max: 7, ..longer };
    assert_eq!(amended(&mut stage, 30_020, other).1, Some(ms(60_000)), "it has been counted for 30 s");
}

#[test]
fn rules_that_would_surprise_are_flaws() {
    let flaws = |change: fn(&mut PresenceRules)| {
        let mut rules = PresenceRules::default();
        change(&mut rules);
        rules.check().err().map(|flaws| flaws[0].name)
    };
    assert_eq!(flaws(|_| {}), None);
    assert_eq!(flaws(|rules| rules.interval.least = rules.interval.most * 2), Some("interval"));
    assert_eq!(flaws(|rules| rules.clients_max = 0), Some("clients_max"));
    assert_eq!(flaws(|rules| rules.startup = Some(SPAN_MAX)), None);
    assert_eq!(flaws(|rules| rules.startup = Some(SPAN_MAX * 2)), Some("startup"));
    assert_eq!(flaws(|rules| rules.interval.local = rules.ttl.local), Some("ttl"));
    assert_eq!(flaws(|rules| rules.interval.remote = rules.ttl.remote), Some("ttl"));
}

#[test]
fn beats_are_counted_and_so_are_those_that_did_not_come() {
    let mut stage = Stage::new(PresenceRules::default());
    let (granted, _) = stage.attach(0, "a");
    for at in [2_000, 4_000, 9_500] {
        stage.told(at, Fact::Heard(granted.lease, granted.epoch));
    }
    let seen = |stage: &Stage, at| {
        let all = stage.presence.snapshot(stage.begin + ms(at)).leases;
        all.into_values().map(|lease| (lease.beats, lease.missed, lease.heard_ago)).collect::<Vec<_>>()
    };
    // After 4 s the next was due within 2 s more, and one further was missed.
    assert_eq!(seen(&stage, 9_500), [(3, 1, ms(0))]);
    stage.wait(14_500);
    assert_eq!(seen(&stage, 14_500), [(3, 2, ms(5_000))]);
}

#[test]
fn who_comes_back_to_a_lease_is_counted_anew() {
    let mut stage = Stage::new(PresenceRules::default());
    let (granted, _) = stage.attach(0, "a");
    for beat in 1..=3 {
        stage.told(beat * 100, Fact::Heard(granted.lease, granted.epoch));
    }
    // Three intervals without a word.
    let (again, _) = stage.attach(6_500, "a");
    assert!(again.resumed);
    let view = stage.presence.snapshot(stage.begin + ms(6_500)).leases[&granted.lease];
    assert_eq!((view.beats, view.missed, view.heard_ago), (0, 0, ms(0)));
}

#[test]
fn one_peer_holds_so_many_leases_and_leaves_room_for_others() {
    let mut stage = Stage::new(PresenceRules { per_peer: 2, ..PresenceRules::default() });
    let mut ask = |at: u64, peer: &str, run: &str| {
        let mut deeds = stage.wait(at);
        let (run, peer) = (run.into(), peer.into());
        let asked = Asked { run, peer, interval: None, ttl: None, remote: true };
        stage.presence.attach(stage.begin + ms(at), asked, &mut deeds).map(|granted| granted.resumed)
    };
    assert_eq!([ask(0, "one", "a"), ask(0, "one", "b")], [Ok(false), Ok(false)]);
    assert_eq!(ask(1_000, "one", "c"), Err(Denied::Crowded));
    assert_eq!(ask(1_000, "one", "a"), Ok(true), "what it holds it may come back to");
    assert_eq!(ask(1_000, "other", "d"), Ok(false));
    // The one that has been silent since has expired, and makes room.
    assert_eq!(ask(15_500, "one", "c"), Ok(false));
    assert_eq!(ask(15_500, "one", "e"), Err(Denied::Crowded));
}

/// The last client goes while somebody without a lease calls, and one comes while somebody does.
#[test]
fn that_somebody_is_there_and_that_nobody_is_are_told_in_turn() {
    let mut stage = Stage::new(PresenceRules::default());
    let somebody = [Deed::TellSomebody];
    let nobody = [Deed::TellNobody { leaves_in: Some(ms(60_000)) }];
    assert!(stage.told(0, Fact::Came).is_empty(), "one who passes by is nobody to tell of");
    let (granted, deeds) = stage.attach(100, "a");
    assert_eq!(deeds, somebody);
    assert!(stage.told(200, Fact::Went).is_empty());
    assert!(stage.told(300, Fact::Came).is_empty());
    let left = stage.told(400, Fact::Left(granted.lease, granted.epoch));
    assert_eq!(left, [Deed::End { lease: granted.lease, why: Parting::Left }]);
    assert_eq!(stage.told(500, Fact::Went), nobody);
    assert!(stage.told(600, Fact::Came).is_empty() && stage.told(700, Fact::Went).is_empty());
    assert_eq!(stage.wait(60_700).len(), 1, "they are let go");
    assert_eq!(stage.told(61_000, Fact::Came), [Deed::TellSomebody, Deed::Recall]);
    assert_eq!(stage.told(62_000, Fact::Went), nobody);
}
