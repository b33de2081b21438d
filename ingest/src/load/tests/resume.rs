//! Progress: a load that ends anywhere goes on where its last commit was, and nothing comes twice.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use crate::load::blocks::{self, Ends};
use crate::load::csv::Records;
use crate::load::tests::data::{Place, name, now};
use crate::load::{Format, LoadReport, LoadSettings, Result, What, load, part};

const CSV: What = What::Files(Format::Csv { delimiter: b',' });

/// Enough for some twenty blocks.
fn content() -> String {
    let rows: String = (0..30_000).map(|row| format!("{row},{}\n", "x".repeat(row % 90))).collect();
    format!("id,text\n{rows}").replace("\n15000,", "\n15000;")
}

fn settings(path: PathBuf) -> LoadSettings {
    // A commit after each block.
    LoadSettings { table: Some(name("bronze.x")), commit_bytes: 1, ..LoadSettings::new(CSV, vec![path]) }
}

/// Loads, but gives up as a killed process does: without a word, some time after so many more commits.
async fn killed_after(place: &Place, settings: LoadSettings, commits: usize) {
    let lake = place.lake.clone();
    let before = commits_of(place).await;
    let loading = tokio::spawn(async move { load(&lake, settings, now(), &Arc::default()).await });
    loop {
        if commits_of(place).await >= before + commits || loading.is_finished() {
            break;
        }
        tokio::task::yield_now().await;
    }
    loading.abort();
    drop(loading.await);
}

async fn commits_of(place: &Place) -> usize {
    let table = place.lake.find(&name("bronze.x")).await.expect("the catalog answers");
    table.map_or(0, |table| table.history().len())
}

async fn run(place: &Place, settings: LoadSettings) -> Result<LoadReport> {
    load(&place.lake, settings, now(), &Arc::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_load_goes_on_where_its_last_commit_was() {
    let place = Place::new().await;
    let path = place.file("big.csv", content());
    killed_after(&place, settings(path.clone()), 1).await;
    let first =
        place.lake.load(&name("bronze.x")).await.expect("it is there").row_count().expect("no deletes");
    assert!((1..29_999).contains(&first), "{first} rows after the kill");
    killed_after(&place, settings(path.clone()), 1).await;
    let second =
        place.lake.load(&name("bronze.x")).await.expect("it is there").row_count().expect("no deletes");
    assert!((first + 1..29_999).contains(&second), "{second} rows after the second kill");

    let report = run(&place, settings(path.clone())).await.expect("it loads");
    assert_eq!(report.rows, 29_999 - second, "only what was missing");
    assert_eq!(place.distinct("bronze.x", "id").await, (29_999, 29_999));
    assert_eq!(place.distinct("bronze.x", "_src_offset").await, (29_999, 29_999));
    assert_eq!(place.lines("bronze.dead_letters", &["_src_offset", "cause"]).await, ["15002|ragged"]);
    let again = run(&place, settings(path.clone())).await.expect("it is recognised");
    assert!(again.files[0].skipped && again.rows == 0);

    // A second round can be killed and goes on as well.
    let twice = LoadSettings { again: true, ..settings(path) };
    killed_after(&place, twice.clone(), 2).await;
    let report = run(&place, twice).await.expect("it loads");
    assert!(report.rows < 29_999, "{}", report.rows);
    assert_eq!(place.distinct("bronze.x", "id").await, (59_998, 29_999));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_of_one_file_at_once_share_it() {
    let place = Place::new().await;
    let path = place.file("big.csv", content());
    run(&place, settings(place.file("small.csv", "id,text\n0,zero\n")))
        .await
        .expect("the table exists by now");
    let three = tokio::join!(
        run(&place, settings(path.clone())),
        run(&place, settings(path.clone())),
        run(&place, settings(path))
    );
    let rows = [three.0, three.1, three.2].map(|report| report.expect("it loads").rows);
    assert_eq!(rows.iter().sum::<u64>(), 29_999, "{rows:?}");
    assert_eq!(place.distinct("bronze.x", "_src_offset").await.0, 30_000);
}

#[tokio::test]
async fn small_files_share_a_commit_and_types() {
    let place = Place::new().await;
    for (file, content) in [
        ("a1.csv", "id,v\n1,\n"),
        ("a2.csv", "id,v\n2,1.5\n"),
        ("a3.csv", "v,id,w\nx,3,7\n"),
        ("a4.csv", "id,v\n1,\n"),
    ] {
        place.file(file, content);
    }
    let settings = LoadSettings {
        table: Some(name("bronze.x")),
        ..LoadSettings::new(CSV, vec![place.folder().join("a?.csv")])
    };
    let report = run(&place, settings.clone()).await.expect("they load");
    assert_eq!((report.rows, report.files.len()), (3, 4));
    assert!(report.files[3].skipped, "the content of the first under another name");
    let table = place.lake.load(&name("bronze.x")).await.expect("it is there");
    assert_eq!(table.history().len(), 1, "one commit for all");
    assert_eq!(place.lines("bronze.x", &["id", "v", "w"]).await, ["1|∅|∅", "2|1.5|∅", "3|x|7"]);
    assert!(run(&place, settings).await.expect("they are recognised").files.iter().all(|file| file.skipped));
}

#[tokio::test]
async fn a_file_that_grows_between_the_readings_is_noticed() {
    let place = Place::new().await;
    let path = place.file("x.csv", "a\n1\n");
    let part = part::open(&path).expect("it is there").remove(0);
    let print = blocks::read(&part, Ends::Line, None, &Arc::default(), |_| true).expect("it is read");
    std::fs::write(&path, "a\n2\n").expect("it can be written");
    let mut given = 0;
    let error = blocks::read(&part, Ends::Line, Some(print), &Arc::default(), |_| {
        given += 1;
        true
    });
    let text = error.expect_err("it is another content").to_string();
    assert!(text.contains("changed while it was read") && given == 0, "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is quoted and wherever blocks are cut: the records are those of a reader that sees all at once.
    #[test]
    fn blocks_hold_the_records_that_the_file_holds(
        records in prop::collection::vec("[ab\",\n\r;]{0,12}|\"[ab,\n]{0,12}\"|[0-9]{1,4},[0-9]{1,4}", 1..60),
        repeat in 1_usize..4,
    ) {
        let text = format!("{}\n", records.join("\n")).repeat(repeat * 400);
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let path = folder.path().join("x.csv");
        std::fs::write(&path, &text).expect("it can be written");
        let part = part::open(&path).expect("it is there").remove(0);
        let mut ours: Vec<Vec<Vec<u8>>> = Vec::new();
        let read = blocks::read(&part, Ends::Csv(b','), None, &Arc::default(), |block| {
            let mut records = Records::new(&block, b',', 0);
            while let Some(record) = records.next() {
                ours.push(record.fields.iter().map(<[u8]>::to_vec).collect());
            }
            true
        });
        // A quote that is never closed may run past the longest record: refused, which is not wrong.
        prop_assume!(read.is_ok());
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let theirs: Vec<Vec<Vec<u8>>> = reader
            .byte_records()
            .map(|record| record.expect("memory can be read").iter().map(<[u8]>::to_vec).collect())
            .collect();
        prop_assert!(ours == theirs, "{} records, not {}", ours.len(), theirs.len());
    }
}
