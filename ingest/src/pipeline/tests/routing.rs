//! Topics that appear while ingest runs, and tables that come with their first message.

use std::collections::BTreeMap;

use rdkafka::message::{Header, OwnedHeaders};

use super::*;
use crate::topics::Topics;

/// Sends events of a kind; the tenant stands in a header, in every fifth in none.
fn send(cluster: &Cluster, topic: &str, kinds: &[&str], from: i64, count: i64) {
    let partitions = if topic == "plain" { i64::from(PARTITIONS) } else { 2 };
    for n in from..from + count {
        let kind = kinds[n as usize % kinds.len()];
        let payload = format!(r#"{{"event_id":"{topic}{n}","n":{n},"kind":"{kind}"}}"#);
        let value = (n % 5 != 4).then(|| format!("t{}", n % 2));
        let tenant = Header { key: "tenant", value: value.as_ref() };
        let record = BaseRecord::<str, str>::to(topic).payload(&payload).partition((n % partitions) as i32);
        let record = record.headers(OwnedHeaders::new().insert(tenant));
        cluster.producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    cluster.producer.flush(Duration::from_secs(10)).unwrap();
}

fn settings(cluster: &Cluster, yaml: &str) -> IngestSettings {
    let mut settings = cluster.settings();
    settings.topics = Topics::parse(yaml).unwrap().topics;
    settings.discover_interval = Duration::from_millis(200);
    settings.dead_letter_limit = None;
    settings
}

/// How many rows each table of `bronze` has; each place of each topic once over all of them.
async fn counts(lake: &Lake) -> BTreeMap<String, usize> {
    let (mut counts, mut seen) = (BTreeMap::new(), BTreeSet::new());
    for table in lake.tables("bronze").await.unwrap() {
        let mut rows = 0;
        for batch in fixtures::rows(lake, &table.to_string()).await {
            rows += batch.num_rows();
            let cell = |name: &str, row| {
                arrow::util::display::array_value_to_string(batch.column_by_name(name).unwrap(), row).unwrap()
            };
            for row in 0..batch.num_rows() {
                let place = ["_src_topic", "_src_partition", "_src_offset"].map(|name| cell(name, row));
                assert!(seen.insert(place.clone()), "{place:?} is there twice");
            }
        }
        counts.insert(table.name().to_owned(), rows);
    }
    counts
}

fn named<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_match_are_found_when_they_appear_and_get_a_table_each() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let cluster = Cluster::new();
    let yaml = "topics:\n  - pattern: 'Shop\\.[a-z]+'\n    routes:\n      - {table: 'bronze.{topic}', columns: {event_id: string, n: long}, \
                sort_by: [n desc], properties: {owner: shop}}\n";
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running =
        tokio::spawn(run(lake.clone(), settings(&cluster, yaml), Arc::clone(&progress), stop.clone()));
    for (topic, rows) in [("Shop.a", 30), ("Shop.b", 20), ("Shop.b2", 10)] {
        cluster.mock.create_topic(topic, 2, 1).unwrap();
        send(&cluster, topic, &["x"], 0, rows);
    }
    until("both to land", || progress.committed() >= 50 || running.is_finished()).await;
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.landed, report.dead_lettered, report.restarts), (50, 0, 0));
    assert_eq!(counts(&lake).await, named([("dead_letters", 0), ("shop_a", 30), ("shop_b", 20)]));
    let table = lake.load(&fixtures::name("bronze.shop_a")).await.unwrap();
    assert_eq!(table.metadata().properties().get("owner").map(String::as_str), Some("shop"));
    assert_eq!(table.metadata().default_sort_order().fields.len(), 1);

    send(&cluster, "Shop.a", &["x"], 30, 10);
    let report = catch_up(lake.clone(), settings(&cluster, yaml), Arc::default(), CancellationToken::new());
    assert_eq!(report.await.unwrap().landed, 10);
    assert_eq!(counts(&lake).await, named([("dead_letters", 0), ("shop_a", 40), ("shop_b", 20)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_fields_name_tables_and_idle_ones_commit_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let cluster = Cluster::new();
    let yaml = "topics:\n  - name: plain\n    routes:\n      - {table: 'bronze.{field:kind}_{header:tenant}', max_tables: 5, \
                columns: {event_id: string, n: long}}\n";
    send(&cluster, "plain", &["View", "Sale"], 0, 100);
    die_before_the_first_commit(&lake, settings(&cluster, yaml), "bronze.sale_t1").await;
    let report = land(&lake, settings(&cluster, yaml), 100).await;
    assert_eq!((report.landed, report.dead_lettered), (80, 20), "every fifth names no tenant");
    let expected = named([("dead_letters", 20), ("sale_t1", 40), ("view_t0", 40)]);
    assert_eq!(counts(&lake).await, expected);

    let idle = fixtures::name("bronze.sale_t1");
    let before = lake.load(&idle).await.unwrap().metadata_location().to_owned();
    send(&cluster, "plain", &["View"], 100, 10);
    let report = land(&lake, settings(&cluster, yaml), 10).await;
    assert_eq!((report.landed, report.dead_lettered), (8, 2), "one table is new, view_t1");
    assert_eq!(lake.load(&idle).await.unwrap().metadata_location(), before, "it had no rows");

    // The idle table goes on from where it stands, over restarts and among others.
    send(&cluster, "plain", &["Sale", "A", "B", "C", "D", "E", "F", "G", "H", "I"], 110, 20);
    let report = land(&lake, settings(&cluster, yaml), 20).await;
    assert_eq!((report.consumed, report.restarts), (20, 0));
    let counts = counts(&lake).await;
    assert_eq!(counts.len(), 1 + 5, "no more than five tables of the template: {counts:?}");
    assert_eq!(counts.values().sum::<usize>(), 130);
}

/// A worker that ends, with all that it holds in memory, when it has created a table and committed nothing.
async fn die_before_the_first_commit(lake: &Lake, mut settings: IngestSettings, table: &str) {
    settings.commit_interval = Duration::from_secs(3600);
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(run(lake.clone(), settings, Arc::clone(&progress), stop));
    let wait = async {
        while lake.find(&fixtures::name(table)).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the table is created");
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(progress.commits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_create_and_fill_the_same_tables() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let cluster = Cluster::new();
    let yaml = "topics:\n  - name: plain\n    routes:\n      - {table: 'bronze.{field:kind}', columns: {event_id: string, n: long}}\n";
    let start = || {
        let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
        let settings = settings(&cluster, yaml);
        let running = tokio::spawn(run(lake.clone(), settings, Arc::clone(&progress), stop.clone()));
        (progress, stop, running)
    };
    let workers = [start(), start()];
    let shared = || workers.iter().all(|(progress, _, _)| !progress.partitions().is_empty());
    until("both to have partitions", shared).await;
    let kinds: Vec<String> = (0..12).map(|n| format!("kind{n}")).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    for round in 0..4 {
        send(&cluster, "plain", &kinds, round * 150, 150);
        let landed = || workers.iter().map(|(progress, _, _)| progress.committed()).sum::<u64>();
        until("a round to land", || landed() >= (round as u64 + 1) * 150).await;
    }
    for (_, stop, running) in workers {
        stop.cancel();
        running.await.unwrap().unwrap();
    }
    let counts = counts(&lake).await;
    assert_eq!((counts.len(), counts["dead_letters"]), (12 + 1, 0));
    assert!(counts.iter().all(|(table, rows)| table == "dead_letters" || *rows == 50), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_template_may_have_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let cluster = Cluster::new();
    let yaml = "topics:\n  - pattern: 'cdc.[a-z]'\n    routes:\n      - {table: 'bronze.{topic}', key: [n], columns: {event_id: string, n: long}}\n";
    for topic in ["cdc.a", "cdc.b"] {
        cluster.mock.create_topic(topic, 2, 1).unwrap();
    }
    // Each round changes the rows of all keys again; the keys 0 to 9 are in partition 0 or 1 by themselves.
    for round in 1..=3_u64 {
        for topic in ["cdc.a", "cdc.b"] {
            send(&cluster, topic, &["x"], 0, 10);
        }
        let report = land(&lake, settings(&cluster, yaml), 20).await;
        assert_eq!((report.consumed, report.dead_lettered, report.restarts), (20, 0, 0), "round {round}");
        for table in ["bronze.cdc_a", "bronze.cdc_b"] {
            let table = lake.load(&fixtures::name(table)).await.unwrap();
            let summary = &table.metadata().current_snapshot().unwrap().summary().additional_properties;
            let figure = |name: &str| summary.get(name).map_or(0, |text| text.parse::<u64>().unwrap());
            assert_eq!(figure("total-records") - figure("total-position-deletes"), 10, "one row a key");
            let offsets = table.offsets(&table.name().name().replace('_', ".")).unwrap().unwrap();
            assert_eq!(offsets.next.values().sum::<i64>(), 10 * round as i64);
        }
    }
    let gone = BaseRecord::<str, str>::to("cdc.a").key(r#"{"n":3}"#).partition(1);
    cluster.producer.send(gone).map_err(|(error, _)| error).unwrap();
    cluster.producer.flush(Duration::from_secs(10)).unwrap();
    let stop = CancellationToken::new();
    let report = catch_up(lake.clone(), settings(&cluster, yaml), Arc::default(), stop).await.unwrap();
    assert_eq!(
        (report.consumed, report.dead_lettered),
        (1, 0),
        "a message without payload deletes the row of its key"
    );
    let table = lake.load(&fixtures::name("bronze.cdc_a")).await.unwrap();
    let summary = &table.metadata().current_snapshot().unwrap().summary().additional_properties;
    let figure = |name: &str| summary.get(name).map_or(0, |text| text.parse::<u64>().unwrap());
    assert_eq!(figure("total-records") - figure("total-position-deletes"), 9);
}
