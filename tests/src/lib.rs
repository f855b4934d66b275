//! Black-box tests: the real binary, hostile workers, facts instead of time.
//!
//! A test here makes its own process a *subreaper* and starts `sidewinder keep`
//! below it. Whatever the kept tree does to run away (sessions, double forks,
//! dead parents), the kernel hands each orphan to the test process. So "nothing
//! survived" is the kernel's own answer: `waitid` says that there are no
//! children left (`ECHILD`).
//!
//! ```text
//!   test (subreaper) ─▶ caller ─▶ owner ─▶ keeper ─▶ warden ─▶ nasty worker ─▶ …
//!        ▲                                                            │
//!        └───────────── every orphan comes back here ◀────────────────┘
//! ```
//!
//! Waiting is done in blocking calls on facts (a child's end, a pidfd, a line in
//! a pipe). A [`watchdog`] in a second thread ends what would never end.

pub mod arena;
pub mod client;
pub mod daemon;
pub mod exposition;
pub mod figures;
pub mod handle;
pub mod harvest;
pub mod owner;
pub mod procfs;
pub mod run;
pub mod seed;
pub mod watchdog;
