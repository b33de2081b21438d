//! Deletes by position: what is refused, how they are grouped, what the files say of themselves.

use super::*;
use crate::fixture::{lake, orders, staged, token};
use crate::lake::Lake;

/// The files of a table as if they were live.
async fn live(lake: &Lake, table: &TableSnapshot, numbers: std::ops::Range<u128>) -> Vec<LiveFile> {
    let mut live = Vec::new();
    for number in numbers {
        let staged = staged(lake, table, token(number), 0..9).await;
        live.extend(staged.files.iter().map(|file| LiveFile::new(file.clone().into(), staged.spec_id, 1)));
    }
    live
}

#[tokio::test]
async fn positions_outside_the_file_are_refused() {
    let fixture = lake().await;
    let table = orders(&fixture.lake, "orders", vec![], &[]).await;
    let files = live(&fixture.lake, &table, 1..2).await;
    let mut writer = DeleteWriter::new(&fixture.lake, &table, token(5));
    writer.delete(&files[0], [8]).unwrap();
    let error = writer.delete(&files[0], [9]).unwrap_err();
    assert!(error.to_string().contains("none at position 9"), "{error}");
    let staged = writer.finish().await.unwrap();
    let (spec_id, file) = staged.files()[0].clone();
    let deletes = LiveFile::new(file.into(), spec_id, 2);
    let error = DeleteWriter::new(&fixture.lake, &table, token(6)).delete(&deletes, [0]).unwrap_err();
    assert!(error.to_string().contains("delete file"), "{error}");
}

#[tokio::test]
async fn files_are_one_for_a_partition_or_one_for_a_data_file() {
    for (granularity, by_file, expected) in
        [("partition", false, 1), ("file", false, 3), ("partition", true, 3)]
    {
        let fixture = lake().await;
        let table = orders(&fixture.lake, "orders", vec![], &[(GRANULARITY, granularity)]).await;
        let files = live(&fixture.lake, &table, 1..4).await;
        let mut writer = DeleteWriter::new(&fixture.lake, &table, token(5));
        if by_file {
            writer = writer.by_file();
        }
        for file in &files {
            writer.delete(file, [3, 1]).unwrap();
        }
        assert!(writer.buffered_bytes() >= 6 * 8);
        let staged = writer.finish().await.unwrap();
        assert_eq!((staged.file_count(), staged.row_count()), (expected, 6));
        assert_eq!(staged.targets().len(), 3);
        let named = staged.files().iter().filter(|(_, file)| file.referenced_data_file().is_some()).count();
        assert_eq!(named, if expected == 1 { 0 } else { 3 });
        staged.discard(&fixture.lake).await;
        assert!(
            crate::fixture::objects(&fixture.lake, "parquet").await.iter().all(|p| !p.contains("deletes"))
        );
    }
}
