//! Puts the worker's Python runtime into the binary: a table of its files.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const RUNTIME: &str = "../client-python/src/sidewinder";

fn main() -> io::Result<()> {
    let root = fs::canonicalize(RUNTIME)?;
    println!("cargo::rerun-if-changed={RUNTIME}");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let inside = file.strip_prefix(root.parent().unwrap_or(&root)).unwrap_or(&file);
        let (inside, file) = (inside.to_string_lossy(), file.to_string_lossy());
        let _ = writeln!(table, "    ({inside:?}, include_bytes!({file:?})),");
    }
    table.push_str("]\n");
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    fs::write(out.join("runtime.rs"), table)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            files.push(path);
        }
    }
    Ok(())
}
