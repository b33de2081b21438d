//! Any sequence of producer schemas, under each policy: a table's columns only grow, its types only widen, and a
//! value lands as the very value that it was, or its message is a dead letter.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Fields, Float32Type, Float64Type, Int32Type, Int64Type, Schema,
};
use serde_json::{Value, json};

use super::*;
use crate::evolve::widens;

/// The type of a field in a producer's schema.
#[derive(Clone, Debug)]
enum Shape {
    Int,
    Long,
    Float,
    Double,
    Text,
    /// With two places.
    Decimal(u8),
    Record(Vec<(&'static str, Shape)>),
    List(Box<Shape>),
}

/// A value without fields of its own.
#[derive(Clone, Debug, PartialEq)]
enum Leaf {
    Whole(i64),
    Float(f32),
    Double(f64),
    Text(&'static str),
    Cents(i64),
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = || {
        prop_oneof![
            Just(Shape::Int),
            Just(Shape::Long),
            Just(Shape::Float),
            Just(Shape::Double),
            Just(Shape::Text),
            Just(Shape::Decimal(5)),
            Just(Shape::Decimal(9)),
        ]
    };
    let record = (leaf(), prop::option::of(leaf())).prop_map(|(x, y)| {
        let fields = [("x", Some(x)), ("y", y)];
        Shape::Record(fields.into_iter().filter_map(|(name, shape)| Some((name, shape?))).collect())
    });
    prop_oneof![4 => leaf(), 1 => record, 1 => leaf().prop_map(|leaf| Shape::List(Box::new(leaf)))]
}

/// Fields by name, each with which of its type's values a message has.
type Message = Vec<(&'static str, Shape, usize)>;

fn message() -> impl Strategy<Value = Message> {
    let field = || prop::option::of((shape(), 0..6_usize));
    (field(), field(), field(), (shape(), 0..6_usize)).prop_map(|(a, b, c, (d, pick))| {
        let fields = [("a", a), ("b", b), ("c", c), ("d", Some((d, pick)))];
        fields
            .into_iter()
            .filter_map(|(name, field)| field.map(|(shape, pick)| (name, shape, pick)))
            .collect()
    })
}

impl Shape {
    fn avro(&self, count: &mut usize) -> Value {
        match self {
            Self::Int => json!("int"),
            Self::Long => json!("long"),
            Self::Float => json!("float"),
            Self::Double => json!("double"),
            Self::Text => json!("string"),
            Self::Decimal(precision) => {
                json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": 2})
            }
            Self::Record(fields) => {
                *count += 1;
                let name = format!("R{count}");
                let fields =
                    fields.iter().map(|(name, shape)| json!({"name": name, "type": shape.avro(count)}));
                json!({"type": "record", "name": name, "fields": fields.collect::<Vec<_>>()})
            }
            Self::List(element) => json!({"type": "array", "items": element.avro(count)}),
        }
    }

    /// Appends one of the type's values; notes what it holds, by path.
    fn encode(&self, pick: usize, path: &[&'static str], bytes: &mut Vec<u8>, held: &mut Vec<Held>) {
        let leaf = match self {
            Self::Int => Leaf::Whole([0, -1, 7, 16_777_217, i32::MAX.into(), i32::MIN.into()][pick]),
            Self::Long => Leaf::Whole([0, 7, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN][pick]),
            Self::Float => Leaf::Float([0.0, 0.5, -2.0, 0.1, 16_777_216.0, 1e30][pick]),
            Self::Double => Leaf::Double([0.0, 0.5, 0.1, 3.0, 9_007_199_254_740_992.0, 1e300][pick]),
            Self::Text => Leaf::Text(["", "7", "x", "0.5", "ä", "null"][pick]),
            Self::Decimal(5) => Leaf::Cents([0, 1, -150, 700, 99_999, -99_999][pick]),
            Self::Decimal(_) => Leaf::Cents([0, 1, -150, 700, 100_000, -999_999_999][pick]),
            Self::Record(fields) => {
                for (name, shape) in fields {
                    shape.encode(pick, &[path, &[name]].concat(), bytes, held);
                }
                return;
            }
            Self::List(element) => {
                bytes.push(2);
                element.encode(pick, &[path, &["element"]].concat(), bytes, held);
                bytes.push(0);
                return;
            }
        };
        match &leaf {
            Leaf::Whole(number) => bytes.extend(zigzag(*number)),
            Leaf::Float(number) => bytes.extend(number.to_le_bytes()),
            Leaf::Double(number) => bytes.extend(number.to_le_bytes()),
            Leaf::Text(text) => bytes.extend([&zigzag(text.len() as i64), text.as_bytes()].concat()),
            Leaf::Cents(cents) => bytes.extend([&zigzag(8), &cents.to_be_bytes()[..]].concat()),
        }
        held.push((path.to_vec(), leaf));
    }
}

/// Where a value stands, and what it is.
type Held = (Vec<&'static str>, Leaf);

fn zigzag(number: i64) -> Vec<u8> {
    corpus::varint(((number << 1) ^ (number >> 63)) as u64 as usize)
}

impl Leaf {
    /// Whether a column holds this very value in a row.
    fn is_in(&self, column: &ArrayRef, row: usize) -> bool {
        let number = match self {
            Self::Whole(whole) => *whole as f64,
            Self::Float(number) => f64::from(*number),
            Self::Double(number) => *number,
            Self::Cents(cents) => *cents as f64 / 100.0,
            Self::Text(text) => text.parse().unwrap_or(f64::NAN),
        };
        match column.data_type() {
            DataType::Utf8 => {
                let text = column.as_string::<i32>().value(row);
                match self {
                    Self::Text(own) => text == *own,
                    Self::Whole(whole) => text == whole.to_string(),
                    Self::Float(number) => text.parse() == Ok(*number),
                    Self::Double(_) | Self::Cents(_) => text.parse() == Ok(number),
                }
            }
            DataType::Int32 => self.is_whole(column.as_primitive::<Int32Type>().value(row).into(), number),
            DataType::Int64 => self.is_whole(column.as_primitive::<Int64Type>().value(row), number),
            DataType::Float32 => {
                self.is_float(column.as_primitive::<Float32Type>().value(row).into(), number)
            }
            DataType::Float64 => self.is_float(column.as_primitive::<Float64Type>().value(row), number),
            DataType::Decimal128(_, 2) => {
                let cents = column.as_primitive::<Decimal128Type>().value(row);
                match self {
                    Self::Cents(own) => cents == i128::from(*own),
                    Self::Whole(whole) => cents == i128::from(*whole) * 100,
                    // As with doubles: the decimal that reads back as the same number, 0.10 for a float of 0.1.
                    Self::Float(number) => (cents as f64 / 100.0) as f32 == *number,
                    _ => cents as f64 / 100.0 == number,
                }
            }
            other => panic!("no column was to be {other}"),
        }
    }

    fn is_whole(&self, held: i64, number: f64) -> bool {
        match self {
            Self::Whole(whole) => held == *whole,
            _ => held as f64 == number,
        }
    }

    /// Whether a column's float is the same number; of a decimal, the float that reads back as it.
    fn is_float(&self, held: f64, number: f64) -> bool {
        match self {
            Self::Whole(whole) => held.fract() == 0.0 && held as i128 == i128::from(*whole),
            Self::Cents(cents) => (held * 100.0).round() as i64 == *cents,
            _ => held == number,
        }
    }
}

/// The column at a path, and the row in it; nothing where there is none or it is null.
fn find(batch: &RecordBatch, row: usize, path: &[&str]) -> Option<(ArrayRef, usize)> {
    let (mut column, mut row) = (Arc::clone(batch.column_by_name(path.first()?)?), row);
    for name in &path[1..] {
        if column.is_null(row) {
            return None;
        }
        (column, row) = match column.data_type() {
            DataType::Struct(_) => (Arc::clone(column.as_struct().column_by_name(name)?), row),
            DataType::List(_) => {
                let list = column.as_list::<i32>();
                (Arc::clone(list.values()), list.value_offsets()[row] as usize)
            }
            _ => return None,
        };
    }
    column.is_valid(row).then_some((column, row))
}

fn is_nested(batch: &RecordBatch, name: &str) -> bool {
    batch.column_by_name(name).is_some_and(|column| column.data_type().is_nested())
}

/// Whether `new` has all that `old` has, in the same places and in types that hold the same values.
fn has_grown(old: &Fields, new: &Fields) -> bool {
    old.len() <= new.len()
        && old
            .iter()
            .zip(new)
            .all(|(old, new)| old.name() == new.name() && has_widened(old.data_type(), new.data_type()))
}

fn has_widened(old: &DataType, new: &DataType) -> bool {
    match (old, new) {
        (DataType::Struct(old), DataType::Struct(new)) => has_grown(old, new),
        (DataType::List(old), DataType::List(new)) => has_widened(old.data_type(), new.data_type()),
        (old, new) => old == new || widens(old, new),
    }
}

async fn land(policy: SchemaPolicy, messages: &[Message]) {
    let server = Server::default();
    for (id, message) in messages.iter().enumerate() {
        let mut count = 0;
        let fields =
            message.iter().map(|(name, shape, _)| json!({"name": name, "type": shape.avro(&mut count)}));
        let schema = json!({"type": "record", "name": "M", "fields": fields.collect::<Vec<_>>()});
        let answer = json!({"schema": schema.to_string()}).to_string();
        server.set(&format!("/schemas/ids/{id}"), &[(200, &answer)]);
    }
    let dir = tempfile::tempdir().unwrap();
    let route = format!("schema: {policy}\ncolumns: {{a: int, e: string}}");
    let bench = bench(dir.path(), topics("avro", &route), Some(lookup(&server).await)).await;
    let schema =
        async || -> Arc<Schema> { bench.lake.load(&fixtures::name("bronze.t")).await.unwrap().schema() };
    let mut before = schema().await;
    for (id, message) in messages.iter().enumerate() {
        let (mut bytes, mut held) = (vec![0, 0, 0, 0, id as u8], Vec::new());
        for (name, shape, pick) in message {
            shape.encode(*pick, &[name], &mut bytes, &mut held);
        }
        let batches = bench.routed(&[&bytes]).await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1, "one message is one row");
        let after = schema().await;
        assert!(has_grown(before.fields(), after.fields()), "{before:?} became {after:?}");
        assert!(policy == SchemaPolicy::Evolve || before == after, "{policy} changes no table");
        before = after;
        let batch = batches.iter().find(|batch| batch.num_rows() == 1).unwrap();
        if batch.column_by_name("cause").is_some() {
            continue;
        }
        let rest = batch.column_by_name("_rest").map(|rest| rest.as_string::<i32>().value(0).to_owned());
        let rest =
            rest.filter(|rest| !rest.is_empty()).map(|rest| serde_json::from_str::<Value>(&rest).unwrap());
        for (path, leaf) in &held {
            match find(batch, 0, path) {
                Some((column, row)) => {
                    assert!(leaf.is_in(&column, row), "{path:?}: {leaf:?} became {column:?}")
                }
                // Text is read as JSON where a column is nested.
                None if *leaf == Leaf::Text("null") && is_nested(batch, path[0]) => {}
                None => assert!(
                    rest.as_ref().is_some_and(|rest| rest.get(path[0]).is_some()),
                    "{policy}: {leaf:?} at {path:?} is nowhere"
                ),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn columns_only_grow_and_no_value_changes(messages in prop::collection::vec(message(), 2..7)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for policy in [SchemaPolicy::Evolve, SchemaPolicy::Keep, SchemaPolicy::Reject] {
            runtime.block_on(land(policy, &messages));
        }
    }
}
