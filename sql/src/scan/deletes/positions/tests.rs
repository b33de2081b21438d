//! Access plans and deletion vectors by themselves.

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::metadata::ParquetMetaDataReader;
use datafusion::parquet::file::properties::WriterProperties;

use super::*;

/// A footer of three row groups of ten rows each.
fn footer() -> ParquetMetaData {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..30));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(file)).unwrap()
}

/// The rows that a plan reads.
fn read(plan: &ParquetAccessPlan) -> Vec<usize> {
    let mut rows = Vec::new();
    for (group, access) in plan.clone().into_inner().into_iter().enumerate() {
        match access {
            RowGroupAccess::Skip => {}
            RowGroupAccess::Scan => rows.extend(group * 10..group * 10 + 10),
            RowGroupAccess::Selection(selection) => {
                let mut at = group * 10;
                for selector in selection.iter() {
                    if !selector.skip {
                        rows.extend(at..at + selector.row_count);
                    }
                    at += selector.row_count;
                }
                assert_eq!(at, group * 10 + 10, "a selection covers its row group");
            }
        }
    }
    rows
}

#[test]
fn a_plan_reads_the_rows_that_are_left() {
    let footer = footer();
    let cases: [&[u64]; 7] =
        [&[], &[0], &[9], &[9, 10], &[29], &[3, 4, 5, 12, 14, 29, 30, 1 << 40], &[8, 9, 10, 11]];
    for deleted in cases {
        let plan = access_plan(&footer, &deleted.iter().copied().collect());
        let left: Vec<usize> = (0..30).filter(|row| !deleted.contains(&(*row as u64))).collect();
        assert_eq!(read(&plan), left, "{deleted:?}");
    }
    let plan = access_plan(&footer, &(10..20).collect());
    assert!(matches!(
        plan.into_inner().as_slice(),
        [RowGroupAccess::Scan, RowGroupAccess::Skip, RowGroupAccess::Scan]
    ));
    let all = access_plan(&footer, &(0..30).collect());
    assert!(all.into_inner().iter().all(|access| matches!(access, RowGroupAccess::Skip)));
}

#[test]
fn a_vector_is_taken_whole_or_not_at_all() {
    let positions: RoaringTreemap = [1, 5, 70_000, 1 << 33].into_iter().collect();
    let mut content = vec![0xd1, 0xd3, 0x39, 0x64];
    positions.serialize_into(&mut content).unwrap();
    let mut blob = (content.len() as u32).to_be_bytes().to_vec();
    blob.extend(&content);
    blob.extend(crc32fast::hash(&content).to_be_bytes());
    assert_eq!(vector::decode(&blob).unwrap(), positions);
    for at in 0..blob.len() {
        assert!(vector::decode(&blob[..at]).is_err(), "cut at {at}");
        let mut flipped = blob.clone();
        flipped[at] ^= 0x10;
        assert!(vector::decode(&flipped).is_err(), "flipped at {at}");
    }
}
