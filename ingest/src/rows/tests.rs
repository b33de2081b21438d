//! The schema policies, from raw messages to tables that grow, on a lake in memory.

mod corpus;
mod hostile;
mod policy;

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use sluice_catalog::Lake;

use super::*;
use crate::pipeline::tables;
use crate::registry::tests::{Server, lookup};
use crate::topics::{SchemaPolicy, Topics};
use crate::{fixtures, plan};

/// What a byte of a message may unpack to, in bytes of columns, on top of what any row and any column take.
const BYTES_OF_A_BYTE: usize = 64;
const BYTES_OF_A_ROW: usize = 16 << 10;
const BYTES_OF_A_COLUMN: usize = 2 << 10;

const HEAD: &str = "topics:\n  - name: t\n    format: FORMAT\n    routes:\n      - table: bronze.t\n";

/// A topic that lands in `bronze.t`.
fn topics(format: &str, route: &str) -> Topics {
    let route = route.lines().map(|line| format!("        {line}\n")).collect::<String>();
    Topics::parse(&format!("{}{route}", HEAD.replace("FORMAT", format))).unwrap()
}

struct Bench {
    lake: Lake,
    plans: Arc<Plans>,
    schemas: Option<Arc<Lookup>>,
}

async fn bench(dir: &std::path::Path, topics: Topics, schemas: Option<Arc<Lookup>>) -> Bench {
    let lake = fixtures::lake(dir).await;
    let plan = Plan::new(&topics.topics, fixtures::name("bronze.dead_letters")).unwrap();
    tables::create(&lake, &plan).await.unwrap();
    let plans = session(&lake, &plan).await;
    Bench { lake, plans, schemas }
}

/// What a session begins with.
async fn session(lake: &Lake, plan: &plan::Plan) -> Arc<Plans> {
    let snapshots = tables::load(lake, plan).await.unwrap();
    let tables: Vec<_> = snapshots.iter().map(sluice_catalog::TableSnapshot::schema).collect();
    Arc::new(Plans::new(lake.clone(), Arc::new(plan.adopted(tables.iter().map(AsRef::as_ref)))))
}

impl Bench {
    /// The rows of all tables.
    async fn routed(&self, payloads: &[&[u8]]) -> Vec<RecordBatch> {
        let mut raw = RawBatch::new(0, 0);
        for (offset, payload) in payloads.iter().enumerate() {
            raw.push(offset as i64, None, None, Some(payload));
        }
        let (plans, schemas) = (Arc::clone(&self.plans), self.schemas.clone());
        let work = move || Rows::new(&plans, schemas).unwrap().of(&raw).unwrap();
        let routed = tokio::task::spawn_blocking(work).await.unwrap();
        let batches: Vec<_> = routed.batches().map(|(_, batch)| batch).collect();
        let memory: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let columns: usize = batches.iter().map(|batch| 20 + batch.num_columns()).sum();
        let bytes: usize = payloads.iter().map(|payload| payload.len()).sum();
        assert!(
            memory <= columns * BYTES_OF_A_COLUMN + payloads.len() * BYTES_OF_A_ROW + bytes * BYTES_OF_A_BYTE,
            "{bytes} bytes of messages became {memory} bytes of columns"
        );
        batches
    }

    /// `column=value ...` of each row without nulls and source columns, or `cause: error`, in the order of the
    /// messages.
    async fn rows(&self, payloads: &[&[u8]]) -> Vec<String> {
        let mut lines = BTreeMap::new();
        for batch in &self.routed(payloads).await {
            let schema = batch.schema();
            let named = |name: &str| batch.column_by_name(name).cloned();
            let cell = |column: &ArrayRef, row: usize| {
                (!column.is_null(row)).then(|| array_value_to_string(column, row).unwrap())
            };
            let own = schema.fields().iter().zip(batch.columns());
            let own = own.map(|(field, column)| (field.name(), column));
            let own = own.filter(|(name, _)| !name.starts_with("_src") && *name != "_ingested_at");
            let own: Vec<_> = own.collect();
            let (cause, error, offset) = (named("cause"), named("error"), named("_src_offset").unwrap());
            for row in 0..batch.num_rows() {
                let line = match (&cause, &error) {
                    (Some(cause), Some(error)) => {
                        format!("{}: {}", cell(cause, row).unwrap(), cell(error, row).unwrap())
                    }
                    _ => {
                        let values = own.iter();
                        let values = values
                            .filter_map(|(name, column)| Some(format!("{name}={}", cell(column, row)?)));
                        values.collect::<Vec<_>>().join(" ")
                    }
                };
                let offset: usize = cell(&offset, row).unwrap().parse().unwrap();
                assert!(lines.insert(offset, line).is_none(), "message {offset} is there twice");
            }
        }
        assert_eq!(lines.len(), payloads.len(), "a message vanished");
        lines.into_values().collect()
    }

    async fn columns(&self) -> Vec<String> {
        let schema = self.lake.load(&fixtures::name("bronze.t")).await.unwrap().schema();
        let own = schema.fields().iter().filter(|field| !field.name().starts_with("_src"));
        own.filter(|field| field.name() != "_ingested_at").map(|field| field.name().clone()).collect()
    }
}

async fn json(route: &str, payloads: &[&str]) -> (Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), topics("json", route), None).await;
    let payloads: Vec<_> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    let rows = bench.rows(&payloads).await;
    (rows, bench.columns().await)
}

#[tokio::test]
async fn a_table_that_keeps_has_the_rest_as_json() {
    let route = "schema: keep\ncolumns: {a: long, s: {x: long}, l: [{x: long}]}";
    let (rows, _) = json(
        route,
        &[
            r#"{"a":1}"#,
            r#"{"a":2,"b":"x\"y","c":{"d":[1, 2.50]},"n":null}"#,
            r#"{"a":3,"s":{"x":1,"y":true},"l":[{"x":1},{"x":2,"z":"q"}]}"#,
            r#"{"a":4,"b":1,"b":2}"#,
        ],
    )
    .await;
    let expected = [
        "a=1",
        r#"a=2 _rest={"b":"x\"y","c":{"d":[1, 2.50]}}"#,
        r#"a=3 s={x: 1} l=[{x: 1}, {x: 2}] _rest={"s":{"y":true},"l":[null,{"z":"q"}]}"#,
        r#"a=4 _rest={"b":2}"#,
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn a_table_that_rejects_names_what_it_does_not_know() {
    let route = "schema: reject\ncolumns: {a: long, s: {x: long}}";
    let (rows, _) = json(
        route,
        &[r#"{"a":1}"#, r#"{"a":2,"b":1}"#, r#"{"a":3,"b":null}"#, r#"{"s":{"y":1}}"#, r#"{"a":"no"}"#],
    )
    .await;
    let fact = "unknown_field: fields that the table does not have";
    assert_eq!(rows[0], "a=1");
    assert_eq!(rows[1], format!(r#"{fact}: {{"b":1}}"#));
    assert_eq!(rows[2], "a=3");
    assert_eq!(rows[3], format!(r#"{fact}: {{"s":{{"y":1}}}}"#));
    assert!(rows[4].starts_with("wrong_type"), "{}", rows[4]);
}

#[tokio::test]
async fn a_table_that_evolves_grows_with_its_messages() {
    let route = "schema: evolve\ncolumns: {a: long}";
    let (rows, columns) = json(
        route,
        &[
            r#"{"a":1}"#,
            r#"{"a":2,"b":"x","c":{"d":[1]}}"#,
            r#"{"a":3,"c":{"d":[2.5],"e":true},"n":null}"#,
            r#"{"a":4,"b":{"no":1}}"#,
            r#"{"a":5,"A":1}"#,
        ],
    )
    .await;
    assert_eq!(columns, ["a", "b", "c"]);
    assert_eq!(rows[..3], ["a=1", "a=2 b=x c={d: [1.0], e: }", "a=3 c={d: [2.5], e: true}"]);
    assert!(rows[3].starts_with("wrong_type: field `b`"), "{}", rows[3]);
    assert!(
        rows[4].starts_with("schema: fields that cannot become columns of the table: {\"A\":1}"),
        "{}",
        rows[4]
    );
}

#[tokio::test]
async fn a_new_session_finds_the_columns_of_the_last_one_and_declared_ones_win() {
    let dir = tempfile::tempdir().unwrap();
    let topics = topics("json", "schema: evolve\ncolumns: {}");
    let mut bench = bench(dir.path(), topics.clone(), None).await;
    assert_eq!(bench.rows(&[br#"{"n":1,"s":{"x":"a"}}"#]).await, ["n=1.0 s={x: a}"]);
    let plan = Plan::new(&topics.topics, fixtures::name("bronze.dead_letters")).unwrap();
    bench.plans = session(&bench.lake, &plan).await;
    let before = bench.lake.load(&fixtures::name("bronze.t")).await.unwrap().metadata_location().to_owned();
    assert_eq!(bench.rows(&[br#"{"n":2,"s":{"x":"b"}}"#]).await, ["n=2.0 s={x: b}"]);
    let after = bench.lake.load(&fixtures::name("bronze.t")).await.unwrap().metadata_location().to_owned();
    assert_eq!(before, after, "nothing was new");
    assert_eq!(bench.rows(&[br#"{"s":{"y":1}}"#]).await, ["s={x: , y: 1.0}"]);
}

#[tokio::test]
async fn two_threads_that_see_a_field_first_make_one_column() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path(), topics("json", "schema: evolve\ncolumns: {a: long}"), None).await;
    let other = Bench { lake: bench.lake.clone(), plans: Arc::clone(&bench.plans), schemas: None };
    let one: &[&[u8]] = &[br#"{"a":1,"b":1}"#];
    let (left, right) = tokio::join!(bench.rows(one), other.rows(one));
    assert_eq!((left, right), (vec!["a=1 b=1.0".to_owned()], vec!["a=1 b=1.0".to_owned()]));
    // Another process knows nothing of this one's plan.
    let plan = Plan::new(
        &topics("json", "schema: evolve\ncolumns: {a: long}").topics,
        fixtures::name("bronze.dead_letters"),
    );
    let stale = Arc::new(Plans::new(bench.lake.clone(), Arc::new(plan.unwrap())));
    let third = Bench { lake: bench.lake.clone(), plans: stale, schemas: None };
    assert_eq!(third.rows(&[br#"{"a":1,"b":2,"c":"x"}"#]).await, ["a=1 b=2.0 c=x"]);
    assert_eq!(bench.columns().await, ["a", "b", "c"]);
}

fn avro(id: u8, body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, id], body].concat()
}

fn schema(fields: &str) -> String {
    let text = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    serde_json::json!({ "schema": text }).to_string()
}

async fn registered(policy: &str) -> (Vec<String>, Vec<String>) {
    let server = Server::default();
    let a = |kind: &str| format!(r#"{{"name":"a","type":"{kind}"}}"#);
    let home = |more: &str| {
        format!(
            r#"{{"name":"h","type":{{"type":"record","name":"H","fields":[{{"name":"x","type":"int"}}{more}]}}}}"#
        )
    };
    let wide = format!(
        r#"{},{},{{"name":"b","type":["null","string"]}}"#,
        a("long"),
        home(r#",{"name":"y","type":"int"}"#)
    );
    let odd = format!(r#"{},{{"name":"u","type":["null","int","string"]}}"#, a("int"));
    server.set("/schemas/ids/1", &[(200, &schema(&format!("{},{}", a("int"), home(""))))]);
    server.set("/schemas/ids/2", &[(200, &schema(&wide))]);
    server.set("/schemas/ids/3", &[(200, &schema(&a("int")))]);
    server.set("/schemas/ids/4", &[(200, &schema(&a("string")))]);
    server.set("/schemas/ids/5", &[(200, &schema(&odd))]);
    let dir = tempfile::tempdir().unwrap();
    let route = format!("schema: {policy}\ncolumns: {{a: int, h: {{x: int}}}}");
    let bench = bench(dir.path(), topics("avro", &route), Some(lookup(&server).await)).await;
    let messages = [
        avro(1, &[2, 4]),
        avro(2, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 4, 6, 2, 2, b'z']),
        avro(3, &[6]),
        avro(4, &[2, b'7']),
        avro(4, &[2, b'q']),
        avro(5, &[8, 0]),
        avro(2, &[10, 4, 6, 0]),
    ];
    let messages: Vec<_> = messages.iter().map(Vec::as_slice).collect();
    (bench.rows(&messages).await, bench.columns().await)
}

#[tokio::test]
async fn with_a_registry_the_schema_of_the_writer_says_what_a_table_becomes() {
    let (rows, columns) = registered("evolve").await;
    assert_eq!(columns, ["a", "h", "b"]);
    let expected = ["a=1 h={x: 2, y: }", "a=17179869184 h={x: 2, y: 3} b=z", "a=3", "a=7"];
    assert_eq!(rows[..4], expected);
    assert!(rows[4].starts_with("wrong_type: field `a`"), "{}", rows[4]);
    assert!(
        rows[5].starts_with("schema: schema 5 cannot be used: u: a union of several types"),
        "{}",
        rows[5]
    );
    assert_eq!(rows[6], "a=5 h={x: 2, y: 3}");
}

#[tokio::test]
async fn with_a_registry_the_rest_is_json_and_rejects_name_it() {
    let (rows, columns) = registered("keep").await;
    assert_eq!(columns, ["a", "h", "_rest"]);
    assert_eq!(rows[0], "a=1 h={x: 2}");
    assert!(rows[1].starts_with("wrong_type: field `a`"), "{}", rows[1]);
    assert_eq!(rows[6], r#"a=5 h={x: 2} _rest={"h":{"y":3}}"#);
    let (rows, _) = registered("reject").await;
    assert_eq!((rows[0].as_str(), rows[2].as_str()), ("a=1 h={x: 2}", "a=3"));
    assert_eq!(rows[6], r#"unknown_field: fields that the table does not have: {"h":{"y":3}}"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn every_message_is_one_row_under_every_policy(
        events in prop::collection::vec(prop::collection::btree_map("[abcA]", 0_usize..9, 0..4), 1..12),
    ) {
        let values = ["1", "2.5", "\"x\"", "true", "null", "[1]", "[]", "{\"p\":1}", "{\"p\":{\"q\":\"r\"}}"];
        let payloads: Vec<String> = events.iter().map(|event| {
            let members: Vec<_> = event.iter().map(|(key, value)| format!("\"{key}\":{}", values[*value])).collect();
            format!("{{{}}}", members.join(","))
        }).collect();
        let payloads: Vec<_> = payloads.iter().map(String::as_str).collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for policy in [SchemaPolicy::Ignore, SchemaPolicy::Evolve, SchemaPolicy::Keep, SchemaPolicy::Reject] {
            let route = format!("schema: {policy}\ncolumns: {{a: long}}");
            let once = runtime.block_on(json(&route, &payloads));
            let again = runtime.block_on(json(&route, &payloads));
            prop_assert_eq!(once, again, "the same messages make the same table");
        }
    }
}
