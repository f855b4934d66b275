//! Builds the program of wardens, which the keeper carries.
//!
//! Cargo cannot say in its stable form that a library needs the program of another package. So cargo is asked once more,
//! for that one program in the same profile. It gets a target directory of its own, because whoever runs this holds the
//! other one, and nothing is fetched: what the program needs is part of what the workspace needs.
//!
//! Each warden is an execution of it, and each library that is looked for then costs a tenth of that. So what unwinds a
//! stack, a library of the compiler that nobody changes under a program, is put into it where the linker can do so.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "sidewinder-keeper-warden";
const PROGRAM: &str = "sidewinder-warden";
/// What it is made of: its own crate, and what that stands on.
const SOURCES: [&str; 5] = ["warden", "wire", "kernel", "../../Cargo.toml", "../../Cargo.lock"];
/// What the standard library asks the linker for, and a script that names the same to be put into the program.
const UNWINDER: &str = "libgcc_s.so";
const UNWINDER_INSIDE: &str = "INPUT(-lgcc_eh)\n";
/// Meant for the crates that are checked by whoever runs this, and not for a program that is to run.
const WRAPPERS: [&str; 2] = ["RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"];

fn main() -> io::Result<()> {
    SOURCES.iter().for_each(|source| println!("cargo::rerun-if-changed={source}"));
    let out = PathBuf::from(told("OUT_DIR")?);
    let libraries = out.join("libraries");
    fs::create_dir_all(&libraries)?;
    fs::write(libraries.join(UNWINDER), UNWINDER_INSIDE)?;
    let mut inside = flags();
    inside.push("\x1f-Lnative=");
    inside.push(&libraries);
    // Some linkers have no such library. A program that is wrong fails in both ways.
    build(&out, inside).or_else(|_| {
        println!("cargo::warning=wardens start slower: the linker cannot put {UNWINDER} into their program");
        build(&out, flags())
    })
}

fn build(out: &Path, flags: OsString) -> io::Result<()> {
    let target = told("TARGET")?;
    let directory = out.join("warden");
    let mut build = Command::new(told("CARGO")?);
    build.args(["build", "--quiet", "--frozen", "--package", PACKAGE, "--bin", PROGRAM]);
    build.arg("--target").arg(&target).arg("--target-dir").arg(&directory);
    let profile = if told("PROFILE")? == "release" { "release" } else { "dev" };
    build.args(["--profile", profile]).env("CARGO_ENCODED_RUSTFLAGS", flags);
    for wrapper in WRAPPERS {
        build.env_remove(wrapper);
    }
    let status = build.status()?;
    if !status.success() {
        return Err(io::Error::other(format!("the program of wardens was not built ({status}): {build:?}")));
    }
    let folder = if profile == "release" { "release" } else { "debug" };
    fs::copy(directory.join(target).join(folder).join(PROGRAM), out.join(PROGRAM)).map(drop)
}

fn told(name: &str) -> io::Result<OsString> {
    env::var_os(name).ok_or_else(|| io::Error::other(format!("{name} is not set: cargo runs this")))
}

/// Those of the other build, and nothing for debuggers: what nobody reads would lie in the binary twice.
fn flags() -> OsString {
    let mut flags = env::var_os("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if !flags.is_empty() {
        flags.push("\x1f");
    }
    flags.push("-Cstrip=symbols");
    flags
}
