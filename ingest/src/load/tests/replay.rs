//! The replay: every order, item and payment once, in the order of time, as events that land.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::mocking::MockCluster;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::kafka::KafkaSettings;
use crate::load::replay::Timeline;
use crate::load::tests::data;
use crate::load::{Progress, ReplaySettings, replay};
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
    let timeline = Timeline::read(&folder, &Arc::default()).expect("the files are right");
    assert_eq!((timeline.rejected, timeline.without_order), (0, 0));
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
    let timeline = Timeline::read(folder.path(), &Arc::default()).expect("the files are right");
    assert_eq!((timeline.rejected, timeline.without_order), (2, 1));
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
        folder: folder.path().to_owned(),
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
