//! Where parts go: the writer of their table, that of the dead letters, and commits that carry how far each
//! part is loaded.
//!
//! The progress of a part is kept as that of a topic is (`sluice_catalog::SourceRanges`): its name is `file:` and
//! the SHA-256 of the content, its only partition 0, its offsets bytes of the content (rows of a Parquet file).
//! So a commit lands only where the last one of the same content ended: after a kill, and when two
//! load the same file at once, no row comes twice. A content is loaded when its next offset is its length.

use std::collections::BTreeMap;

use sluice_catalog::{
    Commit, CommitOutcome, Created, Lake, OffsetRange, Operation, SourceId, SourceRanges, StagedFiles,
    TableName, TableSnapshot, TableSpec, TableWriter, WriterSettings,
};

use super::{Error, Result};
use crate::pipeline::{new_token, now};
use crate::{dead_letters, reject};

/// The cluster that offsets of files belong to.
const CLUSTER: &str = "files";
/// The only partition of a content.
const PARTITION: i32 = 0;

/// Writers whose files no snapshot knows until [`Target::commit`].
pub(super) struct Target {
    lake: Lake,
    table: TableSnapshot,
    rows: TableWriter,
    letters: Option<(TableName, TableWriter)>,
    ranges: BTreeMap<String, OffsetRange>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landed {
    Done,
    /// Somebody else loads the same content and was first: look where the table stands.
    Moved,
}

/// How far a table has a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The next byte (row) to load.
    pub(super) next: u64,
    /// How often it was loaded before.
    pub(super) round: u32,
    /// It is there from its first row to its last.
    pub(super) whole: bool,
}

/// Where a content stands in a table. With `again`, a content that is there whole begins a new round.
pub(super) fn standing(table: &TableSnapshot, sha256: &str, length: u64, again: bool) -> Result<Standing> {
    let mut round = 0;
    loop {
        let offsets = table.offsets(&source(sha256, round))?;
        let next = offsets.and_then(|offsets| offsets.next.get(&PARTITION).copied());
        match next.map(|next| u64::try_from(next).unwrap_or(0)) {
            None if round > 0 && !again => {
                return Ok(Standing { next: length, round: round - 1, whole: true });
            }
            None => return Ok(Standing { next: 0, round, whole: false }),
            Some(next) if next < length => return Ok(Standing { next, round, whole: false }),
            Some(_) => round += 1,
        }
    }
}

/// The name under which the progress of a content is kept.
pub(super) fn source(sha256: &str, round: u32) -> String {
    match round {
        0 => format!("file:{sha256}"),
        _ => format!("file:{sha256}:{}", round + 1),
    }
}

impl Target {
    pub(super) fn open(lake: &Lake, table: &TableSnapshot) -> Result<Self> {
        let rows = writer(lake, table)?;
        Ok(Self { lake: lake.clone(), table: table.clone(), rows, letters: None, ranges: BTreeMap::new() })
    }

    pub(super) fn rows(&mut self) -> &mut TableWriter {
        &mut self.rows
    }

    /// The writer of the dead letters; the first call creates the table when there is none.
    pub(super) async fn letters(&mut self) -> Result<&mut TableWriter> {
        let letters = match self.letters.take() {
            Some(letters) => letters,
            None => {
                let name = dead_letters::table();
                let (Created::New(table) | Created::Existed(table)) =
                    self.lake.create(&name, TableSpec::new(reject::schema())).await?;
                (name, writer(&self.lake, &table)?)
            }
        };
        Ok(&mut self.letters.insert(letters).1)
    }

    /// Notes that what was written holds a content from `start` to `end`.
    pub(super) fn carry(&mut self, source: &str, start: u64, end: u64) {
        let (start, end) = (start as i64, end as i64);
        let range = OffsetRange { start, end, anchor: None };
        self.ranges.entry(source.to_owned()).and_modify(|range| range.end = end).or_insert(range);
    }

    /// Whether there is progress to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Commits rows, dead letters and progress, all or none, and begins anew. (A catalog without transactions over
    /// several tables may, after a crash in between, hold dead letters of a stretch that is then loaded again.)
    pub(super) async fn commit(&mut self) -> Result<Landed> {
        let fresh = writer(&self.lake, &self.table)?;
        let rows = std::mem::replace(&mut self.rows, fresh);
        let (letters, ranges) = (self.letters.take(), std::mem::take(&mut self.ranges));
        let token = new_token();
        let files = |staged: StagedFiles| (staged.file_count() > 0).then_some(staged);
        let offsets = ranges.into_iter().map(|(topic, range)| SourceRanges {
            source: SourceId { cluster: CLUSTER.to_owned(), topic },
            ranges: BTreeMap::from([(PARTITION, range)]),
        });
        let mut commits = Vec::new();
        // Where a catalog takes tables one by one, the one that says how far a file is loaded comes last.
        if let Some((name, letters)) = letters {
            let staged = letters.finish().await?;
            commits.push(Commit { files: files(staged), ..Commit::new(name, Operation::Append, token) });
        }
        commits.push(Commit {
            files: files(rows.finish().await?),
            offsets: offsets.collect(),
            ..Commit::new(self.table.name().clone(), Operation::Append, token)
        });
        match self.lake.commit(commits, now()).await? {
            CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_) => Ok(Landed::Done),
            CommitOutcome::Fenced { .. } => Ok(Landed::Moved),
            CommitOutcome::Conflicted { table, reason } => Err(Error::Refused { table, reason }),
        }
    }

    /// Gives up: files that were written are deleted.
    pub(super) async fn abort(self) {
        self.rows.abort().await;
        if let Some((_, letters)) = self.letters {
            letters.abort().await;
        }
    }
}

fn writer(lake: &Lake, table: &TableSnapshot) -> Result<TableWriter> {
    // Files of an attempt that broke off keep their names, so every attempt has its own.
    Ok(TableWriter::new(lake, table, new_token(), WriterSettings::default())?)
}
