//! The demo's folder: its broker is new each time, so its lake must be too.
//!
//! A folder that an earlier demo filled (it carries a marker) is emptied; any other lake is left alone.

use std::fs;
use std::path::Path;

use crate::failure::Failure;

/// Lies in a folder whose lake belongs to the demo.
const MARKER: &str = ".sluice-demo";

/// Leaves `dir` without a lake and with the marker.
pub(super) fn prepare(dir: &Path) -> Result<(), Failure> {
    let marker = dir.join(MARKER);
    let (catalog, warehouse) = (dir.join("catalog.db"), dir.join("warehouse"));
    if (catalog.exists() || warehouse.exists()) && !marker.exists() {
        return Err(Failure::usage(format!("`{}` holds a lake that the demo did not make", dir.display()))
            .hint("give the demo a folder of its own: sluice demo --data DIR"));
    }
    for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        remove(fs::remove_file(dir.join(file)))?;
    }
    remove(fs::remove_dir_all(&warehouse))?;
    fs::create_dir_all(dir)?;
    fs::write(&marker, "This lake belongs to `sluice demo`, which replaces it at its next start.\n")?;
    Ok(())
}

/// What was not there need not be removed.
fn remove(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
