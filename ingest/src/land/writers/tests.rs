//! Rows wait, files rest, and all of them are in the staged files.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;
use sluice_catalog::{Commit, CommitOutcome, Operation, PartitionBy, TableSpec, Transform};

use super::*;
use crate::budget::Budget;
use crate::fixtures;
use crate::land::part::parts;
use crate::pipeline::{new_token, now};
use crate::route::{Routed, Shared};

fn batch(values: std::ops::Range<i64>) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap()
}

async fn tables(lake: &Lake, count: usize) -> Vec<TableSnapshot> {
    let mut tables = Vec::new();
    for number in 0..count {
        let name = fixtures::name(&format!("bronze.t{number}"));
        let _ = lake.create(&name, TableSpec::new(batch(0..1).schema())).await.unwrap();
        tables.push(lake.load(&name).await.unwrap());
    }
    tables
}

fn desk(lake: &Lake, open_files_max: usize) -> Desk {
    Desk::new(lake.clone(), new_token(), WriterSettings::default(), open_files_max)
}

#[tokio::test(flavor = "multi_thread")]
async fn few_rows_wait_for_the_end_and_many_are_written_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let (tables, desk, mut writers) = (tables(&lake, 2).await, desk(&lake, 8), Writers::default());
    for round in 0..100 {
        writers.add(&desk, vec![(0, Part::Own(batch(round * 10..round * 10 + 10)))], &tables).await.unwrap();
    }
    assert_eq!(writers.open_files(), 0, "a thousand rows are parked");
    assert!(writers.slots[&0].parked.len() < PARTS_MAX && writers.buffered_bytes() >= 8000);
    writers.add(&desk, vec![(1, Part::Own(batch(0..ROWS_MIN as i64)))], &tables).await.unwrap();
    assert_eq!(writers.open_files(), 1);
    let snapshots = tables.into_iter().enumerate().collect();
    let staged = writers.finish(&desk, &snapshots).await.unwrap();
    let rows: Vec<_> = staged.iter().map(|(table, files)| (*table, files.row_count())).collect();
    assert_eq!(rows, [(0, 1000), (1, ROWS_MIN as u64)]);
    assert!(staged.values().all(|files| files.file_count() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_table_closes_its_file_and_goes_on_with_another() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let (tables, desk, mut writers) = (tables(&lake, 3).await, desk(&lake, 2), Writers::default());
    let many = ROWS_MIN as i64;
    for table in [0, 1, 0, 2, 0, 1] {
        writers.add(&desk, vec![(table, Part::Own(batch(0..many)))], &tables).await.unwrap();
        assert!(writers.open_files() <= 2);
    }
    let snapshots = tables.into_iter().enumerate().collect();
    let staged = writers.finish(&desk, &snapshots).await.unwrap();
    let found: Vec<_> = staged.values().map(|files| (files.row_count(), files.file_count())).collect();
    let many = many as u64;
    assert_eq!(found, [(3 * many, 1), (2 * many, 2), (many, 1)], "only table 1 was closed and used again");
}

const TABLES: usize = 6;
/// Partitions of each second table.
const PARTS: i64 = 5;

/// Tables of which each second one is partitioned by the number.
async fn mixed_tables(lake: &Lake) -> Vec<TableSnapshot> {
    let mut tables = Vec::new();
    for number in 0..TABLES {
        let name = fixtures::name(&format!("bronze.m{number}"));
        let mut spec = TableSpec::new(numbered(0..1).schema());
        if number % 2 == 1 {
            let by = PartitionBy { column: "part".to_owned(), transform: Transform::Identity };
            spec.partition_by.push(by);
        }
        let _ = lake.create(&name, spec).await.unwrap();
        tables.push(lake.load(&name).await.unwrap());
    }
    tables
}

fn numbered(values: std::ops::Range<i64>) -> RecordBatch {
    let schema =
        Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("part", DataType::Int64, true)]);
    let parts = Int64Array::from_iter_values(values.clone().map(|n| n % PARTS));
    let columns: Vec<Arc<dyn arrow::array::Array>> =
        vec![Arc::new(Int64Array::from_iter_values(values)), Arc::new(parts)];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn open_tables(writers: &Writers) -> BTreeMap<usize, u64> {
    let open = writers.slots.iter().filter(|(_, slot)| slot.open_files() > 0);
    open.map(|(table, slot)| (*table, slot.last_use)).collect()
}

/// Adds all parts, each of some rows of one or two tables, then finishes and commits; checks every step.
async fn run(open_files_max: usize, adds: Vec<Vec<(usize, i64)>>) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let (tables, mut writers) = (mixed_tables(&lake).await, Writers::default());
    let desk = Desk { rows_min: 20, ..desk(&lake, open_files_max) };
    let (mut sent, mut number) = (BTreeMap::<usize, BTreeSet<i64>>::new(), 0);
    for add in adds {
        let before = open_tables(&writers);
        let mut rows: BTreeMap<usize, RecordBatch> = BTreeMap::new();
        for (table, count) in add {
            rows.insert(table, numbered(number..number + count));
            number += count;
        }
        for (table, batch) in &rows {
            let numbers = batch.column(0).as_primitive::<Int64Type>().values().iter().copied();
            sent.entry(*table).or_default().extend(numbers);
        }
        let used: BTreeSet<usize> = rows.keys().copied().collect();
        let rows = rows.into_iter().map(|(table, batch)| (table, Part::Own(batch))).collect();
        writers.add(&desk, rows, &tables).await.unwrap();
        prop_assert!(writers.open_files() <= open_files_max);
        let after = open_tables(&writers);
        let closed = before.iter().filter(|(table, _)| !after.contains_key(table) && !used.contains(table));
        let kept = before.iter().filter(|(table, _)| after.contains_key(table) && !used.contains(table));
        if let (Some(latest), Some(oldest)) = (closed.map(|it| it.1).max(), kept.map(|it| it.1).min()) {
            prop_assert!(latest <= oldest, "a table was closed that was used later than one that was kept");
        }
    }
    let snapshots: BTreeMap<usize, TableSnapshot> = tables.into_iter().enumerate().collect();
    for (table, files) in writers.finish(&desk, &snapshots).await.unwrap() {
        let name = snapshots[&table].name().clone();
        let commit =
            Commit { files: Some(files), ..Commit::new(name.clone(), Operation::Append, desk.token) };
        let outcome = lake.commit(vec![commit], now()).await.unwrap();
        prop_assert!(matches!(outcome, CommitOutcome::Committed(_)));
        let mut found = Vec::new();
        for batch in fixtures::rows(&lake, &name.to_string()).await {
            let numbers = batch.column_by_name("n").unwrap().as_primitive::<Int64Type>().clone();
            found.extend(numbers.values().iter().copied());
        }
        found.sort_unstable();
        prop_assert_eq!(found, sent.remove(&table).unwrap().into_iter().collect::<Vec<_>>());
    }
    prop_assert!(sent.is_empty(), "rows of {:?} are nowhere", sent.keys());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn never_more_files_are_open_than_may_be_and_no_row_is_lost(
        open_files_max in 1..9_usize,
        adds in prop::collection::vec(prop::collection::vec((0..TABLES, 1..60_i64), 1..5), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(open_files_max, adds))?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_shared_arrays_hold_their_memory_until_the_last_table_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let (tables, mut writers, rounds) = (tables(&lake, 2).await, Writers::default(), 100);
    let desk = Desk { rows_min: 6 * rounds, ..desk(&lake, 8) };
    let budget = Budget::new(1 << 30);
    for round in 0..rounds as i64 {
        let batch = batch(round * 10..round * 10 + 10);
        let few = vec![Shared { batch, bytes: 1000, tables: vec![(0, 4), (1, 6)] }];
        let rows = parts(Routed { few, ..Routed::default() }, &mut budget.reserve(1000));
        assert_eq!(rows.iter().map(|(_, part)| part.bytes()).collect::<Vec<_>>(), [400, 600]);
        writers.add(&desk, rows, &tables).await.unwrap();
    }
    assert!(writers.slots[&1].few.is_empty() && writers.open_files() == 1, "the second table was written");
    assert_eq!(budget.used(), 1000 * rounds, "the first has rows in all arrays");
    let snapshots: BTreeMap<_, _> = tables.into_iter().enumerate().collect();
    let staged = writers.finish(&desk, &snapshots).await.unwrap();
    assert_eq!(budget.used(), 0);
    for (table, files) in staged {
        let name = snapshots[&table].name().clone();
        let commit =
            Commit { files: Some(files), ..Commit::new(name.clone(), Operation::Append, desk.token) };
        assert!(matches!(lake.commit(vec![commit], now()).await.unwrap(), CommitOutcome::Committed(_)));
        let batches = fixtures::rows(&lake, &name.to_string()).await;
        let found = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values());
        let own = |n: &i64| if table == 0 { n % 10 < 4 } else { n % 10 >= 4 };
        assert!(found.copied().eq((0..10 * rounds as i64).filter(own)), "table {table}");
    }
}
