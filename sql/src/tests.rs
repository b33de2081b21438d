//! Statements over a lake in memory with real files: written by the catalog's own writer, read by this crate.

mod changed_schemas;
mod changes;
mod compacted;
mod cut_short;
mod damaged;
mod deleted;
mod foreign_schemas;
mod hostile;
mod pruning;
mod quality;
mod readings;
mod statements;
mod streamed;
mod versions;
mod views;
mod writes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use sluice_catalog::{
    CatalogSettings, Commit, CommitOutcome, Created, Lake, LakeSettings, Operation, PartitionBy, S3Settings,
    StagedFiles, TableName, TableSnapshot, TableSpec, TableWriter, View, WriterSettings,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Engine, EngineSettings, Error, Session};

/// A lake that goes away with the test: catalog in a temporary file, objects in memory.
pub(crate) struct TestLake {
    lake: Lake,
    engine: Engine,
    /// Counts writers and commits, which need names of their own.
    tokens: AtomicU64,
    _dir: TempDir,
}

impl TestLake {
    pub(crate) async fn new() -> Self {
        Self::with(EngineSettings { target_partitions: 2, ..EngineSettings::default() }).await
    }

    async fn with(settings: EngineSettings) -> Self {
        let dir = TempDir::new().unwrap();
        let lake = Lake::open(LakeSettings {
            name: "sluice".into(),
            catalog: CatalogSettings::Sqlite { path: dir.path().join("catalog.db") },
            warehouse: "memory:///warehouse".into(),
            s3: S3Settings::default(),
            upgrade_catalog: false,
        })
        .await
        .unwrap();
        let engine = Engine::new(lake.clone(), settings).unwrap();
        Self { lake, engine, tokens: AtomicU64::new(0), _dir: dir }
    }

    pub(crate) fn session(&self) -> Session {
        self.engine.session()
    }

    async fn create(&self, table: &str, schema: &SchemaRef, partition_by: Vec<PartitionBy>) -> TableSnapshot {
        let spec = TableSpec { partition_by, ..TableSpec::new(Arc::clone(schema)) };
        match self.lake.create(&name(table), spec).await.unwrap() {
            Created::New(table) => table,
            Created::Existed(table) => panic!("{} exists", table.name()),
        }
    }

    /// Writes files and leaves them uncommitted.
    async fn stage(&self, table: &TableSnapshot, batches: &[RecordBatch]) -> StagedFiles {
        let mut writer =
            TableWriter::new(&self.lake, table, self.token(), WriterSettings::default()).unwrap();
        for batch in batches {
            writer.write(batch.clone()).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    /// Appends a batch in a commit, and so in files, of its own.
    async fn append(&self, table: &str, batch: RecordBatch) -> TableSnapshot {
        let current = self.lake.load(&name(table)).await.unwrap();
        let files = self.stage(&current, &[batch]).await;
        let commit = Commit {
            table: name(table),
            operation: Operation::Append,
            files: Some(files),
            offsets: Vec::new(),
            properties: Default::default(),
            token: self.token(),
        };
        match self.lake.commit(vec![commit], at("2026-01-01T00:00:00Z")).await.unwrap() {
            CommitOutcome::Committed(mut tables) => tables.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn token(&self) -> Uuid {
        Uuid::from_u128(self.tokens.fetch_add(1, Ordering::Relaxed).into())
    }

    async fn view(&self, view: &str, sql: &str) {
        let view = View { name: name(view), sql: sql.into(), schema: Arc::new(Schema::empty()) };
        self.lake.put_view(view, at("2026-01-01T00:00:00Z")).await.unwrap();
    }
}

fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn micros(text: &str) -> i64 {
    at(text).timestamp_micros()
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<Field> =
        fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

/// The whole result, as batches.
async fn rows(session: &Session, sql: &str, parameters: Vec<ScalarValue>) -> Result<Vec<RecordBatch>, Error> {
    let statement = session.prepare(sql).await?;
    let stream = session.execute(&statement, parameters).await?;
    assert_eq!(stream.schema(), statement.schema());
    Ok(stream.try_collect().await?)
}

/// The whole result as a table, or the error's text.
pub(crate) async fn shown(session: &Session, sql: &str) -> String {
    let statement = match session.prepare(sql).await {
        Ok(statement) => statement,
        Err(error) => return format!("error: {error}"),
    };
    match rows(session, sql, Vec::new()).await {
        Ok(batches) if batches.is_empty() => {
            pretty_format_batches(&[RecordBatch::new_empty(statement.schema())]).unwrap().to_string()
        }
        Ok(batches) => pretty_format_batches(&batches).unwrap().to_string(),
        Err(error) => format!("error: {error}"),
    }
}

/// Runs the blocks of each `tests/FOLDER/*.txt`, in order and on a lake for each file, and compares what they answer
/// with what is written there. With `SLUICE_UPDATE=1` the answers are written anew.
async fn as_written(
    folder: &str,
    lake: impl AsyncFn() -> TestLake,
    session: impl Fn(&TestLake) -> Session,
    answer: impl AsyncFn(&Session, &str) -> String,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty(), "no files in {}", folder.display());
    let mut wrong = String::new();
    for file in files {
        let lake = lake().await;
        let session = session(&lake);
        let written = std::fs::read_to_string(&file).unwrap();
        let mut answered = String::new();
        for block in written.trim_end().split("\n\n") {
            let sql = block.split("\n----").next().unwrap();
            let answer = answer(&session, sql).await;
            answered.push_str(&format!("{sql}\n----\n{}\n\n", answer.trim_end()));
        }
        let answered = format!("{}\n", answered.trim_end());
        if std::env::var_os("SLUICE_UPDATE").is_some() {
            std::fs::write(&file, &answered).unwrap();
        } else if answered != written {
            wrong.push_str(&format!("{} answers now:\n{answered}\n", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A single value as text.
pub(crate) async fn value(session: &Session, sql: &str) -> String {
    let batches = rows(session, sql, Vec::new()).await.unwrap();
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).unwrap();
    ScalarValue::try_from_array(batch.column(0), 0).unwrap().to_string()
}
