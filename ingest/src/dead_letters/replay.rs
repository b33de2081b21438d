//! One replay: attempts, until one is not overtaken by somebody else.
//!
//! ```text
//! look:  keys of all letters -> selected -> waiting | present | candidates
//! work:  candidates -> RawBatch -> Rows (decode, route) -> table writers; positions of the good ones
//! land:  writers and positions -> one commit
//! ```

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use sluice_catalog::{
    Commit, CommitOutcome, DeleteWriter, Lake, LiveFile, OffsetRange, Operation, RowChanges, Scope, SourceId,
    SourceRanges, TableSnapshot, TableWriter,
};
use uuid::Uuid;

use super::letters::{self, KEYS, Letters, Messages, parts};
use super::present::{self, Offsets};
use super::{ReplayReport, ReplaySettings, SOURCE, can_replay};
use crate::data_file::Deleted;
use crate::error::{Error, Result};
use crate::evolve::{Plans, has_columns, refit};
use crate::pipeline::{new_token, now, now_micros};
use crate::plan::Plan;
use crate::registry::{Lookup, Patience, Registry};
use crate::route::Routed;
use crate::rows::Rows;
use crate::source::raw::RawBatch;
use crate::topics::SchemaPolicy;

/// How often a replay begins again because others change the tables at the same time.
const ATTEMPTS: usize = 8;

/// Replays the selected letters: what can land today becomes rows, in the same commit in which the letters go.
///
/// # Errors
/// What waiting does not cure; nothing was changed then. Only when the outcome of the commit is unknown may it have
/// landed: replay again, and what landed is not landed twice.
pub async fn replay(lake: &Lake, settings: &ReplaySettings) -> Result<ReplayReport> {
    let (mut topics, others): (Vec<_>, Vec<_>) = settings.topics.iter().cloned().partition(can_replay);
    for topic in &others {
        tracing::warn!(
            topic = topic.name,
            "its letters stay: a letter does not tell which table they belong to"
        );
    }
    if topics.iter().all(|topic| topic.routes.is_empty()) && !others.is_empty() {
        return Ok(ReplayReport { dry_run: settings.dry_run, ..ReplayReport::default() });
    }
    if settings.dry_run {
        let routes = topics.iter_mut().flat_map(|topic| &mut topic.routes);
        let evolving = routes.filter(|route| route.policy == SchemaPolicy::Evolve);
        evolving.for_each(|route| route.policy = SchemaPolicy::Ignore);
    }
    let plan = Plan::new(&topics, settings.dead_letters.clone())?;
    let schemas = match &settings.registry {
        Some(registry) => Some(Arc::new(Lookup::new(Registry::new(registry)?, Patience::default()))),
        None => None,
    };
    for _ in 0..ATTEMPTS {
        match attempt(lake, settings, &plan, schemas.clone()).await? {
            Attempt::Done(report) => return Ok(report),
            Attempt::Overtaken(reason) => tracing::info!(reason, "the replay begins again"),
        }
    }
    Err(Error::Overtaken { table: settings.dead_letters.clone() })
}

enum Attempt {
    Done(ReplayReport),
    Overtaken(String),
}

/// The state that an attempt works on.
struct Base {
    letters: TableSnapshot,
    /// Of the letters.
    files: Vec<LiveFile>,
    /// Rows of them that are no letters any more.
    deleted: Deleted,
    /// By table number; `None` for a table that nobody created yet.
    tables: Vec<Option<TableSnapshot>>,
    /// Where [`SOURCE`] stands in each.
    replays: Vec<i64>,
    /// What each topic's tables hold of the selected places.
    present: BTreeMap<usize, Offsets>,
    /// The places that some table of the topic has not come to.
    waiting: BTreeMap<usize, Offsets>,
}

async fn attempt(
    lake: &Lake,
    settings: &ReplaySettings,
    plan: &Plan,
    schemas: Option<Arc<Lookup>>,
) -> Result<Attempt> {
    let empty = ReplayReport { dry_run: settings.dry_run, ..ReplayReport::default() };
    let Some(base) = Base::look(lake, settings, plan).await? else { return Ok(Attempt::Done(empty)) };
    let found = base.tables.iter().zip(&plan.tables).map(|(found, planned)| match found {
        Some(table) => table.schema(),
        None => Arc::clone(&planned.schema),
    });
    let found: Vec<_> = found.collect();
    let plan = Arc::new(plan.adopted(found.iter().map(AsRef::as_ref)));
    let plans = Plans::new(lake.clone(), Arc::clone(&plan));
    let rows = Rows::new(&plans, schemas)?.with_limit(settings.max_message_bytes);
    let mut work = Work {
        lake,
        settings,
        plan,
        rows,
        tables: base.tables.clone(),
        token: new_token(),
        writers: BTreeMap::new(),
        seen: HashSet::new(),
        report: empty,
    };
    let mut gone = Vec::new();
    for file in &base.files {
        match work.file(&base, file).await {
            Ok(found) => gone.push(found),
            Err(error) => {
                work.abort().await;
                return Err(error);
            }
        }
    }
    work.land(&base, gone).await
}

impl Base {
    /// Loads the tables, and finds what must be known of the selected places; `None` without a table of letters.
    async fn look(lake: &Lake, settings: &ReplaySettings, plan: &Plan) -> Result<Option<Self>> {
        let Some(letters) = lake.find(&settings.dead_letters).await? else { return Ok(None) };
        let (mut tables, mut replays) = (Vec::new(), Vec::new());
        for (number, table) in plan.tables.iter().enumerate() {
            let found = match number == plan.dead_letters {
                true => Some(letters.clone()),
                false => lake.find(&table.name).await?,
            };
            let stands = match &found {
                Some(found) => found.offsets(SOURCE)?.and_then(|known| known.next.get(&0).copied()),
                None => None,
            };
            replays.push(stands.unwrap_or(0));
            tables.push(found);
        }
        let files = letters.files().await?;
        let deleted = letters::gone(lake, &files).await?;
        let (present, waiting) = (BTreeMap::new(), BTreeMap::new());
        let mut base = Self { letters, files, deleted, tables, replays, present, waiting };
        let wanted = base.wanted(lake, settings, plan).await?;
        for (topic, mut wanted) in wanted {
            let waiting = base.waiting(plan, topic, &mut wanted)?;
            base.waiting.insert(topic, waiting);
            let mut found = Offsets::new();
            for &table in plan.topics[topic].tables.iter().filter(|table| **table != plan.dead_letters) {
                if let (Some(table), false) = (&base.tables[table], wanted.is_empty() || settings.again) {
                    present::find(lake, table, &plan.topics[topic].name, &wanted, &mut found).await?;
                }
            }
            base.present.insert(topic, found);
        }
        Ok(Some(base))
    }

    /// The places of the selected letters, by topic number.
    async fn wanted(
        &self,
        lake: &Lake,
        settings: &ReplaySettings,
        plan: &Plan,
    ) -> Result<BTreeMap<usize, Offsets>> {
        let mut wanted: BTreeMap<usize, Offsets> = BTreeMap::new();
        for file in &self.files {
            let mut keys = parts(lake, file, Some(&KEYS)).await?;
            while let Some(part) = keys.next().await? {
                let letters = Letters::of(&part.rows)?;
                for row in (0..letters.len()).filter(|row| settings.selection.takes(&letters, *row)) {
                    if let Some(topic) = plan.topic_index(letters.topic(row)) {
                        let offsets = wanted.entry(topic).or_default();
                        offsets.entry(letters.partition(row)).or_default().insert(letters.offset(row));
                    }
                }
            }
        }
        Ok(wanted)
    }

    /// Takes out of `wanted` the places that some table of the topic has not come to.
    fn waiting(&self, plan: &Plan, topic: usize, wanted: &mut Offsets) -> Result<Offsets> {
        let mut nexts = Vec::new();
        for &table in plan.topics[topic].tables.iter().filter(|table| **table != plan.dead_letters) {
            nexts.push(match &self.tables[table] {
                Some(table) => table.offsets(&plan.topics[topic].name)?.map(|known| known.next),
                None => None,
            });
        }
        let mut waiting = Offsets::new();
        for (partition, offsets) in wanted {
            let next = nexts.iter().map(|next| next.as_ref()?.get(partition).copied());
            // A table that never saw the partition takes all of it.
            let next = next.map(|next| next.unwrap_or(i64::MIN)).min().unwrap_or(i64::MAX);
            let later = offsets.split_off(&next);
            waiting.insert(*partition, later);
        }
        Ok(waiting)
    }
}

/// An attempt under way.
struct Work<'a> {
    lake: &'a Lake,
    settings: &'a ReplaySettings,
    plan: Arc<Plan>,
    rows: Rows<'a>,
    tables: Vec<Option<TableSnapshot>>,
    token: Uuid,
    writers: BTreeMap<usize, TableWriter>,
    /// Places that this attempt has dealt with: a letter that is there twice makes one row.
    seen: HashSet<(usize, i32, i64)>,
    report: ReplayReport,
}

/// The letters of a file that go, by position.
struct Gone {
    file: LiveFile,
    positions: Vec<u64>,
    /// Whether no other row of the file is live.
    all: bool,
}

impl Work<'_> {
    /// Lands what can be landed of a file of letters.
    async fn file(&mut self, base: &Base, file: &LiveFile) -> Result<Gone> {
        let deleted = base.deleted.of(file);
        let mut positions = Vec::new();
        let mut parts = parts(self.lake, file, None).await?;
        while let Some(part) = parts.next().await? {
            let (letters, messages) = (Letters::of(&part.rows)?, Messages::of(&part.rows)?);
            let mut batches: BTreeMap<(usize, i32), (RawBatch, Vec<u64>)> = BTreeMap::new();
            for row in 0..letters.len() {
                let position = part.positions[row];
                if deleted.contains(position) || !self.settings.selection.takes(&letters, row) {
                    continue;
                }
                self.report.selected += 1;
                let Some(topic) = self.plan.topic_index(letters.topic(row)) else {
                    self.report.foreign += 1;
                    continue;
                };
                let (partition, offset) = (letters.partition(row), letters.offset(row));
                let holds = |known: &BTreeMap<usize, Offsets>| {
                    known.get(&topic).and_then(|known| known.get(&partition)?.get(&offset)).is_some()
                };
                if holds(&base.waiting) {
                    self.report.waiting += 1;
                } else if holds(&base.present) || !self.seen.insert((topic, partition, offset)) {
                    self.report.present += 1;
                    positions.push(position);
                } else {
                    let batch = batches.entry((topic, partition));
                    let (raw, at) = batch.or_insert_with(|| (RawBatch::new(topic, partition), Vec::new()));
                    let (time, key, payload) = messages.at(row);
                    raw.push(offset, time, key, payload);
                    at.push(position);
                }
            }
            for (raw, at) in batches.into_values() {
                self.batch(raw, &at, &mut positions).await?;
            }
        }
        let live = file.parts().0.record_count() - deleted.len();
        let all = !positions.is_empty() && positions.len() as u64 == live;
        Ok(Gone { file: file.clone(), positions, all })
    }

    /// Decodes messages of one partition; `at` are the positions of their letters.
    async fn batch(&mut self, mut raw: RawBatch, at: &[u64], gone: &mut Vec<u64>) -> Result<()> {
        raw.ingested_at = now_micros();
        // Blocks while a registry is asked or a table grows.
        let routed: Routed = tokio::task::block_in_place(|| self.rows.of(&raw))?;
        let (mut bad, mut keyed) = (HashSet::new(), HashSet::new());
        for (table, batch) in routed.batches() {
            if self.plan.tables[table].upsert.is_some() {
                keyed.extend(offsets(&batch)?);
                continue;
            }
            if table == self.plan.dead_letters {
                bad.extend(offsets(&batch)?);
                let causes = letters::column(&batch, "cause", &arrow::datatypes::DataType::Utf8)?;
                for cause in causes.as_string::<i32>().iter().flatten() {
                    *self.report.causes.entry(cause.to_owned()).or_default() += 1;
                }
                continue;
            }
            let rows = batch.num_rows() as u64;
            *self.report.tables.entry(self.plan.tables[table].name.to_string()).or_default() += rows;
            if !self.settings.dry_run {
                self.write(table, batch).await?;
            }
        }
        for (message, position) in at.iter().enumerate() {
            let offset = raw.offset(message);
            if bad.contains(&offset) {
                self.report.bad += 1;
            } else if keyed.contains(&offset) {
                self.report.keyed += 1;
            } else {
                self.report.landed += 1;
                gone.push(*position);
            }
        }
        Ok(())
    }

    async fn write(&mut self, table: usize, batch: RecordBatch) -> Result<()> {
        let name = &self.plan.tables[table].name;
        let grown = |found: &TableSnapshot| !has_columns(&found.schema(), &batch.schema());
        if self.tables[table].as_ref().is_none_or(grown) {
            self.tables[table] = Some(self.lake.load(name).await?);
        }
        let Some(found) = &self.tables[table] else { return Err(Error::Grow { table: name.clone() }) };
        let batch = match grown(found) {
            true => refit(&found.schema(), &batch)?,
            false => batch,
        };
        let mut writer = match self.writers.remove(&table) {
            Some(mut writer) => match writer.follow(found).await? {
                true => writer,
                false => return Err(Error::Grow { table: name.clone() }),
            },
            None => TableWriter::new(self.lake, found, self.token, self.settings.writer.clone())?,
        };
        let written = writer.write(batch).await;
        self.writers.insert(table, writer);
        Ok(written?)
    }

    /// Commits the rows and takes their letters away.
    async fn land(mut self, base: &Base, gone: Vec<Gone>) -> Result<Attempt> {
        if self.settings.dry_run || gone.iter().all(|gone| gone.positions.is_empty()) {
            self.abort().await;
            return Ok(Attempt::Done(self.report));
        }
        let mut commits = Vec::new();
        for (table, writer) in std::mem::take(&mut self.writers) {
            let mut commit = Commit::new(self.plan.tables[table].name.clone(), Operation::Append, self.token);
            commit.files = Some(writer.finish().await?);
            commit.offsets = vec![step(base.replays[table])];
            commits.push(commit);
        }
        let mut deletes = DeleteWriter::new(self.lake, &base.letters, self.token);
        let (whole, partly): (Vec<_>, Vec<_>) = gone.into_iter().partition(|gone| gone.all);
        for gone in partly {
            deletes.delete(&gone.file, gone.positions)?;
        }
        let changes = RowChanges {
            read_snapshot: base.letters.snapshot_id(),
            replaced: whole.into_iter().map(|gone| gone.file).collect(),
            deletes: Some(deletes.finish().await?),
            scope: Scope::ReadFiles,
        };
        let letters = self.settings.dead_letters.clone();
        // The last one: where tables move one by one, a row is there before its letter goes.
        let mut commit = Commit::new(letters, Operation::ChangeRows(changes), self.token);
        commit.offsets = vec![step(base.replays[self.plan.dead_letters])];
        commits.push(commit);
        Ok(match self.lake.commit(commits, now()).await? {
            CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => Attempt::Done(self.report),
            CommitOutcome::Fenced { table, .. } => {
                Attempt::Overtaken(format!("another replay changed `{table}`"))
            }
            CommitOutcome::Conflicted { table, reason } => Attempt::Overtaken(format!("`{table}`: {reason}")),
        })
    }

    async fn abort(&mut self) {
        for writer in std::mem::take(&mut self.writers).into_values() {
            writer.abort().await;
        }
    }
}

/// The offsets that rows come from.
fn offsets(rows: &RecordBatch) -> Result<Vec<i64>> {
    let offsets = letters::column(rows, "_src_offset", &arrow::datatypes::DataType::Int64)?;
    Ok(offsets.as_primitive::<Int64Type>().values().to_vec())
}

/// The range that moves [`SOURCE`] on by one.
fn step(start: i64) -> SourceRanges {
    let source = SourceId { cluster: "sluice".to_owned(), topic: SOURCE.to_owned() };
    let range = OffsetRange { start, end: start + 1, anchor: None };
    SourceRanges { source, ranges: BTreeMap::from([(0, range)]) }
}
