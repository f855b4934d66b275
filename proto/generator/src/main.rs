//! `make proto`: writes the generated sources of `sidewinder-proto` and of the Python client into the tree.

use sidewinder_proto_generator::{generate, generate_python, home, python_home};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    generate(&home())?;
    generate_python(&python_home())
}
