//! All rows of a source in place of those of the table: one overwrite, or nothing when the rows are the same.
//!
//! Readers see the rows before or the rows after. New columns, and new types of old ones, come with the rows.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sluice_catalog::{Lake, Operation, StagedFiles, TableSpec, TableWriter, WriterSettings};

use super::content::Content;
use super::error::{Error, Result};
use super::state::{self, Found, State};
use super::{Attempt, Outcome, SyncJob, SyncReport};
use crate::pipeline::new_token;

/// Rows of a source as they come.
pub(super) type Batches<'a> = BoxStream<'a, Result<RecordBatch>>;

/// What is to be done with all rows of an answer.
pub(super) struct Replacement<'a> {
    pub(super) lake: &'a Lake,
    pub(super) job: &'a SyncJob,
    pub(super) found: &'a Found,
    pub(super) schema: SchemaRef,
    pub(super) allow_empty: bool,
    pub(super) dry_run: bool,
    /// What to remember besides.
    pub(super) state: State,
}

impl Replacement<'_> {
    pub(super) async fn run(self, batches: Batches<'_>) -> Result<Attempt> {
        if self.dry_run {
            return self.only_look(batches).await;
        }
        let spec = TableSpec::new(self.schema.clone());
        let Some(target) = state::target(self.lake, self.job, self.found, spec).await? else {
            return Ok(Attempt::Moved("another run made the table".to_owned()));
        };
        let done = self.write(&target, batches).await;
        if !matches!(&done, Ok(Attempt::Done(_))) {
            target.take_back(self.lake, self.job).await;
        }
        done
    }

    async fn only_look(&self, mut batches: Batches<'_>) -> Result<Attempt> {
        let mut content = Content::new(&self.schema)?;
        while let Some(batch) = batches.try_next().await? {
            content.add(&batch)?;
        }
        self.check_empty(&content)?;
        Ok(Attempt::Done(self.report(&content)))
    }

    async fn write(&self, target: &state::Target, batches: Batches<'_>) -> Result<Attempt> {
        let spec = TableSpec::new(self.schema.clone());
        let same = same_columns(&target.table.schema(), &spec.stored_schema()?);
        let table = if same { target.table.clone() } else { target.table.redefined(&spec)? };
        let token = new_token();
        let writer = TableWriter::new(self.lake, &table, token, WriterSettings::default())?;
        let (content, staged) = stage(writer, &self.schema, batches).await?;
        let report = self.report(&content);
        if let Err(error) = self.check_empty(&content) {
            staged.discard(self.lake).await;
            return Err(error);
        }
        if report.outcome == Outcome::Unchanged {
            staged.discard(self.lake).await;
            return Ok(Attempt::Done(report));
        }
        let state = State { content: Some(content.fingerprint()), ..self.state.clone() };
        let operation = Operation::Overwrite { read_snapshot: target.table.snapshot_id() };
        state::commit(self.lake, self.job, &target.table, (operation, Some(staged), token), state, report)
            .await
    }

    fn report(&self, content: &Content) -> SyncReport {
        let known = self.found.state.as_ref().and_then(|state| state.content.as_ref());
        let same = self.found.untouched && known == Some(&content.fingerprint());
        let (outcome, written) =
            if same { (Outcome::Unchanged, 0) } else { (Outcome::Replaced, content.count()) };
        SyncReport { outcome, read: content.count(), written, ..self.job.report() }
    }

    fn check_empty(&self, content: &Content) -> Result<()> {
        match content.count() > 0 || self.allow_empty {
            true => Ok(()),
            false => Err(no_rows(&self.job.name)),
        }
    }
}

/// A source that is empty is more often broken than empty.
pub(super) fn no_rows(sync: &str) -> Error {
    Error::content(sync, "the source has no rows", "look at the source, or say `allow_empty: true`")
}

/// Writes all batches; gives their fingerprint and files that no table has yet.
async fn stage(
    mut writer: TableWriter,
    schema: &SchemaRef,
    mut batches: Batches<'_>,
) -> Result<(Content, StagedFiles)> {
    let mut content = Content::new(schema)?;
    loop {
        let written = match batches.next().await {
            None => break,
            Some(Ok(batch)) => match content.add(&batch) {
                Ok(()) => writer.write(batch).await.map_err(Error::from),
                Err(error) => Err(error.into()),
            },
            Some(Err(error)) => Err(error),
        };
        if let Err(error) = written {
            writer.abort().await;
            return Err(error);
        }
    }
    Ok((content, writer.finish().await?))
}

/// Whether a table's columns are these, in this order.
fn same_columns(table: &SchemaRef, wanted: &SchemaRef) -> bool {
    let shape = |schema: &SchemaRef| -> Vec<_> {
        schema.fields().iter().map(|field| (field.name().clone(), plain(field.data_type()))).collect()
    };
    shape(table) == shape(wanted)
}

/// A type without the ids and names of what is inside.
pub(super) fn plain(data_type: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType;
    match data_type {
        DataType::List(element) => format!("list<{}>", plain(element.data_type())),
        DataType::Struct(fields) => {
            let fields =
                fields.iter().map(|field| format!("{:?} {}", field.name(), plain(field.data_type())));
            format!("struct<{}>", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
