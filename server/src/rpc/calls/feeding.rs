//! Further inputs of a call: brought to its worker by a task of their own, no faster than the tool wants them.

use crate::pool::Inputs;
use crate::rpc::parse::bad;
use crate::rpc::said;
use sidewinder_proto::v1;
use std::future::pending;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

/// A task that brings inputs, and ends with whoever holds it.
pub(super) struct Feeding {
    task: JoinHandle<()>,
    /// Why the inputs broke off. They were not all, so what the tool makes of them is no answer. Nothing, once they
    /// have come to their end.
    trouble: Option<oneshot::Receiver<Status>>,
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feeding {
    pub(super) fn start(inputs: Streaming<v1::Input>, worker: Inputs, content_type: String) -> Self {
        let (tell, trouble) = oneshot::channel();
        let task = tokio::spawn(async move {
            if let Err(status) = feed(inputs, worker, &content_type).await {
                let _ = tell.send(status);
            }
        });
        Self { task, trouble: Some(trouble) }
    }
}

/// When the inputs break off; never, when they come to their end.
pub(super) async fn trouble(feeding: &mut Option<Feeding>) -> Status {
    if let Some(trouble) = feeding.as_mut().and_then(|feeding| feeding.trouble.as_mut())
        && let Ok(status) = trouble.await
    {
        return status;
    }
    if let Some(feeding) = feeding {
        feeding.trouble = None;
    }
    pending().await
}

/// Brings inputs no faster than the tool wants them. Only inputs that came to their end are said to have ended.
async fn feed(mut inputs: Streaming<v1::Input>, worker: Inputs, content_type: &str) -> Result<(), Status> {
    while let Some(input) = inputs.message().await? {
        let item = match input.part {
            Some(v1::input::Part::Item(item)) => item,
            Some(v1::input::Part::Open(_)) => {
                return Err(said(bad("open", "come once, as the first message")));
            }
            None => return Err(said(bad("part", "be an item"))),
        };
        if !item.content_type.is_empty() && item.content_type != content_type {
            return Err(said(bad("item.content_type", "be that of the arguments, or be left out")));
        }
        worker.give(item.data).await;
    }
    worker.end().await;
    Ok(())
}
