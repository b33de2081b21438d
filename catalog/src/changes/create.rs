//! Tables that other programs create: at once, or staged by the client and created by its first commit.
//!
//! A staged creation leaves nothing in the catalog. The client sends the whole state as updates, together with
//! the requirement that the table does not exist.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use iceberg::spec::{
    FormatVersion, Schema, SortOrder, TableMetadata, TableMetadataBuilder, UnboundPartitionSpec,
};
use iceberg::{TableRequirement, TableUpdate};
use serde::Deserialize;

use super::{ChangeOutcome, TableChange, apply, guard, refused, words};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::name::TableName;
use crate::snapshot::TableSnapshot;

/// Says which version a client wants; a wish, never a property of the table.
const FORMAT_VERSION: &str = "format-version";

/// A table as a client asks for it; read from the JSON of the REST protocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TableRequest {
    name: String,
    location: Option<String>,
    schema: Schema,
    partition_spec: Option<UnboundPartitionSpec>,
    write_order: Option<SortOrder>,
    stage_create: Option<bool>,
    properties: Option<HashMap<String, String>>,
}

impl TableRequest {
    /// The name inside the namespace.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// How a request for a table ended.
#[derive(Debug)]
#[must_use]
pub enum Requested {
    /// The table exists now.
    Created(TableSnapshot),
    /// The state that the client will commit; nothing was created.
    Staged(Box<TableMetadata>),
    /// A table or view of that name exists.
    Taken,
    /// The request makes no valid table.
    Refused {
        /// What is wrong with it.
        reason: String,
    },
}

impl Lake {
    /// Creates the table that a client asks for, or says how it would look.
    ///
    /// # Errors
    /// When the store or the catalog failed; then nothing was created, or nobody knows.
    pub async fn create_requested(
        &self,
        table: &TableName,
        request: TableRequest,
        now: DateTime<Utc>,
    ) -> Result<Requested> {
        if self.inner().catalog.entry(table).await?.is_some() {
            return Ok(Requested::Taken);
        }
        let stage = request.stage_create == Some(true);
        let metadata = match first_state(self, table, request, now) {
            Ok(metadata) => metadata,
            Err(ChangeOutcome::Refused { reason } | ChangeOutcome::Conflict { reason }) => {
                return Ok(Requested::Refused { reason });
            }
            Err(_) => return Ok(Requested::Taken),
        };
        if stage {
            return Ok(Requested::Staged(Box::new(metadata)));
        }
        Ok(match self.insert_table(table, metadata).await? {
            Some(created) => Requested::Created(created),
            None => Requested::Taken,
        })
    }
}

fn first_state(
    lake: &Lake,
    table: &TableName,
    request: TableRequest,
    now: DateTime<Utc>,
) -> Result<TableMetadata, ChangeOutcome> {
    let location = request.location.unwrap_or_else(|| lake.inner().warehouse.location_of(table));
    lake.object_path(&location).map_err(|error| refused(error.to_string()))?;
    let mut properties = request.properties.unwrap_or_default();
    let version = match properties.remove(FORMAT_VERSION).as_deref() {
        None | Some("2") => FormatVersion::V2,
        Some("1") => FormatVersion::V1,
        Some("3") => FormatVersion::V3,
        Some(other) => return Err(refused(format!("format version {other} is not known"))),
    };
    guard::paths(lake, properties.iter())?;
    let spec = request.partition_spec.unwrap_or_else(|| UnboundPartitionSpec::builder().build());
    let order = request.write_order.unwrap_or_else(SortOrder::unsorted_order);
    TableMetadataBuilder::new(request.schema, spec, order, location, version, properties)
        .and_then(TableMetadataBuilder::build)
        .map_err(|error| refused(words(&error)))
        .and_then(|built| {
            apply::at(built.metadata, now.timestamp_millis()).map_err(|error| refused(error.to_string()))
        })
}

/// Creates the table that a change describes from nothing.
pub(super) async fn commit(
    lake: &Lake,
    table: &TableName,
    change: &TableChange,
    now: DateTime<Utc>,
) -> Result<ChangeOutcome> {
    if let Some(existing) = lake.inner().catalog.entry(table).await? {
        if let Ok(existing) = lake.pin(table, existing).await
            && apply::landed(existing.metadata(), &change.updates)
        {
            return Ok(ChangeOutcome::Applied(vec![existing]));
        }
        return Ok(exists(table));
    }
    let unmet = change.requirements.iter().find_map(|requirement| match requirement {
        TableRequirement::NotExist => None,
        other => other.check(None).err(),
    });
    if let Some(unmet) = unmet {
        return Ok(ChangeOutcome::Conflict { reason: words(&unmet) });
    }
    if let Err(outcome) = guard::locations(lake, &change.updates) {
        return Ok(outcome);
    }
    let metadata = match from_updates(lake, table, &change.updates, now) {
        Ok(metadata) => metadata,
        Err(outcome) => return Ok(outcome),
    };
    match lake.insert_table(table, metadata).await {
        Ok(Some(created)) => Ok(ChangeOutcome::Applied(vec![created])),
        Ok(None) => Ok(exists(table)),
        Err(error @ Error::Catalog { .. }) => Ok(ChangeOutcome::Unknown(error)),
        Err(error) => Err(error),
    }
}

fn exists(table: &TableName) -> ChangeOutcome {
    ChangeOutcome::Conflict { reason: format!("{table} exists already") }
}

/// The state that updates describe from nothing: the first of each part makes the table, then all are applied.
fn from_updates(
    lake: &Lake,
    table: &TableName,
    updates: &[TableUpdate],
    now: DateTime<Utc>,
) -> Result<TableMetadata, ChangeOutcome> {
    let (mut schema, mut spec, mut order, mut location) = (None, None, None, None);
    let mut version = FormatVersion::V2;
    for update in updates {
        match update {
            TableUpdate::AddSchema { schema: first } => schema = schema.or(Some(first)),
            TableUpdate::AddSpec { spec: first } => spec = spec.or(Some(first)),
            TableUpdate::AddSortOrder { sort_order: first } => order = order.or(Some(first)),
            TableUpdate::SetLocation { location: first } => location = location.or(Some(first)),
            TableUpdate::UpgradeFormatVersion { format_version } => version = *format_version,
            _ => {}
        }
    }
    let schema = schema.ok_or_else(|| refused("a new table needs a schema".to_owned()))?;
    let location = location.cloned().unwrap_or_else(|| lake.inner().warehouse.location_of(table));
    let mut builder = TableMetadataBuilder::new(
        schema.clone(),
        spec.cloned().unwrap_or_else(|| UnboundPartitionSpec::builder().build()),
        order.cloned().unwrap_or_else(SortOrder::unsorted_order),
        location,
        version,
        HashMap::new(),
    )
    .map_err(|error| refused(words(&error)))?;
    for update in updates {
        builder = update.clone().apply(builder).map_err(|error| refused(words(&error)))?;
    }
    let built = builder.build().map_err(|error| refused(words(&error)))?;
    let time = built.metadata.last_updated_ms();
    let brings_time = updates.iter().any(|update| matches!(update, TableUpdate::AddSnapshot { .. }));
    let time = if brings_time { time } else { now.timestamp_millis() };
    apply::at(built.metadata, time).map_err(|error| refused(error.to_string()))
}
