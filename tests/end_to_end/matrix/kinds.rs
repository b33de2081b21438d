//! Each kind of commit on a table of its own: what is committed, and what the table must hold then.
//!
//! A table starts with six rows in two commits. Unsplit it has a file for each commit, split by status a file for
//! each row. Then comes the commit of its kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use sluice_catalog::maintain::{Policy, rewrite_manifests};
use sluice_catalog::{
    Alteration, Commit, CommitOutcome, Created, DeleteWriter, Lake, LiveFile, Operation, PartitionBy,
    Partitions, Position, PositionDeletes, RefChange, Rewrite, RowChanges, Scope, StagedDeletes, StagedFiles,
    TableName, TableSnapshot, TableSpec, TableWriter, Transform, WriterSettings,
};
use uuid::Uuid;

pub(super) const KINDS: [&str; 21] = [
    "append",
    "overwrite",
    "redefined",
    "partitions",
    "emptied",
    "outgrown",
    "filtered",
    "replaced",
    "removed",
    "positions",
    "twice",
    "merged",
    "upserted",
    "rewritten",
    "cleaned",
    "relisted",
    "altered",
    "referred",
    "rolled_back",
    "expired",
    "together",
];

/// Id and status.
pub(super) type Row = (i64, &'static str);

/// What a table must hold.
#[derive(Debug, Serialize)]
pub(super) struct Expected {
    #[serde(serialize_with = "as_text")]
    pub(super) table: TableName,
    pub(super) rows: Vec<Row>,
    /// What each branch and tag leads to.
    refs: BTreeMap<&'static str, Vec<Row>>,
    columns: Vec<&'static str>,
}

/// One table under test.
pub(super) struct Case<'a> {
    pub(super) lake: &'a Lake,
    pub(super) name: TableName,
    pub(super) now: DateTime<Utc>,
    pub(super) split: bool,
}

/// The table before the commit of its kind.
struct Start {
    /// After the first of its two commits.
    first: TableSnapshot,
    table: TableSnapshot,
    /// The file of row 0 first.
    files: Vec<LiveFile>,
}

impl Start {
    /// What the file of row 0 holds beside it.
    fn beside(&self) -> Vec<Row> {
        if self.files.len() == 2 { rows([1, 2]) } else { Vec::new() }
    }

    /// The places of two rows of one partition.
    fn rows_0_and_3(&self) -> [(&LiveFile, u64); 2] {
        let of_row_3 = if self.files.len() == 2 { &self.files[1] } else { &self.files[3] };
        [(&self.files[0], 0), (of_row_3, 0)]
    }

    /// A change of these rows, computed from this state.
    fn change(&self, replaced: Vec<LiveFile>, deletes: Option<StagedDeletes>) -> Operation {
        let read_snapshot = self.table.snapshot_id();
        Operation::ChangeRows(RowChanges { read_snapshot, replaced, deletes, scope: Scope::Table })
    }
}

impl Case<'_> {
    /// The table, and sometimes others that change with it.
    pub(super) async fn make(&self, kind: &str) -> Vec<Expected> {
        if kind == "together" {
            return self.change_two().await;
        }
        let start = self.start().await;
        let rows = match kind {
            "redefined" => return vec![self.redefine(&start).await],
            "altered" => return vec![self.alter().await],
            "outgrown" => return vec![self.outgrow().await],
            "referred" | "rolled_back" | "expired" => return vec![self.point(kind, &start).await],
            "append" | "overwrite" | "partitions" | "emptied" => self.replace_much(kind, &start).await,
            "rewritten" | "cleaned" => self.rewrite(kind, start).await,
            "relisted" => self.relist(start).await,
            _ => self.change_rows(kind, &start).await,
        };
        vec![self.expected(rows)]
    }

    fn spec(&self) -> TableSpec {
        let partition_by = if self.split { vec![by("status")] } else { Vec::new() };
        TableSpec { partition_by, ..TableSpec::new(schema()) }
    }

    async fn start(&self) -> Start {
        let Created::New(table) = self.lake.create(&self.name, self.spec()).await.unwrap() else {
            panic!("{} is there already", self.name)
        };
        let first = self.append(&table, rows(0..3)).await;
        let table = self.append(&first, rows(3..6)).await;
        let mut files = table.files().await.unwrap();
        files.sort_by_key(|file| (file.sequence_number, path(file).to_owned()));
        assert_eq!(files.len(), if self.split { 6 } else { 2 }, "{}", self.name);
        Start { first, table, files }
    }

    async fn replace_much(&self, kind: &str, start: &Start) -> Vec<Row> {
        let read_snapshot = start.table.snapshot_id();
        let replace = |partitions| Operation::ReplacePartitions { read_snapshot, partitions };
        let others = if self.split { rows([1, 2, 4, 5]) } else { Vec::new() };
        let (operation, added, left) = match kind {
            "append" => (Operation::Append, rows([6]), rows(0..6)),
            "overwrite" => (Operation::Overwrite { read_snapshot }, rows([7, 8]), Vec::new()),
            "partitions" => (replace(Partitions::OfAddedFiles), rows([6]), others),
            _ => {
                let of_row_0 = start.files[0].parts().0.partition().clone();
                (replace(Partitions::Listed(vec![of_row_0])), Vec::new(), others)
            }
        };
        self.put(operation, &start.table, added.clone()).await;
        [left, added].concat()
    }

    async fn change_rows(&self, kind: &str, start: &Start) -> Vec<Row> {
        let (files, table) = (&start.files, &start.table);
        let of_row_0 = || vec![files[0].clone()];
        let replace = |files| start.change(files, None);
        let (operation, added, left) = match kind {
            // Rows 2 to 4 by others.
            "filtered" if self.split => (replace(files[2..5].to_vec()), rows([100]), rows([0, 1, 5])),
            "filtered" => (replace(files.clone()), rows([0, 1, 5, 100]), Vec::new()),
            // Row 0 by another.
            "replaced" => {
                let left = if self.split { rows(1..6) } else { rows(3..6) };
                (replace(of_row_0()), [rows([100]), start.beside()].concat(), left)
            }
            "removed" => (replace(of_row_0()), Vec::new(), rows(if self.split { 1..6 } else { 3..6 })),
            "positions" => {
                let deletes = self.delete(table, &[(&files[0], 0)]).await;
                (start.change(Vec::new(), deletes), Vec::new(), rows(1..6))
            }
            // The second commit finds a delete file that the first one wrote.
            "twice" => {
                let deletes = self.delete(table, &[(&files[0], 0)]).await;
                let table = self.put(start.change(Vec::new(), deletes), table, Vec::new()).await;
                let row_1 = if self.split { (&files[1], 0) } else { (&files[0], 1) };
                let deletes = self.delete(&table, &[row_1]).await;
                let read_snapshot = table.snapshot_id();
                let change =
                    RowChanges { read_snapshot, replaced: Vec::new(), deletes, scope: Scope::ReadFiles };
                (Operation::ChangeRows(change), Vec::new(), rows(2..6))
            }
            // Rows 0 and 3, which are of one partition, in one delete file.
            "merged" => {
                let deletes = self.delete(table, &start.rows_0_and_3()).await;
                (start.change(Vec::new(), deletes), rows([100]), rows([1, 2, 4, 5]))
            }
            // By the key: row 0 moves to another partition, row 100 is new.
            _ => {
                let deletes = self.delete(table, &[(&files[0], 0)]).await;
                (start.change(Vec::new(), deletes), vec![(0, "sent"), row(100)], rows(1..6))
            }
        };
        self.put(operation, table, added.clone()).await;
        [left, added].concat()
    }

    /// The same rows in one file for each partition; of `cleaned`, rows 0 and 3 were deleted by position before.
    async fn rewrite(&self, kind: &str, start: Start) -> Vec<Row> {
        let (mut table, mut inputs, mut left) = (start.table.clone(), start.files.clone(), rows(0..6));
        if kind == "cleaned" {
            let deletes = self.delete(&table, &start.rows_0_and_3()).await;
            table = self.put(start.change(Vec::new(), deletes), &table, Vec::new()).await;
            inputs = table.files().await.unwrap();
            let of_row_0 = inputs.iter().find(|file| path(file) == path(&start.files[0])).unwrap();
            let PositionDeletes::Files(deletes) = &of_row_0.parts().1.positions else {
                panic!("{}: {of_row_0:?}", self.name)
            };
            let [deletes] = deletes.as_slice() else { panic!("{}: {deletes:?}", self.name) };
            let (spec_id, sequence_number) = (deletes.partition_spec_id, deletes.sequence_number);
            inputs.push(LiveFile::new(deletes.data_file.clone(), spec_id, sequence_number));
            left = rows([1, 2, 4, 5]);
        }
        let read_snapshot = table.snapshot_id().unwrap();
        self.put(Operation::Rewrite(Rewrite { read_snapshot, inputs }), &table, left.clone()).await;
        left
    }

    /// The same files in other manifests; there are as many commits as make that worth it.
    async fn relist(&self, start: Start) -> Vec<Row> {
        let mut table = start.table;
        for id in 6..14 {
            table = self.append(&table, rows([id])).await;
        }
        let (policy, token) = (Policy::default(), new_token());
        let relisted =
            rewrite_manifests(self.lake, &self.name, &policy, token, self.now, false).await.unwrap();
        assert_eq!((relisted.replaced, relisted.conflict), (10, None), "{}", self.name);
        assert!(relisted.written < 10, "{}: {} manifests", self.name, relisted.written);
        rows(0..14)
    }

    /// Overwrites rows, columns and partitioning at once.
    async fn redefine(&self, start: &Start) -> Expected {
        let extra = Arc::new(Field::new("extra", DataType::Float64, true));
        let mut spec =
            TableSpec::new(Arc::new(Schema::new([schema().fields().to_vec(), vec![extra]].concat())));
        spec.partition_by.push(by("id"));
        let read_snapshot = start.table.snapshot_id();
        let form = start.table.redefined(&spec).unwrap();
        self.put(Operation::Overwrite { read_snapshot }, &form, rows([7, 8])).await;
        Expected { columns: vec!["id", "status", "extra"], ..self.expected(rows([7, 8])) }
    }

    /// Replaces partitions of a spec that is younger than the live files.
    async fn outgrow(&self) -> Expected {
        let table = self.commit(Operation::Alter(vec![Alteration::AddPartitionField(by("id"))]), None).await;
        // Unsplit, no older file holds rows of the partition; split, one holds nothing else.
        let added = if self.split { rows([0, 100]) } else { rows([100]) };
        let read_snapshot = table.snapshot_id();
        let replace = Operation::ReplacePartitions { read_snapshot, partitions: Partitions::OfAddedFiles };
        let table = self.put(replace, &table, added).await;
        let files = table.files().await.unwrap();
        assert_eq!(files.len(), if self.split { 7 } else { 3 }, "{}", self.name);
        self.expected(rows((0..6).chain([100])))
    }

    /// Changes columns and partitioning, then appends.
    async fn alter(&self) -> Expected {
        let column = |name: &str| vec![name.to_owned()];
        let add = |name, data_type, position| Alteration::AddColumn {
            column: column(name),
            data_type,
            doc: None,
            position,
        };
        let mut wanted = vec![
            add("count", DataType::Int32, Position::First),
            add("gone", DataType::Utf8, Position::Last),
            Alteration::WidenColumn { column: column("count"), to: DataType::Int64 },
            Alteration::RenameColumn { column: column("count"), to: "amount".to_owned() },
            Alteration::SetProperty { key: "owner".to_owned(), value: "judge".to_owned() },
        ];
        wanted.push(Alteration::AddPartitionField(by("id")));
        self.commit(Operation::Alter(wanted), None).await;
        self.add(row(6)).await;
        let mut wanted = vec![Alteration::DropColumn { column: column("gone") }];
        if self.split {
            wanted.push(Alteration::DropPartitionField { field: "status".to_owned() });
        }
        self.commit(Operation::Alter(wanted), None).await;
        self.add(row(7)).await;
        Expected { columns: vec!["amount", "id", "status"], ..self.expected(rows(0..8)) }
    }

    /// Changes what the table calls its snapshots, and which it keeps.
    async fn point(&self, kind: &str, start: &Start) -> Expected {
        let name = |name: &str| name.to_owned();
        let (first, last) = (start.first.snapshot_id(), start.table.snapshot_id());
        match kind {
            "referred" => {
                self.refer(RefChange::CreateBranch { name: name("audit"), snapshot: first }).await;
                self.refer(RefChange::CreateTag { name: name("early"), snapshot: first }).await;
                self.refer(RefChange::CreateTag { name: name("gone"), snapshot: None }).await;
                self.refer(RefChange::Drop { name: name("gone") }).await;
                self.refer(RefChange::SetBranch { name: name("audit"), snapshot: last.unwrap() }).await;
                self.add(row(6)).await;
                let refs = BTreeMap::from([("audit", rows(0..6)), ("early", rows(0..3))]);
                Expected { refs, ..self.expected(rows(0..7)) }
            }
            "rolled_back" => {
                self.commit(Operation::RollBack { snapshot: first.unwrap() }, None).await;
                self.expected(rows(0..3))
            }
            _ => {
                self.refer(RefChange::CreateTag { name: name("before"), snapshot: None }).await;
                self.commit(Operation::Expire { snapshots: first.into_iter().collect() }, None).await;
                Expected { refs: BTreeMap::from([("before", rows(0..6))]), ..self.expected(rows(0..6)) }
            }
        }
    }

    async fn refer(&self, change: RefChange) -> TableSnapshot {
        self.commit(Operation::Refer(change), None).await
    }

    /// Two tables in one commit.
    async fn change_two(&self) -> Vec<Expected> {
        let twin = TableName::new(self.name.namespace(), format!("{}_twin", self.name.name())).unwrap();
        let twin = Case { name: twin, ..*self };
        let (here, there) = (self.start().await, twin.start().await);
        let read_snapshot = there.table.snapshot_id();
        let token = new_token();
        let mut append = Commit::new(self.name.clone(), Operation::Append, token);
        append.files = Some(self.stage(&here.table, rows([6])).await);
        let mut overwrite = Commit::new(twin.name.clone(), Operation::Overwrite { read_snapshot }, token);
        overwrite.files = Some(twin.stage(&there.table, rows([7, 8])).await);
        let outcome = self.lake.commit(vec![append, overwrite], self.now).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{}: {outcome:?}", self.name);
        vec![self.expected(rows(0..7)), twin.expected(rows([7, 8]))]
    }

    fn expected(&self, rows: Vec<Row>) -> Expected {
        Expected { table: self.name.clone(), rows, refs: BTreeMap::new(), columns: vec!["id", "status"] }
    }

    /// Appends one row to what is there now.
    pub(super) async fn add(&self, row: Row) {
        let table = self.lake.load(&self.name).await.unwrap();
        self.append(&table, vec![row]).await;
    }

    async fn append(&self, table: &TableSnapshot, rows: Vec<Row>) -> TableSnapshot {
        self.put(Operation::Append, table, rows).await
    }

    /// A commit with these rows, if any, written as `table` has its columns.
    async fn put(&self, operation: Operation, table: &TableSnapshot, rows: Vec<Row>) -> TableSnapshot {
        let files = if rows.is_empty() { None } else { Some(self.stage(table, rows).await) };
        self.commit(operation, files).await
    }

    async fn stage(&self, table: &TableSnapshot, rows: Vec<Row>) -> StagedFiles {
        let (ids, statuses): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(ids)), Arc::new(StringArray::from(statuses))];
        let settings = WriterSettings::default();
        let mut writer = TableWriter::new(self.lake, table, new_token(), settings).unwrap();
        writer.write(RecordBatch::try_new(schema(), columns).unwrap()).await.unwrap();
        writer.finish().await.unwrap()
    }

    async fn delete(&self, table: &TableSnapshot, rows: &[(&LiveFile, u64)]) -> Option<StagedDeletes> {
        let mut deletes = DeleteWriter::new(self.lake, table, new_token());
        for (file, position) in rows {
            deletes.delete(file, [*position]).unwrap();
        }
        Some(deletes.finish().await.unwrap())
    }

    async fn commit(&self, operation: Operation, files: Option<StagedFiles>) -> TableSnapshot {
        let commit = Commit { files, ..Commit::new(self.name.clone(), operation, new_token()) };
        match self.lake.commit(vec![commit], self.now).await.unwrap() {
            CommitOutcome::Committed(mut tables) => tables.pop().unwrap(),
            other => panic!("{}: {other:?}", self.name),
        }
    }
}

fn schema() -> Arc<Schema> {
    let id = Field::new("id", DataType::Int64, false);
    Arc::new(Schema::new(vec![id, Field::new("status", DataType::Utf8, true)]))
}

fn by(column: &str) -> PartitionBy {
    PartitionBy { column: column.to_owned(), transform: Transform::Identity }
}

/// The row of an id; every third has the same status.
pub(super) fn row(id: i64) -> Row {
    (id, ["new", "paid", "sent"][usize::try_from(id % 3).unwrap()])
}

fn rows(ids: impl IntoIterator<Item = i64>) -> Vec<Row> {
    ids.into_iter().map(row).collect()
}

fn path(file: &LiveFile) -> &str {
    file.parts().0.file_path()
}

fn as_text<S: Serializer>(name: &TableName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

#[expect(clippy::disallowed_methods, reason = "each commit of a run has a name of its own")]
fn new_token() -> Uuid {
    Uuid::now_v7()
}
