//! A Protobuf schema as columns: compiled from its text, with the files that it imports.
//!
//! | Protobuf | column |
//! |---|---|
//! | `int32` `sint32` `sfixed32` | int |
//! | `int64` `sint64` `sfixed64` `uint32` `fixed32` | long |
//! | `uint64` `fixed64` | long, values beyond 2^63-1 do not fit |
//! | `float` `double` `bool` `string` `bytes` | themselves |
//! | an enumeration | its name as text; a number without a name as that number |
//! | a message, `repeated`, `map` | struct, list, map |
//! | `google.protobuf.Timestamp` | timestamp with zone; nanoseconds are cut |
//! | `google.protobuf.Int64Value` and the other wrappers | the value, or null |
//! | a message inside of itself | its bytes: no table can hold values of any depth |

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::leaf::Read;
use super::message::{Column, Field, Item, Message};
use crate::registry::SchemaText;

const FILE: &str = "sluice-schema.proto";
/// Deeper nesting is refused.
const DEPTH_MAX: usize = 32;
/// A schema with more fields than this, counted at each use, is refused.
const FIELDS_MAX: usize = 10_000;

/// The files of one schema.
struct Files(HashMap<String, String>);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => match descriptor(name, text) {
                Some(file) => Ok(File::from_file_descriptor_proto(file)),
                None => File::from_source(name, text),
            },
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// A schema that was registered as an encoded descriptor; no text of a schema is made of these letters alone.
fn descriptor(name: &str, text: &str) -> Option<FileDescriptorProto> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let file = FileDescriptorProto::decode(bytes.as_slice()).ok()?;
    Some(FileDescriptorProto { name: Some(name.to_owned()), ..file })
}

/// The compiled schema.
pub(super) fn compile(schema: &SchemaText) -> Result<DescriptorPool, String> {
    let mut files: HashMap<_, _> = schema.references.iter().cloned().collect();
    files.insert(FILE.to_owned(), schema.text.clone());
    let mut resolver = ChainFileResolver::new();
    resolver.add(Files(files));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(FILE).map_err(|error| error.to_string())?;
    Ok(compiler.descriptor_pool())
}

/// The message type that a path of indexes leads to: the first among those of the file, each next one inside.
pub(super) fn message_at(pool: &DescriptorPool, path: &[u32]) -> Result<MessageDescriptor, String> {
    let none = || format!("it has no message type at {path:?}");
    let file = pool.get_file_by_name(FILE).ok_or_else(none)?;
    let (first, inner) = path.split_first().ok_or_else(none)?;
    let mut message = file.messages().nth(*first as usize).ok_or_else(none)?;
    for index in inner {
        let inside = message.child_messages().filter(|inside| !inside.is_map_entry()).nth(*index as usize);
        message = inside.ok_or_else(none)?;
    }
    Ok(message)
}

/// Columns for a message type.
pub(super) fn columns(message: &MessageDescriptor) -> Result<Message, String> {
    let mut count = 0;
    let made = of_message(message, &mut Vec::new(), &mut count)?;
    if made.fields.is_empty() {
        return Err(format!("`{}` has no fields", message.full_name()));
    }
    Ok(made)
}

fn of_message(
    message: &MessageDescriptor,
    open: &mut Vec<String>,
    count: &mut usize,
) -> Result<Message, String> {
    if open.len() >= DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
    }
    open.push(message.full_name().to_owned());
    let oneofs: Vec<String> = message.oneofs().map(|oneof| oneof.full_name().to_owned()).collect();
    let (mut fields, mut numbers) = (Vec::new(), HashMap::new());
    for field in message.fields() {
        *count += 1;
        if *count > FIELDS_MAX {
            return Err(format!("it has more than {FIELDS_MAX} fields"));
        }
        let oneof = field.containing_oneof();
        let oneof = oneof.and_then(|oneof| oneofs.iter().position(|name| name == oneof.full_name()));
        numbers.insert(field.number(), fields.len());
        fields.push(Field { name: field.name().to_owned(), oneof, column: column(&field, open, count)? });
    }
    open.pop();
    Ok(Message { fields, numbers, len: 0 })
}

fn column(field: &FieldDescriptor, open: &mut Vec<String>, count: &mut usize) -> Result<Column, String> {
    if field.is_map()
        && let Kind::Message(entry) = field.kind()
    {
        let key = match item(&entry.map_entry_key_field().kind(), open, count)? {
            Item::Leaf(read, _) => read,
            Item::Message(_) => return Err(format!("the keys of `{}` are messages", field.full_name())),
        };
        let value = item(&entry.map_entry_value_field().kind(), open, count)?;
        let keys = key.column();
        return Ok(Column::Map { key, keys, value, ends: Vec::new() });
    }
    let item = item(&field.kind(), open, count)?;
    if field.is_list() {
        return Ok(Column::Many { item, ends: Vec::new() });
    }
    Ok(Column::One { item, nullable: field.supports_presence(), valid: Vec::new() })
}

fn item(kind: &Kind, open: &mut Vec<String>, count: &mut usize) -> Result<Item, String> {
    let read = match kind {
        Kind::Message(message) => match well_known(message) {
            Some(read) => read,
            None if open.iter().any(|name| name == message.full_name()) => Read::Bytes,
            None => return Ok(Item::Message(of_message(message, open, count)?)),
        },
        scalar => read(scalar),
    };
    let values = read.column();
    Ok(Item::Leaf(read, values))
}

fn read(kind: &Kind) -> Read {
    match kind {
        Kind::String => Read::Text,
        Kind::Bytes | Kind::Message(_) => Read::Bytes,
        Kind::Enum(values) => {
            let names = values.values().map(|value| (value.number(), value.name().to_owned()));
            // Of several names of a number the first counts.
            let names: Vec<_> = names.collect();
            Read::Enum(Arc::new(names.into_iter().rev().collect()))
        }
        number => Read::Number(number.clone()),
    }
}

/// Messages that stand for one value.
fn well_known(message: &MessageDescriptor) -> Option<Read> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    let wraps = [
        "BoolValue",
        "BytesValue",
        "DoubleValue",
        "FloatValue",
        "Int32Value",
        "Int64Value",
        "StringValue",
        "UInt32Value",
        "UInt64Value",
    ];
    match name {
        "Timestamp" => Some(Read::Time),
        wrapper if wraps.contains(&wrapper) => {
            Some(Read::Wrapped(Box::new(read(&message.get_field(1)?.kind()))))
        }
        _ => None,
    }
}
