//! What a topics file may say, how it is refused, and what comparing finds.

use std::collections::HashMap;

use super::apply::{compare_config, compare_layout};
use super::*;

fn refusal(yaml: &str) -> String {
    Topics::parse(yaml).expect_err("the text is wrong").to_string()
}

/// A file with one topic and one route whose middle part is given.
fn route(rest: &str) -> String {
    format!("topics:\n  - name: t\n    routes:\n      - table: bronze.t\n{rest}")
}

#[test]
fn the_shop_has_the_topics_of_its_mission() {
    let shop = Topics::shop();
    let sizes: Vec<_> = shop.topics.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect();
    assert_eq!(
        sizes,
        [
            ("user-events", 6),
            ("payments", 3),
            ("orders", 3),
            ("inventory", 3),
            ("fraud-alerts", 2),
            ("fraud-scores", 2),
            ("recommendations", 2),
            ("metrics", 1),
            ("dead-letters", 1),
        ]
    );
    for topic in &shop.topics {
        assert_eq!(topic.replication, 1);
        assert_eq!(topic.config["compression.type"], "lz4");
        assert_eq!(topic.config["retention.ms"], "604800000");
        assert_eq!(topic.config["max.message.bytes"], "1048576");
    }
    let landing: Vec<String> =
        shop.topics.iter().flat_map(|topic| &topic.routes).map(|route| route.table.to_string()).collect();
    let tables = ["user_events", "transactions", "payments", "orders", "inventory"];
    assert_eq!(landing, tables.map(|table| format!("bronze.{table}")));
}

#[test]
fn required_fields_are_by_event_type() {
    let shop = Topics::shop();
    let events = &shop.get("user-events").expect("it is declared").routes[0];
    let required = |name: &str| {
        let column =
            events.columns.iter().find(|column| column.name == name).expect("the column is declared");
        column.required.clone()
    };
    assert_eq!(required("user_id"), Required::Always);
    assert_eq!(required("category"), Required::Never);
    assert_eq!(required("rating"), Required::For(vec!["review".into()]));
    assert_eq!(required("item_id"), Required::For(vec!["addtocart".into(), "review".into(), "view".into()]));
}

#[test]
fn the_olist_topics_land_beside_the_loaded_tables() {
    let olist = Topics::olist();
    let landing: Vec<String> =
        olist.topics.iter().flat_map(|topic| &topic.routes).map(|route| route.table.to_string()).collect();
    let tables = ["olist_order_events", "olist_order_item_events", "olist_payment_events"];
    assert_eq!(landing, tables.map(|table| format!("bronze.{table}")));
    assert_eq!(Topics::named("olist").map(|topics| topics.topics.len()), Some(3));
    assert_eq!(Topics::named("shop").map(|topics| topics.topics.len()), Some(9));
    assert!(Topics::named("./shop").is_none());
}

#[test]
fn types_and_partition_fields_are_read() {
    let text = route(
        "        columns: {a: string, b: int, c: long, d: double, e: boolean, f: 'decimal(10, 3)', g: timestamp_ms}\n\
         \x20       partition_by: [a, 'bucket(16, b)', 'truncate(4, a)', hour(g)]\n",
    );
    let topics = Topics::parse(&text).expect("it is right");
    let route = &topics.topics[0].routes[0];
    let kinds: Vec<Kind> = route.columns.iter().map(|column| column.kind.clone()).collect();
    let all = [Kind::String, Kind::Int, Kind::Long, Kind::Double, Kind::Boolean, Kind::Decimal(10, 3)];
    assert_eq!(kinds[..6], all);
    assert_eq!(kinds[6], Kind::TimestampMillis);
    let fields: Vec<_> =
        route.partition_by.iter().map(|field| (field.column.as_str(), field.transform)).collect();
    use sluice_catalog::Transform::{Bucket, Hour, Identity, Truncate};
    assert_eq!(fields, [("a", Identity), ("b", Bucket(16)), ("a", Truncate(4)), ("g", Hour)]);
    for kind in kinds {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_key() {
    let text = refusal("topics:\n  - name: a\n    partitons: 3\n");
    assert!(text.starts_with("line 3, column 5: "), "{text}");
    assert!(text.contains("`partitons` is not a known key\n  did you mean `partitions`?"), "{text}");
}

#[test]
fn an_unknown_type_is_refused_with_its_place_and_the_nearest_type() {
    let text = refusal(&route("        columns:\n          a: strng\n"));
    assert!(text.starts_with("line 6, column 14: "), "{text}");
    assert!(text.contains("`strng` is not a known type\n  did you mean `string`?"), "{text}");
}

#[test]
fn every_refusal_says_what_and_how_to_put_it_right() {
    let columns = "        columns: {event_type: string, at: timestamp_ms}\n";
    let cases = [
        ("topics:\n  - name: a b\n".into(), "`a b` is not a topic name"),
        ("topics:\n  - name: a\n  - name: a\n".into(), "line 3, column 5: topic `a` is there twice"),
        ("topics:\n  - name: a\n    partitions: 0\n".into(), "topic `a` has 0 partitions"),
        ("topics:\n  - name: a\n    retention: 7 parsecs\n".into(), "`7 parsecs` is not a retention"),
        ("topics:\n  - nam: a\n".into(), "did you mean `name`?"),
        ("topics: 3\n".into(), "expected a sequence"),
        ("topics:\n  - name: [\n".into(), "line"),
        (route("        columns: {}\n"), "has no columns"),
        (route("        columns: {_src_offset: long}\n"), "`_src_offset` is one that Sluice adds"),
        (route("        columns: {a: string, a: int}\n"), "column `a` is there twice"),
        (route("        columns: {a: 'decimal(2,3)'}\n"), "`decimal(2,3)` is not possible"),
        (
            route("        columns: {a: string}\n        required: [b]\n"),
            "`b` is not a known required column",
        ),
        (route("        columns: {a: string}\n        event_types: [x]\n"), "add `event_type: string`"),
        (route(&format!("{columns}        partition_by: [day(a)]\n")), "is not one of its columns"),
        (route(&format!("{columns}        partition_by: [day(event_type)]\n")), "make it timestamp_ms"),
        (
            route(&format!("{columns}        partition_by: [week(at)]\n")),
            "`week(at)` is not a partition field",
        ),
        (route(&format!("{columns}        required_for: {{x: [at]}}\n")), "`x` is not a known event type"),
        (route(columns).replace("bronze.t", "t"), "`t` is not a table name"),
        (route(columns).replace("bronze.t", "bronze.dead_letters"), "choose another table"),
        (route(&format!("{columns}      - table: bronze.u\n{columns}")), "give one of them `event_types`"),
    ];
    for (yaml, part) in cases {
        let text = refusal(&yaml);
        assert!(text.contains(part), "expected {part:?} in:\n{text}\nfor:\n{yaml}");
        assert!(text.contains('\n'), "no remedy in: {text}");
    }
}

#[test]
fn one_table_from_two_topics_must_have_one_shape() {
    let two = |first: &str, second: &str| {
        let one = |name: &str, kind: &str| {
            format!("  - name: {name}\n    routes:\n      - {{table: b.t, columns: {{a: {kind}}}}}\n")
        };
        Topics::parse(&format!("topics:\n{}{}", one("x", first), one("y", second)))
    };
    assert!(two("string", "string").is_ok());
    let text = two("string", "int").expect_err("the shapes differ").to_string();
    assert!(text.contains("topics `x` and `y` both land in `b.t`"), "{text}");
}

#[test]
fn comparing_reports_what_is_not_as_the_file_says() {
    let shop = Topics::shop();
    let topic = shop.get("payments").expect("it is declared");
    let mut found = Listed { name: topic.name.clone(), partitions: 3, replication: 1 };
    assert_eq!(compare_layout(topic, &found), []);
    found.partitions = 5;
    let differences = compare_layout(topic, &found);
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].to_string(), "partitions is 5, the file says 3");

    let mut config: HashMap<String, String> = topic.config.clone().into_iter().collect();
    assert_eq!(compare_config(topic, Some(&config)), []);
    config.insert("retention.ms".into(), "1000".into());
    let differences = compare_config(topic, Some(&config));
    assert_eq!(differences[0].to_string(), "retention.ms is 1000, the file says 604800000");
    assert_eq!(
        compare_config(topic, None).len(),
        topic.config.len(),
        "what the broker does not tell is reported"
    );
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named_with_the_reason() {
    // Bound and dropped: the port is free, so that the connection is refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let brokers = port.expect("loopback has a free port").to_string();
    let kafka = crate::kafka::KafkaSettings { brokers: brokers.clone(), options: BTreeMap::new() };
    let text = apply(&kafka, &Topics::shop()).await.expect_err("nobody listens").to_string();
    assert!(text.contains(&format!("no Kafka broker answered at `{brokers}`")), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn topics_that_exist_are_compared_and_left_alone() {
    let cluster: rdkafka::mocking::MockCluster<'_, rdkafka::producer::DefaultProducerContext> =
        rdkafka::mocking::MockCluster::new(1).expect("the library has a mock cluster");
    cluster.create_topic("t", 2, 1).expect("the topic is new");
    let kafka = crate::kafka::KafkaSettings::new(cluster.bootstrap_servers());
    let listed = list(&kafka).await.expect("it answers");
    assert_eq!(listed, [Listed { name: "t".into(), partitions: 2, replication: 1 }]);

    let same = Topics::parse("topics: [{name: t, partitions: 2}]").expect("it is right");
    let applied = apply(&kafka, &same).await.expect("it answers");
    assert_eq!(applied, [Applied { topic: "t".into(), outcome: Outcome::Existed }]);
    let more = Topics::parse("topics: [{name: t, partitions: 6}]").expect("it is right");
    let applied = apply(&kafka, &more).await.expect("it answers");
    let difference = Difference { what: "partitions".into(), wanted: "6".into(), found: Some("2".into()) };
    assert_eq!(applied[0].outcome, Outcome::Differs(vec![difference]));

    let copies = Topics::parse("topics: [{name: new, replication: 3}]").expect("it is right");
    let text = apply(&kafka, &copies).await.expect_err("there is one broker").to_string();
    assert!(text.contains("`new` asks for replication 3, but the cluster has 1 broker"), "{text}");
}

#[tokio::test]
async fn a_wrong_client_option_is_named_without_its_value() {
    let mut kafka = crate::kafka::KafkaSettings::new("127.0.0.1:9");
    kafka.options.insert("security.protocol".into(), "hunter2".into());
    let text = list(&kafka).await.expect_err("no such protocol").to_string();
    assert!(text.contains("security.protocol") && !text.contains("hunter2"), "{text}");
}

#[test]
fn the_example_of_the_documentation_is_read_as_it_is_explained() {
    let page = include_str!("../../../docs/topics.md");
    let section = page.split("\n## Routing\n").nth(1).expect("the page has the section");
    let yaml =
        section.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let topics = Topics::parse(yaml).expect("the example is right").topics;
    let [shop, events] = topics.as_slice() else { panic!("two topics: {topics:?}") };
    let pattern = shop.pattern.as_ref().expect("a pattern");
    assert!(pattern.matches("shop.orders") && !pattern.matches("shop.orders2"));
    let of_topic = shop.routes[0].table.template().expect("a template");
    let name = of_topic.table("shop.orders", |_| None).expect("a name");
    assert_eq!(name.to_string(), "bronze.shop_orders");
    assert_eq!((shop.routes[0].partition_by.len(), shop.routes[0].sort_by.len()), (1, 2));
    assert_eq!(shop.routes[0].properties["write.parquet.compression-level"], "3");
    assert_eq!((shop.routes[0].tables_max, events.routes[0].tables_max), (1000, 500));
    assert_eq!(events.type_from, Origin::Header("ce_type".to_owned()));
    let by_field = events.routes[0].table.template().expect("a template");
    for value in ["Page View", "page-view"] {
        let name = by_field.table("events", |_| Some(value)).expect("a name");
        assert_eq!(name.to_string(), "bronze.page_view");
    }
}

#[test]
fn templates_that_cannot_work_are_refused() {
    let parse = |topic: &str, route: &str| {
        let yaml = format!("topics:\n  - {topic}\n    routes:\n      - {route}\n");
        Topics::parse(&yaml).expect_err(route).to_string()
    };
    for (topic, route, fact) in [
        (
            "name: t",
            "{table: b.t, max_tables: 3, columns: {a: int}}",
            "`b.t` is one table and has `max_tables`",
        ),
        (
            "name: t\n    format: text",
            "{table: 'b.{field:kind}', columns: {line: string}}",
            "has no field `kind`",
        ),
        (
            "name: t",
            "{table: 'b.{topic}', sort_by: [x], columns: {a: int}}",
            "is sorted by `x`, which is not one",
        ),
        (
            "name: t",
            "{table: 'b.{topic}', sort_by: [a up], columns: {a: int}}",
            "`a up` is no term of a sort order",
        ),
        ("name: t", "{table: 'b.{topic}', properties: {sluice.x: 1}, columns: {a: int}}", "`sluice.x`"),
        (
            "name: t\n    pattern: x",
            "{table: 'b.{topic}', columns: {a: int}}",
            "topic `t` has a `pattern` too",
        ),
        (
            "name: t\n    type_from: body",
            "{table: b.t, columns: {a: int}}",
            "`body` is no place in a message",
        ),
    ] {
        let text = parse(topic, route);
        assert!(text.contains(fact), "{text}");
    }
    let text = parse("pattern: 'a('", "{table: 'b.{topic}', columns: {a: int}}");
    assert!(text.contains("line 2") && text.contains("`a(` is no pattern"), "{text}");
}
