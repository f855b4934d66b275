//! Joining, keeping and forgetting.

use super::*;
use sidewinder_edge::peer::Identity;
use std::time::Duration;
use tokio::sync::oneshot;

fn rules(bytes: usize) -> Rules {
    Rules { keep: Duration::from_mins(10), bytes }
}

fn key(key: &str) -> Key {
    Key { who: Identity::User(7), client: "app".to_owned(), word: key.to_owned() }
}

fn answer(value: &'static str) -> Ending<&'static str> {
    Ending { value, bytes: value.len(), kept: Kept::Answer }
}

/// Starts a call that ends when it is told to.
fn start(endings: &Endings<&'static str>, name: &str) -> (Joined<&'static str>, oneshot::Sender<()>) {
    let (tell, told) = oneshot::channel();
    let run = |_, _| async move { told.await.ok().map(|()| answer("done")) };
    (endings.join_or_start(key(name), "tool", None, || true, run).expect("a free key"), tell)
}

async fn never(_: Waiters, _: Arc<Alone<&'static str>>) -> Option<Ending<&'static str>> {
    panic!("it runs twice")
}

#[tokio::test]
async fn a_key_that_runs_is_joined_and_one_that_has_run_is_answered() {
    let endings = Endings::new(rules(10_000));
    let (first, tell) = start(&endings, "k");
    let second = endings.join_or_start(key("k"), "tool", None, || true, never).expect("it is joined");
    let asked = endings.find(key("k"), None).expect("it runs");
    tell.send(()).expect("it runs");
    assert_eq!(first.ending().await, Some("done"));
    assert_eq!(second.ending().await, Some("done"));
    assert_eq!(asked.ending().await, Some("done"));
    let third = endings.join_or_start(key("k"), "tool", None, || true, never).expect("it is kept");
    assert_eq!(third.ending().await, Some("done"));
    let other = endings.join_or_start(key("k"), "another tool", None, || true, never);
    assert_eq!(other.err(), Some(Taken::Other("tool".to_owned())));
    for stranger in [
        Key { client: "another app".to_owned(), ..key("k") },
        Key { who: Identity::User(8), ..key("k") },
        Key { who: Identity::Subject(b"app".as_slice().into()), ..key("k") },
        Key { who: Identity::Anybody, ..key("k") },
    ] {
        assert!(endings.find(stranger, None).is_none());
    }
}

#[tokio::test]
async fn the_call_hears_when_nobody_waits_and_how_the_last_one_left() {
    // Whoever wanted it to go on is heard, also when somebody else leaves last.
    for (one, other, goes_on) in [(false, true, true), (true, false, true), (false, false, false)] {
        let endings: Endings<&'static str> = Endings::new(rules(10_000));
        let (tell, told) = oneshot::channel();
        let run = |waiters: Waiters, _| async move {
            let _ = tell.send(waiters.gone().await);
            Some(answer("alone"))
        };
        let first = endings.join_or_start(key("k"), "tool", None, move || one, run).expect("a free key");
        let last = endings.join_or_start(key("k"), "tool", None, move || other, never).expect("joined");
        drop(first);
        drop(last);
        assert_eq!(told.await, Ok(goes_on));
    }
}

#[tokio::test]
async fn a_call_that_was_given_up_is_forgotten_and_a_failure_is_run_again() {
    let endings = Endings::new(rules(10_000));
    let given_up =
        endings.join_or_start(key("k"), "tool", None, || true, |_, _| async { None }).expect("free");
    assert_eq!(given_up.ending().await, None);
    assert!(endings.find(key("k"), None).is_none());
    let failure = Ending { value: "died", bytes: 4, kept: Kept::Failure };
    let failed =
        endings.join_or_start(key("k"), "tool", None, || true, |_, _| async { Some(failure) }).expect("free");
    assert_eq!(failed.ending().await, Some("died"));
    assert_eq!(endings.find(key("k"), None).expect("told on request").ending().await, Some("died"));
    let again = endings
        .join_or_start(key("k"), "tool", None, || true, |_, _| async { Some(answer("done")) })
        .expect("free");
    assert_eq!(again.ending().await, Some("done"));
}

/// Its tool may still run: whoever holds the key until then is its guard.
#[tokio::test]
async fn a_key_that_is_given_up_is_free_when_its_call_is_over() {
    let endings: Endings<&'static str> = Endings::new(rules(10_000));
    let (tell, told) = oneshot::channel();
    let run = |_, guard: Arc<Alone<&'static str>>| async move {
        let _ = tell.send(guard);
        None
    };
    let given_up = endings.join_or_start(key("k"), "tool", None, || false, run).expect("free");
    assert_eq!(given_up.ending().await, None);
    let guard = told.await.expect("it has run");
    let again = || endings.join_or_start(key("k"), "tool", None, || true, never).err();
    assert_eq!((again(), again()), (Some(Taken::Running), Some(Taken::Running)));
    assert!(endings.find(key("k"), None).is_none());
    drop(guard);
    assert!(endings.hold(key("k"), "tool").is_ok());
}

#[tokio::test]
async fn the_most_patient_says_how_long_a_call_is_waited_for() {
    let endings: Endings<&'static str> = Endings::new(rules(10_000));
    let (soon, later) = (Instant::now() + Duration::from_millis(20), Instant::now() + Duration::from_mins(1));
    let (tell, told) = oneshot::channel();
    let run = |waiters: Waiters, _| async move {
        let _ = tell.send(waiters.longer(Some(soon)).await);
        std::future::pending().await
    };
    let first = endings.join_or_start(key("k"), "tool", Some(soon), || true, run).expect("free");
    let second = endings.join_or_start(key("k"), "tool", Some(later), || true, never).expect("joined");
    assert_eq!(told.await, Ok(Some(later)));
    // The first has waited for long enough, the call goes on; whoever only asks is in nobody's way.
    first.deadline().await;
    endings.find(key("k"), Some(soon)).expect("it runs").deadline().await;
    let patient = tokio::time::timeout(Duration::from_millis(50), second.deadline()).await;
    assert!(patient.is_err(), "it has time");
}

#[tokio::test]
async fn a_key_that_is_held_is_nobody_elses() {
    let endings: Endings<&'static str> = Endings::new(rules(10_000));
    let held = endings.hold(key("k"), "tool").expect("free");
    assert_eq!(endings.hold(key("k"), "tool").err(), Some(Taken::Running));
    assert_eq!(endings.join_or_start(key("k"), "tool", None, || true, never).err(), Some(Taken::Running));
    assert!(endings.find(key("k"), None).is_none());
    drop(held);
    assert!(endings.hold(key("k"), "tool").is_ok());
    let answered =
        endings.join_or_start(key("k"), "tool", None, || true, |_, _| async { Some(answer("done")) });
    assert_eq!(answered.expect("free").ending().await, Some("done"));
    assert_eq!(endings.hold(key("k"), "tool").err(), Some(Taken::Answered), "it would be lost");
}

#[tokio::test]
async fn a_run_that_breaks_gives_its_key_back() {
    let endings: Endings<&'static str> = Endings::new(rules(10_000));
    let broken =
        endings.join_or_start(key("k"), "tool", None, || true, |_, _| async { panic!("a broken rule") });
    assert_eq!(broken.expect("free").ending().await, None);
    assert!(endings.find(key("k"), None).is_none());
}

#[test]
fn what_is_replaced_leaves_nothing_behind() {
    let now = Instant::now();
    let mut table: Table<u32> = Table::new(rules(10_000));
    for value in 0..1_000 {
        let (number, _, _) = table.begin(key("k"), "tool", true, None);
        table.end(&key("k"), number, Ending { value, bytes: 1, kept: Kept::Failure }, now);
    }
    assert_eq!(table.records(), 1);
}

#[test]
fn what_is_kept_is_bounded_in_bytes_and_in_time() {
    let begin = Instant::now();
    let mut table: Table<u32> = Table::new(Rules { keep: Duration::from_mins(1), bytes: 10 * 2_000 });
    let end = |table: &mut Table<u32>, name: &str, value, bytes, at| {
        let (number, _, _) = table.begin(key(name), "tool", true, None);
        table.end(&key(name), number, Ending { value, bytes, kept: Kept::Answer }, at);
    };
    for value in 0..1_000 {
        end(&mut table, &format!("k{value}"), value, 1_000, begin);
    }
    let kept = |table: &mut Table<u32>, at| {
        (0..1_000).filter(|value| table.find(&key(&format!("k{value}")), at).is_some()).count()
    };
    assert_eq!(kept(&mut table, begin), 13, "each costs 1,000 bytes, and what the rest of it costs");
    end(&mut table, "huge", 0, 30_000, begin);
    assert!(table.find(&key("huge"), begin).is_none());
    // One that is replaced is not counted twice, and does not go with its elder.
    end(&mut table, "k999", 7, 10, begin + Duration::from_secs(59));
    assert_eq!(kept(&mut table, begin + Duration::from_mins(1)), 1);
    assert_eq!(kept(&mut table, begin + Duration::from_secs(119)), 0);
}

#[test]
fn a_key_is_free_again_when_its_call_comes_to_a_runtime_that_has_ended() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let (handle, endings) = (runtime.handle().clone(), Endings::new(rules(10_000)));
    runtime.shutdown_timeout(Duration::from_mins(1));
    let ended = handle.enter();
    let (_joined, _tell) = start(&endings, "k");
    drop(ended);
    assert!(endings.find(key("k"), None).is_none());
}
