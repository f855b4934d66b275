//! What everybody holds after a lap: memory and descriptors of the daemon, its keeper, and the worker that nobody kills.

use super::lap::SPARED;
use crate::served::Served;
use crate::weights;
use std::fmt;
use std::fs;
use std::io;

/// Of each, over what it held when it was warm. A leak of sixteen bytes a call is more after half a million calls.
const KIB_MORE: f64 = 8.0 * 1024.0;
const DESCRIPTORS_MORE: usize = 8;

/// One process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pid: u32,
    resident: f64,
    descriptors: usize,
}

/// Everybody who lives through the whole soak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Everybody([(&'static str, Look); 3]);

/// Looks once.
pub(super) async fn at(served: &Served) -> io::Result<Everybody> {
    let workers = served.ready(super::WORKERS).await?;
    let spared = workers.iter().find(|(worker, _)| worker.slot == SPARED);
    let spared = spared.ok_or_else(|| io::Error::other("there is no worker to look at"))?.0.pid;
    let keeper = weights::parent(weights::parent(spared)?)?;
    Ok(Everybody([
        ("daemon", Look::at(served.pid())?),
        ("keeper", Look::at(keeper)?),
        ("worker", Look::at(spared)?),
    ]))
}

impl Look {
    fn at(pid: u32) -> io::Result<Self> {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Self { pid, resident: weights::resident(pid)?, descriptors })
    }
}

impl Everybody {
    /// An error if somebody has grown, or is somebody else.
    pub(super) fn holds_against(&self, warm: &Self) -> io::Result<()> {
        for ((who, now), (_, before)) in self.0.iter().zip(&warm.0) {
            let more = now.resident - before.resident;
            let problem = if now.pid != before.pid {
                "was replaced, and nobody had killed it".to_owned()
            } else if more > KIB_MORE {
                format!("holds {more:.0} KiB more than when it was warm; {KIB_MORE:.0} are allowed")
            } else if now.descriptors > before.descriptors + DESCRIPTORS_MORE {
                format!(
                    "has {} descriptors, and had {} when it was warm",
                    now.descriptors, before.descriptors
                )
            } else {
                continue;
            };
            return Err(io::Error::other(format!("the {who} {problem}")));
        }
        Ok(())
    }
}

impl fmt::Display for Everybody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (who, look)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{who} {:.0} KiB and {} descriptors", look.resident, look.descriptors)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everybody(resident: f64, descriptors: usize) -> Everybody {
        let look = Look { pid: 1, resident, descriptors };
        Everybody([("daemon", look), ("keeper", look), ("worker", look)])
    }

    #[test]
    fn whoever_grows_is_told() {
        let warm = everybody(10_000.0, 20);
        everybody(10_000.0 + KIB_MORE, 20 + DESCRIPTORS_MORE).holds_against(&warm).expect("within bounds");
        everybody(10_001.0 + KIB_MORE, 20).holds_against(&warm).expect_err("memory");
        everybody(10_000.0, 21 + DESCRIPTORS_MORE).holds_against(&warm).expect_err("descriptors");
        let mut other = warm;
        other.0[2].1.pid = 2;
        other.holds_against(&warm).expect_err("another process");
    }
}
