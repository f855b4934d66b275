//! Calls of an earlier daemon: they go on, and their endings are kept for whoever asks by their key.

use super::Told;
use super::keyed::ending;
use super::running::Running;
use crate::endings::{Alone, Ending, Endings, Key, Waiters};
use crate::pool::{Carried, Conversation, Guard, Handle, Pools};
use crate::telemetry::Origin;
use crate::worker::memo::{Memo, since_boot};
use sidewinder_core::{CallKey, Event, OnAbandon, Request};
use sidewinder_edge::status::Whose;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Whoever comes with a key waits so long for workers that have not said yet what they do.
const PATIENCE: Duration = Duration::from_secs(10);

/// What of calls outlives this daemon, and what has outlived an earlier one.
#[derive(Clone, Debug)]
pub(crate) struct Outliving {
    /// Calls that go on without their client carry a memo.
    live: bool,
    all_known: watch::Receiver<bool>,
}

impl Outliving {
    /// Takes over what is carried here, until nobody can bring any more.
    pub(crate) fn begin(
        live: bool,
        mut carried: mpsc::UnboundedReceiver<Carried>,
        endings: Endings<Told>,
        pools: Pools,
    ) -> Self {
        let (tell, all_known) = watch::channel(false);
        tokio::spawn(async move {
            while let Some(call) = carried.recv().await {
                take_over(call, &endings, &pools);
            }
            tell.send_replace(true);
        });
        Self { live, all_known }
    }

    /// Waits until every key is known that an earlier daemon has left.
    pub(super) async fn all_known(&self) {
        let mut known = self.all_known.clone();
        let _ = timeout(PATIENCE, known.wait_for(|known| *known)).await;
    }

    /// What a call is to carry, if it may outlive this daemon.
    pub(super) fn memo(&self, request: &Request, whose: &Whose, key: Option<&Key>) -> Option<Vec<u8>> {
        if !self.live || request.on_abandon == OnAbandon::Cancel {
            return None;
        }
        let memo = Memo {
            pool: whose.pool.clone(),
            tool: whose.tool.clone(),
            who: key.map(|key| key.who.to_string()).unwrap_or_default(),
            client: key.map(|key| key.client.clone()).unwrap_or_default(),
            key: key.map(|key| key.word.clone()).unwrap_or_default(),
            call_key: request.key.map_or(0, |CallKey(key)| key),
            deadline: request.deadline.map(since_boot),
        };
        memo.write()
    }
}

fn take_over(carried: Carried, endings: &Endings<Told>, pools: &Pools) {
    let Carried { mut conversation, memo, streams } = carried;
    let found = pools.find(&memo.pool).filter(|_| !memo.key.is_empty());
    // Nobody can ask for it: it goes on for itself, as it would have without its client.
    let (Some((_, pool)), Ok(who)) = (found, memo.who.parse()) else { return };
    let key = Key { who, client: memo.client.clone(), word: memo.key.clone() };
    let of = format!("{} {}", memo.pool, memo.tool);
    if streams {
        if let Ok(alone) = endings.hold(key, &of) {
            conversation.guard(Box::new(alone) as Guard);
        }
        return;
    }
    let until = memo.due();
    let goes_on = |waiters, alone| go_on(conversation, memo, pool, waiters, alone);
    if endings.join_or_start(key, &of, until, || true, goes_on).is_err() {
        tracing::warn!("the ending of an earlier call cannot be kept: its key is taken");
    }
}

/// Hears the call to its end.
async fn go_on(
    mut conversation: Conversation,
    memo: Memo,
    pool: Handle,
    waiters: Waiters,
    alone: Arc<Alone<Told>>,
) -> Option<Ending<Told>> {
    // The key is held until the tool has ended, which may be later than anybody waits.
    conversation.guard(Box::new(alone));
    conversation.leave();
    let call = conversation.call();
    let mut deadline = memo.due();
    let worker = conversation.worker().to_owned();
    let mut meter = pool.meter().call(&memo.tool, deadline, &Origin::default());
    meter.began(&worker);
    let whose = Whose { pool: memo.pool, tool: memo.tool, worker };
    let mut running = Running::alone(conversation, meter, whose, deadline);
    let ended = loop {
        tokio::select! {
            biased;
            ended = running.ending() => break ended,
            until = waiters.longer(deadline) => {
                deadline = until;
                running.deadline = until;
                pool.operate(Event::Extended { call, deadline }).await;
            }
        }
    };
    Some(ending(match ended {
        Ok(value) => Ok((value, running.ran())),
        Err(outcome) => Err((outcome, running.whose.clone())),
    }))
}
