//! The whole flow against the client library's own mock cluster and a lake in memory.

use std::collections::BTreeSet;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sluice_catalog::Operation;

use super::*;
use crate::fixtures;

const PARTITIONS: i32 = 3;

struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    producer: ThreadedProducer<DefaultProducerContext>,
    sent: i64,
}

impl Cluster {
    fn new() -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("plain", PARTITIONS, 1).unwrap();
        let producer = KafkaSettings::new(mock.bootstrap_servers()).client_config().create().unwrap();
        Self { mock, producer, sent: 0 }
    }

    fn settings(&self) -> IngestSettings {
        let mut kafka = KafkaSettings::new(self.mock.bootstrap_servers());
        // The mock cluster lets a group that a member left wait for its session to time out.
        kafka.options.insert("session.timeout.ms".to_owned(), "4000".to_owned());
        kafka.options.insert("heartbeat.interval.ms".to_owned(), "500".to_owned());
        let mut settings = IngestSettings::new(kafka, vec![fixtures::plain("plain", "bronze.plain")]);
        settings.commit_interval = Duration::from_millis(300);
        settings.decode_threads = 2;
        settings
    }

    /// Sends messages round-robin over the partitions; every tenth is bad.
    fn send(&mut self, count: i64) {
        for n in self.sent..self.sent + count {
            let payload =
                if n % 10 == 9 { "oops".to_owned() } else { format!(r#"{{"event_id":"{n}","n":{n}}}"#) };
            let record = BaseRecord::<str, str>::to("plain").payload(&payload).partition((n % 3) as i32);
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(Duration::from_secs(10)).unwrap();
        self.sent += count;
    }

    /// Every place a message was sent to.
    fn places(&self) -> BTreeSet<(i32, i64)> {
        (0..self.sent).map(|n| ((n % 3) as i32, n / 3)).collect()
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

/// Runs until `landed` messages are committed, stops, and returns the report.
async fn land(lake: &Lake, settings: IngestSettings, landed: u64) -> Report {
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(run(lake.clone(), settings, Arc::clone(&progress), stop.clone()));
    until("the messages to land", || progress.committed() >= landed || running.is_finished()).await;
    stop.cancel();
    running.await.unwrap().unwrap()
}

async fn all_places(lake: &Lake) -> BTreeSet<(i32, i64)> {
    let good = fixtures::places(lake, "bronze.plain").await;
    let bad = fixtures::places(lake, "bronze.dead_letters").await;
    assert!(good.is_disjoint(&bad), "a message is a row or a dead letter");
    good.union(&bad).copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_lands_once_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let mut cluster = Cluster::new();
    cluster.send(1000);
    let first = land(&lake, cluster.settings(), 1000).await;
    assert_eq!((first.consumed, first.landed, first.dead_lettered, first.restarts), (1000, 900, 100, 0));
    assert!(first.buffered_bytes_peak > 0);
    cluster.send(500);
    let second = land(&lake, cluster.settings(), 500).await;
    assert_eq!((second.consumed, second.landed, second.dead_lettered), (500, 450, 50));
    assert_eq!(all_places(&lake).await, cluster.places());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_commits_what_was_read_and_a_start_without_news_commits_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let mut cluster = Cluster::new();
    cluster.send(300);
    let mut settings = cluster.settings();
    settings.commit_interval = Duration::from_secs(3600);
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(run(lake.clone(), settings, Arc::clone(&progress), stop.clone()));
    until("all to be read", || progress.consumed() == 300).await;
    assert_eq!(progress.committed(), 0);
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.landed + report.dead_lettered, report.commits), (300, 1));
    assert_eq!(all_places(&lake).await, cluster.places());

    let before = lake.load(&fixtures::name("bronze.plain")).await.unwrap().metadata_location().to_owned();
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(run(lake.clone(), cluster.settings(), Arc::clone(&progress), stop.clone()));
    until("the partitions", || progress.partitions().len() == PARTITIONS as usize).await;
    assert_eq!(progress.partitions()[&("plain".to_owned(), 0)].committed, Some(100));
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.consumed, report.commits), (0, 0));
    assert_eq!(lake.load(&fixtures::name("bronze.plain")).await.unwrap().metadata_location(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_commit_fences_and_reading_goes_on_from_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let mut cluster = Cluster::new();
    cluster.send(300);
    land(&lake, cluster.settings(), 300).await;
    cluster.send(300);
    let mut settings = cluster.settings();
    settings.commit_interval = Duration::from_secs(2);
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(run(lake.clone(), settings, Arc::clone(&progress), stop.clone()));
    until("the second part to be read", || progress.consumed() == 300).await;
    // Another writer takes offsets 100 to 110 of partition 0 in all tables, before the first commit.
    let table = fixtures::name("bronze.plain");
    let source = lake.load(&table).await.unwrap().offsets("plain").unwrap().unwrap().source;
    let range = sluice_catalog::OffsetRange { start: 100, end: 110, anchor: None };
    let token = new_token();
    let commit = |table| sluice_catalog::Commit {
        table,
        operation: Operation::Append,
        files: None,
        offsets: vec![sluice_catalog::SourceRanges { source: source.clone(), ranges: [(0, range)].into() }],
        properties: Default::default(),
        token,
    };
    let both = vec![commit(table), commit(fixtures::name("bronze.dead_letters"))];
    assert!(matches!(lake.commit(both, now()).await.unwrap(), sluice_catalog::CommitOutcome::Committed(_)));
    until("the rest to land", || progress.committed() == 290 || running.is_finished()).await;
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.restarts, 1);
    let mut expected = cluster.places();
    expected.retain(|(partition, offset)| *partition != 0 || !(100..110).contains(offset));
    assert_eq!(all_places(&lake).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_partitions_and_hand_them_over() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let mut cluster = Cluster::new();
    cluster.send(300);
    let start = || {
        let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
        let running =
            tokio::spawn(run(lake.clone(), cluster.settings(), Arc::clone(&progress), stop.clone()));
        (progress, stop, running)
    };
    let (one, stop_one, running_one) = start();
    until("the first part", || one.committed() >= 300 || running_one.is_finished()).await;
    let (two, stop_two, running_two) = start();
    until("a partition for the second worker", || !two.partitions().is_empty()).await;
    cluster.send(600);
    until("the second part", || one.committed() + two.committed() >= 900).await;
    assert!(two.committed() > 0, "the second worker landed something");
    stop_one.cancel();
    running_one.await.unwrap().unwrap();
    cluster.send(300);
    until("the last part", || one.committed() + two.committed() >= 1200).await;
    stop_two.cancel();
    running_two.await.unwrap().unwrap();
    assert_eq!(all_places(&lake).await, cluster.places());
}

/// A broker that answers with errors, a group that forgets its member, a coordinator that moves.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_fails_for_a_while_costs_time_and_no_row() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE as AWAY, RD_KAFKA_RESP_ERR_NOT_COORDINATOR as MOVED,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as OTHER_LEADER,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT as LATE, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID as FORGOTTEN,
    };
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let mut cluster = Cluster::new();
    cluster.send(300);
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(run(lake.clone(), cluster.settings(), Arc::clone(&progress), stop.clone()));
    until("the first part", || progress.committed() >= 300 || running.is_finished()).await;
    for (request, errors) in [
        (RDKafkaApiKey::Fetch, &[OTHER_LEADER, LATE, OTHER_LEADER, LATE][..]),
        (RDKafkaApiKey::Heartbeat, &[AWAY, MOVED, FORGOTTEN]),
        (RDKafkaApiKey::FindCoordinator, &[AWAY, AWAY]),
        (RDKafkaApiKey::JoinGroup, &[AWAY]),
        (RDKafkaApiKey::OffsetCommit, &[FORGOTTEN, MOVED]),
    ] {
        cluster.mock.request_errors(request, errors);
    }
    // Read by the session that lost its partitions, or by the one after it.
    until("the group to forget its member", || progress.restarts() > 0 || running.is_finished()).await;
    cluster.send(300);
    until("the second part", || progress.committed() >= 600 || running.is_finished()).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(all_places(&lake).await, cluster.places());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_budget_slows_reading_down_but_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let mut cluster = Cluster::new();
    cluster.send(9000);
    let mut settings = cluster.settings();
    settings.memory_budget = 256 << 10;
    settings.commit_interval = Duration::from_secs(1);
    let report = land(&lake, settings, 9000).await;
    assert_eq!(report.landed + report.dead_lettered, 9000);
    assert_eq!(all_places(&lake).await, cluster.places());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let cluster = Cluster::new();
    let fail = async |settings| {
        let error = run(lake.clone(), settings, Arc::default(), CancellationToken::new()).await.unwrap_err();
        error.to_string()
    };
    let mut settings = cluster.settings();
    settings.topics.clear();
    assert!(fail(settings).await.contains("no topic lands in a table"));
    let mut settings = cluster.settings();
    settings.kafka.options.insert("no.such.option".to_owned(), "secret".to_owned());
    let text = fail(settings).await;
    assert!(text.contains("no.such.option") && !text.contains("secret"), "{text}");
    let mut settings = cluster.settings();
    settings.topics[0].routes[0].columns[0].kind = crate::topics::Kind::Long;
    land(&lake, cluster.settings(), 0).await;
    assert!(fail(settings).await.contains("its column `event_id` is Utf8, the topics file says Int64"));
}

#[test]
fn the_settings_never_show_a_secret() {
    let mut settings = IngestSettings::new(KafkaSettings::new("broker:9092"), Vec::new());
    settings.kafka.options.insert("sasl.password".to_owned(), "hunter2".to_owned());
    let shown = format!("{settings:?}");
    assert!(shown.contains("sasl.password") && !shown.contains("hunter2"));
}
