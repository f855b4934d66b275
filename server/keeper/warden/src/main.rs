//! The program of wardens: what a nurse executes.
//!
//! It is not shipped by itself. The keeper carries it, and hands it to fork servers as a sealed piece of memory. The rich
//! binary can do the same, but before its first step the linker puts hundreds of kibibytes of addresses right, which no
//! warden ever needs and each would have to itself.

use sidewinder_keeper_kernel::sys;
use sidewinder_keeper_warden::foster;

fn main() {
    sys::expect_children();
    // What it is called, and the word that says it is to be a warden.
    foster::main(std::env::args_os().skip(2))
}
