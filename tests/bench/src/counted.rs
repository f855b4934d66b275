//! Work to be counted by instructions, which are the same on a busy machine: so many calls through one part, and no more.
//!
//! | part | what it is |
//! |---|---|
//! | `core` | a call through the pool's machine: submitted, assigned, finished; four workers, each call of another client |
//! | `crowd` | the same with 200 workers and 1,000 calls in the line |
//! | `wire` | the spawn request of a worker, written and read |
//! | `edge` | a call through our listener, connection and routes, echoed there; with its client, in this process |
//! | `bare` | the same through tonic's server: what the edge stands beside |
//!
//! `instructions.py` runs each part twice with different numbers of calls, so that what happens once does not count.

use crate::served::bare::Bare;
use sidewinder_core::{CallId, ClientId, Effect, Event, Jitter, Policy, Pool, Request, Size};
use sidewinder_edge::limits::Limits;
use sidewinder_edge::listener::Listener;
use sidewinder_edge::peer::Users;
use sidewinder_edge::routes::Routes;
use sidewinder_edge::server::{Sight, Wish, serve};
use sidewinder_keeper_wire::{Request as Order, SpawnRequest};
use sidewinder_proto::v1::calls_client::CallsClient;
use sidewinder_proto::v1::calls_server::CallsServer;
use sidewinder_proto::v1::{Call, CallRequest, Payload};
use sidewinder_tests::arena::Arena;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::time::Instant;
use tokio::sync::watch;
use tonic::transport::Endpoint;

/// One of the parts.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Part {
    Core,
    Crowd,
    Wire,
    Edge,
    Bare,
}

/// So many calls through it.
pub(crate) fn run(part: Part, times: u64) -> io::Result<()> {
    match part {
        Part::Core => through_the_core(times, 4, 0),
        Part::Crowd => through_the_core(times, 200, 1_000),
        Part::Wire => through_the_wire(times),
        Part::Edge => through_a_server(times, true),
        Part::Bare => through_a_server(times, false),
    }
}

fn through_the_core(times: u64, workers: u16, waiting: u64) -> io::Result<()> {
    let no = || io::Error::other("a pool of this size cannot be");
    let mut policy = Policy { size: Size::new(workers, workers, 0, 1).ok_or_else(no)?, ..Policy::default() };
    policy.line.waiting_max = 2_000;
    let begin = Instant::now();
    let mut pool = Pool::new(begin, policy.check().map_err(|_| no())?);
    let mut effects = Vec::new();
    pool.handle_timeout(begin, &mut effects);
    for life in effects.split_off(0).into_iter().filter_map(spawned) {
        pool.handle(begin, Event::Ready { life, jitter: Jitter(0) }, &mut effects);
    }
    effects.clear();
    for call in 0..u64::from(workers) + waiting {
        pool.handle(begin, Event::Submitted(Request::new(CallId(call), ClientId(call))), &mut effects);
    }
    let mut running: Vec<_> = effects.split_off(0).into_iter().filter_map(assigned).collect();
    for call in u64::from(workers) + waiting.. {
        if call - u64::from(workers) - waiting == times {
            break;
        }
        let (done, life) = running.swap_remove(0);
        pool.handle(begin, Event::Finished { life, call: done }, &mut effects);
        pool.handle(begin, Event::Submitted(Request::new(CallId(call), ClientId(call))), &mut effects);
        running.extend(effects.drain(..).filter_map(assigned));
    }
    black_box(pool.next_deadline());
    Ok(())
}

fn spawned(effect: Effect) -> Option<sidewinder_core::Life> {
    if let Effect::Spawn { life, .. } = effect { Some(life) } else { None }
}

fn assigned(effect: Effect) -> Option<(CallId, sidewinder_core::Life)> {
    if let Effect::Assign { call, life } = effect { Some((call, life)) } else { None }
}

fn through_the_wire(times: u64) -> io::Result<()> {
    let arguments = ["python3", "-m", "sidewinder.worker"].map(|word| word.as_bytes().to_vec()).to_vec();
    let environment = (0..30).map(|number| format!("NAME_{number}=value {number}").into_bytes()).collect();
    let order = Order::Spawn(1, Box::new(SpawnRequest { arguments, environment, ..SpawnRequest::default() }));
    for _ in 0..times {
        let frame = black_box(&order).encode().map_err(io::Error::other)?;
        black_box(Order::decode(&frame).map_err(io::Error::other)?);
    }
    Ok(())
}

fn through_a_server(times: u64, ours: bool) -> io::Result<()> {
    let arena = Arena::prepare("counted")?;
    let socket = arena.file("socket");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Held, because a wish that nobody can change any more is a wish to stop.
        let (_wish, wishes) = watch::channel(Wish::Serve);
        if ours {
            let listener = Listener::unix(&socket, Users::private()).map_err(io::Error::other)?;
            let routes = Routes::default().with(CallsServer::new(Bare::default()));
            tokio::spawn(serve(vec![listener], routes, Limits::default(), Sight::default(), wishes));
        } else {
            tokio::spawn(crate::served::bare::listen(&socket, Bare::default())?);
        }
        calls(&socket, times).await
    })
}

async fn calls(socket: &Path, times: u64) -> io::Result<()> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(io::Error::other)?;
    let mut calls = CallsClient::new(endpoint.connect().await.map_err(io::Error::other)?);
    for _ in 0..times {
        let call = Some(Call { tool: "echo".to_owned(), ..Call::default() });
        let arguments = Some(Payload { data: b"0123456789".as_slice().into(), ..Payload::default() });
        calls.call(CallRequest { call, arguments }).await.map_err(io::Error::other)?;
    }
    Ok(())
}
