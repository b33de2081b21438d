//! Where a file goes: the writer of its table, and that of the dead letters from the first bad record on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sluice_catalog::{
    Commit, CommitOutcome, Created, Lake, Operation, StagedFiles, TableName, TableSnapshot, TableSpec,
    TableWriter, WriterSettings,
};
use uuid::Uuid;

use super::{Error, Result};
use crate::reject;

/// Writers whose files no snapshot knows until [`Target::commit`].
pub(super) struct Target {
    lake: Lake,
    table: TableName,
    rows: TableWriter,
    letters: Option<(TableName, TableWriter)>,
}

/// What is committed besides the files.
pub(super) struct Statement {
    /// Names the commit for ever.
    pub(super) token: Uuid,
    /// Properties of the table.
    pub(super) properties: BTreeMap<String, String>,
    pub(super) now: DateTime<Utc>,
}

impl Target {
    pub(super) fn open(lake: &Lake, table: &TableSnapshot) -> Result<Self> {
        let rows = writer(lake, table)?;
        Ok(Self { lake: lake.clone(), table: table.name().clone(), rows, letters: None })
    }

    pub(super) fn rows(&mut self) -> &mut TableWriter {
        &mut self.rows
    }

    /// The writer of the dead letters; the first call creates the table when there is none.
    pub(super) async fn letters(&mut self) -> Result<&mut TableWriter> {
        let letters = match self.letters.take() {
            Some(letters) => letters,
            None => {
                let name = TableName::new("bronze", "dead_letters")?;
                let (Created::New(table) | Created::Existed(table)) =
                    self.lake.create(&name, TableSpec::new(reject::schema())).await?;
                (name, writer(&self.lake, &table)?)
            }
        };
        Ok(&mut self.letters.insert(letters).1)
    }

    /// Commits rows, dead letters and properties; false when the token had been committed before. The table whose
    /// properties say that the file was loaded comes last: where tables land one after the other, it has the rest.
    pub(super) async fn commit(self, statement: Statement) -> Result<bool> {
        let Statement { token, properties, now } = statement;
        let commit = |table, staged: StagedFiles, properties| Commit {
            table,
            operation: Operation::Append,
            files: (staged.file_count() > 0).then_some(staged),
            offsets: Vec::new(),
            properties,
            token,
        };
        let mut commits = Vec::new();
        if let Some((name, letters)) = self.letters {
            commits.push(commit(name, letters.finish().await?, BTreeMap::new()));
        }
        commits.push(commit(self.table.clone(), self.rows.finish().await?, properties));
        match self.lake.commit(commits, now).await? {
            CommitOutcome::Committed(_) => Ok(true),
            CommitOutcome::AlreadyCommitted(_) => Ok(false),
            CommitOutcome::Conflicted { table, reason } => Err(Error::Refused { table, reason }),
            CommitOutcome::Fenced { table, topic, .. } => {
                let reason = format!("another writer moved the offsets of `{topic}`");
                Err(Error::Refused { table, reason })
            }
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
    #[expect(
        clippy::disallowed_methods,
        reason = "names files that must differ from those of every other attempt"
    )]
    let token = Uuid::new_v4();
    Ok(TableWriter::new(lake, table, token, WriterSettings::default())?)
}
