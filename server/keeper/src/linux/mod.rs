//! Everything that touches the system.

pub mod cgroup;
mod enter;
pub mod facts;
mod foster;
mod keeper;
mod launch;
pub mod lineage;
pub mod link;
pub mod sys;
mod warden;

pub use enter::main;
pub use foster::main as foster;
