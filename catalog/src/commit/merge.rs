//! Which small manifests an append merges on the way.
//!
//! A stream that commits every 10 seconds adds 8,640 manifests a day, and each reader opens all of them.
//! So an append that finds many small manifests replaces the oldest ones by one. The work per commit is
//! bounded by bytes, and each entry is rewritten a few times in its life: merged manifests move up a tier
//! and, past the last tier, are left alone.

use std::collections::HashMap;

use iceberg::spec::{ManifestContentType, ManifestFile};

const ENABLED: &str = "commit.manifest-merge.enabled";
const MIN_COUNT: &str = "commit.manifest.min-count-to-merge";
const MIN_COUNT_DEFAULT: usize = 100;

/// Manifest bytes read by one merge; also about the size of the largest merged manifest.
const MERGE_BYTES: i64 = 4 << 20;
/// Upper bounds of the tiers; manifests past the last are never merged again.
const TIERS: [i64; 2] = [256 << 10, MERGE_BYTES / 2];

/// Positions of the manifests to merge, none or at least two; `manifests` has the newest first.
pub(super) fn pick(
    manifests: &[ManifestFile],
    spec_id: i32,
    properties: &HashMap<String, String>,
) -> Vec<usize> {
    if properties.get(ENABLED).is_some_and(|value| value == "false") {
        return Vec::new();
    }
    let min_count = properties.get(MIN_COUNT).and_then(|value| value.parse().ok());
    let min_count: usize = min_count.unwrap_or(MIN_COUNT_DEFAULT).max(2);
    let mut above = 0;
    for tier in TIERS {
        let fits = |manifest: &ManifestFile| {
            manifest.content == ManifestContentType::Data
                && manifest.partition_spec_id == spec_id
                && (above..tier).contains(&manifest.manifest_length)
        };
        let candidates: Vec<usize> =
            (0..manifests.len()).rev().filter(|&index| fits(&manifests[index])).collect();
        if candidates.len() >= min_count {
            let mut bytes = 0;
            let fill = candidates.into_iter().take_while(|&index| {
                let room = bytes < MERGE_BYTES;
                bytes += manifests[index].manifest_length;
                room
            });
            return fill.collect();
        }
        above = tier;
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(length: i64, spec_id: i32) -> ManifestFile {
        ManifestFile {
            manifest_path: String::new(),
            manifest_length: length,
            partition_spec_id: spec_id,
            content: ManifestContentType::Data,
            sequence_number: 1,
            min_sequence_number: 1,
            added_snapshot_id: 1,
            added_files_count: Some(1),
            existing_files_count: Some(0),
            deleted_files_count: Some(0),
            added_rows_count: Some(1),
            existing_rows_count: Some(0),
            deleted_rows_count: Some(0),
            partitions: None,
            key_metadata: None,
            first_row_id: None,
        }
    }

    #[test]
    fn few_manifests_are_left_alone() {
        assert!(pick(&vec![manifest(5_000, 0); 99], 0, &HashMap::new()).is_empty());
    }

    #[test]
    fn many_small_ones_are_merged_and_others_stay() {
        let mut manifests = vec![manifest(5_000, 0); 100];
        manifests.insert(7, manifest(5_000, 1));
        manifests.push(manifest(3 << 20, 0));
        let picked = pick(&manifests, 0, &HashMap::new());
        assert_eq!(picked.len(), 100);
        assert!(!picked.contains(&7) && !picked.contains(&101));
    }

    #[test]
    fn the_work_of_one_commit_is_bounded_and_starts_with_the_oldest() {
        let manifests = vec![manifest(1 << 20, 0); 150];
        assert_eq!(pick(&manifests, 0, &HashMap::new()), vec![149, 148, 147, 146]);
    }

    #[test]
    fn the_table_decides() {
        let manifests = vec![manifest(5_000, 0); 100];
        let off = HashMap::from([(ENABLED.to_owned(), "false".to_owned())]);
        assert!(pick(&manifests, 0, &off).is_empty());
        let three = HashMap::from([(MIN_COUNT.to_owned(), "3".to_owned())]);
        assert_eq!(pick(&manifests[..3], 0, &three).len(), 3);
    }
}
