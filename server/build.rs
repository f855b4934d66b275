//! Puts the worker's Python runtime into the binary, as a zip that Python imports from.
//!
//! The archive is written by hand: stored entries, no compression, which is what `zipimport` reads fastest, and a
//! library would be larger than what it does here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const RUNTIME: &str = "../client-python/src/sidewinder";

fn main() -> io::Result<()> {
    let root = PathBuf::from(RUNTIME);
    println!("cargo::rerun-if-changed={RUNTIME}");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut archive = Archive::default();
    for file in files {
        let inside = file.strip_prefix(root.parent().unwrap_or(&root)).unwrap_or(&file);
        archive.add(&inside.to_string_lossy(), &fs::read(&file)?);
    }
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    fs::write(out.join("runtime.zip"), archive.finish())
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

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Archive {
    fn add(&mut self, name: &str, content: &[u8]) {
        let offset = size(&self.bytes);
        // Version 1.0, stored, 1980-01-01: the same files make the same archive.
        let mut about = vec![10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        about.extend(checksum(content).to_le_bytes());
        about.extend(size(content).to_le_bytes());
        about.extend(size(content).to_le_bytes());
        about.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        about.extend([0, 0]);
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&about);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(content);
        self.directory.extend(b"PK\x01\x02\x0a\x00");
        self.directory.extend(&about);
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let offset = size(&self.bytes);
        self.bytes.extend(&self.directory);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(size(&self.directory).to_le_bytes());
        self.bytes.extend(offset.to_le_bytes());
        self.bytes.extend([0, 0]);
        self.bytes
    }
}

fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// CRC-32, bit by bit: a few hundred kilobytes, once a build.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}
