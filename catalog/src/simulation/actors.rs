//! Those who change the lake: writers that share partitions without knowing of each other, a compactor, and a
//! writer that knows nothing of offsets. In some lives another engine meddles too ([`super::meddler`]).

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;

use chrono::TimeDelta;
use uuid::Uuid;

use super::meddler::meddler;
use super::world::{Record, World, table_of, tables};
use crate::error::Result;
use crate::{
    Anchor, Commit, CommitOutcome, OffsetRange, Operation, Rewrite, SourceId, SourceRanges, TableSnapshot,
};

/// Records of each partition in the log.
pub(super) const LOG_END: i64 = 40;
/// Partitions of the log.
pub(super) const PARTITIONS: [i32; 3] = [0, 1, 2];
const TOPIC: &str = "orders";
/// What an actor does before it rests for good.
pub(super) const STEPS: usize = 6;

pub(super) type Actor<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// All actors of a life.
pub(super) fn all(world: &World) -> Vec<Actor<'_>> {
    // Two writers own partition 0: a zombie and its successor. The clock of one is two hours slow.
    let mut actors: Vec<Actor<'_>> = vec![
        Box::pin(writer(world, &[0, 1], TimeDelta::zero())),
        Box::pin(writer(world, &[0], TimeDelta::hours(-2))),
        Box::pin(writer(world, &[2], TimeDelta::hours(2))),
        Box::pin(compactor(world)),
        Box::pin(foreigner(world)),
    ];
    if world.meddled {
        actors.push(Box::pin(meddler(world)));
    }
    actors
}

/// Where each of the two tables stands, by partition.
type Nexts = [BTreeMap<i32, i64>; 2];

/// Lands batches of its partitions; after anything unclear it reads the tables again, as a restart does. Now and
/// then it is stopped at any point of a commit and starts anew.
async fn writer(world: &World, partitions: &[i32], skew: TimeDelta) {
    let mut carried: Option<Nexts> = None;
    for _ in 0..STEPS {
        let Ok(states) = load(world).await else { continue };
        let nexts = match carried.take() {
            Some(nexts) => nexts,
            // Where nothing tells where to go on, an ingest ends; an operator decides.
            None => match standing(&states) {
                Ok(nexts) => nexts,
                Err(_) => return,
            },
        };
        let token = world.token();
        let ends: BTreeMap<i32, i64> = partitions
            .iter()
            .map(|partition| {
                let end = start(&nexts, *partition) + 1 + world.dice.below(9) as i64;
                (*partition, end.min(LOG_END))
            })
            .collect();
        let Ok(commits) = batch(world, &states, token, &nexts, &ends).await else { continue };
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
            let mut nexts = nexts;
            for (partition, end) in &ends {
                let known = acknowledged.entry(*partition).or_default();
                *known = (*known).max(*end);
                for table in &mut nexts {
                    let next = table.entry(*partition).or_default();
                    *next = (*next).max(*end);
                }
            }
            carried = Some(nexts);
        }
    }
}

/// A last writer without faults lands what is left of the log; whether the tables could tell where to go on.
pub(super) async fn land_the_rest(world: &World) -> bool {
    let ends = PARTITIONS.map(|partition| (partition, LOG_END)).into();
    let states = load(world).await.unwrap();
    let Ok(nexts) = standing(&states) else { return false };
    if *world.moves.lock().unwrap() == 0 {
        if world.lake.commits_together() {
            assert_eq!(nexts[0], nexts[1], "both tables commit together");
        }
        for (partition, end) in world.acknowledged.lock().unwrap().iter() {
            assert!(start(&nexts, *partition) >= *end, "I7: partition {partition} is below {end}");
        }
    }
    let commits = batch(world, &states, world.token(), &nexts, &ends).await.unwrap();
    if !commits.is_empty() {
        let outcome = world.lake.commit(commits, world.now(TimeDelta::zero())).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    }
    true
}

async fn load(world: &World) -> Result<Vec<TableSnapshot>> {
    let [events, dead_letters] = tables();
    Ok(vec![world.lake.load(&events).await?, world.lake.load(&dead_letters).await?])
}

fn standing(states: &[TableSnapshot]) -> Result<Nexts> {
    let of = |state: &TableSnapshot| Ok(state.offsets(TOPIC)?.map(|known| known.next).unwrap_or_default());
    Ok([of(&states[0])?, of(&states[1])?])
}

/// Where reading a partition starts: at what the table needs that is furthest back.
fn start(nexts: &Nexts, partition: i32) -> i64 {
    nexts.iter().map(|table| table.get(&partition).copied().unwrap_or(0)).min().unwrap_or(0)
}

/// One commit for both tables, each from where it stands; none when the log has ended.
async fn batch(
    world: &World,
    states: &[TableSnapshot],
    token: Uuid,
    nexts: &Nexts,
    ends: &BTreeMap<i32, i64>,
) -> Result<Vec<Commit>> {
    let mut commits = Vec::new();
    for (number, (state, nexts)) in states.iter().zip(nexts).enumerate() {
        let (mut ranges, mut records) = (BTreeMap::new(), BTreeSet::<Record>::new());
        for (&partition, &end) in ends {
            let start = nexts.get(&partition).copied().unwrap_or(0);
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
