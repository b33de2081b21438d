//! The producer is a function of its settings, its shop behaves like one, and every message is accounted for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::Value;

use super::spoil::spoil;
use super::zipf::Zipf;
use super::*;
use crate::topics::{Kind, Required, Topics};

fn settings(seed: u64) -> ProduceSettings {
    let start = DateTime::from_timestamp(1_767_225_600, 0).expect("2026-01-01 is a time");
    ProduceSettings::new(KafkaSettings::new("nowhere:9092"), seed, start)
}

/// Topic, key, payload and fault of the first messages.
fn first(settings: &ProduceSettings, count: usize) -> Vec<(&'static str, String, Vec<u8>, Option<Fault>)> {
    let streams = streams(settings).expect("the settings are right");
    let mut messages = Messages::new(settings, &streams);
    let message = |_| {
        let message = messages.advance();
        let key = String::from_utf8(messages.encoder.key.clone()).expect("keys are text");
        (streams[message.topic].topic(), key, messages.encoder.payload.clone(), message.fault)
    };
    (0..count).map(message).collect()
}

fn parsed(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("a good message is JSON")
}

#[test]
fn the_same_settings_make_the_same_bytes() {
    let run = first(&settings(7), 20_000);
    assert_eq!(run, first(&settings(7), 20_000));
    assert_ne!(run, first(&settings(8), 20_000));
}

#[test]
fn the_first_messages_are_as_recorded() {
    let lines = first(&settings(42), 24).into_iter().map(|(topic, key, payload, _)| {
        format!("{topic} {key} {}\n", String::from_utf8(payload).expect("good messages are text"))
    });
    let lines: String = lines.collect();
    assert_eq!(
        lines,
        include_str!("first_messages.txt"),
        "the bytes of a seed are a promise; now they are:\n{lines}"
    );
}

#[test]
fn another_start_gives_other_ids() {
    let later = ProduceSettings { start: settings(7).start + chrono::TimeDelta::days(1), ..settings(7) };
    let ids = |settings| -> BTreeSet<String> {
        first(&settings, 1000).iter().map(|message| parsed(&message.2)["event_id"].to_string()).collect()
    };
    assert_eq!(ids(settings(7)).len(), 1000, "ids are unique");
    assert!(ids(settings(7)).is_disjoint(&ids(later)));
}

#[test]
fn events_come_in_the_mix_of_the_mission() {
    let only_events = ProduceSettings { topics: vec!["user-events".into()], ..settings(1) };
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for (_, _, payload, _) in first(&only_events, 100_000) {
        let event_type = parsed(&payload)["event_type"].as_str().expect("a text").to_owned();
        *counts.entry(event_type).or_default() += 1;
    }
    let expected =
        [("addtocart", 20), ("filter", 7), ("review", 3), ("search", 10), ("transaction", 10), ("view", 50)];
    assert_eq!(counts.len(), expected.len());
    for (event_type, percent) in expected {
        let share = f64::from(counts[event_type]) / 1000.0;
        // Six standard deviations of the most frequent.
        assert!((share - f64::from(percent)).abs() < 1.0, "{event_type}: {share} %");
    }
}

#[test]
fn every_sale_has_its_payment_order_and_stock_change() {
    let messages = first(&settings(3), 50_000);
    let of = |topic: &str, event_type: &str| -> HashMap<String, Value> {
        let chosen = messages.iter().filter(|message| message.0 == topic).map(|message| parsed(&message.2));
        let chosen = chosen.filter(|event| event["event_type"] == event_type);
        chosen.map(|event| (event["transaction_id"].to_string(), event)).collect()
    };
    let (sales, payments, orders) =
        (of("user-events", "transaction"), of("payments", "payment"), of("orders", "order"));
    assert!(sales.len() > 3000);
    // The last sale's followers may lie beyond the messages taken.
    assert!(sales.len() - payments.len() <= 1 && sales.len() - orders.len() <= 1);
    for (transaction, payment) in &payments {
        let (sale, order) = (&sales[transaction], &orders[transaction]);
        assert_eq!(payment["customer_id"], sale["user_id"]);
        assert_eq!(order["item_id"], sale["item_id"]);
        assert_eq!(order["amount"], payment["amount"]);
        let price = sale["price"].as_f64().expect("a number");
        let amount = price * sale["quantity"].as_f64().expect("a number");
        assert!((payment["amount"].as_f64().expect("a number") - amount).abs() < 0.005);
    }
    let taken = messages.iter().filter(|message| message.0 == "inventory").map(|message| parsed(&message.2));
    let taken = taken.filter(|change| change["reason"] == "sale").count();
    assert!(sales.len() - taken <= 1);
}

#[test]
fn stock_is_the_sum_of_its_changes_and_never_negative() {
    let only_stock = ProduceSettings { topics: vec!["inventory".into()], ..settings(5) };
    let mut stock: HashMap<(String, String), i64> = HashMap::new();
    for (_, key, payload, _) in first(&only_stock, 20_000) {
        let change = parsed(&payload);
        assert_eq!(change["item_id"], key);
        let level = stock.entry((key, change["warehouse"].to_string())).or_default();
        *level += change["quantity"].as_i64().expect("a whole number");
        assert!(*level >= 0, "{change}");
    }
}

#[test]
fn choosing_topics_chooses_among_the_same_messages() {
    let all = first(&settings(9), 5000);
    let expected: Vec<_> = all.into_iter().filter(|message| message.0 == "payments").take(200).collect();
    assert_eq!(first(&ProduceSettings { topics: vec!["payments".into()], ..settings(9) }, 200), expected);
}

/// What the topics file asks of an event, checked on its JSON.
fn satisfies(event: &Value, topics: &Topics, topic: &str) -> bool {
    let Some(event_type) = event["event_type"].as_str() else { return false };
    let routes = &topics.get(topic).expect("it is declared").routes;
    let takes = |types: &[String]| types.is_empty() || types.iter().any(|name| name == event_type);
    let Some(route) = routes.iter().find(|route| takes(&route.event_types)) else { return false };
    route.columns.iter().all(|column| {
        let value = &event[column.name.as_str()];
        let required = match &column.required {
            Required::Always => true,
            Required::Never => false,
            Required::For(types) => types.iter().any(|name| name == event_type),
        };
        match &column.kind {
            _ if value.is_null() => !required,
            Kind::String => value.is_string(),
            Kind::Int | Kind::Long | Kind::TimestampMillis => value.is_i64(),
            Kind::Decimal(..) | Kind::Double => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            other => panic!("the shop has no {other}"),
        }
    })
}

#[test]
fn good_messages_land_and_spoilt_ones_cannot() {
    let shop = Topics::shop();
    let spoiling = ProduceSettings { bad_share: 0.1, ..settings(11) };
    let mut kinds: BTreeMap<Fault, u32> = BTreeMap::new();
    let mixed = first(&spoiling, 20_000);
    for ((topic, key, payload, fault), good) in mixed.iter().zip(first(&settings(11), 20_000)) {
        assert_eq!((*topic, key), (good.0, &good.1));
        assert!(satisfies(&parsed(&good.2), &shop, topic), "{}", String::from_utf8_lossy(&good.2));
        let Some(fault) = fault else {
            assert_eq!(*payload, good.2, "spoiling some leaves the others as they are");
            continue;
        };
        *kinds.entry(*fault).or_default() += 1;
        let lands = serde_json::from_slice(payload).is_ok_and(|event| satisfies(&event, &shop, topic));
        assert!(!lands, "{fault:?}: {}", String::from_utf8_lossy(payload));
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    let bad: u32 = kinds.values().sum();
    assert!((1800..2200).contains(&bad), "{bad} of 20,000");
}

#[test]
fn all_or_nothing_can_be_spoilt() {
    let share = |bad_share| {
        let messages = first(&ProduceSettings { bad_share, ..settings(2) }, 1000);
        messages.iter().filter(|message| message.3.is_some()).count()
    };
    assert_eq!((share(0.0), share(1.0)), (0, 1000));
}

#[test]
fn each_fault_does_what_it_says() {
    let good = br#"{"event_id":"e1","event_type":"view","timestamp":12,"user_id":"u"}"#;
    let spoilt = |fault| {
        let mut payload = good.to_vec();
        spoil(fault, &mut payload);
        String::from_utf8_lossy(&payload).into_owned()
    };
    let whole = String::from_utf8_lossy(good);
    assert_eq!(spoilt(Fault::Truncated), whole[..good.len() / 2]);
    assert_eq!(spoilt(Fault::InvalidUtf8), whole.replacen("e1", "\u{fffd}1", 1));
    assert_eq!(spoilt(Fault::WrongType), whole.replace("12", "\"soon\""));
    assert_eq!(spoilt(Fault::MissingField), whole.replace("\"event_id\":\"e1\",", ""));
    assert_eq!(spoilt(Fault::UnknownEventType), whole.replace("view", "teleport"));
    assert_eq!(spoilt(Fault::TwoObjects), whole.repeat(2));
    assert_eq!(spoilt(Fault::NotAnObject), format!("[{whole}]"));
}

#[test]
fn ranks_are_drawn_by_zipfs_law() {
    let zipf = Zipf::new(1000);
    let mut counts = vec![0_u32; 1000];
    for draw in 0..400_000_u64 {
        counts[zipf.pick(shop::scatter(draw)) as usize] += 1;
    }
    let total: f64 = (1..=1000).map(|rank| 1.0 / f64::from(rank)).sum();
    for rank in [0, 1, 9, 99] {
        let expected = 400_000.0 / (f64::from(rank) + 1.0) / total;
        let found = f64::from(counts[rank as usize]);
        assert!(
            (found - expected).abs() < 6.0 * expected.sqrt(),
            "rank {rank}: {found}, expected {expected}"
        );
    }
}

#[test]
fn messages_are_due_in_order_and_their_times_are_near() {
    let run = settings(4);
    let mut messages = Messages::new(&run, &Stream::ALL);
    let mut last = run.start.timestamp_millis();
    for number in 0..20_000 {
        let message = messages.advance();
        assert!(message.due >= last, "message {number} is due before the one before it");
        last = message.due;
        let at = parsed(&messages.encoder.payload)["timestamp"].as_i64().expect("milliseconds");
        assert!((0..1200).contains(&(at - message.due)), "message {number}");
    }
    // About 1,000 events of people per second, and 3 more messages for each tenth of them.
    let seconds = (last - run.start.timestamp_millis()) as f64 / 1000.0;
    assert!((14.0..16.0).contains(&seconds), "{seconds}");
}

#[test]
fn speeds_are_read() {
    assert_eq!("10x".parse(), Ok(Speed::Times(10.0)));
    assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
    assert_eq!("max".parse(), Ok(Speed::Max));
    for wrong in ["fast", "-1x", "0", "nan", "1e300"] {
        assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
    }
    let minute = Duration::from_secs(60);
    assert_eq!(Speed::Times(10.0).due(minute), Duration::from_secs(6));
    assert_eq!(Speed::Max.due(minute), Duration::ZERO);
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |settings: ProduceSettings| streams(&settings).expect_err("out of range").to_string();
    assert!(refused(ProduceSettings { rate: 0.0, ..settings(1) }).contains("the rate is 0"));
    assert!(refused(ProduceSettings { bad_share: 1.5, ..settings(1) }).contains("bad messages is 1.5"));
    let text = refused(ProduceSettings { topics: vec!["user-event".into()], ..settings(1) });
    assert!(text.contains("`user-event` is not a topic") && text.contains("user-events"), "{text}");
}

fn mock(topics: &[(&str, i32)]) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("the library has a mock cluster");
    for (topic, partitions) in topics {
        cluster.create_topic(topic, *partitions, 1).expect("the topic is new");
    }
    cluster
}

#[tokio::test]
async fn exactly_the_number_of_messages_asked_for_is_sent_and_counted() {
    let cluster = mock(&[("user-events", 6), ("payments", 3), ("orders", 3), ("inventory", 3)]);
    let run = ProduceSettings {
        kafka: KafkaSettings::new(cluster.bootstrap_servers()),
        events: Some(3000),
        bad_share: 0.05,
        ..settings(42)
    };
    let mut expected: BTreeMap<String, TopicCounts> = BTreeMap::new();
    for (topic, _, _, fault) in first(&run, 3000) {
        let counts = expected.entry(topic.to_owned()).or_default();
        counts.sent += 1;
        counts.bad += u64::from(fault.is_some());
    }
    let progress = Arc::new(Progress::default());
    let report =
        produce(run, Arc::clone(&progress), CancellationToken::new()).await.expect("the broker answers");
    assert_eq!((report.sent, report.failed), (3000, 0), "{:?}", report.first_failure);
    assert_eq!(report.by_topic, expected);
    assert_eq!(report.bad, report.bad_by_kind.values().sum::<u64>());
    assert_eq!((progress.sent(), progress.failed()), (3000, 0));
}

#[tokio::test]
async fn a_producer_that_is_stopped_accounts_for_what_it_made() {
    let cluster = mock(&[("payments", 1)]);
    let kafka = KafkaSettings::new(cluster.bootstrap_servers());
    let run = ProduceSettings { kafka, topics: vec!["payments".into()], ..settings(1) };
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(produce(run, Arc::clone(&progress), stop.clone()));
    while progress.sent() == 0 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    let report = running.await.expect("it does not panic").expect("the broker answers");
    assert!(report.sent > 0);
    assert_eq!((report.sent, report.failed), (progress.sent(), 0));
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_named_with_the_command_that_creates_it() {
    let cluster = mock(&[("user-events", 6)]);
    let run = ProduceSettings { kafka: KafkaSettings::new(cluster.bootstrap_servers()), ..settings(1) };
    let refused =
        produce(run, Arc::default(), CancellationToken::new()).await.expect_err("a topic is missing");
    let text = refused.to_string();
    assert!(
        text.contains("topic `payments` does not exist") && text.contains("sluice topics apply"),
        "{text}"
    );
}
