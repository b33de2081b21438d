//! Which table a message reaches, what it is worth there, and why it becomes a dead letter.

use arrow::array::AsArray;
use arrow::util::display::array_value_to_string;
use arrow::util::pretty::pretty_format_batches;

use super::*;
use crate::decode::Decode;
use crate::decode::json::Json;
use crate::fixtures;
use crate::topics::Topic;

fn routed(topic: Topic, payloads: &[&str]) -> (Plan, Routed) {
    let plan = Plan::new(&[topic], fixtures::name("bronze.dead_letters")).unwrap();
    let mut raw = RawBatch::new(0, 3);
    raw.ingested_at = 1_700_000_000_000_000;
    for (index, payload) in payloads.iter().enumerate() {
        raw.push(100 + index as i64, Some(5), Some(b"k"), Some(payload.as_bytes()));
    }
    let decoded = Json::new(&plan.topics[0].fields).decode(&raw).unwrap();
    let Routing::Done(routed) = route(&plan, &raw, vec![decoded]).unwrap() else { panic!("no table grows") };
    (plan, routed)
}

/// `table: id@offset` for rows, `dead: cause: error` for dead letters, in the order of the messages.
fn outcome(topic: Topic, payloads: &[&str]) -> Vec<String> {
    let (plan, routed) = routed(topic, payloads);
    let mut lines = BTreeMap::new();
    for (table, batch) in routed.batches() {
        let text =
            |column: &str, row| array_value_to_string(batch.column_by_name(column).unwrap(), row).unwrap();
        for row in 0..batch.num_rows() {
            let offset: i64 = text("_src_offset", row).parse().unwrap();
            assert_eq!(text("_src_partition", row), "3");
            assert_eq!(text("_ingested_at", row), "2023-11-14T22:13:20Z");
            let line = if table == plan.dead_letters {
                format!("{}: {}", text("cause", row), text("error", row))
            } else {
                format!("{}: {}", plan.tables[table].name, text("event_id", row))
            };
            assert!(lines.insert(offset, line).is_none(), "offset {offset} landed twice");
        }
    }
    assert!(lines.keys().copied().eq(100..100 + payloads.len() as i64), "a message vanished");
    lines.into_values().collect()
}

#[test]
fn event_types_choose_the_table_and_requirements_are_checked_per_type() {
    let cases = [
        (r#"{"event_id":"a","event_type":"view"}"#, "bronze.clicks: a"),
        (r#"{"event_id":"b","event_type":"addtocart","item":7}"#, "bronze.clicks: b"),
        (r#"{"event_id":"c","event_type":"transaction","price":1.50}"#, "bronze.sales: c"),
        (
            r#"{"event_id":"d","event_type":"addtocart"}"#,
            "missing_field: required but missing or null: `item`",
        ),
        (
            r#"{"event_type":"transaction","price":null}"#,
            "missing_field: required but missing or null: `event_id`, `price`",
        ),
        (
            r#"{"event_id":"e","event_type":"refund"}"#,
            "unknown_event_type: no route of `events` takes the event type `refund`",
        ),
        (
            r#"{"event_id":"f"}"#,
            "missing_field: the field `event_type`, which chooses the table, is missing or null",
        ),
        (
            r#"{"event_id":"g","event_type":"transaction","price":1.005}"#,
            "wrong_type: field `price`: `1.005` has more decimals than decimal(12,2) holds",
        ),
        // The same field is a text in the other table, and one that the table does not have is ignored.
        (r#"{"event_id":"h","event_type":"view","price":1.005,"gift":"maybe"}"#, "bronze.clicks: h"),
        (
            r#"{"event_id":"i","event_type":"view","item":1.5}"#,
            "wrong_type: field `item`: `1.5` has a fraction, which a 64-bit integer cannot hold",
        ),
        (
            r#"{"event_id":"j","event_type":"transaction","price":1,"gift":1}"#,
            "wrong_type: field `gift`: `1` is neither true nor false",
        ),
        (
            r#"{"event_id":"k","event_type":"view","at":253402300800000}"#,
            "wrong_type: field `at`: `253402300800000` lies outside the years 1 to 9999",
        ),
    ];
    let payloads: Vec<&str> = cases.iter().map(|(payload, _)| *payload).collect();
    let expected: Vec<&str> = cases.iter().map(|(_, line)| *line).collect();
    assert_eq!(outcome(fixtures::events(), &payloads), expected);
    for (payload, line) in cases {
        assert_eq!(outcome(fixtures::events(), &[payload]), [line]);
    }
}

#[test]
fn one_table_for_all_events_needs_no_event_type() {
    let payloads = [r#"{"event_id":"a","n":1}"#, r#"{"n":1}"#, r#"{"event_id":"b","n":2147483648}"#];
    assert_eq!(
        outcome(fixtures::plain("plain", "bronze.plain"), &payloads),
        [
            "bronze.plain: a",
            "missing_field: required but missing or null: `event_id`",
            "wrong_type: field `n`: `2147483648` is out of range for a 32-bit integer",
        ]
    );
}

#[test]
fn a_route_without_types_takes_the_rest() {
    let mut topic = fixtures::events();
    let mut rest = fixtures::plain("", "bronze.rest").routes.remove(0);
    rest.columns.retain(|column| column.name == "event_id");
    topic.routes.insert(0, rest);
    let payloads = [
        r#"{"event_id":"a","event_type":"view"}"#,
        r#"{"event_id":"b","event_type":"refund"}"#,
        r#"{"event_id":"c"}"#,
    ];
    assert_eq!(outcome(topic, &payloads), ["bronze.clicks: a", "bronze.rest: b", "bronze.rest: c"]);
}

#[test]
fn values_arrive_as_they_were_sent() {
    let payload =
        r#"{"event_id":"a","event_type":"transaction","at":1700000000123,"price":12.5,"gift":true}"#;
    let (_, routed) = routed(fixtures::events(), &[payload]);
    let shown = pretty_format_batches(&[routed.tables[0].1.clone()]).unwrap().to_string();
    let row: Vec<&str> = shown.lines().nth(3).unwrap().split('|').map(str::trim).collect();
    let expected = "|a|transaction|2023-11-14T22:13:20.123Z|12.50|true|events|3|100|2023-11-14T22:13:20Z|";
    assert_eq!(row.join("|"), expected);
}

#[test]
fn a_dead_letter_keeps_key_payload_and_time() {
    let (plan, routed) = routed(fixtures::events(), &["{oops"]);
    let [(table, batch)] = routed.tables.as_slice() else { panic!("one table") };
    assert_eq!((*table, routed.rejected), (plan.dead_letters, 1));
    assert_eq!(batch.column_by_name("payload").unwrap().as_binary::<i32>().value(0), b"{oops");
    assert_eq!(batch.column_by_name("key").unwrap().as_binary::<i32>().value(0), b"k");
    let time = array_value_to_string(batch.column_by_name("kafka_timestamp").unwrap(), 0).unwrap();
    assert_eq!(time, "1970-01-01T00:00:00.005Z");
}
