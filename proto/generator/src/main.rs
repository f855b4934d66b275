//! `make proto`: writes the generated sources of `sidewinder-proto` into the tree.

use sidewinder_proto_generator::{generate, home};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    generate(&home())
}
