//! Proof that the daemon is alive: every pool has looked at itself, every keeper has been asked who lives, and
//! both have answered. Whoever asks has the runtime's timer and its tasks proved by that.

use super::Operator;
use crate::own::hold::Hold;
use crate::pool::Handle;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

impl Operator {
    /// Asks everybody at once; names the first who is silent for so long.
    pub(crate) async fn prove(&self, patience: Duration) -> Result<(), String> {
        let mut asked = JoinSet::new();
        {
            let state = timeout(patience, self.state.lock()).await;
            let state = state.map_err(|_| "an order to the daemon does not come to its end".to_owned())?;
            for (name, member) in &state.members {
                let (handle, hold) = (member.handle.clone(), Some(member.hold.clone()));
                asked.spawn(ask(format!("pool {name}"), handle, hold, patience));
            }
            let leaving = state.leaving.iter().map(|leaving| &leaving.handle);
            for handle in leaving.chain(&state.ending) {
                asked.spawn(ask("a pool that ends".to_owned(), handle.clone(), None, patience));
            }
        }
        while let Some(answer) = asked.join_next().await {
            answer.unwrap_or_else(|error| Err(error.to_string()))?;
        }
        Ok(())
    }
}

async fn ask(name: String, handle: Handle, hold: Option<Hold>, patience: Duration) -> Result<(), String> {
    let looked = timeout(patience, handle.look()).await;
    // A pool that has ended meanwhile owes no answer.
    if !matches!(looked, Ok(Some(_))) && !handle.is_over() {
        return Err(format!("{name} does not answer"));
    }
    let Some(hold) = hold else { return Ok(()) };
    match timeout(patience, hold.ping()).await {
        Ok(true) => Ok(()),
        Ok(false) if handle.is_over() => Ok(()),
        Ok(false) => Err(format!("nobody speaks with the keeper of {name}")),
        Err(_) => Err(format!("the keeper of {name} does not answer")),
    }
}
