//! Manifest lists and manifests, decoded by the library and held against what is said of them elsewhere.
//!
//! Their bytes were walked before (`avro`). What remains: a manifest must hold the files and rows that its list
//! counts, because an Avro file that is cut where a block ends is a whole file with fewer objects; and a panic of the
//! library is an error like any other.

pub(crate) mod avro;

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;
use iceberg::io::FileIO;
use iceberg::spec::{FormatVersion, Manifest, ManifestFile, ManifestList, ManifestStatus, Snapshot};
use iceberg::{Error, ErrorKind, Result};

/// The key under which a snapshot's summary counts its data files.
const TOTAL_DATA_FILES: &str = "total-data-files";

/// The manifests of a snapshot; `bytes` are its manifest list.
///
/// # Errors
/// When the list is damaged, or empty although the snapshot has files.
pub(crate) fn parse_list(
    bytes: &[u8],
    snapshot: &Snapshot,
    version: FormatVersion,
) -> Result<Vec<ManifestFile>> {
    let parse = || ManifestList::parse_with_version(bytes, version);
    let list = catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|_| Err(stopped()))?;
    let manifests: Vec<ManifestFile> = list.consume_entries().into_iter().collect();
    let files = snapshot.summary().additional_properties.get(TOTAL_DATA_FILES);
    match files.and_then(|files| files.parse::<u64>().ok()) {
        Some(files) if files > 0 && manifests.is_empty() => {
            Err(invalid(format!("it is empty, and its snapshot has {files} data files")))
        }
        _ => Ok(manifests),
    }
}

/// Reads a manifest; its entries know the snapshot and sequence number they came with.
///
/// # Errors
/// When it is missing or damaged, or holds other files than its list counts.
pub(crate) async fn read(io: &FileIO, manifest: &ManifestFile) -> Result<Manifest> {
    let reading = AssertUnwindSafe(manifest.load_manifest(io)).catch_unwind().await;
    let read = reading.unwrap_or_else(|_| Err(stopped()))?;
    check_counts(manifest, &read)?;
    Ok(read)
}

fn check_counts(manifest: &ManifestFile, read: &Manifest) -> Result<()> {
    let counts = [
        (ManifestStatus::Added, manifest.added_files_count, manifest.added_rows_count),
        (ManifestStatus::Existing, manifest.existing_files_count, manifest.existing_rows_count),
        (ManifestStatus::Deleted, manifest.deleted_files_count, manifest.deleted_rows_count),
    ];
    for (status, files, rows) in counts {
        let entries = || read.entries().iter().filter(|entry| entry.status() == status);
        let held = (entries().count() as u64, entries().map(|entry| entry.record_count()).sum::<u64>());
        for (listed, held, what) in [(files.map(u64::from), held.0, "files"), (rows, held.1, "rows")] {
            if listed.is_some_and(|listed| listed != held) {
                let listed = listed.unwrap_or_default();
                let fact = format!("it holds {held} {what} as {status:?}, its manifest list says {listed}");
                return Err(invalid(fact));
            }
        }
    }
    Ok(())
}

fn stopped() -> Error {
    invalid("the decoder stopped at it".to_owned())
}

fn invalid(fact: String) -> Error {
    Error::new(ErrorKind::DataInvalid, fact)
}

#[cfg(test)]
mod tests;
