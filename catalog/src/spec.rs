//! What a new table shall look like.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::schema::{to_arrow, to_iceberg};

/// The table property that names the model which owns a table: `<project>.<model>`.
pub const MODEL_PROPERTY: &str = "sluice.model";

/// Schema, partitioning, sort order and properties of a table to be created.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Columns by Arrow type. Field ids are assigned in order; unsigned integers, views and
    /// nanoseconds are widened or cut to what Iceberg v2 has.
    pub schema: SchemaRef,
    /// Hidden partitioning; empty for none.
    pub partition_by: Vec<PartitionBy>,
    /// How the rows of a file lie; empty for no order.
    pub sort_by: Vec<SortBy>,
    /// Iceberg table properties.
    pub properties: BTreeMap<String, String>,
}

impl TableSpec {
    /// An unpartitioned and unsorted table without properties.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, partition_by: Vec::new(), sort_by: Vec::new(), properties: BTreeMap::new() }
    }

    /// The columns as a table made from this will return them: what tells whether an existing table still fits.
    ///
    /// # Errors
    /// When a type has no counterpart in Iceberg, or two columns share a name.
    pub fn stored_schema(&self) -> Result<SchemaRef> {
        Ok(to_arrow(&to_iceberg(&self.schema)?))
    }
}

/// One partition field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBy {
    /// The source column.
    pub column: String,
    /// What is made of its value.
    pub transform: Transform,
}

/// One term of a sort order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortBy {
    /// The column, and what of its value is compared.
    pub by: PartitionBy,
    /// From the largest value to the smallest.
    pub descends: bool,
    /// Rows without a value come first.
    pub nulls_first: bool,
}

/// The transforms of the Iceberg specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// The value itself.
    Identity,
    /// Years since 1970.
    Year,
    /// Months since 1970-01.
    Month,
    /// Days since 1970-01-01.
    Day,
    /// Hours since 1970-01-01T00.
    Hour,
    /// A hash modulo this number.
    Bucket(u32),
    /// The first characters of a text, or the number rounded down to a multiple.
    Truncate(u32),
}
