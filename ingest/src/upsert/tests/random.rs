//! Random changes over two partitions through kills, lost replies, zombies and compactions, against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::{Message, Worker, World};
use super::{OPS, message};
use crate::land::Landed;

/// A key is in the partition of its parity, as a keyed producer sees to.
const PARTITIONS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Put(i64, i64),
    Delete(i64),
    Tombstone(i64),
    Commit(How),
    /// Written in part, then killed.
    Kill,
    Compact,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Alone,
    /// The commit lands, and who made it is killed before it hears of that.
    ReplyLost,
    /// A compaction runs at the same time.
    WhileCompacting,
    /// Two workers commit a partition each, at the same time.
    Apart,
    /// An earlier owner of the partitions has read the same and commits after the new one.
    BeforeZombie,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let how = prop_oneof![
        3 => Just(How::Alone),
        1 => Just(How::ReplyLost),
        2 => Just(How::WhileCompacting),
        2 => Just(How::Apart),
        1 => Just(How::BeforeZombie),
    ];
    let step = prop_oneof![
        8 => (0..12i64, any::<i32>()).prop_map(|(key, value)| Step::Put(key, value.into())),
        3 => (0..12i64).prop_map(Step::Delete),
        2 => (0..12i64).prop_map(Step::Tombstone),
        3 => how.prop_map(Step::Commit),
        1 => Just(Step::Kill),
        1 => Just(Step::Compact),
    ];
    prop::collection::vec(step, 1..50)
}

/// What a producer writes for it; `None` for what is no event.
fn said(step: &Step) -> Option<(i64, Message)> {
    match step {
        Step::Put(key, value) => {
            let op = ["c", "u", "I", "upsert"][value.rem_euclid(4) as usize];
            Some((*key, message(&format!(r#"{{"op":"{op}","id":{key},"v":{value}}}"#))))
        }
        Step::Delete(key) => Some((*key, message(&format!(r#"{{"id":{key},"op":"Delete"}}"#)))),
        Step::Tombstone(key) => Some((*key, (Some(key.to_string()), None))),
        _ => None,
    }
}

struct Run {
    world: World,
    worker: Worker,
    logs: [Vec<(Step, Message)>; PARTITIONS],
    done: [usize; PARTITIONS],
    model: BTreeMap<i64, i64>,
}

impl Run {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Commit(how) => self.commit(how).await,
            Step::Kill => {
                let open = self.open();
                write(&mut self.worker, &open).await;
                self.worker.lander.abort().await;
                self.worker = self.world.worker().await;
            }
            Step::Compact => assert!(self.world.compact().await),
            event => {
                let Some((key, message)) = said(&event) else { return };
                self.logs[key as usize % PARTITIONS].push((event, message));
                return;
            }
        }
        assert_eq!(self.world.rows().await, self.model);
    }

    /// What is not committed: partition, first offset, messages.
    fn open(&self) -> Vec<(i32, i64, Vec<Message>)> {
        let all = self.logs.iter().zip(self.done).zip(0..).filter(|((log, done), _)| log.len() > *done);
        let open = all.map(|((log, done), partition)| {
            (partition, done as i64, log[done..].iter().map(|(_, message)| message.clone()).collect())
        });
        open.collect()
    }

    async fn commit(&mut self, how: How) {
        let open = self.open();
        if open.is_empty() {
            return;
        }
        let ranges: Vec<_> =
            open.iter().map(|(partition, from, all)| (*partition, *from, from + all.len() as i64)).collect();
        match how {
            How::Alone => {
                let batches = write(&mut self.worker, &open).await;
                landed(self.worker.commit(batches, &ranges).await);
            }
            How::ReplyLost => {
                let batches = write(&mut self.worker, &open).await;
                drop(self.worker.outcome(batches, &ranges).await.unwrap());
                self.worker.lander.abort().await;
                self.worker = self.world.worker().await;
            }
            How::WhileCompacting => {
                let batches = write(&mut self.worker, &open).await;
                landed(tokio::join!(self.worker.commit(batches, &ranges), self.world.compact()).0);
            }
            How::Apart => {
                let mut works = Vec::new();
                for (part, range) in open.into_iter().zip(ranges) {
                    let mut worker = self.world.worker().await;
                    let batches = write(&mut worker, &[part]).await;
                    works.push(async move { worker.commit(batches, &[range]).await });
                }
                futures::future::join_all(works).await.into_iter().for_each(landed);
                self.worker = self.world.worker().await;
            }
            How::BeforeZombie => {
                let batches = write(&mut self.worker, &open).await;
                let mut heir = self.world.worker().await;
                write(&mut heir, &open).await;
                landed(heir.commit(batches, &ranges).await);
                let zombie = self.worker.commit(batches, &ranges).await;
                assert!(matches!(zombie, Landed::Fenced(_)), "{zombie:?}");
                self.worker = heir;
            }
        }
        for (log, done) in self.logs.iter().zip(&mut self.done) {
            for (step, _) in &log[*done..] {
                match step {
                    Step::Put(key, value) => drop(self.model.insert(*key, *value)),
                    Step::Delete(key) | Step::Tombstone(key) => drop(self.model.remove(key)),
                    _ => {}
                }
            }
            *done = log.len();
        }
    }
}

fn landed(landed: Landed) {
    assert!(matches!(landed, Landed::Done(_)), "{landed:?}");
}

/// Writes messages in batches of three, which come in another order, as from several decoding threads. Returns how
/// many batches there were.
async fn write(worker: &mut Worker, open: &[(i32, i64, Vec<Message>)]) -> u64 {
    let mut batches: Vec<(i32, i64, &[Message])> = Vec::new();
    for (partition, from, messages) in open {
        let starts = (*from..).step_by(3);
        batches.extend(starts.zip(messages.chunks(3)).map(|(start, part)| (*partition, start, part)));
    }
    batches.sort_by_key(|(partition, start, _)| (start % 2, -start, *partition));
    for (partition, start, part) in &batches {
        worker.write(*partition, *start, part).await;
    }
    batches.len() as u64
}

async fn run(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path(), OPS).await;
    let worker = world.worker().await;
    let mut run =
        Run { world, worker, logs: Default::default(), done: [0; PARTITIONS], model: BTreeMap::new() };
    for step in steps.into_iter().chain([Step::Commit(How::Alone)]) {
        run.step(step).await;
    }
    assert_eq!(run.world.dead_letters().await, Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn random_changes_through_faults_are_those_of_a_map(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
