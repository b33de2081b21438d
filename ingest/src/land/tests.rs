//! Epochs and their commits on a real catalog with files in memory.

use std::collections::BTreeSet;

use super::*;
use crate::decode::Decode;
use crate::decode::json::Json;
use crate::fixtures;
use crate::kafka::KafkaSettings;
use crate::pipeline::DeadLetterLimit;
use crate::pipeline::tables;
use crate::route::{Routing, route};
use crate::source::raw::RawBatch;
use crate::topics::Topic;

/// A lander on a lake in memory, and the steps that the pipeline takes with it.
pub(crate) struct Bench {
    pub(crate) lake: Lake,
    plan: Arc<Plan>,
    budget: Arc<Budget>,
    lander: Lander,
}

pub(crate) async fn bench(lake: Lake, topics: Vec<Topic>, limit: Option<DeadLetterLimit>) -> Bench {
    let mut settings = IngestSettings::new(KafkaSettings::new("none"), topics);
    settings.dead_letter_limit = limit;
    bench_of(lake, settings).await
}

/// The topic `events`, with a tail.
pub(crate) async fn bench_with_tail(lake: Lake, tail: Tail) -> Bench {
    let mut settings = IngestSettings::new(KafkaSettings::new("none"), vec![fixtures::events()]);
    settings.tail = Some(tail);
    bench_of(lake, settings).await
}

async fn bench_of(lake: Lake, settings: IngestSettings) -> Bench {
    let plan = Arc::new(Plan::new(&settings.topics, settings.dead_letters.clone()).unwrap());
    tables::create(&lake, &plan).await.unwrap();
    let snapshots = tables::load(&lake, &plan).await.unwrap();
    let budget = Budget::new(1 << 30);
    let lander = Lander::new(
        lake.clone(),
        Arc::clone(&plan),
        Arc::new(settings),
        Arc::default(),
        Arc::clone(&budget),
        ("cluster".to_owned(), snapshots),
    );
    Bench { lake, plan, budget, lander }
}

impl Bench {
    /// What the tables know now, as an assignment would bring it.
    pub(crate) async fn assign(&mut self, topic: usize, partition: i32) {
        let mut nexts = Vec::new();
        for &table in &self.plan.topics[topic].tables {
            let name = &self.plan.topics[topic].name;
            let offsets = self.lake.load(&self.plan.tables[table].name).await.unwrap().offsets(name).unwrap();
            nexts.push((table, offsets.and_then(|offsets| offsets.next.get(&partition).copied())));
        }
        let offset = nexts.iter().map(|(_, next)| next.unwrap_or(0)).min().unwrap();
        self.lander.assign(&[Start { topic, partition, offset, nexts }]);
    }

    pub(crate) async fn write(
        &mut self,
        epoch: u64,
        (topic, partition): (usize, i32),
        start: i64,
        payloads: &[&str],
    ) {
        let mut raw = RawBatch::new(topic, partition);
        for (index, payload) in payloads.iter().enumerate() {
            raw.push(start + index as i64, None, None, Some(payload.as_bytes()));
        }
        let decoded = Json::new(&self.plan.topics[topic].fields).decode(&raw).unwrap();
        let Routing::Done(routed) = route(&self.plan, &raw, vec![decoded]).unwrap() else {
            panic!("no table grows")
        };
        let reservation = self.budget.reserve(1);
        let landing = Landing { topic, partition, epoch, first_offset: start, routed, reservation };
        self.lander.write(landing).await.unwrap();
    }

    pub(crate) fn seal(&mut self, epoch: u64, batches: u64, ranges: &[(usize, i32, i64, i64)]) {
        let mut seal = Seal { epoch, batches, messages: BTreeMap::new(), ranges: BTreeMap::new() };
        for &(topic, partition, start, end) in ranges {
            *seal.messages.entry(topic).or_default() += (end - start) as u64;
            let range = OffsetRange { start, end, anchor: None };
            seal.ranges.entry(topic).or_default().insert(partition, range);
        }
        self.lander.seal(seal);
    }

    pub(crate) async fn commit(&mut self) -> Landed {
        let outcome = self.begin_commit().await;
        self.finish_commit(outcome)
    }

    pub(crate) fn begin_commit(&mut self) -> impl Future<Output = Outcome> + use<> {
        self.lander.next_commit().unwrap().expect("a whole epoch")
    }

    pub(crate) fn finish_commit(&mut self, outcome: Outcome) -> Landed {
        self.lander.committed(outcome).unwrap()
    }

    pub(crate) async fn abort(&mut self) {
        self.lander.abort().await;
    }

    pub(crate) fn used(&self) -> usize {
        self.budget.used()
    }

    async fn next(&self, table: &str, topic: &str) -> Option<i64> {
        let offsets = self.lake.load(&fixtures::name(table)).await.unwrap().offsets(topic).unwrap();
        offsets.and_then(|offsets| offsets.next.get(&0).copied())
    }
}

pub(crate) const VIEW: &str = r#"{"event_id":"v","event_type":"view"}"#;
pub(crate) const SALE: &str = r#"{"event_id":"s","event_type":"transaction","price":1}"#;
pub(crate) const BAD: &str = "{";

#[tokio::test(flavor = "multi_thread")]
async fn all_tables_move_on_together_even_those_without_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(fixtures::lake(dir.path()).await, vec![fixtures::events()], None).await;
    bench.assign(0, 0).await;
    bench.write(1, (0, 0), 0, &[VIEW, VIEW, BAD]).await;
    assert!(bench.lander.next_commit().unwrap().is_none(), "not sealed yet");
    bench.seal(1, 1, &[(0, 0, 0, 3)]);
    assert!(!bench.lander.is_idle());
    assert!(matches!(bench.commit().await, Landed::Done(done) if done == [(0, 0, 3)]));
    assert!(bench.lander.is_idle());
    for table in ["bronze.clicks", "bronze.sales", "bronze.dead_letters"] {
        assert_eq!(bench.next(table, "events").await, Some(3), "{table}");
    }
    assert_eq!(fixtures::places(&bench.lake, "bronze.clicks").await, BTreeSet::from([(0, 0), (0, 1)]));
    assert_eq!(fixtures::places(&bench.lake, "bronze.dead_letters").await, BTreeSet::from([(0, 2)]));
    assert!(bench.lake.load(&fixtures::name("bronze.sales")).await.unwrap().snapshot_id().is_none());
    let progress = &bench.lander.progress;
    assert_eq!((progress.landed(), progress.dead_lettered(), progress.commits()), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_epoch_is_written_while_one_is_committed_and_commits_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(fixtures::lake(dir.path()).await, vec![fixtures::events()], None).await;
    bench.assign(0, 0).await;
    bench.write(1, (0, 0), 0, &[VIEW]).await;
    bench.write(2, (0, 0), 2, &[SALE]).await;
    bench.seal(2, 1, &[(0, 0, 2, 3)]);
    bench.seal(1, 2, &[(0, 0, 0, 2)]);
    assert!(bench.lander.next_commit().unwrap().is_none(), "the first epoch lacks a batch, the second waits");
    bench.write(1, (0, 0), 1, &[VIEW]).await;
    let first = bench.lander.next_commit().unwrap().expect("a whole epoch");
    assert!(bench.lander.next_commit().unwrap().is_none(), "one commit at a time");
    bench.write(3, (0, 0), 3, &[VIEW]).await;
    let outcome = first.await;
    assert!(matches!(bench.lander.committed(outcome).unwrap(), Landed::Done(_)));
    assert!(matches!(bench.commit().await, Landed::Done(_)));
    bench.seal(3, 1, &[(0, 0, 3, 4)]);
    assert!(matches!(bench.commit().await, Landed::Done(_)));
    let clicks = fixtures::places(&bench.lake, "bronze.clicks").await;
    assert_eq!(clicks, BTreeSet::from([(0, 0), (0, 1), (0, 3)]));
    assert_eq!(bench.next("bronze.sales", "events").await, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_fenced_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let mut one = bench(lake.clone(), vec![fixtures::events()], None).await;
    let mut two = bench(lake.clone(), vec![fixtures::events()], None).await;
    for bench in [&mut one, &mut two] {
        bench.assign(0, 0).await;
        bench.write(1, (0, 0), 0, &[VIEW, SALE]).await;
    }
    one.seal(1, 1, &[(0, 0, 0, 2)]);
    assert!(matches!(one.commit().await, Landed::Done(_)));
    two.seal(1, 1, &[(0, 0, 0, 2)]);
    assert!(matches!(two.commit().await, Landed::Fenced(reason) if reason.contains("offset 2")));
    assert_eq!(fixtures::places(&lake, "bronze.clicks").await, BTreeSet::from([(0, 0)]));
    assert_eq!(fixtures::places(&lake, "bronze.sales").await, BTreeSet::from([(0, 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_added_later_gets_everything_and_the_others_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let mut few = fixtures::events();
    few.routes.truncate(1);
    let mut before = bench(lake.clone(), vec![few], None).await;
    before.assign(0, 0).await;
    before.write(1, (0, 0), 0, &[VIEW, SALE]).await;
    before.seal(1, 1, &[(0, 0, 0, 2)]);
    assert!(matches!(before.commit().await, Landed::Done(_)));
    let mut after = bench(lake.clone(), vec![fixtures::events()], None).await;
    after.assign(0, 0).await;
    after.write(1, (0, 0), 0, &[VIEW, SALE, VIEW]).await;
    after.seal(1, 1, &[(0, 0, 0, 3)]);
    assert!(matches!(after.commit().await, Landed::Done(_)));
    assert_eq!(fixtures::places(&lake, "bronze.clicks").await, BTreeSet::from([(0, 0), (0, 2)]));
    assert_eq!(fixtures::places(&lake, "bronze.sales").await, BTreeSet::from([(0, 1)]));
    assert_eq!(fixtures::places(&lake, "bronze.dead_letters").await, BTreeSet::from([(0, 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_topics_commit_at_once_and_share_the_dead_letters() {
    let dir = tempfile::tempdir().unwrap();
    let topics = vec![fixtures::events(), fixtures::plain("plain", "bronze.plain")];
    let mut bench = bench(fixtures::lake(dir.path()).await, topics, None).await;
    bench.assign(0, 0).await;
    bench.assign(1, 0).await;
    bench.write(1, (0, 0), 0, &[VIEW]).await;
    bench.write(1, (1, 0), 5, &[r#"{"event_id":"p"}"#, BAD]).await;
    bench.seal(1, 2, &[(0, 0, 0, 1), (1, 0, 5, 7)]);
    assert!(matches!(bench.commit().await, Landed::Done(_)));
    assert_eq!(bench.next("bronze.dead_letters", "events").await, Some(1));
    assert_eq!(bench.next("bronze.dead_letters", "plain").await, Some(7));
    assert_eq!(bench.next("bronze.plain", "plain").await, Some(7));
    assert_eq!(bench.next("bronze.plain", "events").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_dead_letters_stop_before_anything_lands() {
    let dir = tempfile::tempdir().unwrap();
    let limit = Some(DeadLetterLimit { messages: 1, share: 0.5, ..DeadLetterLimit::default() });
    let mut bench = bench(fixtures::lake(dir.path()).await, vec![fixtures::events()], limit).await;
    bench.assign(0, 0).await;
    bench.write(1, (0, 0), 0, &[BAD, BAD, VIEW]).await;
    bench.seal(1, 1, &[(0, 0, 0, 3)]);
    let error = bench.lander.next_commit().map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::TooManyDeadLetters { dead: 2, consumed: 3, .. }), "{error}");
    assert!(bench.next("bronze.dead_letters", "events").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_returns_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(fixtures::lake(dir.path()).await, vec![fixtures::events()], None).await;
    bench.assign(0, 0).await;
    bench.write(1, (0, 0), 0, &[VIEW; 100]).await;
    assert!(bench.budget.used() > 0);
    bench.lander.abort().await;
    assert_eq!(bench.budget.used(), 0);
}
