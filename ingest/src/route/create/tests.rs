//! Which names become tables, on a lake in memory.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use sluice_catalog::TableSpec;

use super::*;
use crate::fixtures;
use crate::route::Routed;
use crate::rows::Rows;
use crate::source::raw::RawBatch;
use crate::topics::Topics;

const TEMPLATE: &str = "topics:\n  - name: t\n    routes:\n      - {table: 'bronze.{field:kind}', max_tables: MAX, columns: {n: long}}\n      \
                        - {table: bronze.fixed, event_types: [fixed], columns: {n: int, event_type: string}}\n";

async fn plans(lake: &Lake, max: usize) -> Arc<Plans> {
    let topics = Topics::parse(&TEMPLATE.replace("MAX", &max.to_string())).unwrap().topics;
    let plan = Plan::new(&topics, fixtures::name("bronze.dead_letters")).unwrap();
    tables::create(lake, &plan).await.unwrap();
    let snapshots = tables::load(lake, &plan).await.unwrap();
    let schemas: Vec<_> = snapshots.iter().map(TableSnapshot::schema).collect();
    Arc::new(Plans::new(lake.clone(), Arc::new(plan.adopted(schemas.iter().map(AsRef::as_ref)))))
}

async fn routed(plans: &Arc<Plans>, payloads: &[&str]) -> Routed {
    let mut raw = RawBatch::new(0, 0);
    for (offset, payload) in payloads.iter().enumerate() {
        raw.push(offset as i64, None, None, Some(payload.as_bytes()));
    }
    let rows = Arc::clone(plans);
    tokio::task::spawn_blocking(move || Rows::new(&rows, None).unwrap().of(&raw).unwrap()).await.unwrap()
}

/// `table: rows` of these messages, and the errors of dead letters.
async fn landed(plans: &Arc<Plans>, payloads: &[&str]) -> Vec<String> {
    let (routed, plan) = (routed(plans, payloads).await, plans.current());
    let mut found = Vec::new();
    for (table, batch) in routed.batches() {
        if table == plan.dead_letters {
            let errors = batch.column_by_name("error").unwrap().as_string::<i32>().clone();
            found.extend(errors.iter().flatten().map(str::to_owned));
        } else {
            found.push(format!("{}: {}", plan.tables[table].name.name(), batch.num_rows()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn names_become_tables_until_the_template_has_enough() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let first = plans(&lake, 2).await;
    let payloads = [r#"{"kind":"a","n":1}"#, r#"{"kind":"A","n":2}"#, r#"{"kind":"b"}"#, r#"{"kind":7}"#];
    // `fixed` and the dead letters also bear names that the template can make, and do not count.
    let over = "`bronze.b` would be one more than the 2 tables that `bronze.{field:kind}` may make";
    assert_eq!(landed(&first, &payloads).await, ["7: 1", over, "a: 2"]);
    assert_eq!(first.current().tables.len(), 2 + 2);
    assert!(first.take_met(&fixtures::name("bronze.a")).is_some());

    let second = plans(&lake, 2).await;
    assert_eq!(landed(&second, &[r#"{"kind":"c"}"#]).await[0].replace("bronze.c", "bronze.b"), over);
    assert_eq!(landed(&second, &[r#"{"kind":"a"}"#]).await, ["a: 1"], "it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_allowed_are_dead_letters_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Utf8, true)]));
    let _ = lake.create(&fixtures::name("bronze.other"), TableSpec::new(schema)).await.unwrap();
    let plans = plans(&lake, 100).await;
    for (payload, part) in [
        (r#"{"kind":"dead_letters"}"#, "`bronze.dead_letters` is the table of another route"),
        (r#"{"kind":"fixed"}"#, "`bronze.fixed` is the table of another route"),
        (r#"{"kind":"other"}"#, "`bronze.other` does not fit the template: its column `n` is Utf8"),
        (r#"{"kind":""}"#, "the field `kind`, which names the table, is empty"),
        (r#"{"kind":null}"#, "the field `kind`, which names the table, is missing"),
        (r#"{"n":1}"#, "the field `kind`, which names the table, is missing"),
    ] {
        let found = landed(&plans, &[payload]).await;
        assert!(found.len() == 1 && found[0].contains(part), "{payload}: {found:?}");
    }
    let both = [r#"{"event_type":"fixed","n":1}"#, r#"{"event_type":"x","kind":"new","n":1}"#];
    assert_eq!(landed(&plans, &both).await, ["fixed: 1", "new: 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_made_up_names_creates_no_more_tables_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let plans = plans(&lake, 5).await;
    let payloads: Vec<String> =
        (0..4000).map(|n| format!(r#"{{"kind":"{:x}/../{n}","n":{n}}}"#, n * 2_654_435_761_u64)).collect();
    for part in payloads.chunks(1000) {
        let found = landed(&plans, &part.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(found.len(), part.len(), "a row or a dead letter each");
    }
    let tables = lake.tables("bronze").await.unwrap();
    assert_eq!(tables.len(), 5 + 2, "besides the dead letters and a named table: {tables:?}");
    let names =
        tables.iter().all(|table| table.name().bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'));
    assert!(names, "{tables:?}");
    let plan = plans.current();
    assert_eq!((plan.tables.len(), plan.topics[0].templates[0].known.len()), (5 + 2, 5), "nothing piles up");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_create_the_same_tables_at_once_agree() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let (one, two) = (plans(&lake, 100).await, plans(&lake, 100).await);
    let payloads: Vec<String> = (0..40).map(|n| format!(r#"{{"kind":"k{}","n":{n}}}"#, n % 20)).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    let (of_one, of_two) = tokio::join!(landed(&one, &payloads), landed(&two, &payloads));
    assert_eq!(of_one.len(), 20);
    assert_eq!(of_one, of_two);
    assert_eq!(lake.tables("bronze").await.unwrap().len(), 20 + 2);
    for number in 0..20 {
        let name = fixtures::name(&format!("bronze.k{number}"));
        let (met, there) = (one.take_met(&name).unwrap(), lake.load(&name).await.unwrap());
        assert_eq!(met.metadata().uuid(), there.metadata().uuid());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_a_worker_left_empty_is_used_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    assert_eq!(landed(&plans(&lake, 1).await, &[r#"{"kind":"a","n":1}"#]).await, ["a: 1"]);
    // It died there: the table has no snapshot and no offsets, and it counts.
    let table = lake.load(&fixtures::name("bronze.a")).await.unwrap();
    assert!(table.snapshot_id().is_none() && table.offsets("t").unwrap().is_none());
    assert_eq!(landed(&plans(&lake, 1).await, &[r#"{"kind":"a","n":1}"#]).await, ["a: 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_with_few_rows_share_their_arrays_and_each_has_its_own_rows() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let plans = plans(&lake, 100).await;
    // `many` gets 100 rows, `few` 20 and `fewer` 10, of which each second does not fit.
    let payload = |n: usize| match n % 13 {
        0 => format!(
            r#"{{"kind":"fewer","n":{}}}"#,
            if n.is_multiple_of(2) { "\"x\"".to_owned() } else { n.to_string() }
        ),
        1 | 2 => format!(r#"{{"kind":"few","n":{n}}}"#),
        _ => format!(r#"{{"kind":"many","n":{n}}}"#),
    };
    let payloads: Vec<String> = (0..130).map(payload).collect();
    let routed = routed(&plans, &payloads.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let plan = plans.current();
    let name = |table: usize| plan.tables[table].name.name().to_owned();
    let own: Vec<_> = routed.tables.iter().map(|(table, rows)| (name(*table), rows.num_rows())).collect();
    assert_eq!(own, [("many".to_owned(), 100), ("dead_letters".to_owned(), 5)]);
    let [shared] = routed.few.as_slice() else { panic!("one batch for both") };
    let few: BTreeMap<_, _> = shared.tables.iter().map(|(table, rows)| (name(*table), *rows)).collect();
    assert_eq!(few, BTreeMap::from([("few".to_owned(), 20), ("fewer".to_owned(), 5)]));
    assert_eq!(
        routed.memory(),
        routed.few[0].bytes + routed.tables.iter().map(|it| it.1.get_array_memory_size()).sum::<usize>()
    );
    for (table, rows) in routed.batches().filter(|(table, _)| *table != plan.dead_letters) {
        let numbers = rows.column_by_name("n").unwrap().as_primitive::<Int64Type>().clone();
        let offsets = rows.column_by_name("_src_offset").unwrap().as_primitive::<Int64Type>().clone();
        for (number, offset) in numbers.iter().zip(&offsets) {
            let offset = offset.unwrap();
            assert_eq!(number, Some(offset));
            let kind = payloads[offset as usize].split('"').nth(3).unwrap();
            assert_eq!(kind, name(table), "offset {offset}");
        }
    }
}
