//! Partition values against the examples of the Iceberg specification, and the splitting of rows.

use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
use iceberg::spec::NestedField;

use super::*;

const HOUR: i64 = 3_600_000_000;

fn schema() -> Schema {
    let primitive = Type::Primitive;
    Schema::builder()
        .with_fields(vec![
            Arc::new(NestedField::optional(1, "id", primitive(PrimitiveType::Long))),
            Arc::new(NestedField::optional(2, "name", primitive(PrimitiveType::String))),
            Arc::new(NestedField::optional(3, "at", primitive(PrimitiveType::Timestamptz))),
        ])
        .build()
        .unwrap()
}

fn partitioner(fields: &[(&str, Transform)]) -> Partitioner {
    let schema = schema();
    let mut builder = PartitionSpec::builder(schema.clone());
    for (index, (column, transform)) in fields.iter().enumerate() {
        builder = builder.add_partition_field(*column, format!("{column}_{index}"), *transform).unwrap();
    }
    let table = TableName::new("bronze", "orders").unwrap();
    Partitioner::new(&table, &schema, &builder.build().unwrap()).unwrap()
}

fn batch(rows: &[(Option<i64>, Option<&str>, Option<i64>)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|row| row.0).collect();
    let names: StringArray = rows.iter().map(|row| row.1).collect();
    let at: TimestampMicrosecondArray = rows.iter().map(|row| row.2).collect();
    let columns: Vec<(&str, ArrayRef)> =
        vec![("id", Arc::new(ids)), ("name", Arc::new(names)), ("at", Arc::new(at.with_timezone("UTC")))];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn values(transform: Transform, micros: &[i64]) -> Vec<i32> {
    let rows: Vec<_> = micros.iter().map(|at| (None, None, Some(*at))).collect();
    let values = partitioner(&[("at", transform)]).values(&batch(&rows)).unwrap();
    match transform {
        Transform::Day => values[0].as_primitive::<arrow::datatypes::Date32Type>().values().to_vec(),
        _ => values[0].as_primitive::<arrow::datatypes::Int32Type>().values().to_vec(),
    }
}

#[test]
fn times_are_floored_on_both_sides_of_1970() {
    let day = 24 * HOUR;
    // The fourth is half a second before 1969-12-31: the day before it.
    let micros = [0, -1, -day, -day - 500_000, day - 1, 1_510_871_468_000_000];
    assert_eq!(values(Transform::Day, &micros), [0, -1, -1, -2, 0, 17_486]);
    assert_eq!(values(Transform::Hour, &micros), [0, -1, -24, -25, 23, 419_686]);
    assert_eq!(values(Transform::Month, &micros), [0, -1, -1, -1, 0, 574]);
    assert_eq!(values(Transform::Year, &micros), [0, -1, -1, -1, 0, 47]);
}

#[test]
fn buckets_are_the_hashes_of_the_specification() {
    // Hashes from the specification's appendix B: 34 -> 2017239379, "iceberg" -> 1210000089,
    // 2017-11-16T22:31:08+00:00 -> -2047944441.
    let split = partitioner(&[
        ("id", Transform::Bucket(1_000_000)),
        ("name", Transform::Bucket(1_000_000)),
        ("at", Transform::Bucket(1_000_000)),
    ]);
    let rows = batch(&[(Some(34), Some("iceberg"), Some(1_510_871_468_000_000))]);
    let partition = &split.split(&rows).unwrap()[0].0;
    let expected = [2_017_239_379, 1_210_000_089, -2_047_944_441 & i32::MAX];
    let expected = Struct::from_iter(expected.map(|hash| Some(Literal::int(hash % 1_000_000))));
    assert_eq!(partition, &expected);
}

#[test]
fn truncation_cuts_characters_and_rounds_down() {
    let split = partitioner(&[("id", Transform::Truncate(10)), ("name", Transform::Truncate(3))]);
    let partition = split.split(&batch(&[(Some(-1), Some("łódź"), None)])).unwrap().remove(0).0;
    assert_eq!(partition, Struct::from_iter([Some(Literal::long(-10)), Some(Literal::string("łód"))]));
}

#[test]
fn rows_keep_their_order_inside_partitions_and_null_is_one_of_them() {
    let split = partitioner(&[("name", Transform::Identity)]);
    let rows: Vec<_> =
        (0..9).map(|n| (Some(n), [Some("b"), None, Some("a")][n as usize % 3], None)).collect();
    let parts = split.split(&batch(&rows)).unwrap();
    let ids: Vec<_> = parts
        .iter()
        .map(|(_, rows)| rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec())
        .collect();
    assert_eq!(ids, [[0, 3, 6], [1, 4, 7], [2, 5, 8]]);
    let partitions: Vec<_> = parts.into_iter().map(|(partition, _)| partition).collect();
    let of = |name: Option<&str>| Struct::from_iter([name.map(Literal::string)]);
    assert_eq!(partitions, [of(Some("b")), of(None), of(Some("a"))]);
}

#[test]
fn no_rows_are_no_partitions() {
    assert!(partitioner(&[("id", Transform::Identity)]).split(&batch(&[])).unwrap().is_empty());
}

#[test]
fn folders_are_harmless_for_any_value() {
    let split = partitioner(&[("name", Transform::Identity), ("at", Transform::Day)]);
    let of =
        |name: &str| split.folder(&Struct::from_iter([Some(Literal::string(name)), Some(Literal::date(0))]));
    assert_eq!(of("eu-west"), "name_0=eu-west/at_1=1970-01-01/");
    assert_eq!(of("../../etc/passwd?%2e"), "name_0=.._.._etc_passwd__2e/at_1=1970-01-01/");
    assert_eq!(of(&"x".repeat(300)), format!("name_0={}/at_1=1970-01-01/", "x".repeat(64)));
    assert_eq!(split.folder(&Struct::from_iter([None, None])), "name_0=null/at_1=null/");
}

#[test]
fn a_timestamp_before_1970_has_a_folder_too() {
    let split = partitioner(&[("at", Transform::Identity)]);
    let of = |micros: i64| split.folder(&Struct::from_iter([Some(Literal::long(micros))]));
    assert_eq!(of(-2_208_988_800_500_000), "at_0=-2208988800500000/");
}
