//! Queries that end early: out of memory, or because nobody wants the answer any more.

use datafusion::execution::memory_pool::MemoryLimit;
use futures::StreamExt;

use super::{TestLake, rows};
use crate::{EngineSettings, Error};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_a_limit_not_a_wish() {
    let settings =
        EngineSettings { target_partitions: 2, memory_bytes: 256 << 10, ..EngineSettings::default() };
    let lake = TestLake::with(settings).await;
    assert!(matches!(
        lake.engine.state().runtime_env().memory_pool.memory_limit(),
        MemoryLimit::Finite(262_144)
    ));
    let sql = "SELECT sum(array_length(x)) FROM (SELECT array_agg(b.value) AS x \
               FROM generate_series(1, 3000) a \
               CROSS JOIN generate_series(1, 200) b GROUP BY a.value)";
    let outcome = rows(&lake.session(), sql, Vec::new()).await;
    assert!(matches!(outcome, Err(Error::ResourcesExhausted(_))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_stream_ends_the_query() {
    let lake = TestLake::new().await;
    let session = lake.session();
    // A warm engine, so that what is alive before and after is the same.
    rows(&session, "SELECT 1", Vec::new()).await.unwrap();
    let workers = lake.engine.workers().clone();
    let alive = || workers.handle().metrics().num_alive_tasks();
    let before = alive();
    let sql = "SELECT value % 7 AS k, value FROM generate_series(1, 1000000000000) WHERE value % 3 = 0";
    let grouped =
        format!("SELECT a.k, b.value FROM ({sql}) a JOIN (SELECT 1 AS k, 2 AS value) b ON a.k = b.k");
    let mut stream = session.sql(&grouped).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    drop(stream);
    let ended = async {
        while alive() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), ended).await.unwrap();
}
