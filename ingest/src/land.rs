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

mod commit;
mod keyed;
mod named;
mod part;
mod tally;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use sluice_catalog::{CommitOutcome, Lake, OffsetRange, SourceId, SourceRanges, TableSnapshot};
use uuid::Uuid;

use self::commit::commit;
use self::named::{NamedParts, Place};
use self::part::{Part, parts};
use self::tally::Tally;
use self::writers::{Desk, Writers};
use crate::budget::{Budget, Reservation};
use crate::error::{Error, Result};
use crate::evolve::{Plans, has_columns, refit};
use crate::pipeline::{IngestSettings, Limits, new_token, now_micros};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::resume;
use crate::route::Routed;
use crate::source::Seal;
use crate::source::start::Start;
use crate::tail::{Tail, from_offset};
use crate::topics::SchemaPolicy;
use crate::upsert::Buffer;

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
    /// Events of tables with a key, which become files when the epoch is committed.
    keyed: BTreeMap<usize, Buffer>,
    landings: u64,
    tally: Tally,
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
    tally: Tally,
}

/// The outcome of a commit, as the pipeline has to deal with it.
#[derive(Debug)]
pub(crate) enum Landed {
    /// Done: the next offsets by topic number and partition.
    Done(Vec<(usize, i32, i64)>),
    /// Someone else moved a table on: begin again from the tables.
    Fenced(String),
}

/// The part of a commit that runs beside reading: tables with their new rows and the bytes of their files.
pub(crate) type Outcome = Result<(CommitOutcome, Vec<(usize, u64, u64)>)>;

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
    limits: Arc<Limits>,
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
        let limits = Arc::new(Limits::new(settings.dead_letter_limit, Arc::clone(&progress)));
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
            limits,
        }
    }

    /// The same, with limits that outlive it.
    pub(crate) fn with_limits(self, limits: Arc<Limits>) -> Self {
        Self { limits, ..self }
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
        let Landing { topic, partition, epoch, first_offset, mut routed, mut reservation } = landing;
        let mut sample = routed.sample.take();
        let all = parts(routed, &mut reservation);
        self.follow(topic, all.iter().map(|(table, _)| *table)).await?;
        let mut rows = Vec::with_capacity(all.len());
        for (table, part) in all {
            if self.plan.tables[table].upsert.is_some() {
                self.buffer((topic, partition), (table, part.batch()), (epoch, first_offset)).await?;
                continue;
            }
            rows.push((table, self.as_table(table, part).await?));
        }
        let mut open = self.epochs.remove(&epoch).unwrap_or_else(Epoch::new);
        open.landings += 1;
        let mut kept = Vec::with_capacity(rows.len());
        for (table, part) in rows {
            let next = self.floor(table, topic, partition);
            let part = match resume::floor(next, first_offset) {
                Some(floor) => Part::Own(from_offset(&part.batch(), floor).map_err(Error::Columns)?),
                None => part,
            };
            if part.num_rows() == 0 {
                continue;
            }
            if table == self.plan.dead_letters {
                open.tally.letters(topic, &part.batch(), sample.take());
            } else {
                open.tally.rows(topic, part.num_rows());
            }
            if self.is_of_template(table) {
                open.brought.insert((table, topic, partition));
            }
            if let Some(tail) = &self.settings.tail {
                let source = (self.plan.topics[topic].name.as_str(), partition, first_offset);
                tail.add(&self.plan.tables[table].name, epoch, source, (part.batch(), part.bytes()));
            }
            kept.push((table, part));
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
    async fn as_table(&mut self, table: usize, part: Part) -> Result<Part> {
        let plan = &self.plan.tables[table];
        if plan.policy != SchemaPolicy::Evolve {
            return Ok(part);
        }
        if !has_columns(&self.snapshots[table].schema(), part.schema()) {
            self.snapshots[table] = self.lake.load(&plan.name).await?;
        }
        let schema = self.snapshots[table].schema();
        if has_columns(&schema, part.schema()) {
            return Ok(part);
        }
        Ok(Part::Own(refit(&schema, &part.batch())?))
    }

    /// Notes the end of an epoch.
    pub(crate) fn seal(&mut self, seal: Seal) {
        let epoch = self.epochs.entry(seal.epoch).or_insert_with(Epoch::new);
        epoch.seal = Some(seal);
    }

    /// The commit of the oldest epoch, when it is whole and no other commit is under way.
    ///
    /// # Errors
    /// [`Error::TooManyDeadLetters`]: nothing of it lands then.
    pub(crate) fn next_commit(&mut self) -> Result<Option<impl Future<Output = Outcome> + Send + use<>>> {
        if self.pending.is_some() {
            return Ok(None);
        }
        let Some(first) = self.epochs.first_entry() else { return Ok(None) };
        let Some(seal) = first.get().seal.as_ref().filter(|seal| seal.batches == first.get().landings) else {
            return Ok(None);
        };
        let counts = first.get().tally.counts(&self.plan, seal);
        self.limits.check(&counts, Instant::now())?;
        let epoch = first.remove();
        let Some(seal) = epoch.seal else { return Ok(None) };
        let NamedParts { mut parts, carried } = self.named_parts(&seal, &epoch.brought);
        parts.extend(self.parts(&seal));
        let tables = parts.iter().map(|(table, _)| *table).collect();
        let Epoch { token, writers, keyed, tally, .. } = epoch;
        let held = writers.buffered_bytes()
            + keyed.values().map(|it| it.memory_of_commit(&self.settings.writer)).sum::<usize>();
        self.pending = Some(Pending { seal, token, began: Instant::now(), tables, carried, held, tally });
        let snapshots = writers.tables().map(|table| (table, self.snapshots[table].clone())).collect();
        Ok(Some(commit(self.desk(token), Arc::clone(&self.plan), parts, (writers, keyed), snapshots)))
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
        self.limits.landed(&pending.tally.counts(&self.plan, &pending.seal), Instant::now());
        pending.tally.tell(&self.plan, &self.progress, now_micros());
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
        for (table, rows, bytes) in rows {
            let dead = table == self.plan.dead_letters;
            let name = self.plan.tables[table].name.to_string();
            self.progress.add_rows(&name, (rows, bytes), dead, now_micros());
        }
        let took = pending.began.elapsed();
        tracing::debug!(token = %pending.token, epoch = pending.seal.epoch, ?took, "committed");
        self.progress.add_commit(took.as_secs_f64());
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

    /// Bytes held by rows that are not committed.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.budget.used()
    }

    fn account(&self) {
        let held = self.pending.as_ref().map_or(0, |pending| pending.held);
        let tail = self.settings.tail.as_ref().map_or(0, Tail::memory);
        let open = |epoch: &Epoch| {
            epoch.writers.buffered_bytes() + epoch.keyed.values().map(Buffer::memory).sum::<usize>()
        };
        let open: usize = self.epochs.values().map(open).sum();
        self.budget.set_files(open + held + tail);
        self.progress.set_buffered(self.budget.used(), self.budget.peak());
    }
}

impl Epoch {
    fn new() -> Self {
        let (writers, brought, keyed, token) =
            (Writers::default(), BTreeSet::new(), BTreeMap::new(), new_token());
        Self { token, writers, brought, keyed, landings: 0, tally: Tally::default(), seal: None }
    }
}

#[cfg(test)]
pub(crate) mod tests;
