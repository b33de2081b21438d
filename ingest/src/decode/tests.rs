//! Bad input for every format: thousands of damaged messages, made the same way each time. Each is judged once,
//! none crashes or stalls, and the good messages around it land.

use std::collections::BTreeSet;

mod json_values;

use super::framed::{Body, Shape};
use super::*;
use crate::registry::{Language, SchemaText};
use crate::topics::CsvFormat;

/// Damaged forms of a message: cut anywhere, every byte changed, parts doubled, counts and lengths beyond reason.
fn damaged(good: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut bad = BTreeSet::new();
    for at in 0..good.len() {
        bad.insert(good[..at].to_vec());
        bad.insert(good[at..].to_vec());
        bad.insert([&good[..at], &good[at..], &good[at..]].concat());
        for byte in [0x00, 0x01, 0x7f, 0x80, 0xff, b'"', b'{', b'\\', b'\n', good[at] ^ 0x20] {
            let mut changed = good.to_vec();
            changed[at] = byte;
            bad.insert(changed);
        }
        for wide in [&[0xff; 9][..], &[0x80; 12], &[0xfe, 0xff, 0xff, 0xff, 0x0f]] {
            bad.insert([&good[..at], wide, &good[at..]].concat());
        }
    }
    bad.extend([vec![0xff; 4096], vec![0; 4096], b"{".repeat(4096), b"[".repeat(4096), b"\"".repeat(4095)]);
    bad
}

fn raw(good: &[u8], bad: &BTreeSet<Vec<u8>>) -> RawBatch {
    let mut raw = RawBatch::new(0, 0);
    for (number, bad) in bad.iter().enumerate() {
        raw.push(2 * number as i64, None, None, Some(good));
        raw.push(2 * number as i64 + 1, None, None, Some(bad));
    }
    raw
}

/// Each message once, and every second one, which is good, in a row.
fn judge(decoded: &Decoded, messages: usize) {
    let rows: BTreeSet<u32> = decoded.rows.iter().copied().collect();
    assert_eq!(rows.len(), decoded.batch.num_rows());
    let rejects: BTreeSet<u32> = decoded.rejects.iter().map(|reject| reject.message).collect();
    assert_eq!((rows.len() + rejects.len(), rows.intersection(&rejects).count()), (messages, 0));
    assert!(
        (0..messages as u32).step_by(2).all(|message| rows.contains(&message)),
        "a good message did not land"
    );
    assert!(rejects.len() > 100, "damage is noticed: {}", rejects.len());
    assert!(decoded.rejects.iter().all(|reject| !reject.text.is_empty()));
}

fn known(mut format: impl Decode, good: &[u8]) -> usize {
    let bad = damaged(good);
    let raw = raw(good, &bad);
    judge(&format.decode(&raw).unwrap(), raw.len());
    bad.len()
}

fn registered(mut shape: Box<dyn Shape>, start: usize, good: &[u8]) -> usize {
    let bad = damaged(&good[start..]).into_iter().map(|body| [&good[..start], &body].concat()).collect();
    let raw = raw(good, &bad);
    let bodies: Vec<_> = (0..raw.len() as u32).map(|message| Body { message, start }).collect();
    judge(&shape.decode(&raw, &bodies).unwrap(), raw.len());
    bad.len()
}

fn schema(language: Language, text: &str) -> SchemaText {
    SchemaText { language, text: text.to_owned(), references: Vec::new() }
}

#[test]
fn json() {
    let names = ["id", "n", "list", "object"];
    let fields: Vec<_> = names
        .iter()
        .map(|name| arrow::datatypes::Field::new(*name, arrow::datatypes::DataType::Utf8, true))
        .collect();
    let good = br#"{"id":"a\u00e4","n":-1.5e3,"more":[1,{"x":null}],"text":"\"q\""}"#;
    assert!(known(json::Json::new(&Schema::new(fields)), good) >= 300);
}

#[test]
fn csv_and_text() {
    let fields = ["a", "b", "c"].map(str::to_owned).to_vec();
    let good = br#"one,"two ""and"" more, quoted",three and some more letters"#;
    assert!(known(line::Csv::new(&CsvFormat { fields, delimiter: b',' }), good) >= 300);
}

#[test]
fn avro() {
    let text = r#"{"type":"record","name":"R","fields":[
      {"name":"s","type":"string"},{"name":"n","type":["null","long"]},
      {"name":"l","type":{"type":"array","items":"string"}},
      {"name":"m","type":{"type":"map","values":"double"}},
      {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
      {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}"#;
    let shape = avro::shape(7, &schema(Language::Avro, text), &[]).unwrap();
    let mut good = vec![0, 0, 0, 0, 7, 6, b'a', b'b', b'c', 2, 0x80, 0x02, 4, 2, b'x', 4, b'y', b'z', 0];
    good.extend([2, 2, b'k']);
    good.extend(1.5_f64.to_le_bytes());
    good.extend([0, 2, 4, 1, 0]);
    assert!(registered(shape, 5, &good) >= 300);
}

#[test]
fn protobuf() {
    let text = r#"syntax = "proto3"; message R { string s = 1; int64 n = 2; repeated string l = 3;
      map<string, double> m = 4; message I { int32 x = 1; repeated sint32 y = 2; } repeated I i = 5; I one = 6; }"#;
    let shape = protobuf::shape(7, &schema(Language::Protobuf, text), &[0]).unwrap();
    let mut good =
        vec![0x0a, 3, b'a', b'b', b'c', 0x10, 0x80, 0x02, 0x1a, 2, b'x', b'y', 0x22, 12, 0x0a, 1, b'k', 0x11];
    good.extend(1.5_f64.to_le_bytes());
    good.extend([0x2a, 6, 0x08, 5, 0x12, 2, 1, 2, 0x32, 2, 0x08, 7]);
    assert!(registered(shape, 0, &good) >= 300);
}
