//! The contract for the Python client: its descriptors as a module, and a stub that tells a type checker what is in them.
//!
//! The client makes its message classes from the descriptors when it is imported. Code as `protoc` writes it would tie it
//! to a few releases of the protobuf library; descriptors are read by all of them.

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::fmt::Write;

/// What is written: a module, and a stub that type checkers read beside it.
pub const MADE: [&str; 2] = ["descriptors.py", "shapes.pyi"];

const SIGNED: &str = "made by `make proto` from proto/sidewinder/v1: DO NOT EDIT.";
/// Bytes of the descriptors on one line.
const LINE: usize = 40;

/// The descriptors as bytes in a module.
pub fn descriptors(set: &FileDescriptorSet) -> String {
    let mut text = format!("\"\"\"The descriptors of the contract, {SIGNED}\"\"\"\n\nFILES = (\n");
    for line in set.encode_to_vec().chunks(LINE) {
        let _ = writeln!(text, "    b\"{}\"", line.escape_ascii());
    }
    text.push_str(")\n");
    text
}

/// Every message as a class.
pub fn stub(set: &FileDescriptorSet) -> String {
    let mut text = format!(
        "\"\"\"The messages of the contract, {SIGNED}\"\"\"\n\n\
         from collections.abc import Iterable, Mapping, MutableMapping, MutableSequence\n\n\
         from google.protobuf.message import Message\n"
    );
    for message in set.file.iter().flat_map(|file| &file.message_type) {
        class(&mut text, message);
    }
    text
}

fn class(text: &mut String, message: &DescriptorProto) {
    let _ = writeln!(text, "\nclass {}(Message):", message.name());
    if message.field.is_empty() {
        text.push_str("    def __init__(self) -> None: ...\n");
        return;
    }
    text.push_str("    def __init__(\n        self,\n        *,\n");
    for field in &message.field {
        let _ = writeln!(text, "        {}: {} = ...,", field.name(), Shape::of(message, field).given());
    }
    text.push_str("    ) -> None: ...\n");
    for field in &message.field {
        let shape = Shape::of(message, field);
        if shape.is_assignable() {
            let _ = writeln!(text, "    {}: {}", field.name(), shape.held());
        } else {
            let _ = writeln!(text, "    @property\n    def {}(self) -> {}: ...", field.name(), shape.held());
        }
    }
}

/// A field as Python sees it.
enum Shape {
    Scalar(&'static str),
    Message(String),
    List(String),
    Map(String, String),
}

impl Shape {
    fn of(message: &DescriptorProto, field: &FieldDescriptorProto) -> Self {
        let entry = message
            .nested_type
            .iter()
            .find(|nested| field.type_name().ends_with(&format!("{}.{}", message.name(), nested.name())));
        if let Some([key, value]) = entry.map(|entry| entry.field.as_slice()) {
            return Self::Map(plain(key), plain(value));
        }
        match (field.label(), field.r#type()) {
            (Label::Repeated, _) => Self::List(plain(field)),
            (Label::Optional | Label::Required, Type::Message) => Self::Message(plain(field)),
            (Label::Optional | Label::Required, kind) => Self::Scalar(scalar(kind)),
        }
    }

    fn given(&self) -> String {
        match self {
            Self::Scalar(kind) => format!("{kind} | None"),
            Self::Message(kind) => format!("{kind} | None"),
            Self::List(kind) => format!("Iterable[{kind}] | None"),
            Self::Map(key, value) => format!("Mapping[{key}, {value}] | None"),
        }
    }

    fn held(&self) -> String {
        match self {
            Self::Scalar(kind) => (*kind).to_owned(),
            Self::Message(kind) => kind.clone(),
            Self::List(kind) => format!("MutableSequence[{kind}]"),
            Self::Map(key, value) => format!("MutableMapping[{key}, {value}]"),
        }
    }

    fn is_assignable(&self) -> bool {
        matches!(self, Self::Scalar(_))
    }
}

fn plain(field: &FieldDescriptorProto) -> String {
    // A message that is defined inside another one is no name of the module.
    let mut path = field.type_name().rsplit('.');
    match (path.next(), path.next()) {
        (Some(name), Some(outer)) if field.r#type() == Type::Message && is_package(outer) => name.to_owned(),
        _ => scalar(field.r#type()).to_owned(),
    }
}

fn is_package(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// An enum is a number here: its words are asked for by name.
fn scalar(kind: Type) -> &'static str {
    match kind {
        Type::Double | Type::Float => "float",
        Type::Bool => "bool",
        Type::String => "str",
        Type::Bytes => "bytes",
        Type::Int32
        | Type::Int64
        | Type::Uint32
        | Type::Uint64
        | Type::Sint32
        | Type::Sint64
        | Type::Fixed32
        | Type::Fixed64
        | Type::Sfixed32
        | Type::Sfixed64
        | Type::Enum => "int",
        Type::Message | Type::Group => "Message",
    }
}
