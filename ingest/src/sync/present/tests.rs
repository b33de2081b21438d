//! Rows that the table has are found whatever its columns were called when they were written.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use sluice_catalog::{
    Alteration, Commit, CommitOutcome, DeleteWriter, Operation, RowChanges, Scope, TableSpec, TableWriter,
    WriterSettings,
};

use super::super::Syncs;
use super::*;
use crate::fixtures;
use crate::pipeline::{new_token, now};

fn job() -> SyncJob {
    let yaml = "syncs: [{name: n, postgres: {url: 'postgresql://u@h/d', table: t, cursor: at, key: [id]}}]";
    Syncs::parse(yaml).unwrap().jobs.remove(0)
}

async fn commit(lake: &Lake, job: &SyncJob, commit: Commit) -> TableSnapshot {
    let outcome = lake.commit(vec![commit], now()).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    lake.load(&job.table).await.unwrap()
}

/// A table of one file with the ids 1 to 4 and a cursor of 101 to 104.
async fn table(lake: &Lake, job: &SyncJob) -> TableSnapshot {
    let column =
        |values: std::ops::RangeInclusive<i64>| Arc::new(Int64Array::from_iter_values(values)) as ArrayRef;
    let rows = RecordBatch::try_from_iter([("id", column(1..=4)), ("at", column(101..=104))]).unwrap();
    let spec = TableSpec::new(rows.schema());
    let _ = lake.create(&job.table, spec).await.unwrap();
    let (table, token) = (lake.load(&job.table).await.unwrap(), new_token());
    let mut writer = TableWriter::new(lake, &table, token, WriterSettings::default()).unwrap();
    writer.write(rows).await.unwrap();
    let files = Some(writer.finish().await.unwrap());
    commit(lake, job, Commit { files, ..Commit::new(job.table.clone(), Operation::Append, token) }).await
}

/// The table without the rows at these positions of its file.
async fn without(lake: &Lake, job: &SyncJob, table: &TableSnapshot, positions: &[u64]) -> TableSnapshot {
    let mut deletes = DeleteWriter::new(lake, table, new_token());
    let file = table.files().await.unwrap().remove(0);
    deletes.delete(&file, positions.iter().copied()).unwrap();
    let changes = RowChanges {
        read_snapshot: table.snapshot_id(),
        replaced: Vec::new(),
        deletes: Some(deletes.finish().await.unwrap()),
        scope: Scope::Table,
    };
    commit(lake, job, Commit::new(job.table.clone(), Operation::ChangeRows(changes), new_token())).await
}

fn rename(column: &str, to: &str) -> Alteration {
    Alteration::RenameColumn { column: vec![column.to_owned()], to: to.to_owned() }
}

/// The fingerprints of single whole numbers.
fn prints(schema: &Fields, values: &[i64]) -> BTreeSet<u128> {
    let column = Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    Rows::new(schema).unwrap().fingerprints(&[column]).unwrap().into_iter().collect()
}

#[tokio::test]
async fn a_window_has_the_live_rows_behind_the_cursor_also_when_columns_change_names() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, job) = (fixtures::lake(dir.path()).await, job());
    let first = table(&lake, &job).await;
    let deleted = without(&lake, &job, &first, &[3]).await;
    // The statistics of the file know each of the two columns by the name that the other one has now.
    let swap = vec![rename("id", "was"), rename("at", "id"), rename("was", "at")];
    let swapped =
        commit(&lake, &job, Commit::new(job.table.clone(), Operation::Alter(swap), new_token())).await;
    for (table, cursor, compared) in [(deleted, "at", "id"), (swapped, "id", "at")] {
        let present = Present { lake: &lake, job: &job, table: &table };
        let schema = table.schema();
        let compared = Fields::from(vec![schema.field_with_name(compared).unwrap().clone()]);
        for (from, ids) in [(None, &[1, 2, 3][..]), (Some(102), &[2, 3]), (Some(104), &[]), (Some(105), &[])]
        {
            let window = present.window(cursor, from, &compared).await.unwrap();
            assert!(window.values().all(|count| *count == 1), "{window:?}");
            let found: BTreeSet<u128> = window.into_keys().collect();
            assert_eq!(found, prints(&compared, ids), "{cursor} from {from:?}");
        }
        let keys = prints(&compared, &[2, 4, 9]).into_iter().collect();
        let positions = present.positions(&compared, &keys).await.unwrap();
        let positions: Vec<_> = positions.into_iter().map(|(_, positions)| positions).collect();
        assert_eq!(positions, [[1]], "deleted rows and other keys are not there");
    }
}
