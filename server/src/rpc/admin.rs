//! The service that acts. It passes orders on; what comes of them is told as events.

use super::parse::bad;
use super::{find, said};
use crate::config::Change;
use crate::operate::Operator;
use crate::pool::{Handle, Look};
use sidewinder_core::{Event, SLOTS_MAX, Size, SlotId};
use sidewinder_edge::outcome::{Invalid, Outcome};
use sidewinder_proto::v1;
use sidewinder_proto::v1::admin_server::Admin;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Passes orders on.
#[derive(Clone, Debug)]
pub(crate) struct AdminDoor {
    operator: Operator,
    /// How long a drain lets calls go on, when nobody says.
    drain: Duration,
    /// The run of this daemon.
    run: String,
}

impl AdminDoor {
    pub(crate) fn new(operator: Operator, drain: Duration, run: String) -> Self {
        Self { operator, drain, run }
    }

    /// The pool that is named. An order does not guess.
    fn pool(&self, name: &str) -> Result<Handle, Status> {
        if name.is_empty() {
            return Err(said(bad("pool", "name a pool: Pools.ListPools lists them")));
        }
        find(self.operator.pools(), name).map_err(said)
    }

    fn span(&self, span: Option<prost_types::Duration>) -> Result<Duration, Status> {
        let Some(span) = span else { return Ok(self.drain) };
        Duration::try_from(span).map_err(|_| said(bad("within", "not be negative")))
    }
}

#[tonic::async_trait]
impl Admin for AdminDoor {
    async fn drain(&self, request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainResponse>, Status> {
        let v1::DrainRequest { pool, within } = request.into_inner();
        let within = self.span(within)?;
        self.pool(&pool)?.operate(Event::DrainRequested { within }).await;
        Ok(Response::new(v1::DrainResponse {}))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ResumeResponse>, Status> {
        self.pool(&request.into_inner().pool)?.operate(Event::ResumeRequested).await;
        Ok(Response::new(v1::ResumeResponse {}))
    }

    async fn restart(
        &self,
        request: Request<v1::RestartRequest>,
    ) -> Result<Response<v1::RestartResponse>, Status> {
        let v1::RestartRequest { pool, slot } = request.into_inner();
        let pool = self.pool(&pool)?;
        let slot = known_slot(&look(&pool).await?, slot)?;
        pool.operate(Event::RestartRequested { slot }).await;
        Ok(Response::new(v1::RestartResponse {}))
    }

    async fn resize(
        &self,
        request: Request<v1::ResizeRequest>,
    ) -> Result<Response<v1::ResizeResponse>, Status> {
        let v1::ResizeRequest { pool, size } = request.into_inner();
        let pool = self.pool(&pool)?;
        let size = parse_size(size.ok_or_else(|| said(bad("size", "be there")))?)?;
        let before = look(&pool).await?.size;
        pool.operate(Event::Resized { size }).await;
        Ok(Response::new(v1::ResizeResponse { before: Some(super::pools::size(before)) }))
    }

    async fn reload(
        &self,
        request: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        let renew = request.into_inner().renew.into_iter().collect();
        let changes = self.operator.reload(renew).await;
        let changes =
            changes.map_err(|problems| said(Outcome::Invalid(Invalid::BadSettings { problems })))?;
        Ok(Response::new(v1::ReloadResponse {
            changed: changes.of(Change::Amend),
            renewed: changes.of(Change::Renew),
            added: changes.of(Change::Add),
            removed: changes.of(Change::Remove),
            needs_restart: changes.needs_restart.iter().map(|name| (*name).to_owned()).collect(),
            daemon: changes.daemon.iter().map(|name| (*name).to_owned()).collect(),
        }))
    }

    async fn dump_stacks(
        &self,
        request: Request<v1::DumpStacksRequest>,
    ) -> Result<Response<v1::DumpStacksResponse>, Status> {
        let v1::DumpStacksRequest { pool, slot } = request.into_inner();
        let pool = self.pool(&pool)?;
        let slot = known_slot(&look(&pool).await?, slot)?;
        let stacks = pool.dump(slot).await;
        let stacks =
            stacks.into_iter().map(|(life, text)| v1::Stacks { worker: life.to_string(), text }).collect();
        Ok(Response::new(v1::DumpStacksResponse { stacks }))
    }

    async fn upgrade(&self, _: Request<v1::UpgradeRequest>) -> Result<Response<v1::UpgradeResponse>, Status> {
        let upgraded = self.operator.upgrade().await;
        let to = upgraded.map_err(|why| said(Outcome::Invalid(Invalid::CannotUpgrade { why })))?;
        Ok(Response::new(v1::UpgradeResponse { version: to.version, run: self.run.clone() }))
    }

    async fn quit(&self, request: Request<v1::QuitRequest>) -> Result<Response<v1::QuitResponse>, Status> {
        let within = self.span(request.into_inner().within)?;
        self.operator.quit(Some(within)).await;
        Ok(Response::new(v1::QuitResponse {}))
    }
}

async fn look(pool: &Handle) -> Result<Look, Status> {
    let gone = || said(Outcome::Invalid(Invalid::UnknownPool { message: "the pool has ended".to_owned() }));
    pool.look().await.ok_or_else(gone)
}

fn known_slot(look: &Look, slot: Option<u32>) -> Result<Option<SlotId>, Status> {
    let Some(wanted) = slot else { return Ok(None) };
    let there = look.snapshot.slots.iter().map(|slot| slot.slot);
    let unknown = || {
        let message = format!("no worker lives in slot {wanted}: Pools.ListWorkers lists them");
        said(Outcome::Invalid(Invalid::UnknownWorker { message }))
    };
    there.into_iter().find(|slot| u32::from(slot.0) == wanted).map(Some).ok_or_else(unknown)
}

fn parse_size(size: v1::Size) -> Result<Size, Status> {
    let wrong = || {
        let problem = format!(
            "have min <= max, spare <= max, 1 <= max, and twice max and headroom at most {SLOTS_MAX}"
        );
        said(bad("size", &problem))
    };
    let part = |number: u32| u16::try_from(number).map_err(|_| wrong());
    let (min, max) = (part(size.min)?, part(size.max)?);
    Size::new(min, max, part(size.spare)?, part(size.headroom)?).ok_or_else(wrong)
}
