//! Alterations on a schema with everything in it: what they make, what they refuse, which ids they give.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema};
use iceberg::spec::{TableMetadata, Type};

use super::*;
use crate::create::first_metadata;
use crate::fixture::name;
use crate::spec::{PartitionBy, Transform};

fn base() -> TableMetadata {
    let inner =
        Fields::from(vec![Field::new("x", DataType::Int32, false), Field::new("y", DataType::Float32, true)]);
    let element = Field::new("element", DataType::Struct(inner.clone()), true);
    let schema = ArrowSchema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("status", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(9, 2), true),
        Field::new("point", DataType::Struct(inner), true),
        Field::new("points", DataType::List(Arc::new(element)), true),
        Field::new("day", DataType::Date32, true),
    ]);
    let mut spec = TableSpec::new(Arc::new(schema));
    spec.partition_by = vec![
        PartitionBy { column: "status".to_owned(), transform: Transform::Identity },
        PartitionBy { column: "id".to_owned(), transform: Transform::Bucket(4) },
    ];
    first_metadata(&name("t"), "memory:///t".to_owned(), &spec).unwrap()
}

fn altered(base: &TableMetadata, wanted: &[Alteration]) -> Result<TableMetadata> {
    let mut builder = base.clone().into_builder(None);
    for update in updates(&name("t"), base, wanted)? {
        builder = update.apply(builder).map_err(|source| misfit(&name("t"), &source))?;
    }
    Ok(builder.build().map_err(|source| misfit(&name("t"), &source))?.metadata)
}

fn column(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

fn add(path: &str, data_type: DataType, position: Position) -> Alteration {
    Alteration::AddColumn { column: column(path), data_type, doc: None, position }
}

/// Names and ids of the columns at the top, or inside one.
fn names(metadata: &TableMetadata) -> Vec<(String, i32)> {
    let fields = metadata.current_schema().as_struct().fields().to_vec();
    fields.iter().map(|field| (field.name.clone(), field.id)).collect()
}

fn field_type(metadata: &TableMetadata, path: &str) -> Type {
    metadata.current_schema().field_by_name(path).unwrap().field_type.as_ref().clone()
}

fn refuses(alteration: Alteration, part: &str) {
    let error = altered(&base(), &[alteration]).unwrap_err().to_string();
    assert!(error.contains(part), "{part}: {error}");
}

#[test]
fn columns_are_added_where_they_shall_be_and_get_new_ids() {
    let base = base();
    let last = base.last_column_id();
    let next = altered(
        &base,
        &[
            add("first", DataType::Utf8, Position::First),
            add("after", DataType::Int64, Position::After("id".to_owned())),
            add("point.z", DataType::Float64, Position::First),
            add("points.element.z", DataType::Float64, Position::Last),
        ],
    )
    .unwrap();
    let top: Vec<_> = names(&next).into_iter().take(3).collect();
    assert_eq!(top, [("first".to_owned(), last + 1), ("id".to_owned(), 1), ("after".to_owned(), last + 2)]);
    assert_eq!(next.current_schema().field_by_name("point.z").unwrap().id, last + 3);
    assert_eq!(next.current_schema().field_by_name("points.element.z").unwrap().id, last + 4);
    assert!(!next.current_schema().field_by_name("point.z").unwrap().required);
    assert_eq!(next.last_column_id(), last + 4);
    refuses(add("ID", DataType::Utf8, Position::Last), "of that name");
    refuses(add("id.x", DataType::Utf8, Position::Last), "no struct");
    refuses(add("nowhere.x", DataType::Utf8, Position::Last), "no such column");
    refuses(add("points.x", DataType::Utf8, Position::Last), "lists and maps");
    refuses(add("x", DataType::Utf8, Position::After("nowhere".to_owned())), "does not exist");
}

#[test]
fn a_dropped_column_that_comes_back_is_another_one() {
    let base = base();
    let dropped = altered(&base, &[Alteration::DropColumn { column: column("price") }]).unwrap();
    assert!(dropped.current_schema().field_by_name("price").is_none());
    let again = altered(&dropped, &[add("price", DataType::Decimal128(9, 2), Position::Last)]).unwrap();
    let id = |metadata: &TableMetadata| metadata.current_schema().field_by_name("price").unwrap().id;
    assert_eq!(id(&again), base.last_column_id() + 1);
    assert_ne!(id(&again), id(&base));
    refuses(Alteration::DropColumn { column: column("status") }, "split by its values");
    refuses(Alteration::DropColumn { column: column("points.element") }, "only column");
}

#[test]
fn names_and_places_change_and_ids_stay() {
    let rename = |from: &str, to: &str| Alteration::RenameColumn { column: column(from), to: to.to_owned() };
    let to = Position::First;
    let next = altered(
        &base(),
        &[
            rename("status", "state"),
            rename("points.element.x", "u"),
            Alteration::MoveColumn { column: column("day"), position: to },
            Alteration::MakeOptional { column: column("id") },
        ],
    )
    .unwrap();
    assert_eq!(names(&next)[..3], [("day".to_owned(), 6), ("id".to_owned(), 1), ("state".to_owned(), 2)]);
    assert!(next.current_schema().field_by_name("points.element.u").is_some());
    assert!(!next.current_schema().field_by_name("id").unwrap().required);
    refuses(rename("status", "price"), "of the new name");
    refuses(rename("points.element", "e"), "lists and maps");
}

#[test]
fn types_grow_and_never_shrink() {
    let widen = |path: &str, to: DataType| Alteration::WidenColumn { column: column(path), to };
    let next = altered(
        &base(),
        &[
            widen("id", DataType::Int64),
            widen("price", DataType::Decimal128(12, 2)),
            widen("point.y", DataType::Float64),
        ],
    )
    .unwrap();
    assert_eq!(field_type(&next, "id").to_string(), "long");
    assert_eq!(field_type(&next, "price").to_string(), "decimal(12, 2)");
    assert_eq!(field_type(&next, "point.y").to_string(), "double");
    refuses(widen("price", DataType::Decimal128(8, 2)), "cannot hold");
    refuses(widen("price", DataType::Decimal128(12, 3)), "cannot hold");
    refuses(widen("day", DataType::Utf8), "cannot hold");
    let by = PartitionBy { column: "id".to_owned(), transform: Transform::Identity };
    let split = altered(&base(), &[Alteration::AddPartitionField(by)]).unwrap();
    let error = altered(&split, &[widen("id", DataType::Int64)]).unwrap_err().to_string();
    assert!(error.contains("split by its values"), "{error}");
}

#[test]
fn partition_fields_come_and_go_and_keep_their_ids() {
    let base = base();
    let by = PartitionBy { column: "day".to_owned(), transform: Transform::Month };
    let next = altered(
        &base,
        &[
            Alteration::AddPartitionField(by.clone()),
            Alteration::DropPartitionField { field: "status".to_owned() },
            Alteration::RenamePartitionField { field: "id_bucket".to_owned(), to: "shard".to_owned() },
        ],
    )
    .unwrap();
    let fields = |metadata: &TableMetadata| {
        let spec = metadata.default_partition_spec().clone();
        spec.fields().iter().map(|field| (field.name.clone(), field.field_id)).collect::<Vec<_>>()
    };
    assert_eq!(fields(&next), [("shard".to_owned(), 1001), ("day_month".to_owned(), 1002)]);
    assert_eq!(next.partition_specs_iter().len(), 2);
    let status = PartitionBy { column: "status".to_owned(), transform: Transform::Identity };
    let again = altered(&next, &[Alteration::AddPartitionField(status.clone())]).unwrap();
    assert_eq!(fields(&again)[2], ("status".to_owned(), 1000));
    refuses(Alteration::AddPartitionField(status), "there is such");
    refuses(Alteration::DropPartitionField { field: "x".to_owned() }, "no such partition field");
    let by = PartitionBy { column: "price".to_owned(), transform: Transform::Month };
    assert!(altered(&base, &[Alteration::AddPartitionField(by)]).is_err());
}

#[test]
fn properties_are_set_and_removed_but_for_those_of_sluice() {
    let set = |key: &str| Alteration::SetProperty { key: key.to_owned(), value: "1".to_owned() };
    let unset = |key: &str| Alteration::UnsetProperty { key: key.to_owned() };
    let next = altered(&base(), &[set("a"), set("b"), unset("a"), unset("c")]).unwrap();
    assert_eq!(next.properties().get("b").map(String::as_str), Some("1"));
    assert!(!next.properties().contains_key("a"));
    refuses(set("sluice.offsets.x"), "kept by sluice");
    refuses(unset("sluice.commit"), "kept by sluice");
    let set =
        |key: &str, value: &str| Alteration::SetProperty { key: key.to_owned(), value: value.to_owned() };
    let next = altered(&base(), &[set("sluice.maintain.max-snapshots", "9")]).unwrap();
    assert_eq!(next.properties()["sluice.maintain.max-snapshots"], "9");
    refuses(set("sluice.maintain.max-snapshots", "many"), "cannot be read");
    refuses(set("sluice.maintain.max-snapshot", "9"), "sluice.maintain.max-snapshots,");
    assert!(altered(&next, &[unset("sluice.maintain.max-snapshots")]).is_ok());
}
