//! The words between an owner and its keeper, as bytes.
//!
//! One frame is one datagram on a `SOCK_SEQPACKET` socket: it can never be half read, so a successor can take
//! over a socket in mid-life. A frame is eight bytes of header and then fields:
//!
//! ```text
//! frame   version u8 │ kind u8 │ flags u16 = 0 │ worker u32        (0 = the whole pool)
//! field   tag u16 │ length u32 │ bytes                             (numbers little-endian, 8 bytes)
//! ```
//!
//! A reader skips fields it does not know, unless the tag has its highest bit set: such a field changes what
//! the frame means (a sandbox, say), so a reader that does not know it refuses the frame. File descriptors
//! travel beside a frame (`SCM_RIGHTS`) and are named by fields inside it.
//!
//! Pure: nothing here opens, reads or sends. The golden frames in `proto/golden/` pin every byte.

mod field;
mod nest;
mod report;
mod request;
mod spawn;
mod tier;

pub use field::{Broken, Fields, Frame, FrameWriter, put_field, unknown};
pub use nest::{Said, Word};
pub use report::{Ending, Entry, Failure, Gone, Report, Stage, Welcome};
pub use request::{Graces, Hello, Request};
pub use spawn::{ForkRequest, Limits, Rlimit, SpawnRequest};
pub use tier::Tier;

/// The argument that turns the executable into a keeper.
pub const KEEPER_ARGUMENT: &str = "__keeper";
/// The argument that turns it into the warden of a worker that a fork server has forked.
pub const WARDEN_ARGUMENT: &str = "__warden";
/// The environment variable that marks every process of a run, with the run's identity as its value.
pub const RUN_VARIABLE: &str = "SIDEWINDER_RUN";

/// Why a keeper that was told to end refuses a worker. Its owner looks for these words.
pub const ENDING: &str = "the pool is ending: start a new keeper";

/// The version this build speaks.
pub const VERSION: u8 = 1;
/// How many earlier versions an owner still adopts.
pub const ADOPTABLE: u8 = 2;
/// No frame is larger. An environment that does not fit is refused with its size.
pub const FRAME_MAX: usize = 128 * 1024;
/// No frame carries more descriptors.
pub const FDS_MAX: usize = 32;
/// So many of them may go beside the plan of a forked worker to its warden, before those of the worker.
pub const PLAN_FDS_MAX: usize = 6;
/// No descriptor appears at a higher number in a worker.
pub const NUMBER_MAX: u32 = 255;
/// No keeper holds more lives, nor more endings that nobody has acknowledged.
pub const WORKERS_MAX: usize = 4096;

/// The oldest version that a build of version `newest` still adopts.
pub const fn oldest_adoptable(newest: u8) -> u8 {
    match newest.checked_sub(ADOPTABLE) {
        Some(0) | None => 1,
        Some(oldest) => oldest,
    }
}

/// Chooses the version two sides speak: the newest that both know.
pub fn agree(ours: (u8, u8), theirs: (u8, u8)) -> Option<u8> {
    let newest = ours.1.min(theirs.1);
    (newest >= ours.0 && newest >= theirs.0).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_previous_versions_are_adopted_and_no_older_one() {
        assert_eq!((1..=6).map(oldest_adoptable).collect::<Vec<_>>(), [1, 1, 1, 2, 3, 4]);
        let ours = (oldest_adoptable(5), 5);
        let keeper = |version| agree(ours, (1, version));
        assert_eq!([2, 3, 4, 5, 6].map(keeper), [None, Some(3), Some(4), Some(5), Some(5)]);
        assert_eq!(agree(ours, (6, 9)), None, "a keeper that dropped our version");
    }
}
