//! What the store takes for the objects alone: as many of the same sizes as the run left there, with nothing beside.
//!
//! Whoever writes a thousand tables writes four objects for each of them with every commit. A store that needs
//! seconds for these bounds every writer; the ceiling, which stores nothing, does not show it.

use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use serde_json::{Value, json};
use sluice_catalog::Lake;

use super::{Failure, round};

/// Uploads at the same time.
const AT_ONCE: usize = 16;

/// Writes zeros of the sizes of all objects in the warehouse, and deletes them again; also the seconds of writing.
pub(super) async fn measure(lake: &Lake) -> Result<(Value, f64), Failure> {
    let store = lake.store();
    let warehouse = lake.object_path(&lake.settings().warehouse)?;
    let found: Vec<_> = store.list(Some(&warehouse)).try_collect().await?;
    let copies = Path::from(format!("{warehouse}-objects"));
    let began = Instant::now();
    let puts = stream::iter(found.iter().enumerate()).map(|(number, object)| {
        let (store, path) = (store.clone(), copies.clone().join(number.to_string()));
        async move { store.put(&path, PutPayload::from(vec![0; object.size as usize])).await.map(|_| path) }
    });
    let written: Vec<Path> = puts.buffer_unordered(AT_ONCE).try_collect().await?;
    let seconds = began.elapsed().as_secs_f64();
    let written = stream::iter(written.into_iter().map(Ok)).boxed();
    let _: Vec<Path> = store.delete_stream(written).try_collect().await?;
    let bytes: u64 = found.iter().map(|object| object.size).sum();
    Ok((json!({ "objects": found.len(), "bytes": bytes, "seconds": round(seconds) }), seconds))
}
