//! Files that were begun before their table got other columns: which of them may still join it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::record_batch::RecordBatch;

use crate::fixture::{at, lake, name, token};
use crate::{
    Alteration, Commit, CommitOutcome, Lake, Operation, Position, StagedFiles, TableSnapshot, TableSpec,
    TableWriter, WriterSettings,
};

fn inner(names: &[&str]) -> Fields {
    names.iter().map(|name| Field::new(*name, DataType::Int32, true)).collect()
}

async fn table(lake: &Lake) -> TableSnapshot {
    let fields = vec![
        Field::new("id", DataType::Int32, true),
        Field::new("s", DataType::Struct(inner(&["x"])), true),
        Field::new("gone", DataType::Utf8, true),
    ];
    lake.create(&name("t"), TableSpec::new(Arc::new(Schema::new(fields)))).await.unwrap();
    lake.load(&name("t")).await.unwrap()
}

fn first_rows() -> RecordBatch {
    let ids = Arc::new(Int32Array::from(vec![1, 2]));
    RecordBatch::try_from_iter([("id", ids as _)]).unwrap()
}

fn later_rows() -> RecordBatch {
    let xy = (0..2).map(|_| Arc::new(Int32Array::from(vec![7])) as ArrayRef).collect();
    let nested = StructArray::new(inner(&["x", "y"]), xy, None);
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1_i64 << 40])) as _),
        ("s", Arc::new(nested) as _),
        ("new", Arc::new(StringArray::from(vec!["n"])) as _),
    ])
    .unwrap()
}

async fn alter(lake: &Lake, number: u128, alterations: Vec<Alteration>) -> TableSnapshot {
    let commit = Commit::new(name("t"), Operation::Alter(alterations), token(number));
    assert!(matches!(lake.commit(vec![commit], at(0)).await.unwrap(), CommitOutcome::Committed(_)));
    lake.load(&name("t")).await.unwrap()
}

fn path(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

fn add(column: &str, data_type: DataType) -> Alteration {
    Alteration::AddColumn { column: path(column), data_type, doc: None, position: Position::Last }
}

fn growth() -> Vec<Alteration> {
    vec![
        add("new", DataType::Utf8),
        add("s.y", DataType::Int32),
        Alteration::WidenColumn { column: path("id"), to: DataType::Int64 },
    ]
}

async fn append(lake: &Lake, files: StagedFiles, number: u128) -> CommitOutcome {
    let mut commit = Commit::new(name("t"), Operation::Append, token(number));
    commit.files = Some(files);
    lake.commit(vec![commit], at(1)).await.unwrap()
}

fn writer(lake: &Lake, table: &TableSnapshot, number: u128) -> TableWriter {
    TableWriter::new(lake, table, token(number), WriterSettings::default()).unwrap()
}

#[tokio::test]
async fn a_writer_follows_its_table_and_files_of_both_states_land() {
    let held = lake().await;
    let lake = &held.lake;
    let before = table(lake).await;
    let mut writer = writer(lake, &before, 1);
    writer.write(first_rows()).await.unwrap();
    let after = alter(lake, 2, growth()).await;
    assert!(writer.follow(&after).await.unwrap());
    assert!(writer.follow(&after).await.unwrap(), "nothing to do");
    writer.write(later_rows()).await.unwrap();
    let files = writer.finish().await.unwrap();
    assert_eq!((files.file_count(), files.row_count()), (2, 3));
    assert!(matches!(append(lake, files, 1).await, CommitOutcome::Committed(_)));
    let snapshot = lake.load(&name("t")).await.unwrap();
    let rows: u64 = snapshot.files().await.unwrap().iter().map(|file| file.parts().0.record_count()).sum();
    assert_eq!(rows, 3);
}

#[tokio::test]
async fn files_of_an_earlier_state_land_on_a_wider_table_and_not_on_a_narrower_one() {
    let held = lake().await;
    let lake = &held.lake;
    let before = table(lake).await;
    let (mut one, mut two) = (writer(lake, &before, 1), writer(lake, &before, 2));
    one.write(first_rows()).await.unwrap();
    two.write(first_rows()).await.unwrap();
    alter(lake, 3, growth()).await;
    assert!(matches!(append(lake, one.finish().await.unwrap(), 1).await, CommitOutcome::Committed(_)));
    alter(lake, 4, vec![Alteration::DropColumn { column: path("gone") }]).await;
    match append(lake, two.finish().await.unwrap(), 2).await {
        CommitOutcome::Conflicted { reason, .. } => {
            assert!(reason.contains("column gone was dropped"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_writer_does_not_follow_into_another_partitioning() {
    let held = lake().await;
    let lake = &held.lake;
    let before = table(lake).await;
    let mut writer = writer(lake, &before, 1);
    writer.write(first_rows()).await.unwrap();
    let by = crate::PartitionBy { column: "gone".to_owned(), transform: crate::Transform::Identity };
    let after = alter(lake, 2, vec![add("new", DataType::Utf8), Alteration::AddPartitionField(by)]).await;
    assert!(!writer.follow(&after).await.unwrap());
    writer.abort().await;
}
