//! Under a service manager: what it hands down, and what it is told. Stand-ins play the manager, so that nothing here
//! needs rights; a real one is met in tests/tests/systemd.

pub(crate) mod handed;
mod leaving;
mod notices;
