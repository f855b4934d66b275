//! Crowds before a pool whose only worker never comes up: everybody gets into the line, and everybody out of it.

use super::conversation::Conversation;
use super::handle::{Handle, Lost, Refused};
use super::mailbox;
use super::task::{self, Look};
use super::{Inheritance, Pools, Seen};
use crate::handover::Handover;
use crate::own::hold::Hold;
use crate::telemetry::{Events, Metrics, Telemetry};
use crate::worker::command::Command;
use crate::worker::life::Spec;
use crate::worker::words::Ask;
use futures_util::FutureExt;
use sidewinder_core::{Checked, ClientId, Policy, Request};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// More than any mailbox holds.
const CROWD: usize = 6_000;
/// What takes longer has come to a stand.
const PATIENCE: Duration = Duration::from_secs(20);

fn policy() -> Checked {
    let mut policy = Policy::default();
    policy.line.waiting_max = 2 * CROWD;
    policy.check().expect("a policy")
}

fn spec() -> Spec {
    let metrics = Metrics::begin(&Telemetry::default(), "a test").expect("metrics");
    Spec {
        pool: "a pool".to_owned(),
        meter: metrics.pool("a pool"),
        command: Command::default(),
        message_max: 1 << 20,
        interrupt_grace: Duration::from_secs(1),
        stop_grace: Duration::from_secs(1),
        installed_said: Arc::default(),
        handover: Handover::default(),
        rules: 0,
        first_call: 1,
    }
}

async fn ask(pool: Handle) -> Result<Conversation, Refused> {
    let request = Request::new(pool.next_call(), ClientId(1));
    Conversation::begin(&pool, request, Ask::default(), Lost::never(), None).await
}

/// Looks until as many wait.
async fn until_waiting(pool: &Handle, number: usize) {
    let looks = async {
        loop {
            let look: Option<Look> = pool.look().await;
            if look.expect("a pool").snapshot.waiting == number {
                return;
            }
        }
    };
    timeout(PATIENCE, looks).await.expect("in vain: everybody in the line, or out of it");
}

#[tokio::test]
async fn a_crowd_gets_into_the_line_and_out_of_it() {
    let (hold, _keeper) = Hold::deaf();
    let pool = task::start(policy(), spec(), hold, Events::default(), Inheritance::default());
    for _ in 0..2 {
        let mut crowd = JoinSet::new();
        (0..CROWD).for_each(|_| _ = crowd.spawn(ask(pool.clone())));
        until_waiting(&pool, CROWD).await;
        drop(crowd);
        until_waiting(&pool, 0).await;
    }
}

/// Nobody listens, and yet an operator is done with his order, and a caller with leaving.
#[tokio::test]
async fn orders_and_abandonments_do_not_wait_behind_submissions() {
    let (ways, mut ears) = mailbox::open();
    let pool = Handle::new(ways, spec().meter, 1);
    let mut crowd = JoinSet::new();
    (0..CROWD).for_each(|_| _ = crowd.spawn(ask(pool.clone())));
    while ears.submissions.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    timeout(PATIENCE, pool.end(Duration::ZERO)).await.expect("an order waits");
    timeout(PATIENCE, crowd.shutdown()).await.expect("somebody cannot leave");
    let ended = ears.orders.recv().now_or_never().flatten();
    assert!(matches!(ended, Some(mailbox::Order::End { .. })), "{ended:?}");
    // Who had not got as far as a submission has nothing to take back.
    let abandoned = std::iter::from_fn(|| ears.abandoned.try_recv().ok()).count();
    assert_eq!(abandoned, ears.submissions.max_capacity());
}

#[tokio::test]
async fn a_call_whose_abandonment_overtakes_it_gets_into_no_line() {
    let (ways, ears) = mailbox::open();
    let pool = Handle::new(ways, spec().meter, 1);
    {
        let mut call = pin!(ask(pool.clone()));
        assert!(call.as_mut().now_or_never().is_none(), "nobody listens yet");
    }
    assert_eq!((ears.submissions.len(), ears.abandoned.len()), (1, 1));
    let (hold, _keeper) = Hold::deaf();
    tokio::spawn(task::run(policy(), spec(), hold, Events::default(), ears, None));
    // It comes after the first one, and only it is there.
    let second = tokio::spawn(ask(pool.clone()));
    until_waiting(&pool, 1).await;
    second.abort();
    until_waiting(&pool, 0).await;
}

/// One pool that listens, and many that do not.
#[tokio::test]
async fn a_look_at_all_pools_waits_for_the_silent_ones_together_and_not_for_long() {
    let (hold, _keeper) = Hold::deaf();
    let pools = Pools::default();
    pools.add(
        "awake".to_owned(),
        task::start(policy(), spec(), hold, Events::default(), Inheritance::default()),
    );
    let mut ears = Vec::new();
    for number in 0..30 {
        let (ways, silent) = mailbox::open();
        ears.push(silent);
        pools.add(format!("silent {number}"), Handle::new(ways, spec().meter, 1));
    }
    let asked = Instant::now();
    let seen = pools.look().await;
    assert!(asked.elapsed() < Duration::from_secs(10), "one after the other: {:?}", asked.elapsed());
    assert!(matches!(seen["awake"], Seen::Look(_)), "{:?}", seen["awake"]);
    assert_eq!(seen.values().filter(|seen| matches!(seen, Seen::Nothing)).count(), 30);
    drop(ears);
    assert!(pools.look().await.values().all(|seen| !matches!(seen, Seen::Nothing)), "the others have ended");
}
