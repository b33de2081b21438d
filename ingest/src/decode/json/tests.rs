//! What becomes of good, bad and hostile messages, alone and between good ones.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::source::raw::ROWS_MAX;

fn fields() -> SchemaRef {
    let names = ["event_id", "price", "quantity", "flag"];
    std::sync::Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).to_vec()))
}

fn raw(payloads: &[Option<&[u8]>]) -> RawBatch {
    let mut raw = RawBatch::new(0, 0);
    for (offset, payload) in payloads.iter().enumerate() {
        raw.push(offset as i64, None, None, *payload);
    }
    raw
}

/// One line per message: its row, or its reject.
fn decode(payloads: &[Option<&[u8]>]) -> Vec<String> {
    let decoded = Json::new(&fields()).decode(&raw(payloads)).unwrap();
    let mut lines = vec![String::new(); payloads.len()];
    assert_eq!(decoded.batch.num_rows(), decoded.rows.len());
    assert!(decoded.rows.is_sorted());
    for (row, message) in decoded.rows.iter().enumerate() {
        let values = decoded.batch.columns().iter().map(|column| {
            let texts = column.as_string::<i32>();
            if texts.iter().nth(row).flatten().is_none() { "-" } else { texts.value(row) }
        });
        lines[*message as usize] = values.collect::<Vec<_>>().join(" ");
    }
    for reject in &decoded.rejects {
        assert!(lines[reject.message as usize].is_empty(), "a message is a row or a reject");
        lines[reject.message as usize] = reject.cause.to_string();
    }
    assert!(lines.iter().all(|line| !line.is_empty()), "a message vanished: {lines:?}");
    lines
}

const GOOD: &[u8] = br#"{"event_id":"g","price":1}"#;

#[test]
fn each_guard_holds_alone_and_between_good_messages() {
    let deep = [b"{\"x\":".to_vec(), vec![b'['; 100_000], vec![b']'; 100_000], b"}".to_vec()].concat();
    let deep_known =
        [b"{\"price\":".to_vec(), vec![b'['; 100_000], vec![b']'; 100_000], b"}".to_vec()].concat();
    let cases: &[(&[u8], &str)] = &[
        (br#"{"event_id":"a"}"#, "a - - -"),
        (br#" {"event_id":"a"} "#, "a - - -"),
        (br#"{"event_id":"a"}{"event_id":"b"}"#, "several_values"),
        (b"{\"event_id\":\"a\"}\n{\"event_id\":\"b\"}", "several_values"),
        (br#"{"event_id":"a""#, "malformed"),
        (br#"{"event_id":"a"#, "malformed"),
        (br#"{"event_id":"#, "malformed"),
        (br#"{"event_id":"a"} 42"#, "several_values"),
        (br#"{"event_id":"a"}{"event_id":"#, "malformed"),
        (br#"{"event_id":"a"} x"#, "malformed"),
        (br#"{"event_id":"a"}}"#, "malformed"),
        (br#"{"event_id":"\ud800"}"#, "malformed"),
        (br#"{"event_id":"\ud83d"}"#, "malformed"),
        (br#"{"event_id":"\ud83dx\ude00"}"#, "malformed"),
        (br#"{"other":"\ud83d\u0041"}"#, "malformed"),
        (br#"{"event_id":"\ud83d\ude00\u00e9\n\/"}"#, "\u{1f600}\u{e9}\n/ - - -"),
        (br#"{"event\u005fid":"a"}"#, "a - - -"),
        (b"{\"event_id\":\"a\tb\"}", "malformed"),
        (b"{\"other\":\"0123456789\n\"}", "malformed"),
        (br#"{"event_id":tru}"#, "malformed"),
        (br#"{"event_id":01}"#, "malformed"),
        (br#"{"event_id":1.}"#, "malformed"),
        (br#"{"event_id":+1}"#, "malformed"),
        (br#"{"event_id":-}"#, "malformed"),
        (br#"{"event_id":1e}"#, "malformed"),
        (br#"{"event_id":NaN}"#, "malformed"),
        (br#"{"event_id":"a",}"#, "malformed"),
        (br#"{"event_id" "a"}"#, "malformed"),
        (br#"{event_id:"a"}"#, "malformed"),
        (br#"{'event_id':'a'}"#, "malformed"),
        (br#"{"other":[1,]}"#, "malformed"),
        (br#"{"other":[1 2]}"#, "malformed"),
        (b"\xef\xbb\xbf{}", "not_an_object"),
        (br#"{"event_id":["a"],"price":}"#, "malformed"),
        (b"", "empty"),
        (b" \n\t", "empty"),
        (br#"[{"event_id":"a"}]"#, "not_an_object"),
        (b"42", "not_an_object"),
        (b"\"text\"", "not_an_object"),
        (b"null", "not_an_object"),
        (b"{\"event_id\":\"a\xff\"}", "invalid_utf8"),
        (b"{\"event_id\":\"a\",\"other\":\"\xc3\"}", "invalid_utf8"),
        (br#"{"event_id":{"a":1}}"#, "wrong_type"),
        (br#"{"event_id":["a"]}"#, "wrong_type"),
        (br#"{"event_id":"a","price":{"amount":1}}"#, "wrong_type"),
        (br#"{"event_id":"a","price":1.5,"quantity":12,"flag":true}"#, "a 1.5 12 true"),
        (br#"{"event_id":"a","price":9007199254740993123456789.10}"#, "a 9007199254740993123456789.10 - -"),
        (br#"{"event_id":"a","price":"12"}"#, "a 12 - -"),
        (br#"{"event_id":"a","event_id":"b"}"#, "b - - -"),
        (br#"{"event_id":"a","event_id":null}"#, "- - - -"),
        (br#"{"event_id":"a","event_id":"\u0062"}"#, "b - - -"),
        (br#"{"event_id":"a","unknown":{"x":[1,2,{"y":3}]}}"#, "a - - -"),
        (br#"{"event_id":null}"#, "- - - -"),
        (br#"{"event_id":"{[\"}]"}"#, r#"{["}] - - -"#),
        (b"{}", "- - - -"),
        (&deep, "too_deep"),
        (&deep_known, "too_deep"),
        (&deep[..100_000], "too_deep"),
    ];
    for (payload, expected) in cases {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]).into_owned();
        assert_eq!(decode(&[Some(payload)]), [*expected], "{shown} alone");
        let between = decode(&[Some(GOOD), Some(payload), Some(GOOD)]);
        assert_eq!(between, ["g 1 - -", expected, "g 1 - -"], "{shown} between good messages");
    }
    let all: Vec<Option<&[u8]>> = cases.iter().map(|(payload, _)| Some(*payload)).collect();
    assert_eq!(decode(&all), cases.iter().map(|(_, expected)| *expected).collect::<Vec<_>>());
}

#[test]
fn a_tombstone_is_told_from_an_empty_payload() {
    assert_eq!(decode(&[None, Some(b""), Some(GOOD)]), ["tombstone", "empty", "g 1 - -"]);
}

#[test]
fn a_truncated_message_does_not_join_the_next() {
    let halves: [Option<&[u8]>; 3] = [Some(br#"{"event_id":"a","#), Some(br#""price":1}"#), Some(GOOD)];
    assert_eq!(decode(&halves), ["malformed", "not_an_object", "g 1 - -"]);
}

#[test]
fn a_message_of_ten_megabytes_is_a_row_or_one_reject() {
    let text = "x".repeat(10 << 20);
    let good = format!(r#"{{"event_id":"a","note":"{text}"}}"#);
    let bad = format!(r#"{{"event_id":["{text}"]}}"#);
    let payloads = [Some(GOOD), Some(good.as_bytes()), Some(bad.as_bytes()), Some(GOOD)];
    assert_eq!(decode(&payloads), ["g 1 - -", "a - - -", "wrong_type", "g 1 - -"]);
    let decoded = Json::new(&fields()).decode(&raw(&[Some(bad.as_bytes())])).unwrap();
    assert!(decoded.rejects[0].text.len() <= crate::reject::TEXT_MAX);
}

#[test]
fn wide_nesting_below_the_limit_is_no_fault() {
    let list = "{},".repeat(1000);
    let payload = format!(r#"{{"event_id":"a","list":[{}{{}}]}}"#, list);
    assert_eq!(decode(&[Some(payload.as_bytes())]), ["a - - -"]);
}

#[test]
fn one_decoder_survives_batch_after_batch_of_every_size() {
    let mut json = Json::new(&fields());
    for size in [1, 255, 3000, ROWS_MAX, 2, ROWS_MAX] {
        for every in [usize::MAX, 7, 500, 1] {
            let bad: &[&[u8]] = &[b"{", br#"{"event_id":[]}"#, br#"{} {}"#, b"{\"a\":\"\xff\"}"];
            let mut batch = RawBatch::new(0, 0);
            for row in 0..size {
                let payload = if row % every == every - 1 { bad[row % 4] } else { GOOD };
                batch.push(row as i64, None, None, Some(payload));
            }
            let decoded = json.decode(&batch).unwrap();
            let expected = (0..size).filter(|row| row % every == every - 1).count();
            assert_eq!(decoded.rejects.len(), expected, "{size} messages, every {every}th bad");
            assert_eq!(decoded.rows.len(), size - expected);
            assert!(decoded.rows.iter().all(|row| *row as usize % every != every - 1));
        }
    }
}

#[test]
fn keys_may_stand_in_any_order_and_come_and_go() {
    let messages: [(&[u8], &str); 6] = [
        (br#"{"event_id":"a","price":1,"flag":true}"#, "a 1 - true"),
        (br#"{"price":2,"event_id":"b","flag":false}"#, "b 2 - false"),
        (br#"{"price":3}"#, "- 3 - -"),
        (br#"{"event_id":"d","event":"x","price":4,"quantity":5,"flag":true}"#, "d 4 5 true"),
        (br#"{ "event_id" : "e" , "price" : 6 }"#, "e 6 - -"),
        (br#"{"event_id2":"f","price":7}"#, "- 7 - -"),
    ];
    for rotation in 0..messages.len() {
        let mut messages = messages;
        messages.rotate_left(rotation);
        let payloads = messages.map(|(payload, _)| Some(payload));
        assert_eq!(decode(&payloads), messages.map(|(_, expected)| expected));
    }
}

#[test]
fn a_fault_is_told_with_its_place() {
    let told = |payload: &[u8]| {
        let decoded = Json::new(&fields()).decode(&raw(&[Some(payload)])).unwrap();
        decoded.rejects.into_iter().next().map(|reject| reject.text)
    };
    let expected = [
        (br#"{"event_id":"a" "b"}"#.as_slice(), "expected `,` or `}` after a value at byte 16"),
        (br#"{"event_id":"#, "the message ends where a value belongs at byte 12"),
        (br#"{"price":[1]}"#, "field `price`: a list where a single value belongs"),
        (br#"{} {}"#, "another JSON value in the same message; send one object per message at byte 3"),
    ];
    for (payload, text) in expected {
        assert_eq!(told(payload).as_deref(), Some(text));
    }
}
