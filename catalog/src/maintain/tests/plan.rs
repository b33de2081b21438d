//! Which files are rewritten together.

use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, Struct};

use super::*;
use crate::files::{DeleteFile, Deletes, LiveFile, PositionDeletes};
use crate::maintain::plan::{Job, jobs};

const MIB: u64 = 1 << 20;

fn built(path: &str, content: DataContentType, partition: i32, rows: u64, bytes: u64) -> Arc<DataFile> {
    let mut builder = DataFileBuilder::default();
    builder.content(content).file_path(path.to_owned()).file_format(DataFileFormat::Parquet);
    builder.partition(Struct::from_iter([Some(Literal::int(partition))])).record_count(rows);
    builder.file_size_in_bytes(bytes).partition_spec_id(0);
    Arc::new(builder.build().unwrap())
}

fn file(number: i64, partition: i32, bytes: u64) -> LiveFile {
    let path = format!("data/{number}.parquet");
    LiveFile::new(built(&path, DataContentType::Data, partition, 1_000, bytes), 0, number)
}

/// A file from which a file of so many positions deletes.
fn deleted(number: i64, bytes: u64, delete: &str, rows: u64) -> LiveFile {
    let delete = DeleteFile {
        data_file: built(delete, DataContentType::PositionDeletes, 0, rows, 100),
        partition_spec_id: 0,
        sequence_number: 99,
    };
    let positions = PositionDeletes::Files(vec![Arc::new(delete)]);
    let data = built(&format!("data/{number}.parquet"), DataContentType::Data, 0, 1_000, bytes);
    LiveFile::with_deletes(data, 0, number, Deletes { positions, equality: Vec::new() })
}

fn numbers(jobs: &[Job]) -> Vec<Vec<i64>> {
    jobs.iter().map(|job| job.files.iter().map(|file| file.sequence_number).collect()).collect()
}

fn planned(files: &[LiveFile]) -> Vec<Vec<i64>> {
    numbers(&jobs(files, 0, &Policy { target_file_bytes: 128 * MIB, ..Policy::default() }))
}

#[test]
fn many_small_files_become_one_and_few_are_left_alone() {
    let files: Vec<_> = (1..=5).map(|number| file(number, 0, MIB)).collect();
    assert_eq!(planned(&files), [[1, 2, 3, 4, 5]]);
    assert!(planned(&files[..4]).is_empty());
    let halves = [file(1, 0, 8 * MIB), file(2, 0, 8 * MIB)];
    assert!(planned(&halves).is_empty(), "two files are worth it only when they fill one");
}

#[test]
fn partitions_are_not_mixed_in_a_choice_but_share_a_job() {
    let files: Vec<_> = (1..=10).map(|number| file(number, number as i32 % 2, MIB)).collect();
    assert_eq!(planned(&files).len(), 1);
    let files: Vec<_> = (1..=8).map(|number| file(number, number as i32 % 2, MIB)).collect();
    assert!(planned(&files).is_empty(), "four files of each partition are too few");
}

#[test]
fn large_files_are_left_alone() {
    let mut files: Vec<_> = (1..=6).map(|number| file(number, 0, MIB)).collect();
    files.push(file(7, 0, 100 * MIB));
    files.push(file(8, 0, 60 * MIB));
    assert_eq!(planned(&files), [[1, 2, 3, 4, 5, 6]], "60 MiB are not read again for 6");
    let mut files: Vec<_> = (1..=2).map(|number| file(number, 0, MIB)).collect();
    files.extend((3..=9).map(|number| file(number, 0, 20 * MIB)));
    assert_eq!(planned(&files)[0].len(), 9, "two small ones do not keep seven others from being merged");
}

#[test]
fn a_job_is_bounded() {
    let files: Vec<_> = (1..=100).map(|number| file(number, 0, 20 * MIB)).collect();
    assert_eq!(planned(&files).iter().map(Vec::len).collect::<Vec<_>>(), [25, 25, 25, 25]);
    let files: Vec<_> = (1..=200).map(|number| file(number, 0, 8 * MIB)).collect();
    let jobs = planned(&files);
    assert_eq!(jobs.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 64, 8]);
}

#[test]
fn files_with_many_deletes_are_rewritten_even_alone() {
    assert_eq!(planned(&[deleted(1, 120 * MIB, "d1", 100)]), [[1]]);
    assert!(planned(&[deleted(1, 120 * MIB, "d1", 99)]).is_empty());
}

#[test]
fn files_of_an_older_partitioning_are_rewritten() {
    let policy = Policy::default();
    assert_eq!(numbers(&jobs(&[file(1, 0, 500 * MIB)], 1, &policy)), [[1]]);
}

#[test]
fn a_delete_file_goes_only_with_the_last_file_that_needs_it() {
    let files = [deleted(1, 120 * MIB, "shared", 500), deleted(2, 120 * MIB, "shared", 500)];
    let one = Job { files: files[..1].to_vec(), bytes: 1 };
    assert_eq!(one.rewrite(7, &files).inputs.len(), 1);
    let both = Job { files: files.to_vec(), bytes: 2 };
    let inputs = both.rewrite(7, &files).inputs;
    assert_eq!(inputs.len(), 3);
    assert_eq!(inputs[2].parts().0.file_path(), "shared");
}

/// Whatever the rhythm, a row is rewritten a few times only until it is in a file of the target size.
#[test]
fn rows_are_not_rewritten_again_and_again() {
    let policy = Policy { target_file_bytes: 128 * MIB, ..Policy::default() };
    let (mut files, mut next, mut read, mut written) = (Vec::new(), 1_i64, 0, 0);
    for _ in 0..500 {
        for _ in 0..60 {
            files.push(file(next, 0, 200 << 10));
            written += 200 << 10;
            next += 1;
        }
        for job in jobs(&files, 0, &policy) {
            read += job.bytes;
            let gone: Vec<_> = job.files.iter().map(|file| file.sequence_number).collect();
            files.retain(|file| !gone.contains(&file.sequence_number));
            let mut bytes = job.bytes;
            while bytes > 0 {
                let one = bytes.min(policy.target_file_bytes);
                files.push(file(next, 0, one));
                bytes -= one;
                next += 1;
            }
        }
    }
    assert!(read < 5 * written, "{} bytes read for each byte that came in", read / written);
    let average = written / files.len() as u64;
    assert!(average > 100 * MIB, "{} MiB on average in {} files", average / MIB, files.len());
}
