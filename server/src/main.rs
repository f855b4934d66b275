//! The command line of Sidewinder.
fn main() {}
