//! Bad events: each becomes a dead letter with its cause and its bytes, and the good ones around it land.

use serde_json::{Value, json};

use crate::judge::{exactly_once, judge};
use crate::parts::parts;
use crate::sluice::{Lake, unique};

const MEGABYTE: usize = 1 << 20;

/// One record as `send.py` takes it: text, or bytes in hexadecimal.
enum Payload {
    Text(String),
    Bytes(&'static [u8]),
    Tombstone,
}

/// What is sent, and the cause of the dead letter it must become; none lands.
fn events() -> Vec<(&'static str, Payload, Option<&'static str>)> {
    let text = |text: &str| Payload::Text(text.to_owned());
    let long = "x".repeat(10 * MEGABYTE);
    vec![
        (
            "good",
            text(r#"{"id":"g1","event_type":"sale","at":1767225600000,"amount":12.34,"pieces":3}"#),
            None,
        ),
        ("unknown fields are ignored", text(r#"{"id":"g2","event_type":"sale","more":{"a":[1,2]}}"#), None),
        ("broken JSON", text(r#"{"id":"b1","event_type":"sale""#), Some("malformed")),
        ("good after broken", text(r#"{"id":"g3","event_type":"sale"}"#), None),
        (
            "two objects",
            text(r#"{"id":"b2","event_type":"sale"}{"id":"b3","event_type":"sale"}"#),
            Some("several_values"),
        ),
        ("an array", text(r#"[{"id":"b4","event_type":"sale"}]"#), Some("not_an_object")),
        ("wrong type", text(r#"{"id":"b5","event_type":"sale","pieces":"many"}"#), Some("wrong_type")),
        (
            "a fraction for an integer",
            text(r#"{"id":"b6","event_type":"sale","pieces":1.5}"#),
            Some("wrong_type"),
        ),
        ("too many decimals", text(r#"{"id":"b7","event_type":"sale","amount":1.005}"#), Some("wrong_type")),
        (
            "integer overflow",
            text(r#"{"id":"b8","event_type":"sale","pieces":4294967296}"#),
            Some("wrong_type"),
        ),
        ("missing field", text(r#"{"event_type":"sale","pieces":1}"#), Some("missing_field")),
        ("required but null", text(r#"{"id":null,"event_type":"sale"}"#), Some("missing_field")),
        ("unknown event type", text(r#"{"id":"b9","event_type":"gift"}"#), Some("unknown_event_type")),
        (
            "invalid UTF-8",
            Payload::Bytes(b"{\"id\":\"\xff\xfe\",\"event_type\":\"sale\"}"),
            Some("invalid_utf8"),
        ),
        ("empty", text(""), Some("empty")),
        ("tombstone", Payload::Tombstone, Some("tombstone")),
        ("deep nesting", Payload::Text(r#"{"a":"#.repeat(100_000)), Some("too_deep")),
        (
            "10 MB of text",
            Payload::Text(format!(r#"{{"id":"g4","event_type":"sale","note":"{long}"}}"#)),
            None,
        ),
        ("10 MB of rubbish", Payload::Text(long), Some("not_an_object")),
        ("good at the end", text(r#"{"id":"g5","event_type":"sale"}"#), None),
    ]
}

#[test]
fn every_bad_event_is_a_dead_letter_and_every_good_one_lands() {
    let lake = Lake::on_s3().with_kafka();
    let topic = unique("sales");
    let topics = topics_file(&lake, &topic);
    lake.succeed(&["topics", "apply", "--topics", &topics]);
    send(&lake, &topic);

    lake.succeed(&["ingest", "--topics", &topics, "--until-caught-up"]);
    let landing = exactly_once(&lake, &[&topic]);
    assert_eq!(landing.get("records"), events().len() as u64);

    let causes = "select _src_offset, cause, error, octet_length(encode(payload, 'hex')) / 2 as bytes from bronze.dead_letters \
                  order by _src_offset";
    let letters = lake.succeed(&["sql", causes, "--json"]).json_lines();
    for (offset, (name, payload, cause)) in events().into_iter().enumerate() {
        let Some(cause) = cause else { continue };
        let letter = letters.iter().find(|letter| letter["_src_offset"] == offset);
        let letter = letter.unwrap_or_else(|| panic!("{name} is no dead letter: {letters:?}"));
        assert_eq!(letter["cause"], cause, "{name}: {letter}");
        assert!(letter["error"].as_str().is_some_and(|error| error.len() > 10), "{name}: {letter}");
        let bytes = match payload {
            Payload::Text(text) => json!(text.len()),
            Payload::Bytes(bytes) => json!(bytes.len()),
            Payload::Tombstone => Value::Null,
        };
        assert_eq!(letter["bytes"], bytes, "{name} did not keep its bytes");
    }
    let good = lake.succeed(&["sql", "select id from bronze.sales order by id", "--json"]).json_lines();
    let good = good.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(good, ["g1", "g2", "g3", "g4", "g5"]);
}

/// A topics file of one topic with one partition, so that offsets are in the order of sending.
fn topics_file(lake: &Lake, topic: &str) -> String {
    let text = format!(
        "topics:
  - name: {topic}
    partitions: 1
    max_message_bytes: {}
    routes:
      - table: bronze.sales
        event_types: [sale]
        columns:
          id: string
          event_type: string
          at: timestamp_ms
          amount: decimal(12,2)
          pieces: int
          note: string
        required: [id, event_type]
",
        16 * MEGABYTE
    );
    lake.file("topics.yaml", &text).to_str().unwrap().to_owned()
}

fn send(lake: &Lake, topic: &str) {
    let line = |payload: &Payload| match payload {
        Payload::Text(text) => json!({ "text": text }),
        Payload::Bytes(bytes) => {
            json!({ "hex": bytes.iter().map(|it| format!("{it:02x}")).collect::<String>() })
        }
        Payload::Tombstone => json!({}),
    };
    let lines = events().iter().map(|(_, payload, _)| line(payload).to_string() + "\n").collect::<String>();
    let file = lake.file("events.ndjson", &lines);
    judge("send.py", lake, &[parts().brokers(), topic, file.to_str().unwrap()]);
}
