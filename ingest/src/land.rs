//! Rows become files, files and offsets become one commit over all tables.
//!
//! ```text
//! Landing -> open epoch: rows and writers by table      (writers)
//! Seal    -> the epoch's ranges, and how many landings make it whole
//! whole   -> finish all files -> Lake::commit (all tables, all or none) -> next epoch
//! ```
//!
//! While one epoch is being committed the next is written. Epochs commit in order, one at a time, because
//! the range of each starts where the previous one ended.
//!
//! Every table that the topics file names moves on with every epoch of its topic: one without rows gets a commit of
//! its offsets alone, so that all tables agree on where to go on.
//!
//! A table that a template made moves on only with rows of its own, so that a thousand idle tables cost nothing. The
//! dead letters, which take part in every commit, speak for it: where they stand, it has everything, because it lands
//! with them or, on a catalog that moves tables one after the other, before them.
//!
//! On a catalog that cannot move several tables at once they land one after the other: tables of templates, then the
//! dead letters, then the others. Who sees rows of a named table up to an offset then also sees why some are missing.
//! What a stop in between leaves is made up by the next run, which gives each table what it lacks.

mod named;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use sluice_catalog::{
    Commit, CommitOutcome, Lake, OffsetRange, Operation, SourceId, SourceRanges, TableSnapshot,
};
use uuid::Uuid;

use self::named::{NamedParts, Place};
use self::writers::{Desk, Writers};
use crate::budget::{Budget, Reservation};
use crate::error::{Error, Result};
use crate::evolve::{Plans, has_columns, refit};
use crate::pipeline::{IngestSettings, new_token, now};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::resume;
use crate::route::Routed;
use crate::source::Seal;
use crate::source::start::Start;
use crate::tail::{Tail, from_offset};
use crate::topics::SchemaPolicy;

/// The rows of one raw batch, ready to be written.
#[derive(Debug)]
pub(crate) struct Landing {
    pub(crate) topic: usize,
    pub(crate) partition: i32,
    pub(crate) epoch: u64,
    pub(crate) first_offset: i64,
    pub(crate) routed: Routed,
    pub(crate) reservation: Reservation,
}

/// What is written between two commits.
#[derive(Debug)]
struct Epoch {
    token: Uuid,
    writers: Writers,
    /// Where the rows of tables of templates came from.
    brought: BTreeSet<Place>,
    landings: u64,
    rejected: u64,
    sample: Option<String>,
    seal: Option<Seal>,
}

/// A commit that is under way: what must be known to note its outcome.
#[derive(Debug)]
pub(crate) struct Pending {
    seal: Seal,
    token: Uuid,
    began: Instant,
    /// Table numbers in the order of the commits.
    tables: Vec<usize>,
    /// How far tables of templates get.
    carried: Vec<(Place, i64)>,
    /// Bytes held by files that are being finished.
    held: usize,
}

/// The outcome of a commit, as the pipeline has to deal with it.
#[derive(Debug)]
pub(crate) enum Landed {
    /// Done: the next offsets by topic number and partition.
    Done(Vec<(usize, i32, i64)>),
    /// Someone else moved a table on: begin again from the tables.
    Fenced(String),
}

/// The part of a commit that runs beside reading: files and rows per table.
pub(crate) type Outcome = Result<(CommitOutcome, Vec<(usize, u64)>)>;

/// Writes epochs and turns them into commits.
pub(crate) struct Lander {
    lake: Lake,
    plans: Arc<Plans>,
    plan: Arc<Plan>,
    settings: Arc<IngestSettings>,
    progress: Arc<Progress>,
    budget: Arc<Budget>,
    cluster: String,
    /// The state of each table that writers work with.
    snapshots: Vec<TableSnapshot>,
    /// Next offsets; absent when the table never saw the partition.
    nexts: BTreeMap<Place, i64>,
    /// Tables of templates whose offsets of a topic are in `nexts`: table, topic.
    known: BTreeSet<(usize, usize)>,
    epochs: BTreeMap<u64, Epoch>,
    pending: Option<Pending>,
}

impl Lander {
    pub(crate) fn new(
        lake: Lake,
        plans: Arc<Plans>,
        settings: Arc<IngestSettings>,
        progress: Arc<Progress>,
        budget: Arc<Budget>,
        (cluster, snapshots): (String, Vec<TableSnapshot>),
    ) -> Self {
        Self {
            lake,
            plan: plans.current(),
            plans,
            settings,
            progress,
            budget,
            cluster,
            snapshots,
            nexts: BTreeMap::new(),
            known: BTreeSet::new(),
            epochs: BTreeMap::new(),
            pending: None,
        }
    }

    /// Notes what the tables have of newly assigned partitions.
    pub(crate) fn assign(&mut self, starts: &[Start]) {
        for start in starts {
            // Others may have had the partition meanwhile.
            self.known.retain(|(_, topic)| *topic != start.topic);
            for &(table, next) in &start.nexts {
                let key = (table, start.topic, start.partition);
                match next {
                    Some(next) => self.nexts.insert(key, next),
                    None => self.nexts.remove(&key),
                };
            }
        }
    }

    /// Writes the rows to their tables' files, all tables at once.
    pub(crate) async fn write(&mut self, landing: Landing) -> Result<()> {
        let Landing { topic, partition, epoch, first_offset, routed, reservation } = landing;
        self.follow(topic, routed.tables.iter().map(|(table, _)| *table)).await?;
        let mut rows = Vec::with_capacity(routed.tables.len());
        for (table, batch) in routed.tables {
            rows.push((table, self.as_table(table, batch).await?));
        }
        let mut open = self.epochs.remove(&epoch).unwrap_or_else(Epoch::new);
        open.landings += 1;
        open.rejected += routed.rejected;
        open.sample = routed.sample.or(open.sample.take());
        let mut kept = Vec::with_capacity(rows.len());
        for (table, batch) in rows {
            let next = self.floor(table, topic, partition);
            let batch = match resume::floor(next, first_offset) {
                Some(floor) => from_offset(&batch, floor).map_err(Error::Columns)?,
                None => batch,
            };
            if batch.num_rows() == 0 {
                continue;
            }
            if self.is_of_template(table) {
                open.brought.insert((table, topic, partition));
            }
            if let Some(tail) = &self.settings.tail {
                let source = (self.plan.topics[topic].name.as_str(), partition, first_offset);
                tail.add(&self.plan.tables[table].name, epoch, source, batch.clone());
            }
            kept.push((table, batch));
        }
        let desk = self.desk(open.token);
        let added = open.writers.add(&desk, kept, &self.snapshots).await;
        self.epochs.insert(epoch, open);
        added?;
        drop(reservation);
        self.account();
        Ok(())
    }

    fn desk(&self, token: Uuid) -> Desk {
        let (writer, open_files_max) = (self.settings.writer.clone(), self.settings.open_files_max);
        Desk::new(self.lake.clone(), token, writer, open_files_max)
    }

    /// The rows with the columns that the table has by now: it may have grown before or after they were made.
    async fn as_table(&mut self, table: usize, batch: RecordBatch) -> Result<RecordBatch> {
        let plan = &self.plan.tables[table];
        if plan.policy != SchemaPolicy::Evolve {
            return Ok(batch);
        }
        if !has_columns(&self.snapshots[table].schema(), &batch.schema()) {
            self.snapshots[table] = self.lake.load(&plan.name).await?;
        }
        let schema = self.snapshots[table].schema();
        if has_columns(&schema, &batch.schema()) { Ok(batch) } else { refit(&schema, &batch) }
    }

    /// Notes the end of an epoch.
    ///
    /// # Errors
    /// [`Error::TooManyDeadLetters`] is found when the epoch is whole, in [`Lander::next_commit`].
    pub(crate) fn seal(&mut self, seal: Seal) {
        let epoch = self.epochs.entry(seal.epoch).or_insert_with(Epoch::new);
        epoch.seal = Some(seal);
    }

    /// The commit of the oldest epoch, when it is whole and no other commit is under way.
    pub(crate) fn next_commit(&mut self) -> Result<Option<impl Future<Output = Outcome> + Send + use<>>> {
        if self.pending.is_some() {
            return Ok(None);
        }
        let Some(first) = self.epochs.first_entry() else { return Ok(None) };
        if first.get().seal.as_ref().is_none_or(|seal| seal.batches != first.get().landings) {
            return Ok(None);
        }
        let epoch = first.remove();
        let Some(seal) = epoch.seal else { return Ok(None) };
        if let Some(limit) = self.settings.dead_letter_limit
            && epoch.rejected > limit.messages
            && epoch.rejected as f64 > limit.share * seal.messages as f64
        {
            let last = epoch.sample.unwrap_or_default();
            return Err(Error::TooManyDeadLetters { dead: epoch.rejected, consumed: seal.messages, last });
        }
        let NamedParts { mut parts, carried } = self.named_parts(&seal, &epoch.brought);
        parts.extend(self.parts(&seal));
        let tables = parts.iter().map(|(table, _)| *table).collect();
        let (token, held) = (epoch.token, epoch.writers.buffered_bytes());
        self.pending = Some(Pending { seal, token, began: Instant::now(), tables, carried, held });
        let snapshots = epoch.writers.tables().map(|table| (table, self.snapshots[table].clone())).collect();
        Ok(Some(commit(self.desk(token), Arc::clone(&self.plan), parts, epoch.writers, snapshots)))
    }

    fn source(&self, topic: usize) -> SourceId {
        SourceId { cluster: self.cluster.clone(), topic: self.plan.topics[topic].name.clone() }
    }

    /// The ranges that each table has to note for the epoch; tables that have them all are left out.
    fn parts(&self, seal: &Seal) -> Vec<(usize, Vec<SourceRanges>)> {
        let mut parts: BTreeMap<usize, Vec<SourceRanges>> = BTreeMap::new();
        for (&topic, ranges) in &seal.ranges {
            for &table in &self.plan.topics[topic].tables {
                let own = ranges.iter().filter_map(|(&partition, range)| {
                    let next = self.nexts.get(&(table, topic, partition)).copied();
                    let (start, end) = resume::carry(next, range.start, range.end)?;
                    let anchor = range.anchor.filter(|anchor| anchor.offset >= start);
                    Some((partition, OffsetRange { start, end, anchor }))
                });
                let own: BTreeMap<i32, OffsetRange> = own.collect();
                if !own.is_empty() {
                    let source = self.source(topic);
                    parts.entry(table).or_default().push(SourceRanges { source, ranges: own });
                }
            }
        }
        parts.into_iter().collect()
    }

    /// Takes the outcome of the commit under way into account.
    pub(crate) fn committed(&mut self, outcome: Outcome) -> Result<Landed> {
        let Some(pending) = self.pending.take() else { return Err(Error::Broken { part: "the commit" }) };
        let (outcome, rows) = outcome?;
        let snapshots = match outcome {
            CommitOutcome::Committed(snapshots) => snapshots,
            CommitOutcome::AlreadyCommitted(snapshots) => {
                tracing::info!(token = %pending.token, "the commit had landed before");
                snapshots
            }
            CommitOutcome::Fenced { table, topic, partition, start, next } => {
                return Ok(Landed::Fenced(format!(
                    "`{table}` is at offset {next} of `{topic}` partition {partition}, this commit starts \
                     at {start}"
                )));
            }
            CommitOutcome::Conflicted { table, reason } => {
                return Ok(Landed::Fenced(format!("`{table}`: {reason}")));
            }
        };
        for (table, snapshot) in pending.tables.into_iter().zip(snapshots) {
            self.snapshots[table] = snapshot;
        }
        if let Some(tail) = &self.settings.tail {
            tail.committed(pending.seal.epoch);
        }
        let mut done = Vec::new();
        for (topic, ranges) in pending.seal.ranges {
            for (partition, range) in ranges {
                for &table in &self.plan.topics[topic].tables {
                    let next = self.nexts.entry((table, topic, partition)).or_insert(range.end);
                    *next = range.end.max(*next);
                }
                done.push((topic, partition, range.end));
            }
        }
        self.nexts.extend(pending.carried);
        for (table, rows) in rows {
            let dead = table == self.plan.dead_letters;
            self.progress.add_rows(&self.plan.tables[table].name.to_string(), rows, dead);
        }
        self.progress.add_commit(pending.began.elapsed().as_secs_f64());
        self.account();
        Ok(Landed::Done(done))
    }

    /// Whether every sealed epoch is committed and nothing is left to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_none() && self.epochs.values().all(|epoch| epoch.seal.is_none())
    }

    /// Gives up everything that is not committed.
    pub(crate) async fn abort(&mut self) {
        for (_, epoch) in std::mem::take(&mut self.epochs) {
            epoch.writers.abort().await;
        }
        self.pending = None;
        if let Some(tail) = &self.settings.tail {
            tail.clear();
        }
        self.account();
    }

    fn account(&self) {
        let held = self.pending.as_ref().map_or(0, |pending| pending.held);
        let tail = self.settings.tail.as_ref().map_or(0, Tail::memory);
        let open: usize = self.epochs.values().map(|epoch| epoch.writers.buffered_bytes()).sum();
        self.budget.set_files(open + held + tail);
        self.progress.set_buffered(self.budget.used(), self.budget.peak());
    }
}

impl Epoch {
    fn new() -> Self {
        let (writers, brought, token) = (Writers::default(), BTreeSet::new(), new_token());
        Self { token, writers, brought, landings: 0, rejected: 0, sample: None, seal: None }
    }
}

/// Finishes all files, then commits them and the ranges to all tables, in the order of `parts`.
async fn commit(
    desk: Desk,
    plan: Arc<Plan>,
    parts: Vec<(usize, Vec<SourceRanges>)>,
    writers: Writers,
    snapshots: BTreeMap<usize, TableSnapshot>,
) -> Outcome {
    let mut staged = writers.finish(&desk, &snapshots).await?;
    let rows = staged.iter().map(|(table, files)| (*table, files.row_count())).collect();
    let commits = parts.into_iter().map(|(table, offsets)| Commit {
        table: plan.tables[table].name.clone(),
        operation: Operation::Append,
        files: staged.remove(&table),
        offsets,
        properties: BTreeMap::new(),
        token: desk.token,
    });
    let commits = commits.collect();
    if !staged.is_empty() {
        // Rows without a range would be forgotten by the next run.
        return Err(Error::Broken { part: "a commit" });
    }
    Ok((desk.lake.commit(commits, now()).await?, rows))
}

#[cfg(test)]
pub(crate) mod tests;
