//! A soak: millions of calls of every kind, and nothing that grows.
//!
//! ```text
//!   lap: echoes of 16 callers ─▶ streams ─▶ large bodies ─▶ errors ─▶ deadlines, hang-ups ─▶ keys ─▶ who comes and goes ─▶ a killed worker
//!        └──────────────────────────────── and then everybody is looked at ──────────────────────────────────────┘
//! ```
//!
//! The first laps fill what is kept for good: pools of memory, tables, endings that are kept for a while. From then on
//! nobody may have more memory or more descriptors than bounds that are far below what a leak of one small object a call
//! would come to.

mod lap;
mod look;

use crate::served::Served;
use look::Everybody;
use sidewinder_tests::arena::Arena;
use std::io::{self, Write};
use std::time::Instant;

/// The calls of a soak are cut into so many laps.
const LAPS: u64 = 20;
/// So many of them only warm up.
const WARM_UP: u64 = 2;
/// One that is killed, and one that is not.
const WORKERS: usize = 2;
/// The calls of a short soak are too few to tell anything.
const CALLS_MIN: u64 = 2_000;

/// What is kept by design is kept briefly, so that it is at its most in each lap.
const KEEP: (&str, &str) = ("SIDEWINDER_ENDINGS_KEEP", "1s");

/// Soaks for so many calls. An error tells who has grown, and by how much.
pub(crate) async fn run(arena: &Arena, calls: u64) -> io::Result<()> {
    if calls < CALLS_MIN {
        return Err(io::Error::other(format!("a soak takes at least {CALLS_MIN} calls")));
    }
    let workers = WORKERS.to_string();
    let arguments = ["--tools", "echoes", "--workers", &workers];
    let served = Served::pool(arena, "soak", arena.binary(), &arguments, &[KEEP]).await?;
    served.ready(WORKERS).await?;
    let (mut done, begun) = (0, Instant::now());
    let mut warm: Option<Everybody> = None;
    for number in 1..=LAPS {
        done += lap::run(&served, calls / LAPS).await?;
        let now = look::at(&served).await?;
        let rate = rate(done, begun);
        writeln!(io::stdout(), "{done:>10} calls, {rate:>6.0} a second: {now}")?;
        match &warm {
            Some(warm) => now.holds_against(warm)?,
            None if number == WARM_UP => warm = Some(now),
            None => {}
        }
    }
    writeln!(io::stdout(), "nobody has grown")
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than two to the power of 52")]
fn rate(calls: u64, begun: Instant) -> f64 {
    calls as f64 / begun.elapsed().as_secs_f64()
}
