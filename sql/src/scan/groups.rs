//! Work for all cores: files, or byte ranges of files, in as many groups as there are partitions.
//!
//! A reader of a range takes the row groups whose middle lies in it, so each row group is read once.

use std::cmp::Reverse;
use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileGroupPartitioner};
use datafusion::object_store::ObjectMeta;
use datafusion::object_store::path::Path;
use sluice_catalog::LiveFile;

/// With so many files for each partition whole files are even enough, and no footer is read twice.
const FILES_PER_PARTITION: usize = 8;

/// The files as the reader wants them, each with its [`LiveFile`], which says what deletes from it.
///
/// # Errors
/// When `locate` does not know a file's path.
pub(crate) fn files<E>(
    files: &[&LiveFile],
    statistics: Option<Vec<Arc<Statistics>>>,
    locate: impl Fn(&LiveFile) -> Result<Path, E>,
) -> Result<Vec<PartitionedFile>, E> {
    let mut statistics = statistics.into_iter().flatten();
    files
        .iter()
        .map(|live| {
            let meta = ObjectMeta {
                location: locate(live)?,
                // Data files never change, so one time does for all; it is part of the footer cache's key.
                last_modified: chrono::DateTime::UNIX_EPOCH,
                size: live.parts().0.file_size_in_bytes(),
                e_tag: None,
                version: None,
            };
            let mut file = PartitionedFile::from(meta);
            file.extensions = Some(Arc::new(LiveFile::clone(live)));
            Ok(match statistics.next() {
                Some(known) => file.with_statistics(known),
                None => file,
            })
        })
        .collect()
}

/// At most `partitions` groups of about the same size. Files are cut only when there are few of them and
/// they have more than `cut_bytes_min` bytes together.
pub(crate) fn split(files: Vec<PartitionedFile>, partitions: usize, cut_bytes_min: usize) -> Vec<FileGroup> {
    let partitions = partitions.max(1);
    if partitions == 1 || files.len() >= partitions.saturating_mul(FILES_PER_PARTITION) {
        return deal(files, partitions);
    }
    let whole = [FileGroup::new(files)];
    let cut = FileGroupPartitioner::new()
        .with_target_partitions(partitions)
        .with_repartition_file_min_size(cut_bytes_min)
        .repartition_file_groups(&whole);
    match (cut, whole) {
        (Some(groups), _) => groups.into_iter().filter(|group| !group.is_empty()).collect(),
        (None, [whole]) => deal(whole.into_inner(), partitions),
    }
}

/// Whole files, the largest first, each to the group that has the fewest bytes.
fn deal(mut files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    files.sort_by_key(|file| Reverse(file.object_meta.size));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); partitions.min(files.len())];
    for file in files {
        if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, group)| (*bytes, group.len())) {
            *bytes += file.object_meta.size;
            group.push(file);
        }
    }
    groups.into_iter().map(|(_, group)| FileGroup::new(group)).collect()
}
