//! Protobuf as another library writes it, and every way in which a message can be damaged.

use arrow::array::Array;
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, Value};

use super::*;
use crate::registry::Language;

const SCHEMA: &str = r#"syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "place.proto";
message Event {
  int64 id = 1;
  string name = 2;
  optional double price = 3;
  repeated string tags = 4;
  repeated sint32 numbers = 5;
  map<string, int64> counts = 6;
  Home home = 7;
  google.protobuf.Timestamp at = 8;
  google.protobuf.StringValue note = 9;
  Kind kind = 10;
  oneof which { string left = 11; uint32 right = 12; }
  repeated Home homes = 13;
  bytes raw = 14;
  fixed64 big = 15;
  float small = 16;
  bool yes = 17;
  other.Place place = 18;
  Event parent = 20000;
  message Home { int32 zip = 1; optional string street = 2; }
}
enum Kind { NONE = 0; SOME = 1; }
message Second { int32 x = 1; }
"#;
const PLACE: &str = "syntax = \"proto3\"; package other; message Place { string near = 1; }";

fn text() -> SchemaText {
    let references = vec![("place.proto".to_owned(), PLACE.to_owned())];
    SchemaText { language: Language::Protobuf, text: SCHEMA.to_owned(), references }
}

fn descriptor() -> MessageDescriptor {
    schema::message_at(&schema::compile(&text()).unwrap(), &[0]).unwrap()
}

fn decode(path: &[u32], messages: &[Vec<u8>]) -> Decoded {
    let mut shape = shape(1, &text(), path).unwrap();
    let mut raw = RawBatch::new(0, 0);
    for (offset, message) in messages.iter().enumerate() {
        raw.push(offset as i64, None, None, Some(message));
    }
    let bodies: Vec<_> = (0..messages.len() as u32).map(|message| Body { message, start: 0 }).collect();
    let decoded = shape.decode(&raw, &bodies).unwrap();
    assert_eq!(decoded.batch.num_rows(), decoded.rows.len());
    assert_eq!(decoded.rows.len() + decoded.rejects.len(), messages.len(), "each message is judged once");
    decoded
}

/// Each row as text, column by column.
fn shown(decoded: &Decoded) -> Vec<Vec<(String, String)>> {
    let schema = decoded.batch.schema();
    let cell = |column: usize, row: usize| {
        let array = decoded.batch.column(column);
        let text =
            if array.is_null(row) { "null".to_owned() } else { array_value_to_string(array, row).unwrap() };
        (schema.field(column).name().clone(), text)
    };
    (0..decoded.batch.num_rows())
        .map(|row| (0..schema.fields().len()).map(|column| cell(column, row)).collect())
        .collect()
}

fn field<'a>(row: &'a [(String, String)], name: &str) -> &'a str {
    &row.iter().find(|(field, _)| field == name).unwrap().1
}

/// A message from its text form.
fn message(text: &str) -> Vec<u8> {
    let mut message = DynamicMessage::new(descriptor());
    let home = |zip: i32| {
        let inner = descriptor().child_messages().find(|inner| inner.name() == "Home").unwrap();
        let mut home = DynamicMessage::new(inner);
        home.set_field_by_name("zip", Value::I32(zip));
        Value::Message(home)
    };
    for part in text.split_whitespace() {
        let (name, value) = part.split_once('=').unwrap();
        let value = match name {
            "id" => Value::I64(value.parse().unwrap()),
            "price" => Value::F64(value.parse().unwrap()),
            "tags" => Value::List(value.split(',').map(|tag| Value::String(tag.to_owned())).collect()),
            "numbers" => {
                Value::List(value.split(',').map(|number| Value::I32(number.parse().unwrap())).collect())
            }
            "counts" => Value::Map([(MapKey::String(value.to_owned()), Value::I64(1))].into()),
            "home" => home(value.parse().unwrap()),
            "homes" => Value::List(value.split(',').map(|zip| home(zip.parse().unwrap())).collect()),
            "kind" => Value::EnumNumber(value.parse().unwrap()),
            "right" => Value::U32(value.parse().unwrap()),
            "big" => Value::U64(value.parse().unwrap()),
            "yes" => Value::Bool(value == "true"),
            "small" => Value::F32(value.parse().unwrap()),
            "raw" => Value::Bytes(value.as_bytes().to_vec().into()),
            _ => Value::String(value.to_owned()),
        };
        message.set_field_by_name(name, value);
    }
    message.encode_to_vec()
}

#[test]
fn every_kind_of_field_becomes_its_column() {
    let all = message(
        "id=-5 name=n price=1.5 tags=a,b numbers=-1,300 counts=k home=7 kind=1 right=4000000000 homes=1,2 \
         raw=xy big=18446744073709551615 small=0.5 yes=true",
    );
    let decoded = decode(&[0], &[all, Vec::new(), message("kind=99 left=l price=0")]);
    let rows = shown(&decoded);
    let row = &rows[0];
    for (name, value) in [
        ("id", "-5"),
        ("name", "n"),
        ("price", "1.5"),
        ("tags", "[a, b]"),
        ("numbers", "[-1, 300]"),
        ("counts", "{k: 1}"),
        ("home", "{zip: 7, street: }"),
        ("kind", "SOME"),
        ("left", "null"),
        ("right", "4000000000"),
        ("homes", "[{zip: 1, street: }, {zip: 2, street: }]"),
        ("raw", "7879"),
        ("big", "18446744073709551615"),
        ("small", "0.5"),
        ("yes", "true"),
    ] {
        assert_eq!(field(row, name), value, "{name}");
    }
    for (name, value) in [
        ("id", "0"),
        ("name", ""),
        ("price", "null"),
        ("tags", "[]"),
        ("counts", "{}"),
        ("home", "null"),
        ("at", "null"),
        ("note", "null"),
        ("kind", "NONE"),
        ("right", "null"),
        ("place", "null"),
        ("parent", "null"),
        ("yes", "false"),
    ] {
        assert_eq!(field(&rows[1], name), value, "absent {name}");
    }
    let row = &rows[2];
    assert_eq!((field(row, "kind"), field(row, "left"), field(row, "price")), ("99", "l", "0.0"));
}

#[test]
fn well_known_types_imports_and_what_comes_twice() {
    let bytes = |parts: &[&[u8]]| parts.concat();
    let messages = vec![
        bytes(&[&[0x42, 8, 0x08, 0x80, 0xe2, 0xcf, 0xaa, 0x06, 0x10, 0x64]]), // 100 nanoseconds are cut
        bytes(&[&[0x4a, 3, 0x0a, 1, b'x']]),                                  // note: wrapped text
        bytes(&[&[0x4a, 0]]),                                                 // note: wrapped empty text
        bytes(&[&[0x92, 0x01, 3, 0x0a, 1, b'p']]),                            // place, from another file
        bytes(&[&[0x3a, 2, 0x08, 1], &[0x3a, 3, 0x12, 1, b's']]),             // one home in two parts
        bytes(&[&[0x08, 1], &[0x08, 2]]),                                     // the last id counts
        bytes(&[&[0x5a, 1, b'l'], &[0x60, 7]]),                               // the last of a oneof counts
        bytes(&[&[0x28, 1], &[0x2a, 2, 2, 4], &[0x28, 5]]),                   // numbers, packed and not
        bytes(&[&[0x32, 5, 0x0a, 1, b'k', 0x10, 1], &[0x32, 5, 0x0a, 1, b'k', 0x10, 2]]), // a key twice
        bytes(&[&[0xa2, 0x06, 2, 1, 2], &[0x08, 3]]), // a number that the schema does not know
        bytes(&[&[0xa3, 0x06, 0x08, 1, 0xa4, 0x06], &[0x08, 4]]), // a group that it does not know
        bytes(&[&[0x82, 0xe2, 0x09, 2, 0x08, 9]]),    // a message inside of itself
    ];
    let decoded = decode(&[0], &messages);
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    let rows = shown(&decoded);
    for (row, name, value) in [
        (0, "at", "2023-11-14T22:13:20Z"),
        (1, "note", "x"),
        (2, "note", ""),
        (3, "place", "{near: p}"),
        (4, "home", "{zip: 1, street: s}"),
        (5, "id", "2"),
        (6, "left", "null"),
        (6, "right", "7"),
        (7, "numbers", "[-1, 1, 2, -3]"),
        (8, "counts", "{k: 2}"),
        (9, "id", "3"),
        (10, "id", "4"),
        (11, "parent", "0809"),
    ] {
        assert_eq!(field(&rows[row], name), value, "message {row}");
    }
    assert_eq!(shown(&decode(&[1], &[vec![0x08, 7]]))[0], [("x".to_owned(), "7".to_owned())]);
    assert_eq!(shown(&decode(&[0, 0], &[vec![0x08, 7]]))[0][0].1, "7");
}

#[test]
fn schemas_that_cannot_be_used_say_why() {
    let fault = |text: &str, path: &[u32]| {
        let schema =
            SchemaText { language: Language::Protobuf, text: text.to_owned(), references: Vec::new() };
        shape(1, &schema, path).err().unwrap_or_default()
    };
    assert!(fault(SCHEMA, &[0]).contains("place.proto"), "{}", fault(SCHEMA, &[0]));
    assert!(fault("message {", &[0]).len() > 5);
    assert!(fault("syntax = \"proto3\"; message E {}", &[0]).contains("no fields"));
    let one = "syntax = \"proto3\"; message E { int32 x = 1; }";
    assert!(fault(one, &[1]).contains("no message type at [1]"));
    assert!(fault(one, &[0, 0]).contains("no message type at [0, 0]"));
    assert!(fault(one, &[u32::MAX]).contains("no message type"));
    assert_eq!(fault(one, &[0]), "");
}

#[test]
fn every_damaged_message_stands_alone() {
    let good = message("id=1 name=abc tags=x,y numbers=1,2 counts=k home=300 homes=1,2 right=7");
    let mut messages = vec![good.clone()];
    let bad: [&[u8]; 12] = [
        &[0x08],
        &[0x0a, 1, 1],
        &[0x12, 0x7f, b'x'],
        &[0x12, 1, 0xff],
        &[0x00, 1],
        &[0x0f],
        &[0x0c],
        &[0x0b, 0x08, 1],
        &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x3a, 3, 0x08, 0x80, 0x80],
        &[0x2a, 2, 0x80, 0x80],
        &[0x42, 12, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x10, 0],
    ];
    for body in bad {
        // The good part before the damage must not stay behind.
        messages.push([&good, body].concat());
        messages.push(good.clone());
    }
    let decoded = decode(&[0], &messages);
    assert_eq!(decoded.rejects.len(), bad.len(), "{:?}", decoded.rejects);
    let rows = shown(&decoded);
    assert!(rows.iter().all(|row| *row == rows[0]), "nothing of a damaged message stays");
}

#[test]
fn a_message_that_unpacks_beyond_reason_is_a_dead_letter() {
    let wide: String = (1..=2000).map(|number| format!("int64 f{number} = {number};")).collect();
    let text = format!("syntax = \"proto3\"; message E {{ repeated W w = 1; }} message W {{ {wide} }}");
    let schema = SchemaText { language: Language::Protobuf, text, references: Vec::new() };
    let mut shape = shape(1, &schema, &[0]).unwrap();
    let mut raw = RawBatch::new(0, 0);
    raw.push(0, None, None, Some(&[0x0a, 0].repeat(100_000)));
    raw.push(1, None, None, Some(&[0x0a, 0]));
    let bodies = [Body { message: 0, start: 0 }, Body { message: 1, start: 0 }];
    let decoded = shape.decode(&raw, &bodies).unwrap();
    assert_eq!((decoded.rows, decoded.rejects.len()), (vec![1], 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn decoding_gives_what_was_encoded(
        events in prop::collection::vec((
            any::<i64>(), "[a-z]{1,6}", any::<Option<i32>>(), prop::collection::vec("[a-z]{1,3}", 0..4),
            prop::collection::vec(any::<i32>(), 0..5), any::<u64>(),
            (prop::collection::vec(any::<i32>(), 0..4), any::<Option<i32>>(), "[a-z]{0,3}", 0..3_i32,
             -62_135_596_800..253_402_300_800_i64, 0..1_000_000_i64),
        ), 1..20),
    ) {
        let messages: Vec<_> = events.iter().map(|(id, name, price, tags, numbers, big, more)| {
            let (homes, home, count, kind, seconds, micros) = more;
            let mut text = format!("id={id} name={name} big={big} kind={kind}");
            if let Some(home) = home { text.push_str(&format!(" home={home}")); }
            let zips: Vec<_> = homes.iter().map(ToString::to_string).collect();
            if !homes.is_empty() { text.push_str(&format!(" homes={}", zips.join(","))); }
            if !count.is_empty() { text.push_str(&format!(" counts={count}")); }
            if let Some(price) = price { text.push_str(&format!(" price={price}")); }
            if !tags.is_empty() { text.push_str(&format!(" tags={}", tags.join(","))); }
            let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            if !numbers.is_empty() { text.push_str(&format!(" numbers={}", numbers.join(","))); }
            let mut at = vec![0x08];
            prost::encoding::encode_varint(*seconds as u64, &mut at);
            at.push(0x10);
            prost::encoding::encode_varint(*micros as u64 * 1000, &mut at);
            [message(&text), vec![0x42, at.len() as u8], at].concat()
        }).collect();
        let rows = shown(&decode(&[0], &messages));
        for (row, (id, name, price, tags, numbers, big, more)) in rows.iter().zip(&events) {
            let (homes, home, count, kind, seconds, micros) = more;
            let home = home.map_or("null".to_owned(), |zip| format!("{{zip: {zip}, street: }}"));
            prop_assert_eq!(field(row, "home"), home);
            let homes: Vec<_> = homes.iter().map(|zip| format!("{{zip: {zip}, street: }}")).collect();
            prop_assert_eq!(field(row, "homes"), format!("[{}]", homes.join(", ")));
            let counts = if count.is_empty() { "{}".to_owned() } else { format!("{{{count}: 1}}") };
            prop_assert_eq!(field(row, "counts"), counts);
            prop_assert_eq!(field(row, "kind"), ["NONE", "SOME", "2"][*kind as usize]);
            let at: chrono::DateTime<chrono::Utc> = field(row, "at").parse().unwrap();
            prop_assert_eq!(at.timestamp_micros(), seconds * 1_000_000 + micros);
            prop_assert_eq!(field(row, "id"), id.to_string());
            prop_assert_eq!(field(row, "name"), name);
            let price = price.map_or("null".to_owned(), |price| format!("{:?}", f64::from(price)));
            prop_assert_eq!(field(row, "price"), price);
            prop_assert_eq!(field(row, "tags"), format!("[{}]", tags.join(", ")));
            let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            prop_assert_eq!(field(row, "numbers"), format!("[{}]", numbers.join(", ")));
            prop_assert_eq!(field(row, "big"), big.to_string());
        }
    }

    #[test]
    fn no_bytes_crash_or_stall_and_neighbours_land(bad in prop::collection::vec(any::<u8>(), 0..60)) {
        let good = message("id=1 name=abc homes=1,2");
        let decoded = decode(&[0], &[good.clone(), bad, good]);
        prop_assert!(decoded.rows.contains(&0) && decoded.rows.contains(&2));
    }
}
