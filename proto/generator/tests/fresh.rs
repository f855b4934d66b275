//! What is checked in is what the proto files say.

use prost::Message;
use prost_types::FileDescriptorSet;
use sidewinder_proto_generator::{
    MADE, MADE_FOR_ELIXIR, elixir_home, files_known, files_there, generate, generate_elixir, generate_python,
    home, python, python_home,
};
use std::fs;
use std::path::Path;

#[test]
fn no_generated_code_is_stale() {
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fresh");
    fs::create_dir_all(&into).unwrap();
    generate(&into).unwrap();
    generate_python(&into).unwrap();
    generate_elixir(&into).unwrap();
    let rust = MADE.map(|name| (name, home()));
    let python = python::MADE.map(|name| (name, python_home()));
    let elixir = MADE_FOR_ELIXIR.map(|name| (name, elixir_home()));
    for (name, home) in rust.into_iter().chain(python).chain(elixir) {
        let fresh = fs::read(into.join(name)).unwrap();
        let checked_in = fs::read(home.join(name)).unwrap_or_default();
        assert!(fresh == checked_in, "stale generated code: {name}. Run `make proto` and commit the result");
    }
}

#[test]
fn nothing_else_lies_beside_it() {
    let mut there: Vec<String> = fs::read_dir(home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    there.sort();
    let mut made = MADE.map(str::to_owned).to_vec();
    made.sort();
    assert_eq!(there, made);
}

#[test]
fn no_proto_file_is_forgotten() {
    assert_eq!(files_there().unwrap(), files_known());
}

/// Comments are the documentation of the contract, in every language.
#[test]
fn everything_has_a_comment() {
    let root = sidewinder_proto_generator::root();
    let mut naked = Vec::new();
    for file in files_known() {
        let text = fs::read_to_string(root.join(&file)).unwrap();
        let mut before = "";
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if defines(line) && !before.starts_with("//") {
                naked.push(format!("{file}:{number}: {line}"));
            }
            before = line;
        }
    }
    assert!(naked.is_empty(), "without a comment above:\n{}", naked.join("\n"));
}

fn defines(line: &str) -> bool {
    let begins = ["service ", "rpc ", "message ", "enum ", "oneof "];
    let numbered =
        line.ends_with(';') && line.contains(" = ") && !line.starts_with("syntax") && !line.starts_with("//");
    numbered || begins.iter().any(|word| line.starts_with(word))
}

#[test]
fn the_descriptors_need_nothing_else() {
    let set = FileDescriptorSet::decode(fs::read(home().join(MADE[1])).unwrap().as_slice()).unwrap();
    let names: Vec<&str> = set.file.iter().filter_map(|file| file.name.as_deref()).collect();
    for file in &set.file {
        for import in &file.dependency {
            assert!(names.contains(&import.as_str()), "{import} is missing");
        }
    }
}
