//! Views that other programs create and change over the REST protocol.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::ViewUpdate;
use iceberg::spec::{Schema, ViewFormatVersion, ViewMetadata, ViewMetadataBuilder, ViewVersion};
use serde::Deserialize;

use crate::catalogs::Kind;
use crate::error::Result;
use crate::lake::Lake;
use crate::name::TableName;
use crate::view::{self, NextView};

/// Other writers of the same view that a change waits for.
const ATTEMPTS_MAX: usize = 8;

/// A view as a client asks for it; read from the JSON of the REST protocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ViewRequest {
    name: String,
    location: Option<String>,
    schema: Schema,
    view_version: ViewVersion,
    properties: Option<HashMap<String, String>>,
}

impl ViewRequest {
    /// The name inside the namespace.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What shall hold on a view, and what shall be done to it; read from the JSON of the REST protocol.
#[derive(Clone, Debug, Deserialize)]
pub struct ViewChange {
    #[serde(default)]
    requirements: Vec<ViewRequirement>,
    #[serde(default)]
    updates: Vec<ViewUpdate>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type")]
enum ViewRequirement {
    #[serde(rename = "assert-view-uuid")]
    Uuid { uuid: uuid::Uuid },
}

/// A view's state as other engines see it.
#[derive(Clone, Debug)]
pub struct ViewState {
    /// Where its metadata lies.
    pub metadata_location: String,
    /// The metadata.
    pub metadata: Arc<ViewMetadata>,
}

impl Lake {
    /// The state of a view; `None` when there is no such view.
    pub async fn view_state(&self, name: &TableName) -> Result<Option<ViewState>> {
        let entry = self.inner().catalog.entry(name).await?.filter(|entry| entry.kind == Kind::View);
        let Some(entry) = entry else { return Ok(None) };
        let metadata = view::state(self, &entry).await?;
        Ok(Some(ViewState { metadata_location: entry.location, metadata }))
    }

    /// Whether a table or view has this name.
    pub async fn is_taken(&self, name: &TableName) -> Result<bool> {
        Ok(self.inner().catalog.entry(name).await?.is_some())
    }

    /// Creates the view that a client asks for: `Ok(false)` inside when the name is taken, `Err` inside with
    /// the reason when the request makes no valid view.
    pub async fn create_view_requested(
        &self,
        name: &TableName,
        request: ViewRequest,
    ) -> Result<Result<bool, String>> {
        if self.is_taken(name).await? {
            return Ok(Ok(false));
        }
        let location = request.location.unwrap_or_else(|| self.inner().warehouse.location_of(name));
        if let Err(error) = self.object_path(&location) {
            return Ok(Err(error.to_string()));
        }
        let properties = request.properties.unwrap_or_default();
        let (version, schema) = (request.view_version, request.schema);
        let built = ViewMetadataBuilder::new(location, schema, version, ViewFormatVersion::V1, properties)
            .and_then(ViewMetadataBuilder::build);
        let built = match built {
            Ok(built) => built,
            Err(error) => return Ok(Err(error.message().to_owned())),
        };
        let next = NextView { metadata: built.metadata, updates: built.changes };
        view::publish(self, name, None, next).await.map(Ok)
    }

    /// Changes a view: `Err` inside with the reason when a requirement does not hold (`true`) or the updates
    /// make no valid view (`false`); `None` when there is no such view.
    pub async fn change_view(
        &self,
        name: &TableName,
        change: ViewChange,
    ) -> Result<Option<Result<ViewState, (bool, String)>>> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(base) = self.view_state(name).await? else { return Ok(None) };
            for ViewRequirement::Uuid { uuid } in &change.requirements {
                if *uuid != base.metadata.uuid() {
                    return Ok(Some(Err((true, "the view's uuid is another".to_owned()))));
                }
            }
            let next = match self.next_view(&base.metadata, &change.updates) {
                Ok(next) => next,
                Err(reason) => return Ok(Some(Err((false, reason)))),
            };
            if view::publish(self, name, Some(base.metadata_location), next).await? {
                return Ok(self.view_state(name).await?.map(Ok));
            }
        }
        Ok(Some(Err((true, "other writers changed the view meanwhile".to_owned()))))
    }

    fn next_view(&self, base: &ViewMetadata, updates: &[ViewUpdate]) -> Result<NextView, String> {
        let mut builder = base.clone().into_builder();
        for update in updates.iter().cloned() {
            let applied = match update {
                ViewUpdate::AssignUuid { uuid } => Ok(builder.assign_uuid(uuid)),
                ViewUpdate::UpgradeFormatVersion { format_version } => {
                    builder.upgrade_format_version(format_version)
                }
                ViewUpdate::AddSchema { schema, .. } => Ok(builder.add_schema(schema)),
                ViewUpdate::SetLocation { location } => {
                    self.object_path(&location).map_err(|error| error.to_string())?;
                    Ok(builder.set_location(location))
                }
                ViewUpdate::SetProperties { updates } => builder.set_properties(updates),
                ViewUpdate::RemoveProperties { removals } => Ok(builder.remove_properties(&removals)),
                ViewUpdate::AddViewVersion { view_version } => builder.add_version(view_version),
                ViewUpdate::SetCurrentViewVersion { view_version_id } => {
                    builder.set_current_version_id(view_version_id)
                }
            };
            builder = applied.map_err(|error| error.message().to_owned())?;
        }
        let built = builder.build().map_err(|error| error.message().to_owned())?;
        Ok(NextView { metadata: built.metadata, updates: built.changes })
    }
}
