//! The sort order: how the rows of files to come lie. Files that are there stay as they are.

use iceberg::TableUpdate;
use iceberg::spec::{NullOrder, Schema, SortDirection, SortField, SortOrder};

use super::{misfit, refused};
use crate::create::iceberg_transform;
use crate::error::Result;
use crate::name::TableName;
use crate::spec::SortBy;

/// The updates that make `by` the table's sort order; nothing makes the table unsorted.
pub(super) fn updates(table: &TableName, schema: &Schema, by: &[SortBy]) -> Result<Vec<TableUpdate>> {
    let sort_order = of(table, schema, by)?;
    // The unsorted order has a number of its own, which every table knows.
    let sort_order_id = if sort_order.is_unsorted() { sort_order.order_id } else { -1 };
    Ok(vec![TableUpdate::AddSortOrder { sort_order }, TableUpdate::SetDefaultSortOrder { sort_order_id }])
}

/// The sort order by these terms.
pub(crate) fn of(table: &TableName, schema: &Schema, by: &[SortBy]) -> Result<SortOrder> {
    let mut fields = Vec::with_capacity(by.len());
    for SortBy { by, descends, nulls_first } in by {
        let look = "look at the table's columns; the table was not changed";
        let column = schema.field_by_name(&by.column);
        let column = column.ok_or_else(|| refused(table, &by.column, "there is no such column", look))?;
        let direction = if *descends { SortDirection::Descending } else { SortDirection::Ascending };
        let null_order = if *nulls_first { NullOrder::First } else { NullOrder::Last };
        let (transform, _) = iceberg_transform(by.transform);
        fields.push(SortField { source_id: column.id, transform, direction, null_order });
    }
    let order = SortOrder::builder().with_fields(fields).build(schema);
    order.map_err(|source| misfit(table, &source))
}
