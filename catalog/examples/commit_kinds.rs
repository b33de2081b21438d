//! Makes each kind of commit on tables of its own, for other programs to judge: `commit_kinds FOLDER make` and
//! `commit_kinds FOLDER add`.
//!
//! `make` prints a line of JSON for each table: its name, and the ids of the rows that it must hold. `add` appends
//! one row to each, on top of whatever others have written in between, and prints nothing.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use sluice_catalog::{
    Alteration, Commit, CommitOutcome, Created, DeleteWriter, Lake, LakeSettings, LiveFile, Operation,
    PartitionBy, Partitions, Position, RefChange, Rewrite, RowChanges, Scope, StagedFiles, TableName,
    TableSnapshot, TableSpec, TableWriter, Transform, WriterSettings,
};
use uuid::Uuid;

type Done<T> = Result<T, Box<dyn std::error::Error>>;

const KINDS: [&str; 12] = [
    "append",
    "overwrite",
    "redefined",
    "partitions",
    "replaced",
    "removed",
    "positions",
    "merged",
    "rewritten",
    "altered",
    "rolled_back",
    "expired",
];

/// One table under test.
struct Case {
    lake: Lake,
    name: TableName,
    now: DateTime<Utc>,
}

#[tokio::main]
async fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, step] = arguments.as_slice() else {
        return Err("usage: commit_kinds FOLDER make|add".into());
    };
    let lake = Lake::open(LakeSettings::local(Path::new(folder))).await?;
    #[expect(clippy::disallowed_methods, reason = "the edge of a program: the commits' time")]
    let now = Utc::now();
    for kind in KINDS {
        for split in [false, true] {
            let table = format!("{kind}_{}", if split { "split" } else { "plain" });
            let case = Case { lake: lake.clone(), name: TableName::new("kinds", &table)?, now };
            match step.as_str() {
                "make" => println!(
                    "{}",
                    serde_json::json!({ "table": case.name.to_string(), "ids": case.make(kind, split).await? })
                ),
                _ => case.add(2000).await?,
            }
        }
    }
    Ok(())
}

impl Case {
    /// The table of six rows in two commits, then one commit of the kind; the ids it must hold.
    async fn make(&self, kind: &str, split: bool) -> Done<Vec<i64>> {
        let mut spec = TableSpec::new(schema());
        if split {
            spec.partition_by =
                vec![PartitionBy { column: "status".to_owned(), transform: Transform::Identity }];
        }
        let (Created::New(table) | Created::Existed(table)) =
            self.lake.create(&self.name, spec.clone()).await?;
        let first = self.commit(Operation::Append, Some(self.stage(&table, &[0, 1, 2]).await?)).await?;
        let table = self.commit(Operation::Append, Some(self.stage(&first, &[3, 4, 5]).await?)).await?;
        let read_snapshot = table.snapshot_id();
        let files = files_by_age(&table).await?;
        let change = |replaced| RowChanges { read_snapshot, replaced, deletes: None, scope: Scope::Table };
        // What the files of the first commit with the status of row 0 hold: row 0, or rows 0 to 2.
        let (victim, rest): (_, &[i64]) = (files[0].clone(), if split { &[] } else { &[1, 2] });
        let (operation, added, expected): (_, Vec<i64>, Vec<i64>) = match kind {
            "append" => (Operation::Append, vec![6], (0..=6).collect()),
            "overwrite" => (Operation::Overwrite { read_snapshot }, vec![7, 8], vec![7, 8]),
            "redefined" => return self.redefine(&table, spec).await,
            "partitions" => {
                let partitions = Partitions::OfAddedFiles;
                let left = if split { vec![1, 2, 4, 5, 6] } else { vec![6] };
                (Operation::ReplacePartitions { read_snapshot, partitions }, vec![6], left)
            }
            "replaced" => {
                let added = [&[100], rest].concat();
                (Operation::ChangeRows(change(vec![victim])), added, vec![1, 2, 3, 4, 5, 100])
            }
            "removed" => {
                let left = if split { vec![1, 2, 3, 4, 5] } else { vec![3, 4, 5] };
                (Operation::ChangeRows(change(vec![victim])), vec![], left)
            }
            "positions" | "merged" => {
                let mut deletes = DeleteWriter::new(&self.lake, &table, new_token());
                deletes.delete(&victim, [0])?;
                if kind == "merged" {
                    // Two data files in one delete file, where they are of one partition.
                    deletes.delete(if split { of_partition(&files, &victim)? } else { &files[1] }, [0])?;
                }
                let deletes = Some(deletes.finish().await?);
                let changes = RowChanges { deletes, ..change(vec![]) };
                match kind {
                    "positions" => (Operation::ChangeRows(changes), vec![], vec![1, 2, 3, 4, 5]),
                    _ => (Operation::ChangeRows(changes), vec![100], vec![1, 2, 4, 5, 100]),
                }
            }
            "rewritten" => {
                let rewrite = Rewrite { read_snapshot: read_snapshot.ok_or("no snapshot")?, inputs: files };
                (Operation::Rewrite(rewrite), (0..=5).collect(), (0..=5).collect())
            }
            "altered" => return self.alter(&table).await,
            "rolled_back" => {
                let snapshot = first.snapshot_id().ok_or("no snapshot")?;
                (Operation::RollBack { snapshot }, vec![], vec![0, 1, 2])
            }
            _ => {
                let tag = RefChange::CreateTag { name: "before".to_owned(), snapshot: None };
                self.commit(Operation::Refer(tag), None).await?;
                let snapshots = first.snapshot_id().into_iter().collect();
                (Operation::Expire { snapshots }, vec![], (0..=5).collect())
            }
        };
        let files = match added.as_slice() {
            [] => None,
            ids => Some(self.stage(&table, ids).await?),
        };
        self.commit(operation, files).await?;
        Ok(expected)
    }

    /// Overwrites rows, columns and partitioning at once.
    async fn redefine(&self, table: &TableSnapshot, mut spec: TableSpec) -> Done<Vec<i64>> {
        let fields =
            [schema().fields().to_vec(), vec![Arc::new(Field::new("extra", DataType::Float64, true))]];
        spec.schema = Arc::new(Schema::new(fields.concat()));
        spec.partition_by.push(PartitionBy { column: "id".to_owned(), transform: Transform::Identity });
        let files = self.stage(&table.redefined(&spec)?, &[7, 8]).await?;
        self.commit(Operation::Overwrite { read_snapshot: table.snapshot_id() }, Some(files)).await?;
        Ok(vec![7, 8])
    }

    /// Changes columns and partitioning, then appends.
    async fn alter(&self, table: &TableSnapshot) -> Done<Vec<i64>> {
        let column = |name: &str| vec![name.to_owned()];
        let by = PartitionBy { column: "id".to_owned(), transform: Transform::Identity };
        let (data_type, position) = (DataType::Int32, Position::First);
        let wanted = vec![
            Alteration::AddColumn { column: column("count"), data_type, doc: None, position },
            Alteration::WidenColumn { column: column("count"), to: DataType::Int64 },
            Alteration::RenameColumn { column: column("count"), to: "amount".to_owned() },
            Alteration::AddPartitionField(by),
            Alteration::SetProperty { key: "owner".to_owned(), value: "judge".to_owned() },
        ];
        debug_assert_eq!(table.name(), &self.name);
        self.commit(Operation::Alter(wanted), None).await?;
        self.add(6).await?;
        Ok((0..=6).collect())
    }

    async fn add(&self, id: i64) -> Done<()> {
        let table = self.lake.load(&self.name).await?;
        let files = self.stage(&table, &[id]).await?;
        self.commit(Operation::Append, Some(files)).await.map(|_| ())
    }

    /// Rows with these ids; every third has the same status.
    async fn stage(&self, table: &TableSnapshot, ids: &[i64]) -> Done<StagedFiles> {
        let statuses = ["new", "paid", "sent"];
        let status = ids.iter().map(|id| statuses[usize::try_from(id % 3).unwrap_or_default()]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(StringArray::from_iter_values(status))];
        let mut writer = TableWriter::new(&self.lake, table, new_token(), WriterSettings::default())?;
        writer.write(RecordBatch::try_new(schema(), columns)?).await?;
        Ok(writer.finish().await?)
    }

    async fn commit(&self, operation: Operation, files: Option<StagedFiles>) -> Done<TableSnapshot> {
        let commit = Commit { files, ..Commit::new(self.name.clone(), operation, new_token()) };
        match self.lake.commit(vec![commit], self.now).await? {
            CommitOutcome::Committed(mut tables) => tables.pop().ok_or_else(|| "no table".into()),
            other => Err(format!("{}: {other:?}", self.name).into()),
        }
    }
}

fn schema() -> Arc<Schema> {
    let id = Field::new("id", DataType::Int64, false);
    Arc::new(Schema::new(vec![id, Field::new("status", DataType::Utf8, true)]))
}

/// The live data files, those of the first commit first, and among them that of row 0.
async fn files_by_age(table: &TableSnapshot) -> Done<Vec<LiveFile>> {
    let mut files = table.files().await?;
    files.sort_by_key(|file| (file.sequence_number, file.parts().0.file_path().to_owned()));
    Ok(files)
}

fn of_partition<'a>(files: &'a [LiveFile], like: &LiveFile) -> Done<&'a LiveFile> {
    let mut others = files.iter().filter(|file| file.parts().0.file_path() != like.parts().0.file_path());
    let found = others.find(|file| file.parts().0.partition() == like.parts().0.partition());
    found.ok_or_else(|| "no other file of the partition".into())
}

#[expect(clippy::disallowed_methods, reason = "each commit of a run has a name of its own")]
fn new_token() -> Uuid {
    Uuid::now_v7()
}
