//! From proto files to the sources of `sidewinder-proto` and of the clients: the same functions for `make proto`, which
//! writes into the tree, and for the test that finds out whether somebody forgot to.
//!
//! The Elixir client makes its messages from descriptors when it is compiled, without the rest of this tree: it gets the
//! descriptors that reflection serves, byte for byte, and those of the details of a status.

pub mod python;

use prost::Message;
use prost_types::FileDescriptorSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of the contract, below the root of the proto files.
const FILES: [&str; 5] = [
    "sidewinder/v1/admin.proto",
    "sidewinder/v1/calls.proto",
    "sidewinder/v1/clients.proto",
    "sidewinder/v1/errors.proto",
    "sidewinder/v1/pools.proto",
];

/// What is written: the types, and the descriptors that reflection serves.
pub const MADE: [&str; 2] = ["sidewinder.v1.rs", "sidewinder.v1.bin"];

/// What is written for Elixir: the descriptors that reflection serves, and those of `google.rpc`.
pub const MADE_FOR_ELIXIR: [&str; 2] = [MADE[1], "google.rpc.bin"];

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

/// Where the files for Python are checked in.
pub fn python_home() -> PathBuf {
    root().join("../client-python/src/sidewinder/_client/contract")
}

/// Where the files for Elixir are checked in.
pub fn elixir_home() -> PathBuf {
    root().join("../client-elixir/priv")
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
    fs::write(into.join(MADE[1]), bare(compiled).encode_to_vec())?;
    Ok(())
}

/// Writes the files named in [`python::MADE`] into `into`.
pub fn generate_python(into: &Path) -> Result<(), Box<dyn Error>> {
    let mut set = compile()?;
    for file in google()?.file {
        if set.file.iter().all(|known| known.name() != file.name()) {
            set.file.push(file);
        }
    }
    let set = bare(set);
    fs::write(into.join(python::MADE[0]), python::descriptors(&set))?;
    fs::write(into.join(python::MADE[1]), python::stub(&set))?;
    Ok(())
}

/// Writes the files named in [`MADE_FOR_ELIXIR`] into `into`.
pub fn generate_elixir(into: &Path) -> Result<(), Box<dyn Error>> {
    fs::write(into.join(MADE_FOR_ELIXIR[0]), bare(compile()?).encode_to_vec())?;
    fs::write(into.join(MADE_FOR_ELIXIR[1]), bare(google()?).encode_to_vec())?;
    Ok(())
}

/// What tonic knows of the details of a status.
fn google() -> Result<FileDescriptorSet, Box<dyn Error>> {
    Ok(FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)?)
}

/// Without the comments, which no program reads.
fn bare(mut compiled: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut compiled.file {
        file.source_code_info = None;
    }
    compiled
}

/// Every file of the contract with its imports and its comments.
fn compile() -> Result<FileDescriptorSet, Box<dyn Error>> {
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
