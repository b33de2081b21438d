//! Views: a name, a query, a schema; stored as Iceberg view metadata beside the tables.
//!
//! ```text
//! View -> view metadata file (a new version of the old one, if any) -> row of type VIEW in the catalog
//! ```

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use iceberg::spec::{
    Schema, ViewFormatVersion, ViewMetadata, ViewMetadataBuilder, ViewRepresentation, ViewRepresentations,
    ViewVersion,
};
use iceberg::{NamespaceIdent, ViewUpdate};
use object_store::ObjectStoreExt;
use uuid::Uuid;

use crate::catalogs::{Change, Entry, Insert, Kind, State, Swap, SwapOutcome};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::name::TableName;
use crate::schema;
use crate::store::failed;

/// The dialect our queries are written in, as other engines read it.
const DIALECT: &str = "datafusion";

/// Other writers of the same view that a replacement waits for.
const ATTEMPTS_MAX: usize = 8;

/// A stored query.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name; shared with tables.
    pub name: TableName,
    /// The query in Sluice's SQL.
    pub sql: String,
    /// The columns it returned when it was created.
    pub schema: SchemaRef,
}

/// A state of a view before it is written.
pub(crate) struct NextView {
    pub(crate) metadata: ViewMetadata,
    /// How it came from the state before it.
    pub(crate) updates: Vec<ViewUpdate>,
}

/// Creates the view, or gives it a new version; one that is the same already is left alone.
pub(crate) async fn put(lake: &Lake, view: View, now: DateTime<Utc>) -> Result<()> {
    let schema = schema::to_iceberg(&view.schema)?;
    for _ in 0..ATTEMPTS_MAX {
        let base = match lake.inner().catalog.entry(&view.name).await? {
            Some(entry) if entry.kind == Kind::View => Some((state(lake, &entry).await?, entry.location)),
            Some(entry) => return Err(Error::NameTaken { name: view.name, by: entry.kind.noun() }),
            None => None,
        };
        if let Some((metadata, _)) = &base
            && sql(metadata) == Some(view.sql.as_str())
            && metadata.current_schema().as_struct() == schema.as_struct()
        {
            return Ok(());
        }
        let expected = base.as_ref().map(|(_, location)| location.clone());
        let next = next_version(lake, &view, schema.clone(), base.map(|(metadata, _)| metadata), now)?;
        if publish(lake, &view.name, expected, next).await? {
            return Ok(());
        }
    }
    Err(Error::File {
        subject: format!("view `{}`", view.name),
        fact: format!("other writers replaced it {ATTEMPTS_MAX} times meanwhile"),
        remedy: "let one program write it",
    })
}

/// The state that the catalog names.
pub(crate) async fn state(lake: &Lake, entry: &Entry) -> Result<Arc<ViewMetadata>> {
    match &entry.state {
        Some(State::View(metadata)) => Ok(metadata.clone()),
        _ => lake.view_metadata(&entry.location).await,
    }
}

/// Makes `next` the view's state; `false` when another writer was first.
pub(crate) async fn publish(
    lake: &Lake,
    name: &TableName,
    expected: Option<String>,
    next: NextView,
) -> Result<bool> {
    let catalog = &lake.inner().catalog;
    let new = match catalog.writes_metadata() {
        true => String::new(),
        false => write(lake, &next.metadata).await?,
    };
    let Some(expected) = expected else {
        let state = State::View(Arc::new(next.metadata));
        return Ok(catalog.insert(Insert { name: name.clone(), location: new, state }).await?.is_some());
    };
    let change = Change::View { updates: next.updates };
    match catalog.swap(&[Swap { table: name.clone(), expected, new: new.clone(), change }]).await? {
        SwapOutcome::Swapped(_) => Ok(true),
        SwapOutcome::Lost { .. } => Ok(false),
        SwapOutcome::Unknown(error) => match catalog.entry(name).await? {
            Some(entry) if entry.kind == Kind::View && entry.location == new => Ok(true),
            _ => Err(error),
        },
    }
}

/// The view of that name, if there is one.
pub(crate) async fn find(lake: &Lake, name: &TableName) -> Result<Option<View>> {
    let entry = lake.inner().catalog.entry(name).await?.filter(|entry| entry.kind == Kind::View);
    let Some(entry) = entry else { return Ok(None) };
    let metadata = state(lake, &entry).await?;
    let sql = sql(&metadata).ok_or_else(|| Error::File {
        subject: format!("view `{name}` ({})", entry.location),
        fact: format!("it has no query in the dialect `{DIALECT}`"),
        remedy: "query it with the engine that made it, or put the view again",
    })?;
    let schema = schema::to_arrow(metadata.current_schema());
    Ok(Some(View { name: name.clone(), sql: sql.to_owned(), schema }))
}

/// The query of the current version in our dialect.
fn sql(metadata: &ViewMetadata) -> Option<&str> {
    metadata.current_version().representations().iter().find_map(|representation| match representation {
        ViewRepresentation::Sql(query) if query.dialect.eq_ignore_ascii_case(DIALECT) => {
            Some(query.sql.as_str())
        }
        ViewRepresentation::Sql(_) => None,
    })
}

fn next_version(
    lake: &Lake,
    view: &View,
    schema: Schema,
    base: Option<Arc<ViewMetadata>>,
    now: DateTime<Utc>,
) -> Result<NextView> {
    let refused = |source: iceberg::Error| Error::Iceberg {
        subject: format!("view `{}`", view.name),
        source: Box::new(source),
    };
    let representations = serde_json::json!([{"type": "sql", "sql": view.sql, "dialect": DIALECT}]);
    let representations: ViewRepresentations =
        serde_json::from_value(representations).map_err(|error| refused(error.into()))?;
    let version = ViewVersion::builder()
        .with_version_id(1)
        .with_schema_id(schema.schema_id())
        .with_timestamp_ms(now.timestamp_millis())
        .with_default_namespace(NamespaceIdent::new(view.name.namespace().to_owned()))
        .with_representations(representations)
        .with_summary([("engine-name".to_owned(), "sluice".to_owned())].into())
        .build();
    let builder = match base {
        Some(base) => ViewMetadata::clone(&base).into_builder().set_current_version(version, schema),
        None => {
            let location = lake.inner().warehouse.location_of(&view.name);
            ViewMetadataBuilder::new(location, schema, version, ViewFormatVersion::V1, Default::default())
        }
    };
    let built = builder.and_then(ViewMetadataBuilder::build).map_err(refused)?;
    Ok(NextView { metadata: built.metadata, updates: built.changes })
}

/// Stores the metadata under a name that nobody else uses.
async fn write(lake: &Lake, metadata: &ViewMetadata) -> Result<String> {
    #[expect(clippy::disallowed_methods, reason = "only names a file; no result depends on it")]
    let unique = Uuid::new_v4();
    let version = metadata.current_version_id();
    let location = format!("{}/metadata/{version:05}-{unique}.metadata.json", metadata.location());
    let json = serde_json::to_vec(metadata).map_err(|error| Error::File {
        subject: location.clone(),
        fact: error.to_string(),
        remedy: "report this view's definition",
    })?;
    let path = lake.object_path(&location)?;
    let written = lake.inner().store.put(&path, json.into()).await;
    written.map(|_| location.clone()).map_err(|error| failed("write", &location, &error))
}

#[cfg(test)]
mod tests;
