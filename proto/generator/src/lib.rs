//! From proto files to the sources of `sidewinder-proto`: the same function for `make proto`, which writes into the
//! tree, and for the test that finds out whether somebody forgot to.

use prost::Message;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of the contract, below the root of the proto files.
const FILES: [&str; 4] = [
    "sidewinder/v1/admin.proto",
    "sidewinder/v1/calls.proto",
    "sidewinder/v1/errors.proto",
    "sidewinder/v1/pools.proto",
];

/// What is written: the types, and the descriptors that reflection serves.
pub const MADE: [&str; 2] = ["sidewinder.v1.rs", "sidewinder.v1.bin"];

/// The `proto` folder of the tree this was built from.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// Where the made files are checked in.
pub fn home() -> PathBuf {
    root().join("src/generated")
}

/// Writes the files named in [`MADE`] into `into`.
pub fn generate(into: &Path) -> Result<(), Box<dyn Error>> {
    let compiled = compile()?;
    tonic_prost_build::configure()
        .build_transport(false)
        // Payloads are lent from the buffer they arrived in.
        .bytes(".sidewinder.v1.Payload.data")
        // The order of a map on the wire is the same every time.
        .btree_map(".sidewinder.v1")
        .out_dir(into)
        .compile_fds(compiled.clone())?;
    let mut bare = compiled;
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    fs::write(into.join(MADE[1]), bare.encode_to_vec())?;
    Ok(())
}

/// Every file of the contract with its imports and its comments.
fn compile() -> Result<prost_types::FileDescriptorSet, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([root()])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    Ok(compiler.file_descriptor_set())
}

/// The proto files that are there, whether or not [`generate`] knows them.
pub fn files_there() -> Result<Vec<String>, Box<dyn Error>> {
    let mut there = Vec::new();
    for entry in fs::read_dir(root().join("sidewinder/v1"))? {
        there.push(format!("sidewinder/v1/{}", entry?.file_name().to_string_lossy()));
    }
    there.sort();
    Ok(there)
}

/// The proto files that [`generate`] reads.
pub fn files_known() -> Vec<String> {
    FILES.iter().map(ToString::to_string).collect()
}
