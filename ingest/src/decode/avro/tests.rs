//! Avro as another library writes it, and every way in which a message can be damaged.

use apache_avro::types::Value;
use apache_avro::{Schema as Foreign, to_avro_datum};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::*;
use crate::registry::Language;

const SCHEMA: &str = r#"{"type":"record","name":"Event","namespace":"a.b","doc":"a \"quoted\" word\n","fields":[
  {"name":"id","type":"long","doc":"line\nbreak"},
  {"name":"name","type":"string","default":"x\ty"},
  {"name":"price","type":["null","double"],"default":null},
  {"name":"tags","type":{"type":"array","items":"string"}},
  {"name":"counts","type":{"type":"map","values":"long"}},
  {"name":"home","type":{"type":"record","name":"Home","fields":[
     {"name":"zip","type":"int"},{"name":"street","type":["string","null"]}]}},
  {"name":"work","type":["null","Home"]},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
  {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
  {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]}}]}"#;

pub(crate) fn text(schema: &str) -> SchemaText {
    SchemaText { language: Language::Avro, text: schema.to_owned(), references: Vec::new() }
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, 5], body].concat()
}

fn decode(schema: &str, messages: &[Vec<u8>]) -> Decoded {
    let mut shape = shape(5, &text(schema), &[]).unwrap();
    let mut raw = RawBatch::new(0, 0);
    for (offset, message) in messages.iter().enumerate() {
        raw.push(offset as i64, None, None, Some(message));
    }
    let bodies: Vec<_> = (0..messages.len() as u32).map(|message| Body { message, start: 5 }).collect();
    let decoded = shape.decode(&raw, &bodies).unwrap();
    assert_eq!(decoded.batch.num_rows(), decoded.rows.len());
    assert_eq!(decoded.rows.len() + decoded.rejects.len(), messages.len(), "each message is judged once");
    decoded
}

#[derive(Clone, Debug)]
struct Event {
    id: i64,
    name: String,
    price: Option<f64>,
    tags: Vec<String>,
    counts: Vec<(String, i64)>,
    zip: i32,
    street: Option<String>,
    work: Option<i32>,
    at: i64,
    cents: i64,
    kind: bool,
}

fn encode(event: &Event) -> Vec<u8> {
    let schema = Foreign::parse_str(SCHEMA).unwrap();
    let home = |zip: i32, street: Option<&String>| {
        let street = street.map_or(Value::Union(1, Box::new(Value::Null)), |street| {
            Value::Union(0, Box::new(Value::String(street.clone())))
        });
        Value::Record(vec![("zip".into(), Value::Int(zip)), ("street".into(), street)])
    };
    let or_null = |value: Option<Value>| match value {
        Some(value) => Value::Union(1, Box::new(value)),
        None => Value::Union(0, Box::new(Value::Null)),
    };
    let fields = vec![
        ("id".to_owned(), Value::Long(event.id)),
        ("name".into(), Value::String(event.name.clone())),
        ("price".into(), or_null(event.price.map(Value::Double))),
        ("tags".into(), Value::Array(event.tags.iter().cloned().map(Value::String).collect())),
        (
            "counts".into(),
            Value::Map(event.counts.iter().map(|(k, v)| (k.clone(), Value::Long(*v))).collect()),
        ),
        ("home".into(), home(event.zip, event.street.as_ref())),
        ("work".into(), or_null(event.work.map(|zip| home(zip, None)))),
        ("at".into(), Value::TimestampMillis(event.at)),
        ("amount".into(), Value::Decimal(event.cents.to_be_bytes().to_vec().into())),
        ("kind".into(), Value::Enum(u32::from(event.kind), if event.kind { "B" } else { "A" }.into())),
    ];
    framed(&to_avro_datum(&schema, Value::Record(fields)).unwrap())
}

fn event() -> impl Strategy<Value = Event> {
    let small = (any::<i64>(), ".{0,8}", any::<Option<i32>>(), prop::collection::vec(".{0,4}", 0..4));
    let more = (
        prop::collection::btree_map("[a-z]{1,3}", any::<i64>(), 0..3),
        any::<i32>(),
        prop::option::of(".{0,4}"),
        any::<Option<i32>>(),
        -1_000_000_000_000..1_000_000_000_000_i64,
        any::<i32>(),
        any::<bool>(),
    );
    (small, more).prop_map(|((id, name, price, tags), (counts, zip, street, work, at, cents, kind))| Event {
        id,
        name,
        price: price.map(|price| f64::from(price) / 8.0),
        tags,
        counts: counts.into_iter().collect(),
        zip,
        street,
        work,
        at,
        cents: i64::from(cents),
        kind,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn decoding_gives_what_was_encoded(events in prop::collection::vec(event(), 1..20)) {
        let messages: Vec<_> = events.iter().map(encode).collect();
        let decoded = decode(SCHEMA, &messages);
        prop_assert!(decoded.rejects.is_empty());
        let column = |name: &str| decoded.batch.column_by_name(name).unwrap().clone();
        let home = column("home");
        for (row, event) in events.iter().enumerate() {
            prop_assert_eq!(column("id").as_primitive::<Int64Type>().value(row), event.id);
            let name = column("name");
            prop_assert_eq!(name.as_string::<i32>().value(row), &event.name);
            let price = column("price");
            let price = price.is_valid(row).then(|| price.as_primitive::<Float64Type>().value(row));
            prop_assert_eq!(price, event.price);
            let tags = column("tags").as_list::<i32>().value(row);
            let tags: Vec<_> = tags.as_string::<i32>().iter().map(|tag| tag.unwrap().to_owned()).collect();
            prop_assert_eq!(tags, event.tags.clone());
            let entries = column("counts").as_map().value(row);
            let keys = entries.column(0).as_string::<i32>().iter().map(|key| key.unwrap().to_owned());
            let mut counts: Vec<_> =
                keys.zip(entries.column(1).as_primitive::<Int64Type>().values().iter().copied()).collect();
            counts.sort();
            prop_assert_eq!(counts, event.counts.clone());
            let (zip, street) = (home.as_struct().column(0), home.as_struct().column(1).as_string::<i32>());
            prop_assert_eq!(zip.as_primitive::<Int32Type>().value(row), event.zip);
            prop_assert_eq!(street.is_valid(row).then(|| street.value(row).to_owned()), event.street.clone());
            prop_assert_eq!(column("work").is_valid(row), event.work.is_some());
            prop_assert_eq!(column("at").as_primitive::<TimestampMillisecondType>().value(row), event.at);
            let cents = column("amount").as_primitive::<Decimal128Type>().value(row);
            prop_assert_eq!(cents, i128::from(event.cents));
            let kind = array_value_to_string(&column("kind"), row).unwrap();
            prop_assert_eq!(kind, if event.kind { "B" } else { "A" });
        }
    }

    #[test]
    fn no_bytes_crash_or_stall_and_neighbours_land(bad in prop::collection::vec(any::<u8>(), 0..60)) {
        let good = encode(&sample());
        let decoded = decode(SCHEMA, &[good.clone(), framed(&bad), good]);
        prop_assert!(decoded.rows.contains(&0) && decoded.rows.contains(&2));
    }
}

fn sample() -> Event {
    Event {
        id: 1,
        name: "n".to_owned(),
        price: Some(1.5),
        tags: vec!["t".to_owned()],
        counts: vec![("k".to_owned(), 2)],
        zip: 3,
        street: Some("s".to_owned()),
        work: None,
        at: 4,
        cents: 5,
        kind: true,
    }
}

#[test]
fn every_damaged_message_stands_alone() {
    let good = encode(&sample());
    let mut messages = vec![good.clone()];
    for end in 5..good.len() {
        messages.push(good[..end].to_vec());
        messages.push(good.clone());
    }
    messages.push([good.as_slice(), &good].concat());
    messages.push([good.as_slice(), &[0]].concat());
    messages.push([good.as_slice(), &[9, 9]].concat());
    messages.push(good.clone());
    let decoded = decode(SCHEMA, &messages);
    let whole = messages.iter().filter(|message| **message == good).count();
    assert_eq!(decoded.rows.len(), whole);
    assert!(decoded.rows.iter().all(|row| messages[*row as usize] == good));
}

#[test]
fn text_that_is_none_and_counts_beyond_reason_are_dead_letters() {
    const SMALL: &str = r#"{"type":"record","name":"R","fields":[
      {"name":"s","type":"string"},{"name":"l","type":{"type":"array","items":"int"}}]}"#;
    let good = framed(&[2, b'x', 0]);
    let bad: [&[u8]; 6] = [
        &[2, 0xff, 0],
        &[2, b'x', 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[2, b'x', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0],
        &[2, b'x', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[1, b'x', 0],
        &[0xfe, 0xff, 0xff, 0xff, 0x0f, b'x', 0],
    ];
    let mut messages = vec![good.clone()];
    for body in bad {
        messages.extend([framed(body), good.clone()]);
    }
    let decoded = decode(SMALL, &messages);
    assert_eq!(decoded.rejects.len(), bad.len());
    let mut causes: Vec<_> = decoded.rejects.iter().map(|reject| (reject.message, reject.cause)).collect();
    causes.sort_by_key(|(message, _)| *message);
    assert_eq!(causes[0].1, Cause::InvalidUtf8);
    assert!(causes[1..].iter().all(|(_, cause)| *cause == Cause::Malformed));
}

/// A null takes one byte, and makes a value in each column of the record that is not there.
#[test]
fn a_message_that_unpacks_beyond_reason_is_a_dead_letter() {
    let fields: Vec<_> = (0..2000).map(|number| format!(r#"{{"name":"f{number}","type":"long"}}"#)).collect();
    let schema = format!(
        r#"{{"type":"record","name":"R","fields":[{{"name":"l","type":{{"type":"array","items":
        ["null",{{"type":"record","name":"W","fields":[{}]}}]}}}}]}}"#,
        fields.join(",")
    );
    let nulls = |count: usize| {
        let mut body =
            vec![(count * 2) as u8 | 0x80, ((count * 2) >> 7) as u8 | 0x80, ((count * 2) >> 14) as u8];
        body.extend(vec![0; count + 1]);
        framed(&body)
    };
    let decoded = decode(&schema, &[nulls(5), nulls(20_000), nulls(100)]);
    assert_eq!((decoded.rows, decoded.rejects.len()), (vec![0, 2], 1));
    assert!(decoded.rejects[0].text.contains("too many values"), "{}", decoded.rejects[0].text);
}

#[test]
fn a_second_header_behind_a_record_spoils_neither_its_neighbours_nor_records_that_end_alike() {
    let schema = r#"{"type":"record","name":"R","fields":[
      {"name":"id","type":"long"},{"name":"x","type":{"type":"fixed","name":"F","size":5}}]}"#;
    let header = [0, 0, 0, 0, 5];
    let good = framed(&[2, 1, 2, 3, 4, 5]);
    let alike = framed(&[&[4][..], &header].concat());
    let followed = [&good[..], &header].concat();
    let both = [&alike[..], &header].concat();
    let decoded = decode(schema, &[good.clone(), followed, good.clone(), alike, both, good]);
    assert_eq!(decoded.rows, [0, 2, 3, 5]);
    let ids: Vec<_> = decoded.batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(ids, [1, 1, 2, 1]);
    let faults: Vec<_> =
        decoded.rejects.iter().map(|reject| (reject.message, reject.text.as_str())).collect();
    assert_eq!(faults, [(1, FOLLOWED), (4, FOLLOWED)]);
}
