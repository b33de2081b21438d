//! Partitions are replaced while files of older partition specs are live.

use iceberg::spec::{Literal, Struct};

use super::changes::{by_status, changes, commit_of, positions, status, table};
use super::state;
use super::*;
use crate::alter::Alteration;
use crate::error::Result;
use crate::fixture::{at, lake, staged, token};
use crate::lake::Lake;
use crate::spec::{PartitionBy, Transform};

/// Splits what is written from now on by one more value.
async fn split_by(lake: &Lake, column: &str, transform: Transform) -> TableSnapshot {
    let by = PartitionBy { column: column.to_owned(), transform };
    let alter = Operation::Alter(vec![Alteration::AddPartitionField(by)]);
    committed(lake.commit(vec![commit_of(alter, None, token(70))], at(20)).await.unwrap())
}

async fn replace(
    lake: &Lake,
    base: &TableSnapshot,
    partitions: Partitions,
    files: Option<StagedFiles>,
    number: u128,
) -> Result<CommitOutcome> {
    let replace = Operation::ReplacePartitions { read_snapshot: base.snapshot_id(), partitions };
    lake.commit(vec![commit_of(replace, files, token(number))], at(21)).await
}

/// 1,440 orders are a day; the first 107 are of the first.
#[tokio::test]
async fn older_files_of_one_day_go_with_their_day_and_others_stay() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    table(lake, vec![], &[0..3, 50..53, 2000..2003]).await;
    let base = split_by(lake, "at", Transform::Day).await;
    let files = staged(lake, &base, token(71), 100..102).await;
    let now = committed(replace(lake, &base, Partitions::OfAddedFiles, Some(files), 71).await.unwrap());
    assert_eq!(state::ids(&now).await, [100, 101, 2000, 2001, 2002]);
    assert_eq!(summary(&now, "deleted-data-files").as_deref(), Some("2"));
    assert_eq!(summary(&now, "total-records").as_deref(), Some("5"));
    // Nothing is between the orders that are left and the next day but no orders.
    let files = staged(lake, &now, token(72), 5000..5001).await;
    let now = committed(replace(lake, &now, Partitions::OfAddedFiles, Some(files), 72).await.unwrap());
    assert_eq!(state::ids(&now).await, [100, 101, 2000, 2001, 2002, 5000]);
}

#[tokio::test]
async fn an_older_file_of_several_days_is_in_the_way_of_each_and_of_no_other() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    table(lake, vec![], &[0..1000]).await;
    let base = split_by(lake, "at", Transform::Day).await;
    for (number, first) in [(71, 0), (72, 500)] {
        let files = staged(lake, &base, token(number), first..first + 1).await;
        let refused = replace(lake, &base, Partitions::OfAddedFiles, Some(files), number).await.unwrap_err();
        assert!(refused.to_string().contains("older partitioning"), "{refused}");
        assert!(refused.to_string().contains(".parquet"), "{refused}");
    }
    let no_time = Partitions::Listed(vec![Struct::from_iter([None])]);
    let now = committed(replace(lake, &base, no_time, None, 73).await.unwrap());
    assert_eq!(state::ids(&now).await.len(), 1000, "its times are not null");
    let files = staged(lake, &now, token(74), 9000..9001).await;
    let now = committed(replace(lake, &now, Partitions::OfAddedFiles, Some(files), 74).await.unwrap());
    assert_eq!(state::ids(&now).await.len(), 1001);
}

#[tokio::test]
async fn what_an_older_spec_says_counts_and_deletes_go_with_their_file() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    let base = table(lake, by_status(), &[0..3, 3..6]).await;
    let new: Vec<_> = state::data(&base).await;
    let of_row_0 = new.iter().find(|file| *file.parts().0.partition() == status("new")).unwrap();
    let deletes = positions(lake, &base, token(60), &[(of_row_0, &[0])]).await;
    let change = RowChanges { deletes: Some(deletes), ..changes(&base, vec![]) };
    let commit = commit_of(Operation::ChangeRows(change), None, token(60));
    committed(lake.commit(vec![commit], at(10)).await.unwrap());
    let base = split_by(lake, "id", Transform::Truncate(2)).await;

    // Rows 0 and 3 are of the status; row 0, which was deleted, is of the partition.
    let partition = Struct::from_iter([Some(Literal::string("new")), Some(Literal::long(0))]);
    let now = committed(replace(lake, &base, Partitions::Listed(vec![partition]), None, 71).await.unwrap());
    assert_eq!(state::ids(&now).await, [1, 2, 3, 4, 5]);
    assert_eq!((state::data(&now).await.len(), state::deletes(&now).await.len()), (5, 0));
    assert_eq!(summary(&now, "total-position-deletes").as_deref(), Some("0"));
    // Another status and the same ids, so no file of it.
    let partition = Struct::from_iter([Some(Literal::string("sent")), Some(Literal::long(0))]);
    let now = committed(replace(lake, &now, Partitions::Listed(vec![partition]), None, 72).await.unwrap());
    assert_eq!(state::ids(&now).await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn buckets_are_told_only_of_files_with_one_value() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    table(lake, vec![], &[7..8, 20..40]).await;
    let base = split_by(lake, "id", Transform::Bucket(4)).await;
    let files = staged(lake, &base, token(71), 7..8).await;
    let refused = replace(lake, &base, Partitions::OfAddedFiles, Some(files), 71).await.unwrap_err();
    assert!(refused.to_string().contains("older partitioning"), "{refused}");
    let many = state::data(&base).await.into_iter().filter(|file| file.parts().0.record_count() > 1);
    let remove = Operation::ChangeRows(changes(&base, many.collect()));
    let now = committed(lake.commit(vec![commit_of(remove, None, token(72))], at(22)).await.unwrap());
    let files = staged(lake, &now, token(73), 7..8).await;
    let now = committed(replace(lake, &now, Partitions::OfAddedFiles, Some(files), 73).await.unwrap());
    assert_eq!(state::ids(&now).await, [7]);
}
