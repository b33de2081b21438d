//! What the tests of this crate share: projects from text, a lake in memory, rows as text.

use std::collections::BTreeMap;
use std::sync::Mutex;

use arrow::util::display::array_value_to_string;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use sluice_catalog::{
    CatalogSettings, Commit, CommitOutcome, Created, Lake, LakeSettings, Operation, S3Settings,
};
use sluice_catalog::{TableName, TableSpec, WriterSettings};
use sluice_sql::{Engine, EngineSettings};
use tempfile::TempDir;
use uuid::Uuid;

use crate::build::BuildOptions;
use crate::error::Result;
use crate::graph::Graph;
use crate::project::{Project, SourceFile};
use crate::render::Inputs;
use crate::report::{BuildReport, Event, Reporter};
use crate::stage::stage;

/// A project of these files; `dbt_project.yml` is added when it is missing.
pub(crate) fn project(files: &[(&str, &str)]) -> Result<Project> {
    let file =
        |(path, text): &(&str, &str)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() };
    let mut files: Vec<SourceFile> = files.iter().map(file).collect();
    if !files.iter().any(|file| file.path == "dbt_project.yml") {
        files.push(SourceFile { path: "dbt_project.yml".to_owned(), text: "name: shop\n".to_owned() });
    }
    Project::from_files(files)
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

pub(crate) fn inputs() -> Inputs {
    Inputs::new(Uuid::from_u128(7), now())
}

pub(crate) fn graph(files: &[(&str, &str)]) -> Result<Graph> {
    Graph::new(&project(files)?, &inputs())
}

/// The text of the error that these files cause.
pub(crate) fn refused(files: &[(&str, &str)]) -> String {
    graph(files).unwrap_err().to_string()
}

/// A lake in memory, with its catalog in a folder that goes when this does.
pub(crate) struct TestLake {
    pub(crate) engine: Engine,
    runs: Mutex<u128>,
    _folder: TempDir,
}

impl TestLake {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = LakeSettings {
            name: "sluice".to_owned(),
            catalog: CatalogSettings::Sqlite { path: folder.path().join("catalog.db") },
            warehouse: "memory:///".to_owned(),
            s3: S3Settings::default(),
            upgrade_catalog: false,
        };
        let lake = Lake::open(settings).await.unwrap();
        let engine = Engine::new(lake, EngineSettings::default()).unwrap();
        Self { engine, runs: Mutex::new(0), _folder: folder }
    }

    pub(crate) fn lake(&self) -> &Lake {
        self.engine.lake()
    }

    /// An id that no earlier call returned.
    fn fresh_id(&self) -> Uuid {
        let mut runs = self.runs.lock().unwrap();
        *runs += 1;
        Uuid::from_u128(*runs)
    }

    /// Appends the result of a query to a table as something other than a model would, creating it first.
    pub(crate) async fn land(&self, table: &str, sql: &str) {
        let name: TableName = table.parse().unwrap();
        let statement = self.engine.session().prepare(sql).await.unwrap();
        let created = self.lake().create(&name, TableSpec::new(statement.schema())).await.unwrap();
        let (Created::New(table) | Created::Existed(table)) = created;
        let stream = self.engine.session().execute(&statement, Vec::new()).await.unwrap();
        let token = self.fresh_id();
        let staged = stage(self.lake(), &table, stream, token, WriterSettings::default()).await.unwrap();
        let commit = Commit {
            table: name,
            operation: Operation::Append,
            files: Some(staged),
            offsets: Vec::new(),
            properties: BTreeMap::new(),
            token,
        };
        let outcome = self.lake().commit(vec![commit], now()).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    }

    pub(crate) fn options(&self) -> BuildOptions {
        BuildOptions::new(self.fresh_id(), now())
    }

    pub(crate) async fn build(&self, project: &Project) -> BuildReport {
        self.build_with(project, &self.options()).await
    }

    pub(crate) async fn build_with(&self, project: &Project, options: &BuildOptions) -> BuildReport {
        crate::build::build(&self.engine, project, options, &crate::report::Silent).await.unwrap()
    }

    /// Builds and expects every model to be published.
    pub(crate) async fn build_all(&self, project: &Project) -> BuildReport {
        let report = self.build(project).await;
        assert!(report.succeeded(), "{:#?}", report.results);
        report
    }

    /// The rows of a query, each as its values joined by `|`.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let mut stream = self.engine.session().sql(sql).await.unwrap();
        let mut rows = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
                rows.push(values.collect::<Vec<_>>().join("|"));
            }
        }
        rows
    }
}

/// Keeps what a run tells.
#[derive(Default)]
pub(crate) struct Notes(pub(crate) Mutex<Vec<String>>);

impl Reporter for Notes {
    fn event(&self, event: Event<'_>) {
        let text = match event {
            Event::Warning(text) => format!("warning {text}"),
            Event::Started { step, .. } => format!("start {}", step.model),
            Event::Finished { result, .. } => format!("end {} {:?}", result.model, result.status),
        };
        self.0.lock().unwrap().push(text);
    }
}
