//! One file into one table: what lands, what is rejected, what is recognised, what is refused.

use std::path::PathBuf;
use std::sync::Arc;

use crate::load::tests::data::{Place, name, now};
use crate::load::{Error, FileReport, Format, LoadSettings, Progress, Result, What};

async fn load(place: &Place, file: &str, content: &str, table: &str) -> Result<FileReport> {
    let path = place.file(file, content);
    csv(place, settings(path, table), &Arc::default()).await
}

fn settings(path: PathBuf, table: &str) -> LoadSettings {
    let csv = What::Files(Format::Csv { delimiter: b',' });
    LoadSettings { table: Some(name(table)), ..LoadSettings::new(csv, vec![path]) }
}

async fn csv(place: &Place, settings: LoadSettings, progress: &Arc<Progress>) -> Result<FileReport> {
    let report = crate::load::load(&place.lake, settings, now(), progress).await?;
    let [file] = report.files.try_into().expect("one file was named");
    assert_eq!((file.rows, file.rejected), (report.rows, report.rejected));
    Ok(file)
}

#[tokio::test]
async fn a_file_lands_with_types_lines_and_source() {
    let place = Place::new().await;
    let content = "Zip,Sold At,Price,Count,Note\n\
                   01037,2018-01-31 10:00:00,58.90,3,\"two\nlines\"\n\
                   14409,,13.1,,\n";
    let report = load(&place, "sales.csv", content, "bronze.sales").await.expect("it loads");
    assert_eq!((report.rows, report.rejected, report.skipped), (2, 0, false));
    let columns: Vec<_> =
        report.columns.iter().map(|column| (column.name.as_str(), column.kind.as_str())).collect();
    let expected = [
        ("zip", "string"),
        ("sold_at", "timestamp"),
        ("price", "decimal(18,2)"),
        ("count", "long"),
        ("note", "string"),
    ];
    assert_eq!(columns, expected);
    let names = ["_src_offset", "zip", "sold_at", "price", "count", "note", "_src_topic", "_src_partition"];
    assert_eq!(
        place.lines("bronze.sales", &names).await,
        ["2|01037|2018-01-31T10:00:00|58.90|3|two\nlines|sales.csv|0", "4|14409|∅|13.10|∅|∅|sales.csv|0"]
    );
    assert_eq!(place.lines("bronze.sales", &["_ingested_at"]).await, ["2027-01-15T08:00:00Z"; 2]);
}

#[tokio::test]
async fn records_that_cannot_be_rows_go_to_the_dead_letters() {
    let place = Place::new().await;
    let report = load(&place, "x.csv", "a,b\n1,2\n3\n4,5,6\n7,8\n", "bronze.x").await.expect("it loads");
    assert_eq!((report.rows, report.rejected), (2, 2));
    assert_eq!(place.lines("bronze.x", &["a", "b", "_src_offset"]).await, ["1|2|2", "7|8|5"]);
    let letters = place.lines("bronze.dead_letters", &["_src_topic", "_src_offset", "cause", "error"]).await;
    assert_eq!(
        letters,
        ["x.csv|3|ragged|1 fields, the header has 2", "x.csv|4|ragged|3 fields, the header has 2"]
    );
    let raw = place.lines("bronze.dead_letters", &["payload"]).await;
    assert_eq!(raw, ["33", "342c352c36"], "the bytes, in hexadecimal");
}

#[tokio::test]
async fn a_repeat_is_recognised_by_content_and_loaded_again_only_on_request() {
    let place = Place::new().await;
    let content = "a,b\n1,2\n3\n";
    let first = load(&place, "x.csv", content, "bronze.x").await.expect("it loads");
    let packed = place.file("renamed.csv.zst", zstd::encode_all(content.as_bytes(), 1).expect("it packs"));
    let settings = settings(packed, "bronze.x");
    let progress = Arc::new(Progress::default());
    let second = csv(&place, settings.clone(), &progress).await.expect("it is recognised");
    assert!(!first.skipped && second.skipped);
    assert_eq!((second.rows, second.rejected), (0, 0), "nothing was added");
    assert_eq!(progress.bytes(), progress.bytes_total(), "the bar is full");
    assert_eq!(place.lines("bronze.x", &["a"]).await, ["1"]);

    let again = LoadSettings { again: true, ..settings };
    let third = csv(&place, again, &progress).await.expect("it loads");
    assert!(!third.skipped);
    assert_eq!(place.lines("bronze.x", &["a"]).await, ["1", "1"]);
    assert_eq!(place.rows("bronze.dead_letters").await.len(), 2);

    let other = load(&place, "x.csv", "a,b\n5,6\n", "bronze.x").await.expect("other content is another file");
    assert!(!other.skipped);
    assert_eq!(place.lines("bronze.x", &["a"]).await, ["1", "1", "5"]);
    let elsewhere = load(&place, "x.csv", content, "bronze.y").await.expect("it loads");
    assert!(!elsewhere.skipped, "another table does not know it");
}

#[tokio::test]
async fn a_table_dropped_and_loaded_anew_gets_its_rows() {
    let place = Place::new().await;
    load(&place, "x.csv", "a,b\n1,2\n3\n", "bronze.x").await.expect("it loads");
    place.lake.drop_table(&name("bronze.x")).await.expect("it is there");
    let report = load(&place, "x.csv", "a,b\n1,2\n3\n", "bronze.x").await.expect("it loads");
    assert!(!report.skipped);
    assert_eq!(place.lines("bronze.x", &["a"]).await, ["1"]);
}

#[tokio::test]
async fn two_loads_of_one_file_at_once_land_it_once() {
    let place = Place::new().await;
    load(&place, "first.csv", "a\n0\n", "bronze.x").await.expect("the table exists by now");
    let same = settings(place.file("same.csv", "a\n1\n"), "bronze.x");
    let progress = Arc::default();
    let (one, two) = tokio::join!(load(&place, "x.csv", "a\n1\n", "bronze.x"), csv(&place, same, &progress));
    let skipped = [one, two].map(|report| report.expect("it loads").skipped);
    assert_eq!(skipped.iter().filter(|skipped| **skipped).count(), 1);
    assert_eq!(place.lines("bronze.x", &["a"]).await, ["0", "1"]);
}

#[tokio::test]
async fn the_types_of_an_existing_table_hold() {
    let place = Place::new().await;
    load(&place, "a.csv", "id,price,code\n1,1.50,x\n", "bronze.t").await.expect("it loads");
    let report = load(&place, "b.csv", "code,id\n007,2\n8,many\n", "bronze.t").await.expect("it loads");
    assert_eq!((report.rows, report.rejected), (1, 1));
    assert_eq!(place.lines("bronze.t", &["id", "price", "code"]).await, ["1|1.50|x", "2|∅|007"]);
    let letters = place.lines("bronze.dead_letters", &["_src_offset", "cause", "error"]).await;
    assert_eq!(letters, ["3|wrong_type|column `id`: `many` is not a long"]);
}

#[tokio::test]
async fn a_file_that_does_not_go_with_the_table_is_refused() {
    let place = Place::new().await;
    load(&place, "a.csv", "id\n1\n", "bronze.t").await.expect("it loads");
    let text = load(&place, "b.csv", "id,extra\n2,3\n", "bronze.t")
        .await
        .expect_err("a column too many")
        .to_string();
    assert!(text.contains("does not fit table `bronze.t`: the table has no column `extra`"), "{text}");
    let text = load(&place, "c.csv", "id\nx\ny\n", "bronze.t").await.expect_err("nothing fits").to_string();
    assert!(text.contains("line 2") && text.contains("none of 2 records fits"), "{text}");
    let text = load(&place, "d.csv", "a,b\n1\n", "bronze.new").await.expect_err("nothing fits").to_string();
    assert!(text.contains("1 fields, the header has 2"), "{text}");
    assert!(place.lake.find(&name("bronze.new")).await.expect("the catalog answers").is_none());
    assert_eq!(place.lines("bronze.t", &["id"]).await, ["1"]);
    assert!(place.rows("bronze.dead_letters").await.is_empty(), "nothing is committed when loading fails");
}

#[tokio::test]
async fn a_file_without_rows_makes_an_empty_table() {
    let place = Place::new().await;
    let report = load(&place, "empty.csv", "a,b\n", "bronze.empty").await.expect("it loads");
    assert_eq!((report.rows, report.skipped), (0, false));
    assert!(load(&place, "empty.csv", "a,b\n", "bronze.empty").await.expect("it is recognised").skipped);
    assert!(place.lake.find(&name("bronze.empty")).await.expect("the catalog answers").is_some());
}

#[tokio::test]
async fn many_batches_arrive_whole_and_in_order() {
    let place = Place::new().await;
    let rows: String = (0..40_000).map(|row| format!("{row},{}\n", row * 2)).collect();
    let report = load(&place, "many.csv", &format!("a,b\n{rows}"), "bronze.many").await.expect("it loads");
    assert_eq!(report.rows, 40_000);
    let mut next = 0;
    for batch in place.rows("bronze.many").await {
        let values = batch.column_by_name("a").expect("it is there");
        let values = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(values.as_ref());
        for value in values.values() {
            assert_eq!(*value, next);
            next += 1;
        }
    }
    assert_eq!(next, 40_000);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let place = Place::new().await;
    let settings = settings(place.folder().join("nothing.csv"), "bronze.x");
    let error = csv(&place, settings, &Arc::default()).await.expect_err("it is not there");
    assert!(matches!(&error, Error::Read { path, .. } if path.ends_with("nothing.csv")), "{error}");
}
