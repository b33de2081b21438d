//! A day of streaming: small commits by an injected clock, with the maintenance of `sluice run` in its turns.
//!
//! What matters at the end: how large the files are, how many snapshots there are, and how many bytes were written
//! for each byte that came in. The sizes of files are real; the time between commits is not waited for.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use sluice_catalog::maintain::{Cursors, Policy};
use sluice_catalog::{Lake, LakeSettings};
use sluice_sql::{Engine, EngineSettings, Maintenance};

use crate::commits::{new_token, now};
use crate::ingest::Failure;
use crate::query::data;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Commits
    #[arg(long, default_value_t = 8_640)]
    commits: u32,
    /// Seconds between them
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rows of each
    #[arg(long, default_value_t = 2_000)]
    rows: usize,
    /// Minutes between two turns of maintenance
    #[arg(long, default_value_t = 10)]
    maintain: u64,
    /// The folder for the table; a fresh one is made in it and removed
    #[arg(long, default_value = "./sluice-bench")]
    dir: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Value, Failure> {
    let dir = arguments.dir.join(format!("day-{}", std::process::id()));
    let measured = measure(&arguments, &dir).await;
    tokio::fs::remove_dir_all(&dir).await?;
    measured
}

async fn measure(arguments: &Arguments, dir: &Path) -> Result<Value, Failure> {
    let lake = Lake::open(LakeSettings::local(dir)).await?;
    let engine = Engine::new(lake.clone(), EngineSettings::default())?;
    let (name, policy, cursors) = (data::create(&lake).await?, Policy::default(), Cursors::of(&lake).await?);
    let maintenance =
        Maintenance { engine: &engine, policy: &policy, cursors: &cursors, orphans: false, dry_run: false };
    let turn = u32::try_from(arguments.maintain * 60 / arguments.seconds)?.max(1);
    let (start, every) = (now(), Duration::from_secs(arguments.seconds));
    let (mut came, mut rewritten, mut disk, mut most_snapshots) = (0, 0, 0, 0);
    let mut maintaining = Duration::ZERO;
    let began = Instant::now();
    for number in 0..arguments.commits {
        let at = start + every * number;
        let first = arguments.rows * number as usize;
        let table = data::append(&lake, first..first + arguments.rows, new_token(), at).await?;
        let snapshot = table.metadata().current_snapshot().ok_or("an append made no snapshot")?;
        let added = snapshot.summary().additional_properties.get("added-files-size");
        came += added.and_then(|bytes| bytes.parse::<u64>().ok()).ok_or("a summary has no size")?;
        if (number + 1) % turn == 0 {
            let began = Instant::now();
            let (done, ended) = maintenance.run(&name, at, new_token).await;
            ended?;
            maintaining += began.elapsed();
            rewritten += done.bytes_rewritten;
            most_snapshots = most_snapshots.max(done.snapshots_before);
            disk = disk.max(size_of_folder(dir)?);
            if (number + 1) % (turn * 12) == 0 {
                eprintln!("{} commits, {} files", number + 1, done.files_after.unwrap_or(0));
            }
        }
    }
    let table = lake.load(&name).await?;
    let sizes: Vec<u64> =
        table.files().await?.iter().map(|file| file.parts().0.file_size_in_bytes()).collect();
    let live: u64 = sizes.iter().sum();
    // The newest turn's worth of files waits for company of its size.
    let half = policy.target_file_bytes / 2;
    let large: u64 = sizes.iter().filter(|size| **size >= half).sum();
    Ok(json!({
        "benchmark": "day",
        "commits": arguments.commits,
        "rows": arguments.commits as usize * arguments.rows,
        "bytes_came": came,
        "bytes_rewritten": rewritten,
        "write_amplification": (came + rewritten) as f64 / came as f64,
        "files": sizes.len(),
        "average_file_bytes": live / sizes.len().max(1) as u64,
        "part_of_bytes_in_files_of_half_the_target": large as f64 / live.max(1) as f64,
        "snapshots": table.metadata().snapshots().len(),
        "most_snapshots": most_snapshots,
        "most_bytes_on_disk": disk,
        "seconds": began.elapsed().as_secs_f64(),
        "seconds_maintaining": maintaining.as_secs_f64(),
    }))
}

fn size_of_folder(dir: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size_of_folder(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
