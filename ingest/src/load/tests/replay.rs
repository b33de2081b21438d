//! The replay: every order, item and payment once, in the order of time, as events that land.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::mocking::MockCluster;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::kafka::KafkaSettings;
use crate::load::replay::{Timeline, olist_timeline};
use crate::load::tests::data;
use crate::load::{DataSet, Format, Progress, ReplayReport, ReplaySettings, What, replay};
use crate::produce::{Compression, Speed};
use crate::topics::{Required, Topics};

fn parsed(timeline: &Timeline) -> impl Iterator<Item = (usize, Value)> {
    timeline.events.iter().map(|event| {
        let value: Value = serde_json::from_slice(timeline.payload(event)).expect("an event is JSON");
        assert_eq!(value["order_id"].as_str().map(str::as_bytes), Some(timeline.key(event)));
        assert_eq!(value["timestamp"], event.at);
        (event.topic, value)
    })
}

#[test]
fn the_timeline_has_every_record_in_the_order_of_time() {
    let generated = TempDir::new().expect("a temporary folder");
    let (folder, contents) = data::olist(generated.path());
    let timeline = olist_timeline(&folder, &Arc::default()).expect("the files are right");
    assert_eq!((timeline.rejected, timeline.untimed), (0, 0));
    let tables = ["olist_orders", "olist_order_items", "olist_order_payments"];
    let mut counts = [0; 3];
    let (mut last, mut paid) = (i64::MIN, 0.0);
    let mut ordered = HashMap::new();
    let topics = Topics::olist();
    for (topic, event) in parsed(&timeline) {
        counts[topic] += 1;
        let at = event["timestamp"].as_i64().expect("milliseconds");
        assert!(at >= last, "time never goes back");
        last = at;
        let order = event["order_id"].as_str().expect("a text").to_owned();
        match topic {
            0 => drop(ordered.insert(order, at)),
            _ => assert_eq!(ordered.get(&order), Some(&at), "an item or a payment follows its order"),
        }
        paid += event["payment_value"].as_f64().unwrap_or(0.0);
        for column in &topics.topics[topic].routes[0].columns {
            let missing = event[column.name.as_str()].is_null();
            assert!(!missing || column.required == Required::Never, "{} in {event}", column.name);
        }
    }
    assert_eq!(counts, tables.map(|table| contents.rows[table]));
    assert!((paid * 100.0 - contents.paid as f64).abs() < 1.0);
}

#[test]
fn records_that_are_no_events_are_counted() {
    let folder = TempDir::new().expect("a temporary folder");
    crate::load::sample::write(folder.path(), 1);
    let add = |stem: &str, line: &str| {
        let path = folder.path().join(format!("{stem}.csv"));
        let text = std::fs::read_to_string(&path).expect("it was written");
        std::fs::write(path, text + line).expect("it can be written");
    };
    add("olist_order_payments_dataset", "nobody,1,voucher,1,.5\nragged\nnobody,one,voucher,1,2.00\n");
    let timeline = olist_timeline(folder.path(), &Arc::default()).expect("the files are right");
    assert_eq!((timeline.rejected, timeline.untimed), (2, 1));
}

#[tokio::test]
async fn the_replay_sends_each_event_once() {
    let folder = TempDir::new().expect("a temporary folder");
    let contents = crate::load::sample::write(folder.path(), 1);
    let cluster = MockCluster::new(1).expect("the library has a mock cluster");
    for topic in ["olist-orders", "olist-order-items", "olist-payments"] {
        cluster.create_topic(topic, 3, 1).expect("the topic is new");
    }
    let settings = ReplaySettings {
        kafka: KafkaSettings::new(cluster.bootstrap_servers()),
        inputs: vec![folder.path().to_owned()],
        what: What::Set(DataSet::Olist),
        topic: String::new(),
        time: None,
        key: None,
        speed: Speed::Max,
        compression: Compression::Lz4,
    };
    let progress = Arc::new(Progress::default());
    let report = replay(settings, &progress, CancellationToken::new()).await.expect("the broker answers");
    let sent = |topic: &str| report.by_topic[topic].sent;
    assert_eq!(sent("olist-orders"), contents.rows["olist_orders"]);
    assert_eq!(sent("olist-order-items"), contents.rows["olist_order_items"]);
    assert_eq!(sent("olist-payments"), contents.rows["olist_order_payments"]);
    assert_eq!(report.failed, 0, "{:?}", report.first_failure);
    assert_eq!((progress.rows(), progress.rows_total()), (report.sent, report.sent));
}

/// Replays one file of this content to the topic `events`.
async fn replayed(
    name: &str,
    content: &str,
    what: What,
    time: Option<&str>,
) -> (ReplayReport, MockCluster<'static, rdkafka::producer::DefaultProducerContext>) {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join(name);
    std::fs::write(&file, content).expect("it can be written");
    let cluster = MockCluster::new(1).expect("the library has a mock cluster");
    cluster.create_topic("events", 1, 1).expect("the topic is new");
    let settings = ReplaySettings {
        kafka: KafkaSettings::new(cluster.bootstrap_servers()),
        inputs: vec![file],
        what,
        topic: "events".to_owned(),
        speed: Speed::Max,
        time: time.map(str::to_owned),
        key: Some("id".to_owned()).filter(|_| what != What::Set(DataSet::RetailRocket)),
        compression: Compression::None,
    };
    let report = replay(settings, &Arc::default(), CancellationToken::new()).await.expect("it is replayed");
    (report, cluster)
}

/// Key and JSON of the messages of the topic `events`, in their order.
fn messages(brokers: &str, count: usize) -> Vec<(String, Value)> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::message::Message;
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "test");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset("events", 0, rdkafka::Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("the partition is there");
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text");
    let next = || {
        let message =
            consumer.poll(std::time::Duration::from_secs(20)).expect("a message").expect("no error");
        let payload = serde_json::from_str(&text(message.payload())).expect("an event is JSON");
        (text(message.key()), payload)
    };
    (0..count).map(|_| next()).collect()
}

#[tokio::test]
async fn rows_of_any_file_are_sent_as_they_come_or_by_their_time() {
    let csv = What::Files(Format::Csv { delimiter: b',' });
    let content = "id,At,note\n7,30,\"a \"\"b\"\"\"\n8,10,\n9\n10,,late\n";
    let (report, cluster) = replayed("x.csv", content, csv, None).await;
    assert_eq!((report.sent, report.rejected, report.untimed, report.span), (3, 1, 0, None));
    let expected = [
        ("7", serde_json::json!({"id": 7, "at": 30, "note": "a \"b\""})),
        ("8", serde_json::json!({"id": 8, "at": 10})),
        ("10", serde_json::json!({"id": 10, "note": "late"})),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value));
    assert_eq!(messages(&cluster.bootstrap_servers(), 3), expected);

    let (report, cluster) = replayed("x.csv", content, csv, Some("at")).await;
    assert_eq!((report.sent, report.rejected, report.untimed), (2, 1, 1));
    let [first, second, _] = expected;
    assert_eq!(messages(&cluster.bootstrap_servers(), 2), [second, first]);
}

#[tokio::test]
async fn retail_rocket_is_sent_in_the_order_of_its_time() {
    let content = "timestamp,visitorid,event,itemid,transactionid\n\
                   1433221332117,257597,view,355908,\n1433220000000,9,transaction,5,44\n";
    let what = What::Set(DataSet::RetailRocket);
    let (report, cluster) = replayed("events.csv", content, what, None).await;
    let (first, last) = report.span.expect("they have times");
    assert_eq!((first.timestamp_millis(), last.timestamp_millis()), (1_433_220_000_000, 1_433_221_332_117));
    let (key, event) = messages(&cluster.bootstrap_servers(), 1).remove(0);
    let expected = serde_json::json!({
        "timestamp": 1_433_220_000_000_i64, "visitorid": 9, "event": "transaction", "itemid": 5, "transactionid": 44
    });
    assert_eq!((key.as_str(), event), ("9", expected));
}
