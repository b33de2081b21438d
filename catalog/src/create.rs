//! The first state of a table: its schema, partitioning, sort order and properties as Iceberg metadata, format v2.

use std::collections::HashMap;

use iceberg::TableCreation;
use iceberg::spec::{
    FormatVersion, Schema, TableMetadata, TableMetadataBuilder, Transform as IcebergTransform,
    UnboundPartitionSpec, UnboundPartitionSpecBuilder,
};

use crate::alter::order;
use crate::error::{Error, Result};
use crate::name::TableName;
use crate::schema;
use crate::spec::{PartitionBy, TableSpec, Transform};

/// Properties of a new table unless the caller says otherwise.
///
/// Engines that write to the table later read them too. The old metadata files are kept to a hundred, because a
/// table that takes a commit every ten seconds would else fill the store with them.
const DEFAULT_PROPERTIES: [(&str, &str); 4] = [
    ("write.parquet.compression-codec", "zstd"),
    ("write.target-file-size-bytes", "134217728"),
    ("write.metadata.delete-after-commit.enabled", "true"),
    ("write.metadata.previous-versions-max", "100"),
];

/// The metadata of a new, empty table at `location`.
///
/// # Errors
/// When a column type has no counterpart, or a partition field names no column or does not fit its type.
pub(crate) fn first_metadata(table: &TableName, location: String, spec: &TableSpec) -> Result<TableMetadata> {
    let schema = schema::to_iceberg(&spec.schema)?;
    let partition_spec = partition_spec(table, &schema, &spec.partition_by)?;
    let defaults = DEFAULT_PROPERTIES.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut properties: HashMap<String, String> = defaults.collect();
    properties.extend(spec.properties.clone());
    let creation = TableCreation::builder()
        .name(table.name().to_owned())
        .location(location)
        .schema(schema)
        .partition_spec(partition_spec)
        .sort_order(order::of(table, &schema::to_iceberg(&spec.schema)?, &spec.sort_by)?)
        .properties(properties)
        .format_version(FormatVersion::V2)
        .build();
    let built = TableMetadataBuilder::from_table_creation(creation).and_then(TableMetadataBuilder::build);
    built.map(|built| built.metadata).map_err(|source| Error::Schema {
        subject: format!("table `{table}`"),
        fact: source.message().to_owned(),
        remedy: "correct its columns, partitioning or properties",
    })
}

/// The partition spec by these fields, not yet bound to the schema.
pub(crate) fn partition_spec(
    table: &TableName,
    schema: &Schema,
    fields: &[PartitionBy],
) -> Result<UnboundPartitionSpec> {
    let refused = |column: &str, fact: String| Error::Schema {
        subject: format!("partitioning of `{table}` by `{column}`"),
        fact,
        remedy: "choose a column of the table and a transform that takes its type",
    };
    fields
        .iter()
        .try_fold(UnboundPartitionSpec::builder(), |builder: UnboundPartitionSpecBuilder, field| {
            let column = schema.field_by_name(&field.column);
            let column =
                column.ok_or_else(|| refused(&field.column, "there is no such column".to_owned()))?;
            let (transform, suffix) = iceberg_transform(field.transform);
            builder
                .add_partition_field(column.id, format!("{}{suffix}", field.column), transform)
                .map_err(|source| refused(&field.column, source.message().to_owned()))
        })
        .map(UnboundPartitionSpecBuilder::build)
}

/// The transform and what the other engines append to the column's name for it.
pub(crate) fn iceberg_transform(transform: Transform) -> (IcebergTransform, &'static str) {
    match transform {
        Transform::Identity => (IcebergTransform::Identity, ""),
        Transform::Year => (IcebergTransform::Year, "_year"),
        Transform::Month => (IcebergTransform::Month, "_month"),
        Transform::Day => (IcebergTransform::Day, "_day"),
        Transform::Hour => (IcebergTransform::Hour, "_hour"),
        Transform::Bucket(buckets) => (IcebergTransform::Bucket(buckets), "_bucket"),
        Transform::Truncate(width) => (IcebergTransform::Truncate(width), "_trunc"),
    }
}
