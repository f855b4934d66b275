//! `make proto`: writes the generated sources of `sidewinder-proto` and of the clients into the tree.

use sidewinder_proto_generator::{
    elixir_home, generate, generate_elixir, generate_python, home, python_home,
};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    generate(&home())?;
    generate_python(&python_home())?;
    generate_elixir(&elixir_home())
}
