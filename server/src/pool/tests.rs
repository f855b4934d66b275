//! Crowds before a pool whose only worker never comes up: everybody gets into the line, and everybody out of it. And calls
//! that are let go before their turn.

use super::conversation::Conversation;
use super::desk::{self, Desk, Ears, Order};
use super::handle::{Handle, Lost, Refused};
use super::state::{self, Look, State};
use super::{Inheritance, Pools, Seen};
use crate::handover::Handover;
use crate::own::hold::{Hold, SERVERS_FROM};
use crate::telemetry::{Events, Metrics, Telemetry};
use crate::worker::command::Command;
use crate::worker::life::{Listener, Spec, Told};
use crate::worker::link::Link;
use crate::worker::socket::Socket;
use crate::worker::witness::{Shown, Witness};
use crate::worker::words::{Said, Value};
use futures_util::FutureExt;
use rustix::net::{RecvFlags, recv};
use sidewinder_core::{CallId, Checked, ClientId, Event, Jitter, Life, OnAbandon, Policy, Request, SlotId};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// More than any way holds.
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
    Conversation::begin(&pool, request, Box::default(), Lost::never(), None).await
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
    let pool = state::start(policy(), spec(), hold, Events::default(), Inheritance::default());
    for _ in 0..2 {
        let mut crowd = JoinSet::new();
        (0..CROWD).for_each(|_| _ = crowd.spawn(ask(pool.clone())));
        until_waiting(&pool, CROWD).await;
        drop(crowd);
        until_waiting(&pool, 0).await;
    }
}

/// A pool that nobody keeps, what nobody hears, and a keeper that says nothing.
fn unkept() -> (Handle, Arc<Desk>, Ears, impl Send) {
    let (ways, ears) = desk::ways();
    let (hold, keeper) = Hold::deaf();
    let make = |desk| State::new(policy(), spec(), hold, Events::default(), SERVERS_FROM, desk);
    let desk = Desk::around(make);
    desk.enter(|state, effects| state.core.handle_timeout(Instant::now(), effects));
    (Handle::new(desk.clone(), ways, spec().meter, 1), desk, ears, keeper)
}

/// Nobody keeps the pool, and yet an operator is done with his order, and a caller with leaving.
#[tokio::test]
async fn orders_and_abandonments_wait_for_nobody() {
    let (pool, desk, mut ears, _keeper) = unkept();
    let mut crowd = JoinSet::new();
    (0..CROWD).for_each(|_| _ = crowd.spawn(ask(pool.clone())));
    while desk.enter(|state, _| state.core.snapshot().waiting).expect("a pool") < CROWD {
        tokio::task::yield_now().await;
    }
    timeout(PATIENCE, pool.end(Duration::ZERO)).await.expect("an order waits");
    timeout(PATIENCE, crowd.shutdown()).await.expect("somebody cannot leave");
    let ended = ears.orders.recv().now_or_never().flatten();
    assert!(matches!(ended, Some(Order::End { .. })), "{ended:?}");
    let abandoned = std::iter::from_fn(|| ears.abandoned.try_recv().ok()).count();
    assert_eq!(abandoned, CROWD);
}

/// The first life of a pool comes up. Given are our and the worker's end of its calls.
fn comes_up(desk: &Desk) -> (Arc<Link>, OwnedFd) {
    let life = Life { slot: SlotId(0), number: 1 };
    let ((calls, theirs), (control, _)) =
        (Socket::pair().expect("sockets"), Socket::pair().expect("sockets"));
    let witness = Witness::new(Hold::deaf().0.weak(), 1, Shown::default());
    let link = Arc::new(Link::new(life, calls, control, witness));
    desk.hear(Told::Opened(link.clone(), None));
    desk.hear(Told::Fact(Event::Ready { life, jitter: Jitter(0) }));
    (link, theirs)
}

/// Whether a worker has been given something.
fn is_given(theirs: &OwnedFd) -> bool {
    recv(theirs, &mut [0; 256], RecvFlags::DONTWAIT).is_ok()
}

/// Whether a worker gets a call whose caller lets go of it while it waits. That is heard of before its turn comes, or after.
async fn let_go_in_the_line(on_abandon: OnAbandon, heard_first: bool) -> bool {
    let (pool, desk, ears, _keeper) = unkept();
    let mut ears = Some(ears);
    let keep = |ears: Option<Ears>| ears.map(|ears| tokio::spawn(desk.clone().keep(ears)));
    let (link, theirs) = comes_up(&desk);
    let first = ask(pool.clone()).await.expect("a worker");
    assert!(is_given(&theirs), "at once");
    let mut request = Request::new(pool.next_call(), ClientId(1));
    request.on_abandon = on_abandon;
    let guard = Arc::new(());
    let second =
        Conversation::begin(&pool, request, Box::default(), Lost::never(), Some(Box::new(guard.clone())));
    assert!(second.now_or_never().is_none(), "the only seat is taken");
    let goes_on = on_abandon == OnAbandon::Finish;
    assert_eq!(Arc::strong_count(&guard) > 1, goes_on, "its guard goes with it, whoever hears of that");
    if heard_first {
        keep(ears.take());
        pool.look().await.expect("a pool");
    }
    link.pass_on(first.call().0, Said::Answer(Value::default())).expect("asked");
    desk.hear(Told::Fact(Event::Finished { life: link.life, call: first.call() }));
    if !heard_first {
        assert!(!is_given(&theirs), "it is not known yet whether it goes on");
        keep(ears.take());
        pool.look().await.expect("a pool");
    }
    is_given(&theirs)
}

#[tokio::test]
async fn a_call_that_is_let_go_in_the_line_is_given_to_nobody() {
    assert!(!let_go_in_the_line(OnAbandon::Cancel, false).await);
    assert!(!let_go_in_the_line(OnAbandon::Cancel, true).await);
}

#[tokio::test]
async fn a_call_that_is_to_finish_all_the_same_is_given_to_a_worker() {
    assert!(let_go_in_the_line(OnAbandon::Finish, false).await);
    assert!(let_go_in_the_line(OnAbandon::Finish, true).await);
}

/// A call that waits is asked for by somebody else, who has more time.
#[tokio::test]
async fn a_call_is_given_with_the_longest_deadline_of_those_who_ask_for_it() {
    let (pool, desk, ears, _keeper) = unkept();
    let (link, theirs) = comes_up(&desk);
    let first = ask(pool.clone()).await.expect("a worker");
    assert!(is_given(&theirs));
    let mut request = Request::new(pool.next_call(), ClientId(1));
    let call = request.call;
    request.deadline = Some(Instant::now() + Duration::from_secs(1));
    let mut second = pin!(Conversation::begin(&pool, request, Box::default(), Lost::never(), None));
    assert!(second.as_mut().now_or_never().is_none(), "the only seat is taken");
    tokio::spawn(desk.clone().keep(ears));
    pool.operate(Event::Extended { call, deadline: Some(Instant::now() + PATIENCE) }).await;
    pool.look().await.expect("a pool");
    link.pass_on(first.call().0, Said::Answer(Value::default())).expect("asked");
    desk.hear(Told::Fact(Event::Finished { life: link.life, call: first.call() }));
    let mut frame = [0; 256];
    let (size, _) = recv(&theirs, &mut frame, RecvFlags::DONTWAIT).expect("a call");
    // Field 3 has eight bytes of microseconds.
    let head = frame[..size].windows(6).position(|head| head == [3, 0, 8, 0, 0, 0]).expect("a deadline");
    let micros = u64::from_le_bytes(frame[head + 6..][..8].try_into().expect("eight bytes"));
    assert!(micros > 2_000_000, "{micros}");
    second.await.expect("begun");
}

/// Answers every call that it is given, until nobody is there who could give it another.
fn answers(desk: &Desk, link: &Link, theirs: &OwnedFd, here: &Weak<()>) {
    let mut frame = [0; 256];
    while here.strong_count() > 0 {
        if recv(theirs, &mut frame, RecvFlags::DONTWAIT).is_err() {
            std::thread::yield_now();
            continue;
        }
        // The call follows kind, flags and the length of the meta.
        let call = u64::from_le_bytes(frame[8..16].try_into().expect("eight bytes"));
        link.pass_on(call, Said::Answer(Value::default())).expect("asked");
        desk.hear(Told::Fact(Event::Finished { life: link.life, call: CallId(call) }));
    }
}

/// Calls one after the other, and lets go of most of them before, in or after the line.
async fn comes_and_goes(pool: Handle, caller: usize, guard: Arc<()>) {
    for call in 0..50 {
        let number = caller + call;
        let mut request = Request::new(pool.next_call(), ClientId(1));
        request.on_abandon = [OnAbandon::Cancel, OnAbandon::Finish, OnAbandon::FinishIfLost][number % 3];
        request.deadline = number
            .is_multiple_of(7)
            .then(|| Instant::now() + Duration::from_micros(100 * (number % 10) as u64));
        let lost = Lost::when(move || number.is_multiple_of(2));
        let begun = Conversation::begin(&pool, request, Box::default(), lost, Some(Box::new(guard.clone())));
        let whole = async {
            if let Ok(mut conversation) = begun.await {
                let _ = conversation.hear().await;
            }
        };
        let patience = async {
            for _ in 0..number % 11 * 3 {
                tokio::task::yield_now().await;
            }
            if number % 11 == 10 {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! { () = whole => {} () = patience => {} }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_come_and_go_on_several_threads_leave_nothing_behind() {
    let (pool, desk, ears, _keeper) = unkept();
    tokio::spawn(desk.clone().keep(ears));
    let (link, theirs) = comes_up(&desk);
    let (guard, here) = (Arc::new(()), Arc::new(()));
    let (desk_too, there) = (desk.clone(), Arc::downgrade(&here));
    let worker = tokio::task::spawn_blocking(move || answers(&desk_too, &link, &theirs, &there));
    let mut callers = JoinSet::new();
    (0..100).for_each(|caller| _ = callers.spawn(comes_and_goes(pool.clone(), caller, guard.clone())));
    timeout(PATIENCE, callers.join_all()).await.expect("somebody waits for ever");
    let over = async {
        let seats = || desk.enter(|state, _| state.core.snapshot());
        loop {
            let snapshot = seats().expect("a pool");
            if snapshot.waiting == 0 && snapshot.running == 0 && Arc::strong_count(&guard) == 1 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, over).await.expect("a call is left in the line, in a seat or with its guard");
    drop(here);
    worker.await.expect("every call that it was given was one that it had");
}

/// One pool that listens, and many that do not.
#[tokio::test]
async fn a_look_at_all_pools_waits_for_the_silent_ones_together_and_not_for_long() {
    let (hold, _keeper) = Hold::deaf();
    let pools = Pools::default();
    pools.add(
        "awake".to_owned(),
        state::start(policy(), spec(), hold, Events::default(), Inheritance::default()),
    );
    let mut ears = Vec::new();
    for number in 0..30 {
        let (pool, _, silent, keeper) = unkept();
        ears.push((silent, keeper));
        pools.add(format!("silent {number}"), pool);
    }
    let asked = Instant::now();
    let seen = pools.look().await;
    assert!(asked.elapsed() < Duration::from_secs(10), "one after the other: {:?}", asked.elapsed());
    assert!(matches!(seen["awake"], Seen::Look(_)), "{:?}", seen["awake"]);
    assert_eq!(seen.values().filter(|seen| matches!(seen, Seen::Nothing)).count(), 30);
    drop(ears);
    assert!(pools.look().await.values().all(|seen| !matches!(seen, Seen::Nothing)), "the others have ended");
}
