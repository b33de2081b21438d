//! A stretch of streaming with maintenance in its turns: the table stays small, and every row stays.

use std::time::Duration;

use datafusion::arrow::array::{Int64Array, StringArray};
use sluice_catalog::maintain::{Cursors, Policy};

use super::*;
use crate::{Maintained, Maintenance};

const COMMITS: u32 = 120;
/// Commits between two turns of maintenance.
const TURN: u32 = 12;
const ROWS: i64 = 200;
/// Everything is a few thousand times smaller than by default.
const TARGET_BYTES: u64 = 32 << 10;

fn events(first: i64) -> RecordBatch {
    let columns = schema(&[("id", DataType::Int64), ("word", DataType::Utf8)]);
    let words = (first..first + ROWS).map(|id| format!("{:x}", id.wrapping_mul(0x1e37_79b9_7f4a_7c15)));
    let ids = Int64Array::from_iter_values(first..first + ROWS);
    batch(&columns, vec![Arc::new(ids), Arc::new(StringArray::from_iter_values(words))])
}

#[tokio::test]
async fn a_streamed_table_stays_small() {
    let lake = TestLake::new().await;
    let table = lake.create("bronze.events", &events(0).schema(), Vec::new()).await;
    let (name, cursors) = (name("bronze.events"), Cursors::of(&lake.lake).await.unwrap());
    let policy = Policy {
        target_file_bytes: TARGET_BYTES,
        max_snapshots: 30,
        reader_grace: Duration::from_secs(60),
        ..Policy::default()
    };
    let (engine, policy) = (&lake.engine, &policy);
    let maintenance = Maintenance { engine, policy, cursors: &cursors, orphans: false, dry_run: false };
    // The clock of the table runs on from its creation.
    let start = DateTime::from_timestamp_millis(table.metadata().last_updated_ms()).unwrap();
    let (mut came, mut rewritten, mut last) = (0, 0, Maintained::default());
    for number in 0..COMMITS {
        let at = start + Duration::from_secs(10) * number;
        let current = lake.lake.load(&name).await.unwrap();
        let files = lake.stage(&current, &[events(i64::from(number) * ROWS)]).await;
        came += files.byte_count();
        let append = Commit::new(name.clone(), sluice_catalog::Operation::Append, lake.token());
        let outcome = lake.lake.commit(vec![Commit { files: Some(files), ..append }], at).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
        if (number + 1) % TURN == 0 {
            let ended;
            (last, ended) = maintenance.run(&name, at, || lake.token()).await;
            ended.unwrap();
            rewritten += last.bytes_rewritten;
        }
    }
    let table = lake.lake.load(&name).await.unwrap();
    let (files, bytes) = (last.files_after.unwrap(), last.bytes_after.unwrap());
    assert!(bytes / files as u64 >= TARGET_BYTES / 3, "{files} files of {bytes} bytes");
    let snapshots = table.metadata().snapshots().len();
    assert!(snapshots < 60, "{snapshots} snapshots of {COMMITS} commits");
    assert!(rewritten < 5 * came, "{rewritten} bytes rewritten of {came}");
    let sums = "SELECT count(*) n, count(DISTINCT id) d, max(id) m FROM bronze.events";
    let rows = i64::from(COMMITS) * ROWS;
    let sums = shown(&lake.session(), sums).await;
    for number in [rows.to_string(), (rows - 1).to_string()] {
        assert!(sums.contains(&number), "{sums}");
    }
}
