//! Deletion vectors: the blob `deletion-vector-v1` inside a Puffin file.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of magic and bitmap, big-endian |
//! | 4 | magic `D1 D3 39 64` |
//! | … | 64-bit Roaring bitmap, portable format |
//! | 4 | CRC-32 of magic and bitmap, big-endian |
//!
//! The manifest says where the blob lies, so the file's own footer is not read.

use std::collections::HashMap;

use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::object_store::ObjectStoreExt;
use roaring::RoaringTreemap;
use sluice_catalog::DeleteFile;

use super::{Reading, broken};

const MAGIC: [u8; 4] = [0xd1, 0xd3, 0x39, 0x64];

/// The largest vector that is read: hundreds of millions of scattered rows.
const BYTES_MAX: u64 = 256 << 20;

/// Length, magic and checksum around the bitmap.
const AROUND: u64 = 12;

/// Reads the vector that the entry describes.
pub(super) async fn read(
    reading: &Reading,
    file: &DeleteFile,
    memory: &MemoryReservation,
) -> Result<HashMap<String, RoaringTreemap>> {
    let entry = &file.data_file;
    let path = entry.file_path();
    let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let (Some(start), Some(bytes), Some(data)) =
        (number(entry.content_offset()), number(entry.content_size_in_bytes()), entry.referenced_data_file())
    else {
        return Err(broken(path, "its manifest does not say where the vector lies"));
    };
    if !(AROUND..=BYTES_MAX).contains(&bytes) {
        return Err(broken(path, format!("the vector claims {bytes} bytes")));
    }
    let end = start.checked_add(bytes).filter(|end| *end <= entry.file_size_in_bytes());
    let end = end.ok_or_else(|| broken(path, "the vector lies beyond the end of the file"))?;
    // The bytes, and the bitmap that they become.
    memory.try_grow(2 * bytes as usize)?;
    let place = reading.place(path, entry.file_size_in_bytes())?;
    let blob = reading.files.store().get_range(&place.location, start..end).await;
    let blob = blob.map_err(|error| broken(path, error))?;
    let positions = decode(&blob).map_err(|fact| broken(path, fact))?;
    if positions.len() != entry.record_count() {
        let (found, listed) = (positions.len(), entry.record_count());
        return Err(broken(path, format!("the vector deletes {found} rows, its manifest says {listed}")));
    }
    Ok([(data, positions)].into())
}

/// The positions in a blob.
pub(super) fn decode(blob: &[u8]) -> Result<RoaringTreemap, String> {
    let short = || "the vector is cut short".to_owned();
    let (length, rest) = blob.split_first_chunk::<4>().ok_or_else(short)?;
    let (content, checksum) = rest.split_last_chunk::<4>().ok_or_else(short)?;
    if u32::from_be_bytes(*length) as usize != content.len() {
        return Err("the vector has another length than it says".to_owned());
    }
    let bitmap = content.strip_prefix(&MAGIC).ok_or("the vector is of an unknown kind")?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return Err("the checksum of the vector does not match: it is damaged".to_owned());
    }
    RoaringTreemap::deserialize_from(bitmap).map_err(|error| format!("the vector is damaged: {error}"))
}
