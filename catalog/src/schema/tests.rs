//! Arrow to Iceberg and back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema as ArrowSchema, TimeUnit};
use iceberg::spec::{ListType, Literal, NestedField, PrimitiveType, Schema, StructType, Type};

use super::{check, to_arrow, to_iceberg};
use crate::create::first_metadata;
use crate::spec::TableSpec;
use crate::testing::name;

fn one_column(data_type: DataType) -> ArrowSchema {
    ArrowSchema::new(vec![Field::new("c", data_type, true)])
}

/// The Arrow type of a column after it went through Iceberg.
fn stored(data_type: DataType) -> DataType {
    to_arrow(&to_iceberg(&one_column(data_type)).unwrap()).field(0).data_type().clone()
}

#[test]
fn types_that_iceberg_has_come_back_as_they_are() {
    let types = [
        DataType::Boolean,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(38, 10),
        DataType::Date32,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(16),
    ];
    for data_type in types {
        assert_eq!(stored(data_type.clone()), data_type);
    }
}

#[test]
fn other_types_become_the_nearest_that_holds_them() {
    let micros = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let micros_utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let pairs = [
        (DataType::Int8, DataType::Int32),
        (DataType::UInt16, DataType::Int32),
        (DataType::UInt32, DataType::Int64),
        (DataType::UInt64, DataType::Int64),
        (DataType::Float16, DataType::Float32),
        (DataType::Decimal256(20, 2), DataType::Decimal128(20, 2)),
        (DataType::Decimal64(9, 0), DataType::Decimal128(9, 0)),
        (DataType::Date64, DataType::Date32),
        (DataType::Time32(TimeUnit::Second), DataType::Time64(TimeUnit::Microsecond)),
        (DataType::Time64(TimeUnit::Nanosecond), DataType::Time64(TimeUnit::Microsecond)),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), micros()),
        (DataType::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into())), micros_utc()),
        (DataType::Utf8View, DataType::Utf8),
        (DataType::LargeUtf8, DataType::Utf8),
        (DataType::BinaryView, DataType::Binary),
        (DataType::LargeBinary, DataType::Binary),
        (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), DataType::Utf8),
    ];
    for (given, expected) in pairs {
        assert_eq!(stored(given.clone()), expected, "{given}");
    }
    for list in [
        DataType::LargeList(item(DataType::UInt8)),
        DataType::ListView(item(DataType::UInt8)),
        DataType::FixedSizeList(item(DataType::UInt8), 3),
    ] {
        let DataType::List(element) = stored(list) else { panic!("not a list") };
        assert_eq!((element.name().as_str(), element.data_type()), ("element", &DataType::Int32));
    }
}

fn nested() -> ArrowSchema {
    let point = Fields::from(vec![
        Field::new("x", DataType::Float64, false),
        Field::new("tags", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))), true),
    ]);
    let entry = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Struct(point.clone()), true),
    ]);
    let entries = Arc::new(Field::new("key_value", DataType::Struct(entry), false));
    let described = Field::new("id", DataType::Int64, false);
    ArrowSchema::new(vec![
        described.with_metadata(HashMap::from([("doc".to_owned(), "who".to_owned())])),
        Field::new("at", DataType::Struct(point), true),
        Field::new("places", DataType::Map(entries, false), true),
        Field::new("last", DataType::Utf8, true),
    ])
}

#[test]
fn nested_columns_names_nulls_and_descriptions_survive() {
    let stored = to_arrow(&to_iceberg(&nested()).unwrap());
    let plain = |schema: &ArrowSchema| {
        let fields: Vec<_> =
            schema.fields().iter().map(|field| (field.name().clone(), field.is_nullable())).collect();
        fields
    };
    assert_eq!(plain(&stored), plain(&nested()));
    assert_eq!(stored.field(0).metadata()["doc"], "who");
    let DataType::Map(entries, _) = stored.field(2).data_type() else { panic!("not a map") };
    let DataType::Struct(entry) = entries.data_type() else { panic!("not entries") };
    assert!(!entry[0].is_nullable() && entry[1].is_nullable());
}

#[test]
fn field_ids_are_those_of_the_table() {
    let schema = Arc::new(nested());
    let table =
        first_metadata(&name("a.t"), "memory:///a/t".to_owned(), &TableSpec::new(schema.clone())).unwrap();
    let stored = to_arrow(table.current_schema());
    let ids: Vec<&str> =
        stored.fields().iter().map(|field| field.metadata()["PARQUET:field_id"].as_str()).collect();
    assert_eq!(ids, ["1", "2", "3", "4"]);
    assert_eq!(stored, to_arrow(&to_iceberg(&schema).unwrap()), "a schema is numbered as its table will be");
}

#[test]
fn what_has_no_counterpart_is_refused_with_the_columns_name() {
    let types = [
        DataType::Null,
        DataType::Duration(TimeUnit::Second),
        DataType::Interval(IntervalUnit::DayTime),
        DataType::Decimal256(60, 2),
        DataType::Decimal128(10, -2),
    ];
    for data_type in types {
        let field = Field::new("inner", data_type.clone(), true);
        let schema = one_column(DataType::Struct(vec![field].into()));
        let error = to_iceberg(&schema).unwrap_err().to_string();
        assert!(
            error.contains("column `c.inner`") && error.contains("cast the column"),
            "{data_type}: {error}"
        );
    }
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let field = Field::new("c", DataType::Int32, true);
    let error = to_iceberg(&ArrowSchema::new(vec![field.clone(), field])).unwrap_err().to_string();
    assert!(error.contains("give every column its own name"), "{error}");
}

#[test]
fn a_foreign_type_that_is_too_wide_is_refused() {
    let wide = Type::Primitive(PrimitiveType::Fixed(1 << 40));
    let schema =
        Schema::builder().with_fields([NestedField::optional(1, "blob", wide).into()]).build().unwrap();
    let error = check(&schema).unwrap_err().to_string();
    assert!(error.contains("column `blob`"), "{error}");
    check(&to_iceberg(&nested()).unwrap()).unwrap();
}

#[test]
fn a_default_for_older_rows_is_refused_where_it_is_no_single_value() {
    let long = || Type::Primitive(PrimitiveType::Long);
    let with = |inner: NestedField| {
        let outer = NestedField::optional(1, "outer", Type::Struct(StructType::new(vec![inner.into()])));
        Schema::builder().with_fields([outer.into()]).build().unwrap()
    };
    check(&with(NestedField::optional(2, "inner", long()).with_initial_default(Literal::long(7)))).unwrap();
    let list = Type::List(ListType::new(NestedField::list_element(3, long(), false).into()));
    let default = Literal::List(vec![Some(Literal::long(7))]);
    let error = check(&with(NestedField::optional(2, "inner", list).with_initial_default(default)));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("column `outer.inner`") && error.contains("default"), "{error}");
}
