//! What is said around a fork server: between it and its keeper (the nest), and between a keeper, the warden of a
//! newcomer, and the newcomer. Frames without fields: the header says everything, descriptors travel beside it.
//!
//! ```text
//!  fork server ──Clean──▶ keeper ──StepAside──▶ its warden ──Aside──▶ keeper ──Held──▶ fork server
//!  keeper ──Hatch──▶ fork server ─forks─▶ warden ──Hatched──▶ keeper ──Fork──▶ warden ──Fork──▶ worker ──Begun──▶ warden
//! ```

use super::Report;
use super::field::{Broken, Frame, FrameWriter};

const CLEAN: u8 = 32;
const STEP_ASIDE: u8 = 33;
const ASIDE: u8 = 34;
const HELD: u8 = 35;
const HATCH: u8 = 36;
const HATCHED: u8 = 37;
const BEGUN: u8 = 38;

/// One frame without fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Fork server to keeper: everything is imported, and nobody is below me.
    Clean,
    /// Keeper to a warden: leave your only child to me.
    StepAside,
    /// The warden leaves.
    Aside,
    /// Keeper to fork server: you are my child now. Beside it the program of wardens.
    Held,
    /// Keeper to fork server: fork the worker of this number. Beside it the leash of its warden.
    Hatch(u32),
    /// A new warden to its keeper: I am your child, and the worker is mine.
    Hatched(u32),
    /// The worker to its warden, when that has passed the plan on: I am it.
    Begun,
}

impl Word {
    /// The frame.
    pub fn encode(self) -> Result<Vec<u8>, Broken> {
        let (kind, worker) = match self {
            Self::Clean => (CLEAN, 0),
            Self::StepAside => (STEP_ASIDE, 0),
            Self::Aside => (ASIDE, 0),
            Self::Held => (HELD, 0),
            Self::Hatch(worker) => (HATCH, worker),
            Self::Hatched(worker) => (HATCHED, worker),
            Self::Begun => (BEGUN, 0),
        };
        FrameWriter::new(kind, worker).finish()
    }

    /// The meaning of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        let frame = Frame::parse(bytes)?;
        Ok(match frame.kind {
            CLEAN => Self::Clean,
            STEP_ASIDE => Self::StepAside,
            ASIDE => Self::Aside,
            HELD => Self::Held,
            HATCH => Self::Hatch(frame.worker),
            HATCHED => Self::Hatched(frame.worker),
            BEGUN => Self::Begun,
            kind => return Err(Broken::Kind(kind)),
        })
    }
}

/// What a warden says to its keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Of its worker.
    Report(Report),
    /// Around a fork.
    Word(Word),
}

impl Said {
    /// The meaning of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        match Word::decode(bytes) {
            Err(Broken::Kind(_)) => Report::decode(bytes).map(Self::Report),
            word => word.map(Self::Word),
        }
    }
}
