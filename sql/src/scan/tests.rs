//! Groups, bounds and mappings by themselves.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use datafusion::scalar::ScalarValue;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, NestedField, PartitionSpec,
    PartitionSpecRef, PrimitiveType, Schema as IcebergSchema, Struct, Transform, Type,
};
use sluice_catalog::LiveFile;

use super::bounds::Columns;
use super::fields::FieldIds;
use super::groups::split;
use crate::types::FIELD_ID;

fn sizes(groups: &[datafusion::datasource::physical_plan::FileGroup]) -> Vec<u64> {
    groups.iter().map(|group| group.iter().map(PartitionedFile::effective_size).sum()).collect()
}

#[test]
fn one_big_file_is_cut_for_all_cores() {
    let groups = split(vec![PartitionedFile::new("a", 100 << 20)], 4, 10 << 20);
    assert_eq!(sizes(&groups), [25 << 20; 4]);
    let mut ends = 0;
    for group in &groups {
        let range = group.files()[0].range.as_ref().unwrap();
        assert_eq!(range.start, ends);
        ends = range.end;
    }
    assert_eq!(ends, 100 << 20);
}

#[test]
fn small_files_stay_whole_and_are_dealt_out() {
    let files: Vec<_> = [5, 1, 1, 3].map(|size| PartitionedFile::new("a", size)).into();
    let mut dealt = sizes(&split(files, 2, 10 << 20));
    dealt.sort_unstable();
    assert_eq!(dealt, [5, 5]);
    let many: Vec<_> = (0..100).map(|_| PartitionedFile::new("a", 1 << 30)).collect();
    let groups = split(many, 4, 10 << 20);
    assert_eq!(sizes(&groups), [25 << 30; 4]);
    assert!(groups.iter().flat_map(|group| group.iter()).all(|file| file.range.is_none()));
    assert_eq!(split(vec![PartitionedFile::new("a", 1)], 8, 1 << 20).len(), 1);
}

fn with_id(field: Field, id: i32) -> Field {
    field.with_metadata([(FIELD_ID.to_owned(), id.to_string())].into())
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn table() -> Schema {
    Schema::new(vec![
        with_id(Field::new("at", timestamp(), true), 1),
        with_id(Field::new("n", DataType::Int64, true), 2),
        with_id(Field::new("x", DataType::Float64, true), 3),
        with_id(Field::new("s", DataType::Utf8, true), 4),
    ])
}

fn spec(transform: Transform) -> PartitionSpecRef {
    let at = NestedField::optional(1, "at", Type::Primitive(PrimitiveType::Timestamptz));
    let schema = IcebergSchema::builder().with_fields([Arc::new(at)]).build().unwrap();
    let spec =
        PartitionSpec::builder(schema).with_spec_id(0).add_partition_field("at", "p", transform).unwrap();
    Arc::new(spec.build().unwrap())
}

fn live(build: impl FnOnce(&mut DataFileBuilder) -> &mut DataFileBuilder) -> LiveFile {
    let mut file = DataFileBuilder::default();
    file.content(DataContentType::Data)
        .file_path("memory:///f.parquet".into())
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(10)
        .file_size_in_bytes(100);
    build(&mut file);
    let data_file: DataFile = file.build().unwrap();
    LiveFile::new(Arc::new(data_file), 0, 1)
}

#[test]
fn bounds_are_widened_and_only_certain_ones_exact() {
    let columns = Columns::new(&table(), Vec::new());
    let file = live(|f| {
        f.lower_bounds([(2, Datum::int(1)), (4, Datum::string("a"))].into())
            .upper_bounds([(2, Datum::int(9)), (4, Datum::string("b"))].into())
    });
    let n = columns.bounds(&file, 1);
    assert_eq!((n.lower, n.upper, n.exact), (Some(1_i64.into()), Some(9_i64.into()), true));
    let s = columns.bounds(&file, 3);
    assert_eq!((s.lower, s.exact), (Some("a".into()), false));
    assert_eq!(columns.bounds(&file, 0).lower, None);
}

#[test]
fn doubles_have_bounds_only_without_nan() {
    let columns = Columns::new(&table(), Vec::new());
    let bounded = |nans: &[(i32, u64)]| {
        let nans = nans.iter().copied().collect();
        let file = live(|f| f.upper_bounds([(3, Datum::double(2.0))].into()).nan_value_counts(nans));
        columns.bounds(&file, 2).upper
    };
    assert_eq!(bounded(&[]), None);
    assert_eq!(bounded(&[(3, 1)]), None);
    assert_eq!(bounded(&[(3, 0)]), Some(2.0.into()));
}

#[test]
fn a_partition_bounds_its_source_column() {
    let span = |transform, value| {
        let columns = Columns::new(&table(), vec![spec(transform)]);
        let file = live(|f| f.partition(Struct::from_iter([Some(Literal::int(value))])));
        let bounds = columns.bounds(&file, 0);
        assert!(!bounds.exact);
        [bounds.lower, bounds.upper].map(|bound| match bound {
            Some(ScalarValue::TimestampMicrosecond(Some(at), _)) => {
                chrono::DateTime::from_timestamp_micros(at).unwrap().format("%F %T%.6f").to_string()
            }
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(span(Transform::Day, 1), ["1970-01-02 00:00:00.000000", "1970-01-02 23:59:59.999999"]);
    assert_eq!(span(Transform::Day, -1), ["1969-12-31 00:00:00.000000", "1969-12-31 23:59:59.999999"]);
    assert_eq!(span(Transform::Hour, 25), ["1970-01-02 01:00:00.000000", "1970-01-02 01:59:59.999999"]);
    assert_eq!(span(Transform::Month, 13), ["1971-02-01 00:00:00.000000", "1971-02-28 23:59:59.999999"]);
    assert_eq!(span(Transform::Month, -1), ["1969-12-01 00:00:00.000000", "1969-12-31 23:59:59.999999"]);
    assert_eq!(span(Transform::Year, 56), ["2026-01-01 00:00:00.000000", "2026-12-31 23:59:59.999999"]);
}

#[test]
fn null_counts_that_do_not_cover_the_file_are_ignored() {
    let columns = Columns::new(&table(), Vec::new());
    let counted = |values: u64, nulls: u64| {
        columns
            .nulls(&live(|f| f.value_counts([(2, values)].into()).null_value_counts([(2, nulls)].into())), 1)
    };
    assert_eq!(counted(10, 4), Some(4));
    assert_eq!(counted(7, 4), None);
    assert_eq!(counted(10, 11), None);
}

fn rewritten(table: Schema, file: Schema, column: Column) -> Result<String, String> {
    let mapping = FieldIds::of_schema(&table)
        .create(Arc::new(table), Arc::new(file))
        .map_err(|error| error.to_string())?;
    let column: Arc<dyn PhysicalExpr> = Arc::new(column);
    mapping.rewrite(column).map(|expr| expr.to_string()).map_err(|error| error.to_string())
}

#[test]
fn columns_are_named_as_in_the_file() {
    let file = Schema::new(vec![
        with_id(Field::new("n", DataType::Float64, true), 3),
        with_id(Field::new("old_n", DataType::Int64, true), 2),
    ]);
    let read = |name: &str, index| rewritten(table(), file.clone(), Column::new(name, index)).unwrap();
    assert_eq!(read("n", 1), "old_n@1");
    assert_eq!(read("x", 2), "n@0");
    assert_eq!(read("s", 3), "NULL");
}

#[test]
fn a_file_without_ids_is_not_read_by_guessing() {
    let file =
        Schema::new(vec![Field::new("s", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
    let refused = rewritten(table(), file, Column::new("n", 1)).unwrap_err();
    assert!(refused.contains("column `n`: the file has no field ids"), "{refused}");
}

#[test]
fn a_column_that_may_be_one_without_an_id_is_not_null() {
    let file = Schema::new(vec![
        with_id(Field::new("n", DataType::Int64, true), 2),
        Field::new("s", DataType::Utf8, true),
    ]);
    assert_eq!(rewritten(table(), file.clone(), Column::new("n", 1)).unwrap(), "n@0");
    let refused = rewritten(table(), file, Column::new("s", 3)).unwrap_err();
    assert!(refused.contains("`s` is not among the field ids"), "{refused}");
}

#[test]
fn what_is_nested_is_fitted_by_its_ids() {
    let of = |name: &str, data_type: DataType| {
        let inner = with_id(Field::new(name, data_type, true), 6);
        Schema::new(vec![with_id(Field::new("st", DataType::Struct(vec![inner].into()), true), 5)])
    };
    let read = |file| rewritten(of("same", DataType::Int64), file, Column::new("st", 0));
    assert_eq!(read(of("old", DataType::Int64)).unwrap(), "st@0 AS st");
    let list = DataType::List(Arc::new(Field::new("element", DataType::Int64, true)));
    let refused = read(of("old", list)).unwrap_err();
    assert!(refused.contains("column `st.same`: it is of type List"), "{refused}");
}
