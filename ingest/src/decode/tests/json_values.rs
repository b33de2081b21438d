//! What was written as JSON comes back as the same value, in every type that a topics file knows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{Decode, fit, json::Json};
use crate::source::raw::RawBatch;
use crate::topics::Kind;

const KINDS: [(&str, &str); 14] = [
    ("s", "string"),
    ("i", "int"),
    ("n", "long"),
    ("f", "float"),
    ("g", "double"),
    ("b", "boolean"),
    ("day", "date"),
    ("time", "time"),
    ("raw", "binary"),
    ("d", "decimal(20,6)"),
    ("at", "timestamp_ms"),
    ("l", "list(long)"),
    ("o", "struct(x: long, t: string)"),
    ("m", "map(decimal(20,6))"),
];

/// Around a number that JSON shall hold as such, however long it is.
const NUMBER: char = '\u{e000}';

/// A number with six places: a text, or a number with as many digits as it needs and more, or with an exponent.
fn spelled(micros: i128, how: u8) -> Value {
    let sign = if micros < 0 { "-" } else { "" };
    let (whole, part) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    json!(match how {
        0 => format!("{sign}{whole}.{part:06}"),
        1 => format!("{NUMBER}{sign}{}e-6{NUMBER}", micros.unsigned_abs()),
        _ => format!("{NUMBER}{sign}{whole}.{part:06}000{NUMBER}"),
    })
}

#[derive(Clone, Debug)]
struct Event {
    s: Option<String>,
    i: Option<i32>,
    n: Option<i64>,
    f: Option<f32>,
    g: Option<f64>,
    b: Option<bool>,
    day: Option<i32>,
    time: Option<i64>,
    raw: Option<String>,
    d: Option<i128>,
    at: Option<i64>,
    l: Option<Vec<Option<i64>>>,
    o: Option<(Option<i64>, Option<String>)>,
    m: Option<Vec<(String, i128)>>,
    how: u8,
}

fn event() -> impl Strategy<Value = Event> {
    use prop::option::of;
    let decimal = || -99_999_999_999_999_999_999..=99_999_999_999_999_999_999_i128;
    let flat = (
        of(".*"),
        any::<Option<i32>>(),
        any::<Option<i64>>(),
        of(-1e30_f32..1e30),
        of(prop::num::f64::NORMAL),
    );
    let more = (
        any::<Option<bool>>(),
        of(-719_162..=2_932_896_i32),
        of(0..86_400_000_000_i64),
        of(".{1,9}"),
        of(decimal()),
    );
    let nested = (
        of(-62_135_596_800_000..=253_402_300_799_999_i64),
        of(prop::collection::vec(any::<Option<i64>>(), 0..5)),
        of((any::<Option<i64>>(), of(".*"))),
        of(prop::collection::btree_map(".{0,5}", decimal(), 0..4)),
        0..3_u8,
    );
    (flat, more, nested).prop_map(|((s, i, n, f, g), (b, day, time, raw, d), (at, l, o, m, how))| Event {
        s,
        i,
        n,
        f,
        g,
        b,
        day,
        time,
        raw,
        d,
        at,
        l,
        o,
        m: m.map(|m| m.into_iter().collect()),
        how,
    })
}

impl Event {
    /// As JSON; what is null is said so, or left out.
    fn text(&self) -> String {
        let day =
            |days: i32| chrono::NaiveDate::from_num_days_from_ce_opt(days + 719_163).unwrap().to_string();
        let time = |micros: i64| {
            let seconds = micros / 1_000_000;
            format!(
                "{:02}:{:02}:{:02}.{:06}",
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60,
                micros % 1_000_000
            )
        };
        let map = |entries: &Vec<(String, i128)>| {
            entries.iter().map(|(key, value)| (key.clone(), spelled(*value, self.how))).collect::<Map<_, _>>()
        };
        let values = [
            json!(self.s),
            json!(self.i),
            json!(self.n),
            json!(self.f),
            json!(self.g),
            json!(self.b),
            json!(self.day.map(day)),
            json!(self.time.map(time)),
            json!(self.raw),
            json!(self.d.map(|d| spelled(d, self.how))),
            json!(self.at),
            json!(self.l),
            json!(self.o.as_ref().map(|(x, t)| json!({"x": x, "t": t, "unknown": [1]}))),
            json!(self.m.as_ref().map(map)),
        ];
        let members = KINDS.iter().zip(values).filter(|(_, value)| self.how != 0 || !value.is_null());
        let members: Map<_, _> = members.map(|((name, _), value)| ((*name).to_owned(), value)).collect();
        let pretty = self.how == 1;
        let text =
            if pretty { serde_json::to_string_pretty(&members) } else { serde_json::to_string(&members) };
        text.unwrap().replace(&format!("\"{NUMBER}"), "").replace(&format!("{NUMBER}\""), "")
    }
}

/// The columns as they must be.
fn expected(events: &[Event]) -> Vec<ArrayRef> {
    let types = types();
    let decimals = |values: Vec<Option<i128>>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(20, 6).unwrap())
    };
    let of = |name: &str| {
        types.iter().find(|(known, _)| *known == name).map(|(_, data_type)| data_type.clone()).unwrap()
    };
    let DataType::List(element) = of("l") else { panic!("a list") };
    let lists: Vec<_> = events.iter().map(|event| event.l.clone().unwrap_or_default()).collect();
    let list = ListArray::new(
        element,
        OffsetBuffer::from_lengths(lists.iter().map(Vec::len)),
        Arc::new(Int64Array::from(lists.concat())),
        Some(NullBuffer::from_iter(events.iter().map(|event| event.l.is_some()))),
    );
    let DataType::Struct(fields) = of("o") else { panic!("a struct") };
    let xs: Int64Array = events.iter().map(|event| event.o.as_ref().and_then(|(x, _)| *x)).collect();
    let ts: StringArray = events.iter().map(|event| event.o.as_ref().and_then(|(_, t)| t.clone())).collect();
    let valid = NullBuffer::from_iter(events.iter().map(|event| event.o.is_some()));
    let object = StructArray::new(fields, vec![Arc::new(xs), Arc::new(ts)], Some(valid));
    let DataType::Map(entries, _) = of("m") else { panic!("a map") };
    let DataType::Struct(entry) = entries.data_type().clone() else { panic!("entries") };
    let maps: Vec<_> = events.iter().map(|event| event.m.clone().unwrap_or_default()).collect();
    let lengths = OffsetBuffer::from_lengths(maps.iter().map(Vec::len));
    let (keys, values): (Vec<_>, Vec<_>) =
        maps.concat().into_iter().map(|(key, value)| (key, Some(value))).unzip();
    let inner = StructArray::new(entry, vec![Arc::new(StringArray::from(keys)), decimals(values)], None);
    let valid = NullBuffer::from_iter(events.iter().map(|event| event.m.is_some()));
    let map = MapArray::new(entries, lengths, inner, Some(valid), false);
    let at = events.iter().map(|event| event.at.map(|at| at * 1000));
    vec![
        Arc::new(events.iter().map(|event| event.s.clone()).collect::<StringArray>()),
        Arc::new(events.iter().map(|event| event.i).collect::<Int32Array>()),
        Arc::new(events.iter().map(|event| event.n).collect::<Int64Array>()),
        Arc::new(events.iter().map(|event| event.f).collect::<Float32Array>()),
        Arc::new(events.iter().map(|event| event.g).collect::<Float64Array>()),
        Arc::new(events.iter().map(|event| event.b).collect::<BooleanArray>()),
        Arc::new(events.iter().map(|event| event.day).collect::<Date32Array>()),
        Arc::new(events.iter().map(|event| event.time).collect::<Time64MicrosecondArray>()),
        Arc::new(
            events.iter().map(|event| event.raw.as_ref().map(String::as_bytes)).collect::<BinaryArray>(),
        ),
        decimals(events.iter().map(|event| event.d).collect()),
        Arc::new(at.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Arc::new(list),
        Arc::new(object),
        Arc::new(map),
    ]
}

fn types() -> Vec<(&'static str, DataType)> {
    KINDS.iter().map(|(name, kind)| (*name, kind.parse::<Kind>().unwrap().data_type())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn decoding_gives_what_was_encoded(events in prop::collection::vec(event(), 1..12)) {
        let fields: Vec<_> = types().into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
        let schema = Schema::new(fields);
        let mut raw = RawBatch::new(0, 0);
        for (offset, event) in events.iter().enumerate() {
            raw.push(offset as i64, None, None, Some(event.text().as_bytes()));
        }
        let decoded = Json::new(&schema).decode(&raw).unwrap();
        prop_assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
        for ((column, field), expected) in decoded.batch.columns().iter().zip(schema.fields()).zip(expected(&events)) {
            let (made, misfits) = fit::column(column, field.data_type()).unwrap();
            prop_assert!(misfits.is_empty(), "{}: {misfits:?}", field.name());
            prop_assert_eq!(made.len(), events.len());
            // A map keeps the order of its keys as they were written, which is that of the test's.
            prop_assert_eq!(&made, &expected, "{}", field.name());
        }
    }
}
