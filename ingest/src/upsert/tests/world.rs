//! A lake in memory with one topic that lands by key, sessions on it, and a reader of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sluice_catalog::{
    Commit, CommitOutcome, Lake, LiveFile, OffsetRange, Operation, PositionDeletes, Rewrite, TableSnapshot,
    TableWriter, WriterSettings,
};

use crate::budget::Budget;
use crate::evolve::Plans;
use crate::fixtures;
use crate::kafka::KafkaSettings;
use crate::land::{Landed, Lander, Landing, Outcome};
use crate::pipeline::{IngestSettings, new_token, now, tables};
use crate::plan::Plan;
use crate::rows::Rows;
use crate::source::Seal;
use crate::source::raw::RawBatch;
use crate::source::start::Start;
use crate::topics::Topics;

/// A message: its key and its payload.
pub(in crate::upsert) type Message = (Option<String>, Option<String>);

fn topics(route: &str) -> Topics {
    let route = route.lines().map(|line| format!("        {line}\n")).collect::<String>();
    Topics::parse(&format!("topics:\n  - name: t\n    routes:\n      - table: bronze.t\n{route}")).unwrap()
}

pub(in crate::upsert) struct World {
    pub(in crate::upsert) lake: Lake,
    pub(in crate::upsert) plan: Arc<Plan>,
    settings: Arc<IngestSettings>,
}

/// One session: what it has not committed is lost with it.
pub(in crate::upsert) struct Worker {
    pub(in crate::upsert) lander: Lander,
    plans: Arc<Plans>,
    epoch: u64,
}

impl World {
    pub(in crate::upsert) async fn new(dir: &std::path::Path, route: &str) -> Self {
        let lake = fixtures::lake(dir).await;
        let settings = Arc::new(IngestSettings::new(KafkaSettings::new("none"), topics(route).topics));
        let plan = Arc::new(Plan::new(&settings.topics, settings.dead_letters.clone()).unwrap());
        tables::create(&lake, &plan).await.unwrap();
        Self { lake, plan, settings }
    }

    pub(in crate::upsert) async fn worker(&self) -> Worker {
        let snapshots = tables::load(&self.lake, &self.plan).await.unwrap();
        let schemas: Vec<_> = snapshots.iter().map(TableSnapshot::schema).collect();
        let plan = Arc::new(self.plan.adopted(schemas.iter().map(AsRef::as_ref)));
        let plans = Arc::new(Plans::new(self.lake.clone(), Arc::clone(&plan)));
        let (settings, budget) = (Arc::clone(&self.settings), Budget::new(1 << 30));
        let context = ("cluster".to_owned(), snapshots);
        let mut lander = Lander::new(self.lake.clone(), plan, settings, Arc::default(), budget, context);
        for partition in 0..2 {
            let mut nexts = Vec::new();
            for &table in &self.plan.topics[0].tables {
                let offsets =
                    self.lake.load(&self.plan.tables[table].name).await.unwrap().offsets("t").unwrap();
                nexts.push((table, offsets.and_then(|offsets| offsets.next.get(&partition).copied())));
            }
            lander.assign(&[Start { topic: 0, partition, offset: 0, nexts }]);
        }
        Worker { lander, plans, epoch: 1 }
    }

    pub(in crate::upsert) async fn table(&self) -> TableSnapshot {
        self.lake.load(&fixtures::name("bronze.t")).await.unwrap()
    }

    async fn batches(&self, location: &str) -> Vec<RecordBatch> {
        let bytes = self.lake.store().get(&self.lake.object_path(location).unwrap()).await.unwrap();
        let bytes = bytes.bytes().await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        reader.map(Result::unwrap).collect()
    }

    /// The live rows of a file, by a reader that shares nothing with the one under test.
    async fn live(&self, file: &LiveFile) -> Vec<RecordBatch> {
        let (data, deletes) = file.parts();
        let mut gone = BTreeSet::new();
        assert!(deletes.equality.is_empty(), "no delete is by value");
        if let PositionDeletes::Files(files) = &deletes.positions {
            for file in files {
                for batch in self.batches(file.data_file.file_path()).await {
                    let (paths, places) = (batch.column(0).as_string::<i32>(), batch.column(1));
                    let places = places.as_primitive::<Int64Type>();
                    let own =
                        paths.iter().zip(places.values()).filter(|(path, _)| *path == Some(data.file_path()));
                    gone.extend(own.map(|(_, place)| *place));
                }
            }
        }
        let mut position = 0;
        let mut live = Vec::new();
        for batch in self.batches(data.file_path()).await {
            for row in 0..batch.num_rows() {
                if !gone.contains(&position) {
                    live.push(batch.slice(row, 1));
                }
                position += 1;
            }
        }
        live
    }

    /// `v` by `id`; panics when a key has two rows.
    pub(in crate::upsert) async fn rows(&self) -> BTreeMap<i64, i64> {
        let mut rows = BTreeMap::new();
        for file in self.table().await.files().await.unwrap() {
            for row in self.live(&file).await {
                let value =
                    |name: &str| row.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
                assert_eq!(rows.insert(value("id"), value("v")), None, "two rows of key {}", value("id"));
            }
        }
        rows
    }

    /// Puts all live rows into one file, unless somebody changes them meanwhile: says whether it did.
    pub(in crate::upsert) async fn compact(&self) -> bool {
        let table = self.table().await;
        let (files, token) = (table.files().await.unwrap(), new_token());
        let Some(read_snapshot) = table.snapshot_id() else { return true };
        let mut writer = TableWriter::new(&self.lake, &table, token, WriterSettings::default()).unwrap();
        for file in &files {
            for rows in self.live(file).await {
                writer.write(rows).await.unwrap();
            }
        }
        let rewrite = Rewrite { read_snapshot, inputs: files };
        let mut commit = Commit::new(table.name().clone(), Operation::Rewrite(rewrite), token);
        commit.files = Some(writer.finish().await.unwrap());
        match self.lake.commit(vec![commit], now()).await.unwrap() {
            CommitOutcome::Committed(_) => true,
            CommitOutcome::Conflicted { .. } => false,
            outcome => panic!("{outcome:?}"),
        }
    }

    /// The texts of a column of the table by `id`.
    pub(in crate::upsert) async fn texts(&self, column: &str) -> BTreeMap<i64, Option<String>> {
        let mut texts = BTreeMap::new();
        for file in self.table().await.files().await.unwrap() {
            for row in self.live(&file).await {
                let id = row.column_by_name("id").unwrap().as_primitive::<Int64Type>().value(0);
                let text = row.column_by_name(column).map(|it| it.as_string::<i32>().clone());
                texts.insert(id, text.filter(|it| it.is_valid(0)).map(|it| it.value(0).to_owned()));
            }
        }
        texts
    }

    /// An append of one dead letter.
    pub(in crate::upsert) async fn letter(&self, token: uuid::Uuid) -> Commit {
        let routed = self.worker().await.routed(0, 50, &[(None, Some("no event".to_owned()))]).await;
        let table = self.lake.load(&fixtures::name("bronze.dead_letters")).await.unwrap();
        let mut writer = TableWriter::new(&self.lake, &table, token, WriterSettings::default()).unwrap();
        writer.write(routed.tables[0].1.clone()).await.unwrap();
        let mut commit = Commit::new(table.name().clone(), Operation::Append, token);
        commit.files = Some(writer.finish().await.unwrap());
        commit
    }

    pub(in crate::upsert) async fn dead_letters(&self) -> Vec<String> {
        let mut causes = Vec::new();
        for batch in fixtures::rows(&self.lake, "bronze.dead_letters").await {
            let cause = batch.column_by_name("cause").unwrap().as_string::<i32>().clone();
            causes.extend(cause.iter().flatten().map(str::to_owned));
        }
        causes
    }
}

impl Worker {
    pub(in crate::upsert) async fn routed(
        &self,
        partition: i32,
        start: i64,
        messages: &[Message],
    ) -> crate::route::Routed {
        let mut raw = RawBatch::new(0, partition);
        for (offset, (key, payload)) in (start..).zip(messages) {
            let bytes = |text: &'_ Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
            raw.push(offset, None, bytes(key).as_deref(), bytes(payload).as_deref());
        }
        let plans = Arc::clone(&self.plans);
        let work = move || Rows::new(&plans, None).unwrap().of(&raw).unwrap();
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    pub(in crate::upsert) async fn write(&mut self, partition: i32, start: i64, messages: &[Message]) {
        let routed = self.routed(partition, start, messages).await;
        let reservation = Budget::new(1 << 30).reserve(1);
        let (topic, epoch, first_offset) = (0, self.epoch, start);
        let landing = Landing { topic, partition, epoch, first_offset, routed, reservation };
        self.lander.write(landing).await.unwrap();
    }

    pub(in crate::upsert) async fn commit(&mut self, batches: u64, ranges: &[(i32, i64, i64)]) -> Landed {
        let outcome = self.outcome(batches, ranges).await;
        self.lander.committed(outcome).unwrap()
    }

    /// A commit of which this worker does not hear.
    pub(in crate::upsert) async fn outcome(&mut self, batches: u64, ranges: &[(i32, i64, i64)]) -> Outcome {
        let mut seal =
            Seal { epoch: self.epoch, batches, messages: BTreeMap::new(), ranges: BTreeMap::new() };
        for &(partition, start, end) in ranges {
            *seal.messages.entry(0).or_default() += (end - start) as u64;
            let range = OffsetRange { start, end, anchor: None };
            seal.ranges.entry(0).or_default().insert(partition, range);
        }
        self.epoch += 1;
        self.lander.seal(seal);
        self.lander.next_commit().unwrap().expect("a whole epoch").await
    }
}

/// All messages of partition 0 in one commit.
pub(in crate::upsert) async fn land(world: &World, messages: &[Message]) {
    let mut worker = world.worker().await;
    let start =
        world.table().await.offsets("t").unwrap().and_then(|it| it.next.get(&0).copied()).unwrap_or(0);
    worker.write(0, start, messages).await;
    let landed = worker.commit(1, &[(0, start, start + messages.len() as i64)]).await;
    assert!(matches!(landed, Landed::Done(_)), "{landed:?}");
}
