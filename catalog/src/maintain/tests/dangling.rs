//! Delete files go when nothing is in their reach, and not before.

use super::*;
use crate::commit::{RowChanges, Scope};
use crate::fixture::{ids, lake, orders};
use crate::maintain::drop_dangling_deletes;
use crate::write::DeleteWriter;

#[tokio::test]
async fn deletes_that_reach_no_file_are_dropped() {
    let fixture = lake().await;
    let lake = &fixture.lake;
    orders(lake, "orders", Vec::new(), &[]).await;
    for number in 0..3 {
        append(lake, number).await;
    }
    let base = lake.load(&name("orders")).await.unwrap();
    let mut files = base.files().await.unwrap();
    files.sort_by_key(|file| file.sequence_number);
    // One delete file over the first two data files.
    let mut writer = DeleteWriter::new(lake, &base, token(1));
    for file in &files[..2] {
        writer.delete(file, [0]).unwrap();
    }
    let deletes = Some(writer.finish().await.unwrap());
    let change = |replaced: Vec<crate::LiveFile>, deletes, base: &TableSnapshot| RowChanges {
        read_snapshot: base.snapshot_id(),
        replaced,
        deletes,
        scope: Scope::Table,
    };
    let operation = Operation::ChangeRows(change(Vec::new(), deletes, &base));
    commit(lake, Commit::new(name("orders"), operation, token(2)), 3).await;
    let (orders, policy) = (name("orders"), strict());
    let drop = |number, dry_run| drop_dangling_deletes(lake, &orders, &policy, token(number), at(5), dry_run);
    assert_eq!(drop(3, false).await.unwrap(), 0, "both files still need it");

    // Another program removes the files and leaves the deletes.
    let base = lake.load(&name("orders")).await.unwrap();
    let operation = Operation::ChangeRows(change(files[..2].to_vec(), None, &base));
    let left = commit(lake, Commit::new(name("orders"), operation, token(4)), 4).await;
    assert_eq!(left.manifests().await.unwrap().deletes().len(), 1);
    assert_eq!(drop(5, true).await.unwrap(), 1);
    assert_eq!(lake.load(&name("orders")).await.unwrap().snapshot_id(), left.snapshot_id(), "a dry run");
    assert_eq!(drop(6, false).await.unwrap(), 1);
    let after = lake.load(&name("orders")).await.unwrap();
    assert!(after.manifests().await.unwrap().delete_files().await.unwrap().is_empty());
    assert_eq!(after.row_count(), Some(1), "the count is exact again");
    assert_eq!(ids(&after).await, [2]);
    assert_eq!(drop(7, false).await.unwrap(), 0);
}
