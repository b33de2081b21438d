//! Files that lie: a query over them ends with an error that names the file. It never aborts the process.

use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::path::Path;

use super::{TestLake, rows};

const QUERY: &str = "SELECT sum(id) AS s FROM bronze.t WHERE id >= 0";

/// A table with one file; the file's path and bytes.
async fn table(lake: &TestLake) -> (Path, Vec<u8>) {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    lake.create("bronze.t", &schema, Vec::new()).await;
    let ids = Int64Array::from_iter_values(0..1000);
    let table = lake.append("bronze.t", RecordBatch::try_new(schema, vec![Arc::new(ids)]).unwrap()).await;
    let files = table.files().await.unwrap();
    let path = lake.lake.object_path(files[0].parts().0.file_path()).unwrap();
    let bytes = lake.lake.store().get(&path).await.unwrap().bytes().await.unwrap();
    (path, bytes.to_vec())
}

async fn put(lake: &TestLake, path: &Path, bytes: Vec<u8>) {
    lake.lake.store().put(path, bytes.into()).await.unwrap();
}

/// A footer whose list of columns claims two thousand million entries: they would take 200 GB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_footer_that_asks_for_200_gb_is_an_error() {
    let lake = TestLake::new().await;
    let (path, bytes) = table(&lake).await;
    let mut footer = vec![0x15, 0x02, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
    footer.resize(17, 0x15);
    let mut lying = bytes[..bytes.len() - footer.len() - 8].to_vec();
    lying.extend(&footer);
    lying.extend((footer.len() as u32).to_le_bytes());
    lying.extend(b"PAR1");
    assert_eq!(lying.len(), bytes.len());
    put(&lake, &path, lying).await;

    let error = rows(&lake.session(), QUERY, Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains("more entries than there are bytes"), "{error}");
    assert!(error.contains(path.filename().unwrap()), "{error}");
}

/// Every byte of the footer in turn, each with one flipped bit and all flipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bytes_of_a_footer_never_end_the_process() {
    let lake = TestLake::new().await;
    let (path, bytes) = table(&lake).await;
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let mut refused = 0;
    for at in bytes.len() - 8 - length..bytes.len() {
        for flip in [0x01, 0xff] {
            let mut flipped = bytes.clone();
            flipped[at] ^= flip;
            put(&lake, &path, flipped).await;
            // An engine of its own: footers are remembered by their path.
            let engine = crate::Engine::new(lake.lake.clone(), crate::EngineSettings::default()).unwrap();
            // Some bytes mean nothing to the query; what must not happen is a crash.
            refused += usize::from(rows(&engine.session(), QUERY, Vec::new()).await.is_err());
        }
    }
    assert!(refused > length / 2, "only {refused} of {} were noticed", length * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_cut_short_or_gone_is_named() {
    let lake = TestLake::new().await;
    let (path, bytes) = table(&lake).await;
    put(&lake, &path, bytes[..bytes.len() / 2].to_vec()).await;
    let error = rows(&lake.session(), QUERY, Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains(path.filename().unwrap()), "{error}");

    lake.lake.store().delete(&path).await.unwrap();
    let error = rows(&lake.session(), QUERY, Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains(path.filename().unwrap()), "{error}");
}
