//! Files, and whole runs from a feed into a lake in memory.

use sluice_catalog::{Lake, Operation, TableWriter, WriterSettings};

use super::http::tests::Feed;
use super::*;
use crate::fixtures::{lake, name, rows};
use crate::pipeline::{new_token, now};

const TABLE: &str = "bronze.rates";

fn job(address: &str, more: &str) -> SyncJob {
    let yaml = format!(
        "syncs:\n  - name: rates\n    http:\n      url: {address}/latest\n      records: /rates\n      \
         entries: {{key: currency, value: rate}}\n      columns: {{currency: string, rate: double}}\n{more}"
    );
    Syncs::parse(&yaml).unwrap().jobs.remove(0)
}

async fn count(lake: &Lake) -> usize {
    rows(lake, TABLE).await.iter().map(arrow::record_batch::RecordBatch::num_rows).sum()
}

async fn state(lake: &Lake) -> String {
    lake.load(&name(TABLE)).await.unwrap().metadata_location().to_owned()
}

#[tokio::test]
async fn what_did_not_change_commits_nothing_and_what_is_bad_changes_nothing() {
    let (dir, feed) = (tempfile::tempdir().unwrap(), Feed::default());
    let (lake, address) = (lake(dir.path()).await, feed.start().await);
    let job = job(&address, "");

    feed.set(&[(200, "", r#"{"rates":{"USD":1.1,"JPY":181}}"#)]);
    let dry = sync(&lake, &job, true).await.unwrap();
    assert_eq!((dry.outcome, dry.written), (Outcome::Replaced, 2));
    assert!(lake.find(&job.table).await.unwrap().is_none(), "a dry run makes no table");

    feed.set(&[(200, "", r#"{"error":"quota"}"#)]);
    assert!(sync(&lake, &job, false).await.is_err());
    assert!(lake.find(&job.table).await.unwrap().is_none(), "a bad answer makes no table");

    feed.set(&[(200, "etag: \"1\"\r\n", r#"{"rates":{"USD":1.1,"JPY":181}}"#)]);
    assert_eq!(sync(&lake, &job, false).await.unwrap().outcome, Outcome::Replaced);
    let first = state(&lake).await;

    // The same rows in another order, then "not modified", then what is no answer.
    feed.set(&[(200, "", r#"{"rates":{"JPY":181,"USD":1.1},"new":1}"#), (304, "", "")]);
    assert_eq!(sync(&lake, &job, false).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(sync(&lake, &job, false).await.unwrap(), job.report());
    for bad in [r#"{"rates":{}}"#, r#"{"rates":{"USD":"soon"}}"#, "oops"] {
        feed.set(&[(200, "", bad)]);
        assert!(sync(&lake, &job, false).await.is_err(), "{bad}");
    }
    assert_eq!(state(&lake).await, first);

    feed.set(&[(200, "", r#"{"rates":{"USD":1.2}}"#)]);
    assert_eq!(sync(&lake, &job, false).await.unwrap().outcome, Outcome::Replaced);
    assert_eq!(count(&lake).await, 1);
}

#[tokio::test]
async fn rows_that_somebody_else_wrote_are_noticed() {
    let (dir, feed) = (tempfile::tempdir().unwrap(), Feed::default());
    let (lake, address) = (lake(dir.path()).await, feed.start().await);
    let job = job(&address, "");
    feed.set(&[(200, "etag: \"1\"\r\n", r#"{"rates":{"USD":1.1}}"#)]);
    sync(&lake, &job, false).await.unwrap();

    let table = lake.load(&job.table).await.unwrap();
    let token = new_token();
    let mut writer = TableWriter::new(&lake, &table, token, WriterSettings::default()).unwrap();
    writer.write(rows(&lake, TABLE).await.remove(0)).await.unwrap();
    let files = Some(writer.finish().await.unwrap());
    let commit = sluice_catalog::Commit {
        files,
        ..sluice_catalog::Commit::new(job.table.clone(), Operation::Append, token)
    };
    let _ = lake.commit(vec![commit], now()).await.unwrap();
    assert_eq!(count(&lake).await, 2);

    assert_eq!(sync(&lake, &job, false).await.unwrap().outcome, Outcome::Replaced);
    assert_eq!(count(&lake).await, 1);
    assert!(!feed.asked.lock().unwrap()[1].contains("if-none-match"), "nothing that is remembered holds");
    let other = SyncJob { name: "other".to_owned(), ..job };
    let error = sync(&lake, &other, false).await.unwrap_err().to_string();
    assert!(error.contains("not made by this sync"), "{error}");
}

#[tokio::test]
async fn a_history_keeps_each_answer_once() {
    let (dir, feed) = (tempfile::tempdir().unwrap(), Feed::default());
    let (lake, address) = (lake(dir.path()).await, feed.start().await);
    let job = job(&address, "      keep: history\n");
    for (answer, outcome, total) in [
        (r#"{"rates":{"USD":1.1,"JPY":181}}"#, Outcome::Appended, 2),
        (r#"{"rates":{"JPY":181,"USD":1.1}}"#, Outcome::Unchanged, 2),
        (r#"{"rates":{"USD":1.2,"JPY":181}}"#, Outcome::Appended, 4),
    ] {
        feed.set(&[(200, "", answer)]);
        assert_eq!(sync(&lake, &job, false).await.unwrap().outcome, outcome, "{answer}");
        assert_eq!(count(&lake).await, total, "{answer}");
    }
    assert!(rows(&lake, TABLE).await[0].column_by_name(SYNCED_AT).is_some());
}

#[test]
fn a_file_that_cannot_be_meant_is_refused() {
    let refused = |sync: &str| Syncs::parse(&format!("syncs:\n  - {sync}\n")).unwrap_err().to_string();
    let postgres = "name: p, postgres: {url: 'postgresql://u@h/d', table: t";
    for (sync, told) in [
        ("{name: P, http: {url: 'http://h'}}", "a-z"),
        ("{name: p}", "not one source"),
        ("{name: p, every: soon, http: {url: 'http://h'}}", "duration"),
        ("{name: p, http: {url: 'ftp://h'}}", "no address"),
        ("{name: p, http: {url: 'http://u:hush@h'}}", "auth"),
        ("{name: p, http: {url: 'http://h', headers: {Authorization: x}}}", "secret"),
        ("{name: p, http: {url: 'http://h', records: rates}}", "pointer"),
        ("{name: p, http: {url: 'http://h', columns: {a: 'map(long)'}}}", "map"),
        ("{name: p, postgres: {url: 'postgresql://u:hush@h/d', table: t}}", "password_file"),
        (&format!("{{{postgres}, key: [id]}}}}"), "cursor"),
        (&format!("{{{postgres}, cursor: at, columns: [id]}}}}"), "`at`"),
        (&format!("{{{postgres}, tabel: x}}}}"), "tabel"),
    ] {
        let error = refused(sync);
        assert!(error.contains(told) && !error.contains("hush"), "{sync}: {error}");
    }
    let two = "{name: p, http: {url: 'http://h'}}\n  - {name: p, http: {url: 'http://h'}}";
    assert!(refused(two).contains("twice"));
}
