//! Compaction: which files become others.
//!
//! ```text
//! live files -> by partition -> small ones, and those with many deletes -> jobs of bounded size
//! ```
//!
//! A small file is merged with files of its own size, not with one that is much larger: each row is rewritten
//! a few times on its way to a file of the target size, however often maintenance runs. Files of an older
//! partitioning are always worth a rewrite, and so are files of which many rows are deleted.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataFile, Struct};

use super::policy::Policy;
use crate::commit::Rewrite;
use crate::files::{DeleteFile, LiveFile, PositionDeletes};

/// A file below this part of the target is small.
const SMALL: (u64, u64) = (3, 4);
/// Files below this part of the target are merged with any other.
const TINY: u64 = 16;
/// Bytes of one job, in files of the target size; what is lost when the commit meets a conflict.
const JOB_FILES: u64 = 4;
/// Partitions that one job may write to: as many files as a writer keeps open.
const JOB_PARTITIONS: usize = 64;
/// So many delete files, or this part of the rows deleted, make a file worth a rewrite.
const DELETE_FILES_MAX: usize = 5;
const DELETED_PART: u64 = 10;

/// Files that are rewritten together and land in one commit.
#[derive(Clone, Debug)]
pub struct Job {
    /// Data files with their deletes, in the order of their sequence numbers.
    pub files: Vec<LiveFile>,
    /// Their bytes.
    pub bytes: u64,
}

impl Job {
    /// Rows as the files hold them, deleted ones included.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.parts().0.record_count()).sum()
    }

    /// Whether every row of every file is live.
    pub fn is_whole(&self) -> bool {
        self.files.iter().all(|file| file.parts().1.is_empty())
    }

    /// The commit's part: the files, and the delete files that no other one of `live` needs.
    pub fn rewrite(&self, read_snapshot: i64, live: &[LiveFile]) -> Rewrite {
        let inputs: HashSet<&str> = self.files.iter().map(path).collect();
        let others = live.iter().filter(|file| !inputs.contains(path(file)));
        let needed: HashSet<&str> =
            others.flat_map(deletes).map(|delete| delete.data_file.file_path()).collect();
        let mut unneeded: HashMap<&str, &DeleteFile> = HashMap::new();
        for delete in self.files.iter().flat_map(deletes) {
            if !needed.contains(delete.data_file.file_path()) {
                unneeded.insert(delete.data_file.file_path(), delete);
            }
        }
        let unneeded = unneeded.into_values().map(|delete| {
            LiveFile::new(delete.data_file.clone(), delete.partition_spec_id, delete.sequence_number)
        });
        Rewrite { read_snapshot, inputs: self.files.iter().cloned().chain(unneeded).collect() }
    }
}

/// The jobs that are worth doing, the one with the most files first; `spec_id` is the current partitioning.
pub fn jobs(live: &[LiveFile], spec_id: i32, policy: &Policy) -> Vec<Job> {
    let mut partitions: HashMap<(i32, &Struct), Vec<&LiveFile>> = HashMap::new();
    for file in live {
        partitions.entry((file.partition_spec_id, file.parts().0.partition())).or_default().push(file);
    }
    let mut groups = Vec::new();
    for ((spec, _), files) in partitions {
        let mut chosen = if spec == spec_id { chosen(files, policy) } else { files };
        chosen.sort_by_key(|file| (file.sequence_number, path(file)));
        split(chosen, policy, spec != spec_id, &mut groups);
    }
    // The order must not depend on how a map is laid out.
    groups.sort_by_key(|group| (Reverse(group.len()), group.first().map(|file| path(file))));
    together(groups, policy)
}

/// The files of a partition that are worth a rewrite.
fn chosen<'a>(files: Vec<&'a LiveFile>, policy: &Policy) -> Vec<&'a LiveFile> {
    let (deleted, mut rest): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| has_many_deletes(file));
    rest.retain(|file| is_small(size(file), policy));
    rest.sort_by_key(|file| (size(file), path(file)));
    rest.truncate(alike(&rest, !deleted.is_empty(), policy));
    rest.extend(deleted);
    rest
}

/// How many of the files, smallest first, are merged: up to the first that is much larger than all before it,
/// if that is worth it; otherwise up to the next such step. None when no step is.
fn alike(files: &[&LiveFile], joined: bool, policy: &Policy) -> usize {
    let (mut start, mut sum) = (0, 0);
    let worth = |start: usize, end: usize, bytes: u64| {
        let count = end - start;
        count >= policy.min_input_files
            || count >= 2 && bytes >= policy.target_file_bytes
            || end > 0 && joined
    };
    for (place, file) in files.iter().enumerate() {
        if place > start && size(file) > (policy.target_file_bytes / TINY).max(sum) {
            if worth(start, place, sum) {
                return place;
            }
            // Those before are too few for a step of their own, and so small that they can come along.
            (start, sum) = (place, 0);
        }
        sum += size(file);
    }
    if worth(start, files.len(), sum) { files.len() } else { 0 }
}

/// Cuts the files of one partition into groups that a job can hold.
fn split<'a>(files: Vec<&'a LiveFile>, policy: &Policy, always: bool, groups: &mut Vec<Vec<&'a LiveFile>>) {
    let mut group: Vec<&LiveFile> = Vec::new();
    let mut bytes = 0;
    for file in files {
        if !group.is_empty() && bytes + size(file) > job_bytes(policy) {
            groups.push(std::mem::take(&mut group));
            bytes = 0;
        }
        bytes += size(file);
        group.push(file);
    }
    groups.push(group);
    // One file alone gains nothing from a rewrite, unless rows of it are deleted or it is partitioned anew.
    groups.retain(|group| group.len() > 1 || group.iter().any(|file| always || has_many_deletes(file)));
}

/// Groups of several partitions share a job.
fn together(groups: Vec<Vec<&LiveFile>>, policy: &Policy) -> Vec<Job> {
    let mut jobs: Vec<(Job, usize)> = Vec::new();
    for group in groups {
        let bytes: u64 = group.iter().map(|file| size(file)).sum();
        let files = group.into_iter().cloned();
        match jobs.last_mut() {
            Some((job, partitions))
                if job.bytes + bytes <= job_bytes(policy) && *partitions < JOB_PARTITIONS =>
            {
                job.files.extend(files);
                job.bytes += bytes;
                *partitions += 1;
            }
            _ => jobs.push((Job { files: files.collect(), bytes }, 1)),
        }
    }
    jobs.into_iter().map(|(job, _)| job).collect()
}

fn job_bytes(policy: &Policy) -> u64 {
    policy.target_file_bytes.saturating_mul(JOB_FILES)
}

fn is_small(bytes: u64, policy: &Policy) -> bool {
    bytes < policy.target_file_bytes / SMALL.1 * SMALL.0
}

fn has_many_deletes(file: &LiveFile) -> bool {
    let (mut files, mut rows) = (0, 0_u64);
    for delete in deletes(file) {
        files += 1;
        rows = rows.saturating_add(delete.data_file.record_count());
    }
    files >= DELETE_FILES_MAX || files > 0 && rows >= file.parts().0.record_count() / DELETED_PART
}

/// Everything that deletes from a file.
pub(super) fn deletes(file: &LiveFile) -> impl Iterator<Item = &DeleteFile> {
    let deletes = file.parts().1;
    let positions: &[_] = match &deletes.positions {
        PositionDeletes::None => &[],
        PositionDeletes::Files(files) => files,
        PositionDeletes::Vector(vector) => std::slice::from_ref(vector),
    };
    let keys = deletes.equality.iter().flat_map(|scope| scope.applicable());
    positions.iter().chain(keys).map(AsRef::as_ref)
}

fn path(file: &LiveFile) -> &str {
    data_file(file).file_path()
}

fn size(file: &LiveFile) -> u64 {
    data_file(file).file_size_in_bytes()
}

fn data_file(file: &LiveFile) -> &DataFile {
    file.parts().0
}
