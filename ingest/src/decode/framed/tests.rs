//! Framing and grouping, with schemas of a registry over HTTP.

use std::sync::atomic::Ordering;

use arrow::util::display::array_value_to_string;

use super::*;
use crate::registry::tests::{Server, lookup};

const ONE: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
const TWO: &str = r#"{"type":"record","name":"R","fields":[{"name":"b","type":"int"}]}"#;

fn answer(schema: &str, language: &str) -> String {
    serde_json::json!({"schema": schema, "schemaType": language}).to_string()
}

fn raw(messages: &[Option<&[u8]>]) -> RawBatch {
    let mut raw = RawBatch::new(0, 0);
    for (offset, message) in messages.iter().enumerate() {
        raw.push(offset as i64, None, Some(b"key"), *message);
    }
    raw
}

async fn decode(server: &Server, make: fn(Arc<Lookup>) -> Framed, raw: RawBatch) -> Result<Vec<Decoded>> {
    let lookup = lookup(server).await;
    tokio::task::spawn_blocking(move || make(lookup).decode(&raw)).await.unwrap()
}

/// `message: first column` of every row, and `message: cause` of every reject, in the order of the messages.
fn outcome(decoded: &[Decoded]) -> Vec<String> {
    let mut lines = Vec::new();
    for piece in decoded {
        for (row, message) in piece.rows.iter().enumerate() {
            let value = array_value_to_string(piece.batch.column(0), row).unwrap();
            lines.push((*message, format!("{}={value}", piece.batch.schema().field(0).name())));
        }
        lines.extend(piece.rejects.iter().map(|reject| (reject.message, reject.cause.to_string())));
    }
    lines.sort();
    lines.into_iter().map(|(message, line)| format!("{message}: {line}")).collect()
}

#[tokio::test]
async fn each_schema_makes_its_own_piece_and_each_bad_message_stands_alone() {
    let server = Server::default();
    server.set("/schemas/ids/1", &[(200, &answer(ONE, "AVRO"))]);
    server.set("/schemas/ids/258", &[(200, &answer(TWO, "AVRO"))]);
    server.set("/schemas/ids/3", &[(200, &answer("syntax", "PROTOBUF"))]);
    server.set("/schemas/ids/4", &[(200, &answer("{", "AVRO"))]);
    let raw = raw(&[
        Some(&[0, 0, 0, 0, 1, 2, b'x']),
        Some(&[0, 0, 0, 1, 2, 14]),
        Some(&[0, 0, 0, 0, 1, 2, b'y']),
        None,
        Some(&[]),
        Some(&[0, 0, 0, 0]),
        Some(&[1, 0, 0, 0, 1, 2, b'x']),
        Some(&[0, 0, 0, 0, 9, 2]),
        Some(&[0, 0, 0, 0, 3, 2]),
        Some(&[0, 0, 0, 0, 4, 2]),
        Some(&[0, 0, 0, 0, 1, 4, b'z']),
        Some(&[0, 0, 0, 0, 1]),
        Some(&[0, 0, 0, 1, 2, 16]),
    ]);
    let decoded = decode(&server, Framed::avro, raw).await.unwrap();
    let expected = [
        "0: a=x",
        "1: b=7",
        "2: a=y",
        "3: tombstone",
        "4: empty",
        "5: not_framed",
        "6: not_framed",
        "7: unknown_schema",
        "8: schema",
        "9: schema",
        "10: malformed",
        "11: malformed",
        "12: b=8",
    ];
    assert_eq!(outcome(&decoded), expected);
}

#[tokio::test]
async fn a_silent_registry_judges_no_message() {
    let server = Server::default();
    server.set("/schemas/ids/1", &[(200, &answer(ONE, "AVRO"))]);
    server.set("/schemas/ids/2", &[(503, "")]);
    let raw = raw(&[Some(&[0, 0, 0, 0, 1, 2, b'x']), Some(&[9]), Some(&[0, 0, 0, 0, 2, 2])]);
    let error = decode(&server, Framed::avro, raw).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_schema_is_asked_for_once_and_an_unknown_one_may_become_known() {
    let server = Server::default();
    server.set("/schemas/ids/1", &[(200, &answer(ONE, "AVRO"))]);
    let lookup = lookup(&server).await;
    let work = move || {
        let mut framed = Framed::avro(lookup);
        for _ in 0..3 {
            let decoded = framed.decode(&raw(&[Some(&[0, 0, 0, 0, 1, 2, b'x'])])).unwrap();
            assert_eq!(outcome(&decoded), ["0: a=x"]);
        }
    };
    tokio::task::spawn_blocking(work).await.unwrap();
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn the_path_of_a_protobuf_message_is_read() {
    let path = |bytes: &[u8]| {
        frame(Some(&[&[0, 0, 0, 0, 1], bytes].concat()), true).map(|((_, path), at)| (path, at))
    };
    assert_eq!(path(&[0, 8]), Ok((vec![0], 6)));
    assert_eq!(path(&[2, 2, 8]), Ok((vec![1], 7)));
    assert_eq!(path(&[4, 2, 0x80, 0x02, 8]), Ok((vec![1, 128], 9)));
    for damaged in [&[][..], &[2], &[1, 0], &[0xfe, 0xff, 0x7f], &[0x80; 12], &[4, 2], &[2, 1]] {
        assert_eq!(path(damaged).unwrap_err().0, Cause::NotFramed, "{damaged:?}");
    }
}
