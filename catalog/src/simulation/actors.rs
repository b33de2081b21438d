//! Those who change the lake: writers that share partitions without knowing of each other, a compactor, and a
//! writer that knows nothing of offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use chrono::TimeDelta;
use uuid::Uuid;

use super::world::{Record, World, table_of, tables};
use crate::error::Result;
use crate::{
    Anchor, Commit, CommitOutcome, OffsetRange, Operation, Rewrite, SourceId, SourceRanges, TableSnapshot,
};

/// Records of each partition in the log.
const LOG_END: i64 = 40;
const TOPIC: &str = "orders";
/// What an actor does before it rests for good.
const STEPS: usize = 6;

type Actor<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// All actors of a life.
pub(super) fn all(world: &World) -> Vec<Actor<'_>> {
    // Two writers own partition 0: a zombie and its successor. The clock of one is two hours slow.
    vec![
        Box::pin(writer(world, &[0, 1], TimeDelta::zero())),
        Box::pin(writer(world, &[0], TimeDelta::hours(-2))),
        Box::pin(writer(world, &[2], TimeDelta::hours(2))),
        Box::pin(compactor(world)),
        Box::pin(foreigner(world)),
    ]
}

/// Lands batches of its partitions; after anything unclear it reads the tables again, as a restart does. Now and
/// then it is stopped at any point of a commit and starts anew.
async fn writer(world: &World, partitions: &[i32], skew: TimeDelta) {
    let mut carried: Option<Vec<[i64; 2]>> = None;
    for _ in 0..STEPS {
        let Ok(states) = load(world).await else { continue };
        let nexts = match carried.take() {
            Some(nexts) => nexts,
            None => partitions.iter().map(|partition| next(&states, *partition)).collect(),
        };
        let token = world.token();
        // Reading begins at what the table that is behind needs.
        let end = |next: &[i64; 2]| LOG_END.min(next[0].min(next[1]) + 1 + world.dice.below(9) as i64);
        let ends: Vec<i64> = nexts.iter().map(end).collect();
        let Ok(commits) = batch(world, &states, token, partitions, &nexts, &ends).await else { continue };
        if commits.is_empty() {
            return;
        }
        let commit = world.lake.commit(commits, world.now(skew));
        let outcome = match world.dice.below(8) {
            0 => tokio::time::timeout(world.dice.delay() * 10, commit).await.ok(),
            _ => Some(commit.await),
        };
        // Fenced, conflicted, stopped or unclear: what the tables say is what holds.
        if let Some(Ok(CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_))) = outcome {
            let mut acknowledged = world.acknowledged.lock().unwrap();
            for (partition, end) in partitions.iter().zip(&ends) {
                let known = acknowledged.entry(*partition).or_default();
                *known = (*known).max(*end);
            }
            carried =
                Some(nexts.iter().zip(&ends).map(|(next, end)| next.map(|next| next.max(*end))).collect());
        }
    }
}

async fn load(world: &World) -> Result<Vec<TableSnapshot>> {
    let [events, dead_letters] = tables();
    Ok(vec![world.lake.load(&events).await?, world.lake.load(&dead_letters).await?])
}

/// Where each table stands.
fn next(states: &[TableSnapshot], partition: i32) -> [i64; 2] {
    let of = |state: &TableSnapshot| state.offsets(TOPIC).unwrap()?.next.get(&partition).copied();
    [of(&states[0]).unwrap_or(0), of(&states[1]).unwrap_or(0)]
}

/// One commit for both tables, each with what it lacks; none when the log has ended.
async fn batch(
    world: &World,
    states: &[TableSnapshot],
    token: Uuid,
    partitions: &[i32],
    starts: &[[i64; 2]],
    ends: &[i64],
) -> Result<Vec<Commit>> {
    let mut commits = Vec::new();
    for (number, state) in states.iter().enumerate() {
        let mut ranges = BTreeMap::new();
        let mut records = BTreeSet::<Record>::new();
        for ((&partition, starts), &end) in partitions.iter().zip(starts).zip(ends) {
            let start = starts[number];
            if start < end {
                let anchor = Some(Anchor { offset: end - 1, crc32: 7 });
                ranges.insert(partition, OffsetRange { start, end, anchor });
            }
            let own = (start..end).filter(|offset| table_of(*offset) == number);
            records.extend(own.map(|offset| (partition, offset)));
        }
        if ranges.is_empty() {
            continue;
        }
        let source = SourceId { cluster: "c1".to_owned(), topic: TOPIC.to_owned() };
        let files =
            if records.is_empty() { None } else { Some(world.stage(state, token, number, records).await?) };
        let offsets = vec![SourceRanges { source, ranges }];
        commits.push(Commit {
            files,
            offsets,
            ..Commit::new(state.name().clone(), Operation::Append, token)
        });
    }
    Ok(commits)
}

/// Makes two files one, now and then.
async fn compactor(world: &World) {
    for _ in 0..STEPS {
        tokio::time::sleep(world.dice.delay() * 3).await;
        let Ok(state) = world.lake.load(&tables()[0]).await else { continue };
        let (Ok(files), Some(read_snapshot)) = (state.files().await, state.snapshot_id()) else { continue };
        if files.len() < 2 {
            continue;
        }
        let first = world.dice.below(files.len() as u64 - 1) as usize;
        let inputs = files[first..first + 2].to_vec();
        let records = {
            let rows = world.rows.lock().unwrap();
            inputs.iter().flat_map(|file| rows[file.parts().0.file_path()].clone()).collect()
        };
        let token = world.token();
        let Ok(staged) = world.stage(&state, token, 0, records).await else { continue };
        let operation = Operation::Rewrite(Rewrite { read_snapshot, inputs });
        let commit = Commit { files: Some(staged), ..Commit::new(state.name().clone(), operation, token) };
        // A lost conflict costs the work and nothing else; the judge looks at the rows.
        let _ = world.lake.commit(vec![commit], world.now(TimeDelta::zero())).await;
    }
}

/// Appends single rows without offsets.
async fn foreigner(world: &World) {
    for number in 0..STEPS as i64 {
        tokio::time::sleep(world.dice.delay() * 3).await;
        let Ok(state) = world.lake.load(&tables()[0]).await else { continue };
        let (token, record) = (world.token(), (99, number));
        let Ok(files) = world.stage(&state, token, 0, BTreeSet::from([record])).await else { continue };
        world.foreign.lock().unwrap().insert(token, (record, false));
        let commit =
            Commit { files: Some(files), ..Commit::new(state.name().clone(), Operation::Append, token) };
        let outcome = world.lake.commit(vec![commit], world.now(TimeDelta::zero())).await;
        if matches!(outcome, Ok(CommitOutcome::Committed(_) | CommitOutcome::AlreadyCommitted(_))) {
            world.foreign.lock().unwrap().insert(token, (record, true));
        }
    }
}
