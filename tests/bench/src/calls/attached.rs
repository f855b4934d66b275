//! Attached clients: what their beats cost a daemon that has nothing else to do, and what a lease costs a call.
//!
//! Beside the first stands the same daemon with nobody attached, beside the second a call without a lease. A client here
//! does what every client does: it beats at the interval that it was granted or when the daemon asks for it, reads what it
//! is told, and says in its beats which beat it answers.

use crate::calls::{RAW, micros};
use crate::load::timed;
use crate::rows::Rows;
use crate::rows::names;
use crate::served::{Served, processor_time};
use crate::weights;
use futures_util::stream;
use sidewinder_proto::v1;
use sidewinder_proto::v1::OnAbandon;
use sidewinder_proto::v1::from_client::Part as Say;
use sidewinder_proto::v1::to_client::Part as Told;
use sidewinder_tests::figures::Figures;
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::Streaming;

const CLIENTS: u32 = 100;
pub(crate) const WORKERS: usize = 100;

/// One round of calls with a lease, and of the same without: call by call, so that all of them meet the same machine.
pub(crate) async fn calls(served: &Served, span: Duration, rows: &mut Rows) -> io::Result<()> {
    let client = Client::attach(served, Duration::ZERO).await?;
    let request = |kind| {
        let mut request = RAW.request();
        if let (Some(call), Some(on_abandon)) = (&mut request.call, kind) {
            (call.lease, call.epoch) = (client.granted.lease.clone(), client.granted.epoch);
            call.set_on_abandon(on_abandon);
        }
        request
    };
    // Without a lease a call is to be cancelled, so the first of the others differs by its lease alone.
    let kinds = [None, Some(OnAbandon::Cancel), Some(OnAbandon::Unspecified)];
    let mut figures = [Figures::default(), Figures::default(), Figures::default()];
    let mut calls = served.calls();
    let end = Instant::now() + span * 3;
    while figures[0].count() == 0 || Instant::now() < end {
        // There and back: none has a place of its own.
        for kind in [0, 1, 2, 2, 1, 0] {
            timed(&mut calls, request(kinds[kind]), &mut figures[kind]).await?;
        }
    }
    client.detach().await?;
    let [without, leased, going_on] = figures.map(|figures| micros(figures.median()));
    rows.add(names::LEASED, leased, without);
    rows.add(names::GOING_ON, going_on, without);
    Ok(())
}

/// One round of a daemon whose workers have nothing to do: its processor time with clients, and with nobody.
pub(crate) async fn idle(
    served: &Served,
    span: Duration,
    ours_first: bool,
    rows: &mut Rows,
) -> io::Result<()> {
    let (with, without) = if ours_first {
        let with = with_clients(served, span).await?;
        (with, share(served, span).await?)
    } else {
        let without = share(served, span).await?;
        (with_clients(served, span).await?, without)
    };
    rows.add(names::ATTACHED, with, without);
    rows.add_alone(names::IDLE, without);
    Ok(())
}

/// What everybody below the daemon uses of the processors when there is nothing to do, and the daemon itself.
pub(crate) async fn everybody(served: &Served, span: Duration, rows: &mut Rows) -> io::Result<()> {
    let mut pids = BTreeSet::from([served.pid()]);
    for (worker, _) in served.ready(WORKERS).await? {
        let warden = weights::parent(worker.pid)?;
        pids.extend([worker.pid, warden, weights::parent(warden)?]);
    }
    let spent = || pids.iter().map(|pid| processor_time(*pid)).sum::<io::Result<Duration>>();
    rows.add_alone(names::IDLE_ALL, share_of(spent, span).await?);
    Ok(())
}

async fn with_clients(served: &Served, span: Duration) -> io::Result<f64> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        // Beats are spread over the interval, as those of clients that have nothing to do with each other.
        clients.push(Client::attach(served, Duration::from_secs(2) * number / CLIENTS).await?);
    }
    for client in &mut clients {
        client.is_heard().await?;
    }
    let share = share(served, span).await?;
    for client in clients {
        client.detach().await?;
    }
    Ok(share)
}

/// Processor time of the daemon in this time, in percent of it. That it passes is what is measured.
async fn share(served: &Served, span: Duration) -> io::Result<f64> {
    share_of(|| served.processor_time(), span).await
}

async fn share_of(time: impl Fn() -> io::Result<Duration>, span: Duration) -> io::Result<f64> {
    let (before, begun) = (time()?, Instant::now());
    tokio::time::sleep(span).await;
    let spent = time()?.saturating_sub(before);
    Ok(spent.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0)
}

/// A client that is attached, and beats until it detaches.
struct Client {
    granted: v1::Granted,
    heard: Option<oneshot::Receiver<()>>,
    leave: oneshot::Sender<()>,
    beating: JoinHandle<io::Result<()>>,
}

impl Client {
    /// Its first beat is so late; the others follow at the interval that the daemon grants.
    async fn attach(served: &Served, late: Duration) -> io::Result<Self> {
        let (say, said) = mpsc::channel(8);
        let run = format!("{:?}", Instant::now());
        let hello = v1::Hello { name: "bench".to_owned(), run, ..v1::Hello::default() };
        tell(&say, Say::Hello(hello)).await?;
        let said = stream::unfold(said, |mut said| async { said.recv().await.map(|word| (word, said)) });
        let told = served.another().await?.attach(said).await.map_err(io::Error::other)?;
        let mut told = told.into_inner();
        let first = told.message().await.map_err(io::Error::other)?.and_then(|word| word.part);
        let Some(Told::Granted(granted)) = first else {
            return Err(io::Error::other(format!("no lease was granted: {first:?}")));
        };
        let interval = granted.interval.and_then(|interval| interval.try_into().ok());
        let interval = interval.ok_or_else(|| io::Error::other("no interval was granted"))?;
        let (tells, heard) = oneshot::channel();
        let (leave, leaves) = oneshot::channel();
        let beating = tokio::spawn(Beating { say, told, tells: Some(tells) }.until(leaves, late, interval));
        Ok(Self { granted, heard: Some(heard), leave, beating })
    }

    /// Waits until its first beat has been answered.
    async fn is_heard(&mut self) -> io::Result<()> {
        match self.heard.take() {
            Some(heard) => heard.await.map_err(io::Error::other),
            None => Ok(()),
        }
    }

    /// Says goodbye, and waits until the daemon has heard it.
    async fn detach(self) -> io::Result<()> {
        // Its end is told by the task.
        let _ = self.leave.send(());
        self.beating.await.map_err(io::Error::other)?
    }
}

async fn tell(say: &mpsc::Sender<v1::FromClient>, part: Say) -> io::Result<()> {
    say.send(v1::FromClient { part: Some(part) }).await.map_err(io::Error::other)
}

struct Beating {
    say: mpsc::Sender<v1::FromClient>,
    told: Streaming<v1::ToClient>,
    /// Who waits for the first answer.
    tells: Option<oneshot::Sender<()>>,
}

impl Beating {
    async fn until(
        mut self,
        mut leaves: oneshot::Receiver<()>,
        late: Duration,
        interval: Duration,
    ) -> io::Result<()> {
        let mut due = tokio::time::Instant::now() + late;
        let mut newest = (0, Instant::now());
        let mut sequence = 0;
        loop {
            tokio::select! {
                _ = &mut leaves => break,
                () = tokio::time::sleep_until(due) => {
                    due += interval;
                    sequence += 1;
                    let (answers, at) = newest;
                    let held = at.elapsed().try_into().ok();
                    tell(&self.say, Say::Beat(v1::Beat { sequence, answers, held, ..v1::Beat::default() })).await?;
                }
                word = self.told.message() => {
                    let word = word.map_err(io::Error::other)?;
                    let Some(word) = word else { return Err(io::Error::other("the stream has ended")) };
                    if let Some(Told::Beat(beat)) = word.part {
                        newest = (beat.sequence, Instant::now());
                        let next = beat.next.and_then(|next| Duration::try_from(next).ok());
                        due = tokio::time::Instant::now() + next.unwrap_or(interval).min(interval);
                        if let Some(tells) = self.tells.take_if(|_| beat.answers > 0) {
                            // Whoever does not wait for it does not mind.
                            let _ = tells.send(());
                        }
                    }
                }
            }
        }
        tell(&self.say, Say::Detach(v1::Detach::default())).await?;
        while self.told.message().await.map_err(io::Error::other)?.is_some() {}
        Ok(())
    }
}
