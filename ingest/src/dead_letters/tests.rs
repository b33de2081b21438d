//! Replays on a real catalog with files in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use sluice_catalog::{
    Commit, DeleteFile, Deletes, EqualityDeletes, Lake, LiveFile, Operation, PositionDeletes, TableWriter,
    WriterSettings,
};

use super::*;
use crate::fixtures;
use crate::land::tests::{BAD, Bench, SALE, VIEW, bench};
use crate::pipeline::{new_token, now};
use crate::topics::{Changes, Upsert};

/// An event that no route takes, until one does.
const GIFT: &str = r#"{"event_id":"g","event_type":"gift"}"#;

/// Offsets 0 to 5 of the topic `events`: two bad for ever, two that no route takes, two that land.
async fn landed(lake: &Lake) -> Bench {
    let mut bench = bench(lake.clone(), vec![fixtures::events()], None).await;
    bench.assign(0, 0).await;
    bench.write(1, (0, 0), 0, &[VIEW, BAD, GIFT, SALE, GIFT, BAD]).await;
    bench.seal(1, 1, &[(0, 0, 0, 6)]);
    let _ = bench.commit().await;
    assert_eq!(offsets(lake, "bronze.dead_letters").await, [1, 2, 4, 5]);
    bench
}

/// The topics file corrected: clicks take gifts too.
fn corrected() -> Vec<Topic> {
    let mut topic = fixtures::events();
    topic.routes[0].event_types.push("gift".to_owned());
    vec![topic]
}

fn settings(topics: Vec<Topic>) -> ReplaySettings {
    ReplaySettings {
        topics,
        dead_letters: fixtures::name("bronze.dead_letters"),
        registry: None,
        max_message_bytes: 1 << 20,
        writer: WriterSettings::default(),
        selection: Selection::default(),
        again: false,
        dry_run: false,
    }
}

/// The offsets of a table's live rows, each as often as it is there.
async fn offsets(lake: &Lake, table: &str) -> Vec<i64> {
    let mut found = Vec::new();
    let files = lake.load(&fixtures::name(table)).await.unwrap().files().await.unwrap();
    let gone = letters::gone(lake, &files).await.unwrap();
    for file in files {
        let gone = gone.of(&file);
        let mut parts = letters::parts(lake, &file, None).await.unwrap();
        while let Some(part) = parts.next().await.unwrap() {
            let offsets = part.rows.column_by_name("_src_offset").unwrap().clone();
            let offsets: &Int64Array = offsets.as_primitive();
            let live = offsets.values().iter().zip(part.positions);
            found.extend(live.filter(|(_, position)| !gone.contains(*position)).map(|(offset, _)| *offset));
        }
    }
    found.sort_unstable();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_land_lands_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    landed(&lake).await;
    let report = replay(&lake, &settings(corrected())).await.unwrap();
    assert_eq!((report.selected, report.landed, report.bad), (4, 2, 2));
    assert_eq!(report.causes, BTreeMap::from([("malformed".to_owned(), 2)]));
    assert_eq!(report.tables, BTreeMap::from([("bronze.clicks".to_owned(), 2)]));
    assert_eq!(offsets(&lake, "bronze.clicks").await, [0, 2, 4]);
    assert_eq!(offsets(&lake, "bronze.sales").await, [3]);
    assert_eq!(offsets(&lake, "bronze.dead_letters").await, [1, 5]);
    let again = replay(&lake, &settings(corrected())).await.unwrap();
    assert_eq!((again.selected, again.landed, again.bad), (2, 0, 2));
    assert_eq!(offsets(&lake, "bronze.clicks").await, [0, 2, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_and_todays_unchanged_topics_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    landed(&lake).await;
    let before = lake.load(&fixtures::name("bronze.dead_letters")).await.unwrap();
    let dry = replay(&lake, &ReplaySettings { dry_run: true, ..settings(corrected()) }).await.unwrap();
    assert_eq!((dry.landed, dry.bad, dry.dry_run), (2, 2, true));
    let same = replay(&lake, &settings(vec![fixtures::events()])).await.unwrap();
    assert_eq!((same.landed, same.bad), (0, 4));
    let after = lake.load(&fixtures::name("bronze.dead_letters")).await.unwrap();
    assert_eq!(before.metadata_location(), after.metadata_location());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_selected_letters_are_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    landed(&lake).await;
    let with = |selection| ReplaySettings { selection, ..settings(corrected()) };
    let none = [
        Selection { topics: vec!["others".to_owned()], ..Selection::default() },
        Selection { causes: vec!["empty".to_owned()], ..Selection::default() },
        Selection { since: Some(now() + chrono::TimeDelta::hours(1)), ..Selection::default() },
        Selection { until: Some(DateTime::UNIX_EPOCH), ..Selection::default() },
        Selection { places: vec!["events/1/2".parse().unwrap()], ..Selection::default() },
    ];
    for selection in none {
        assert_eq!(replay(&lake, &with(selection.clone())).await.unwrap().selected, 0, "{selection:?}");
    }
    let one = Selection { places: vec!["events/0/4".parse().unwrap()], ..Selection::default() };
    assert_eq!(replay(&lake, &with(one)).await.unwrap().landed, 1);
    assert_eq!(offsets(&lake, "bronze.dead_letters").await, [1, 2, 5]);
    let cause = Selection { causes: vec!["unknown_event_type".to_owned()], ..Selection::default() };
    assert_eq!(replay(&lake, &with(cause)).await.unwrap().selected, 1);
    assert_eq!(offsets(&lake, "bronze.clicks").await, [0, 2, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_at_once_land_each_letter_once() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    landed(&lake).await;
    let settings = settings(corrected());
    let (one, two, three) =
        tokio::join!(replay(&lake, &settings), replay(&lake, &settings), replay(&lake, &settings));
    let landed = one.unwrap().landed + two.unwrap().landed + three.unwrap().landed;
    assert_eq!(landed, 2);
    assert_eq!(offsets(&lake, "bronze.clicks").await, [0, 2, 4]);
    assert_eq!(offsets(&lake, "bronze.dead_letters").await, [1, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_a_table_holds_makes_no_second_row() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    landed(&lake).await;
    let letters = fixtures::name("bronze.dead_letters");
    let before: Vec<RecordBatch> = fixtures::rows(&lake, "bronze.dead_letters").await;
    let report = replay(&lake, &settings(corrected())).await.unwrap();
    assert_eq!(report.landed, 2);
    // As a kill between two tables leaves it, on a catalog that moves one at a time.
    let table = lake.load(&letters).await.unwrap();
    let token = new_token();
    let mut writer = TableWriter::new(&lake, &table, token, WriterSettings::default()).unwrap();
    for batch in before {
        writer.write(batch).await.unwrap();
    }
    let mut commit = Commit::new(letters, Operation::Append, token);
    commit.files = Some(writer.finish().await.unwrap());
    let _ = lake.commit(vec![commit], now()).await.unwrap();
    assert_eq!(offsets(&lake, "bronze.dead_letters").await, [1, 1, 2, 4, 5, 5]);
    let told = ReplaySettings { again: true, dry_run: true, ..settings(corrected()) };
    assert_eq!(replay(&lake, &told).await.unwrap().landed, 2, "who wishes it gets second rows");
    let again = replay(&lake, &settings(corrected())).await.unwrap();
    assert_eq!((again.landed, again.present, again.bad), (0, 4, 2), "a second letter of a message goes too");
    assert_eq!(offsets(&lake, "bronze.dead_letters").await, [1, 5]);
    assert_eq!(offsets(&lake, "bronze.clicks").await, [0, 2, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_ingest_has_not_filled_yet_gets_the_message_from_ingest() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    landed(&lake).await;
    let mut topics = vec![fixtures::events()];
    let mut gifts = topics[0].routes[0].clone();
    (gifts.table, gifts.event_types) = (fixtures::name("bronze.gifts").into(), vec!["gift".to_owned()]);
    topics[0].routes.push(gifts);
    let report = replay(&lake, &settings(topics.clone())).await.unwrap();
    assert_eq!((report.waiting, report.landed), (4, 0));
    let mut later = bench(lake.clone(), topics.clone(), None).await;
    later.assign(0, 0).await;
    later.write(1, (0, 0), 0, &[VIEW, BAD, GIFT, SALE, GIFT, BAD]).await;
    later.seal(1, 1, &[(0, 0, 0, 6)]);
    let _ = later.commit().await;
    assert_eq!(offsets(&lake, "bronze.gifts").await, [2, 4]);
    let report = replay(&lake, &settings(topics)).await.unwrap();
    assert_eq!((report.present, report.landed, report.bad), (2, 0, 2), "the letters go, no row comes");
    assert_eq!(offsets(&lake, "bronze.gifts").await, [2, 4]);
    assert_eq!(offsets(&lake, "bronze.dead_letters").await, [1, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_for_a_table_with_a_key_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    landed(&lake).await;
    let mut topics = corrected();
    let key = vec!["event_id".to_owned()];
    topics[0].routes[0].upsert = Some(Upsert { key, changes: Changes::Upsert, order_by: None });
    let report = replay(&lake, &settings(topics)).await.unwrap();
    assert_eq!((report.selected, report.keyed, report.bad, report.landed), (4, 2, 2, 0));
    assert_eq!(offsets(&lake, "bronze.clicks").await, [0]);
    assert_eq!(offsets(&lake, "bronze.dead_letters").await, [1, 2, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_goes_on_beside_a_replay() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let mut bench = landed(&lake).await;
    bench.write(2, (0, 0), 6, &[VIEW, BAD]).await;
    assert_eq!(replay(&lake, &settings(corrected())).await.unwrap().landed, 2);
    bench.seal(2, 1, &[(0, 0, 6, 8)]);
    assert!(matches!(bench.commit().await, crate::land::Landed::Done(_)));
    assert_eq!(offsets(&lake, "bronze.clicks").await, [0, 2, 4, 6]);
    assert_eq!(offsets(&lake, "bronze.dead_letters").await, [1, 5, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_without_dead_letters_has_none_to_replay() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    assert_eq!(replay(&lake, &settings(corrected())).await.unwrap().selected, 0);
}

#[test]
fn places_are_written_as_they_are_read() {
    for text in ["orders/0/12", "files/a b.csv/0/1"] {
        assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
    }
    let bad: BTreeSet<_> = ["", "orders", "orders/0", "/0/1", "orders/x/1", "orders/0/1.5"].into();
    assert!(bad.into_iter().all(|text| text.parse::<Place>().is_err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_topics_that_headers_or_messages_route_stay() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    landed(&lake).await;
    let mut by_header = corrected();
    by_header[0].type_from = crate::topics::Origin::Header("type".to_owned());
    let mut by_template = corrected();
    by_template[0].routes[0].table = "bronze.{topic}".parse().unwrap();
    for topics in [by_header, by_template] {
        let report = replay(&lake, &settings(topics)).await.unwrap();
        assert_eq!((report.landed, report.bad), (0, 0));
        assert_eq!(offsets(&lake, "bronze.dead_letters").await, [1, 2, 4, 5]);
    }
    assert_eq!(replay(&lake, &settings(corrected())).await.unwrap().landed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_another_engine_deleted_in_its_way_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    landed(&lake).await;
    let table = lake.load(&fixtures::name("bronze.dead_letters")).await.unwrap();
    let file = table.files().await.unwrap().remove(0);
    let (data_file, sequence_number) = (Arc::new(file.parts().0.clone()), file.sequence_number);
    let partition_spec_id = file.partition_spec_id;
    let delete =
        Arc::new(DeleteFile { data_file: Arc::clone(&data_file), partition_spec_id, sequence_number });
    let by_value = EqualityDeletes { scope: Arc::from([Arc::clone(&delete)]), from: 0 };
    for deletes in [
        Deletes { equality: vec![by_value], ..Deletes::default() },
        Deletes { positions: PositionDeletes::Vector(delete), ..Deletes::default() },
    ] {
        let file =
            LiveFile::with_deletes(Arc::clone(&data_file), partition_spec_id, sequence_number, deletes);
        let error = letters::gone(&lake, &[file]).await.unwrap_err().to_string();
        assert!(error.contains("deleted by other files"), "{error}");
    }
    assert!(letters::gone(&lake, &[file]).await.is_ok());
}
