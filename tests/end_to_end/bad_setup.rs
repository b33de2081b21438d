//! Bad input to the program: one clear message, the right exit code, nothing lost, no secret shown.

use std::net::TcpListener;

use serde_json::json;

use crate::parts::parts;
use crate::sluice::{Lake, Run, unique};

const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;
/// Longer than this is not one clear message.
const LINES_MAX: usize = 15;

/// The run must end with `code` and one error that holds all of `words`, ignoring case.
fn refused(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.status.code(), Some(code), "{run}");
    let said = run.stderr.to_lowercase();
    for word in words {
        assert!(said.contains(&word.to_lowercase()), "the message does not say `{word}`: {run}");
    }
    let errors = run.stderr.lines().filter(|line| line.starts_with("error:")).count();
    assert_eq!(errors, 1, "not one error: {run}");
    assert!(run.stderr.lines().count() <= LINES_MAX, "not one clear message: {run}");
    for noise in ["panicked", "RUST_BACKTRACE", "Err("] {
        assert!(!run.stderr.contains(noise), "the message shows the inside of the program: {run}");
    }
}

#[test]
fn a_wrong_configuration_is_wrong_usage() {
    let lake = Lake::on_disk();
    let tables = |config: &str| lake.run(&["tables", "--config", config]);

    refused(&tables("absent.toml"), WRONG_USAGE, &["absent.toml", "--config"]);

    let folder = lake.file("folder.toml/file", "");
    refused(&tables(folder.parent().unwrap().to_str().unwrap()), WRONG_USAGE, &["folder.toml"]);

    lake.file("typo.toml", "data = \"lake\"\n\n[lake]\nwharehouse = \"s3://lake\"\n");
    refused(&tables("typo.toml"), WRONG_USAGE, &["typo.toml:4", "wharehouse", "lake.warehouse"]);

    lake.file("broken.toml", "[lake\nwarehouse = 1\n");
    refused(&tables("broken.toml"), WRONG_USAGE, &["broken.toml", "line 1"]);

    lake.file("secret.toml", "[lake.s3]\nsecret_access_key = \"do-not-print-this\"\n");
    let run = tables("secret.toml");
    refused(&run, WRONG_USAGE, &["secret.toml:2", "AWS_SECRET_ACCESS_KEY"]);
    assert!(!run.stderr.contains("do-not-print-this"), "{run}");

    lake.file("duration.toml", "[ingest]\ncommit_interval = \"soon\"\n");
    refused(&tables("duration.toml"), WRONG_USAGE, &["soon", "10s"]);

    let lake = Lake::on_disk().with("SLUICE_LAKE_WHAREHOUSE", "s3://lake");
    refused(&lake.run(&["tables"]), WRONG_USAGE, &["SLUICE_LAKE_WHAREHOUSE"]);
}

#[test]
fn an_unknown_command_or_flag_is_wrong_usage() {
    let lake = Lake::on_disk();
    for arguments in
        [&["frobnicate"][..], &["sql"], &["sql", "select 1", "--jsno"], &["demo", "--events", "many"], &[]]
    {
        let run = lake.run(arguments);
        assert_eq!(run.status.code(), Some(WRONG_USAGE), "{run}");
        assert!(run.stderr.contains("--help") || run.stderr.contains("Usage"), "{run}");
    }
}

#[test]
fn kafka_that_is_missing_or_lacks_a_topic_is_named() {
    let lake = Lake::on_disk();
    refused(&lake.run(&["ingest"]), WRONG_USAGE, &["broker", "--brokers", "SLUICE_KAFKA_BROKERS"]);
    // port 1 of loopback: nothing listens there
    for command in [&["ingest"][..], &["topics", "apply"], &["produce", "--events", "10"]] {
        let run = lake.run(&[command, &["--brokers", "127.0.0.1:1"]].concat());
        refused(&run, FAILED, &["127.0.0.1:1"]);
    }

    let lake = Lake::on_disk().with_kafka();
    let topic = unique("absent");
    let file = lake.file(
        "topics.yaml",
        format!(
            "topics:\n  - name: {topic}\n    routes:\n      - table: bronze.x\n        \
             columns: {{ id: string }}\n"
        ),
    );
    let ingest = ["ingest", "--topics", file.to_str().unwrap()];
    refused(&lake.run(&ingest), FAILED, &[&topic, "sluice topics apply"]);
    refused(&lake.run(&[&ingest[..], &["--only", "nothing"]].concat()), WRONG_USAGE, &["nothing", &topic]);

    let file = lake.file("typo.yaml", "topics:\n  - name: a\n    partitons: 3\n");
    let run = lake.run(&["topics", "apply", "--topics", file.to_str().unwrap()]);
    refused(&run, WRONG_USAGE, &["typo.yaml", "partitons", "partitions", "3"]);
}

#[test]
fn a_store_that_refuses_is_named() {
    let csv = |lake: &Lake| lake.file("rows.csv", "id,name\n1,a\n2,b\n").to_str().unwrap().to_owned();
    let load = |lake: &Lake| lake.run(&["load", "csv", &csv(lake), "--table", "bronze.rows"]);
    let lake = || Lake::on_s3();

    let absent = lake()
        .with("AWS_ACCESS_KEY_ID", parts().get("MINIO_ROOT_USER"))
        .with("AWS_SECRET_ACCESS_KEY", parts().get("MINIO_ROOT_PASSWORD"))
        .with("SLUICE_LAKE_WAREHOUSE", "s3://no-such-bucket/warehouse");
    refused(&load(&absent), FAILED, &["no-such-bucket", "does not exist"]);

    let secret = "wrong-secret-of-the-test";
    let wrong = lake().with("AWS_SECRET_ACCESS_KEY", secret);
    let run = load(&wrong);
    refused(&run, FAILED, &["credentials", "secret access key"]);
    assert!(!run.stderr.contains(secret), "{run}");

    // The user of the tests may use the bucket `lake` and no other.
    let foreign = lake().with("SLUICE_LAKE_WAREHOUSE", "s3://someone-elses-bucket/warehouse");
    refused(&load(&foreign), FAILED, &["someone-elses-bucket"]);

    let nobody = lake().with("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    refused(&load(&nobody), FAILED, &["127.0.0.1:1"]);

    let scheme = lake().with("SLUICE_LAKE_WAREHOUSE", "ftp://lake/warehouse");
    let run = load(&scheme);
    assert!(matches!(run.status.code(), Some(FAILED | WRONG_USAGE)), "{run}");
    refused(&run, run.status.code().unwrap(), &["ftp", "s3://"]);

    // With the right settings the same command works: what was refused above was refused for its reason.
    let right = lake();
    assert!(load(&right).status.success(), "{}", load(&right));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let lake = Lake::on_disk();
    refused(
        &lake.run(&["serve", "--flight", &taken, "--http", "127.0.0.1:0"]),
        FAILED,
        &[&taken, "--flight"],
    );
    refused(&lake.run(&["serve", "--flight", "127.0.0.1:0", "--http", &taken]), FAILED, &[&taken, "--http"]);
}

#[test]
fn wrong_sql_is_explained() {
    let lake = Lake::on_disk();
    let csv = lake.file("rows.csv", "id,name\n1,a\n2,b\n");
    lake.succeed(&["load", "csv", csv.to_str().unwrap(), "--table", "bronze.rows"]);
    let sql = |text: &str| lake.run(&["sql", text, "--json"]);

    refused(&sql("selec 1"), FAILED, &["selec"]);
    refused(&sql("select 1 from"), FAILED, &["EOF"]);
    refused(&sql("select * from bronze.row"), FAILED, &["bronze.row", "bronze.rows"]);
    refused(&sql("select nam from bronze.rows"), FAILED, &["nam", "name"]);
    refused(&sql("select frob(id) from bronze.rows"), FAILED, &["frob"]);
    refused(&sql("select cast(name as int) from bronze.rows"), FAILED, &["cast"]);
    refused(&sql("delete from bronze.rows where nam = 'a'"), FAILED, &["nam", "name"]);
    refused(&sql("insert into bronze.rows (id, name) values ('x', 'c')"), FAILED, &["x"]);
    refused(&sql("drop table bronze.row"), FAILED, &["bronze.row"]);
    for other in ["truncate table bronze.rows", "copy bronze.rows to 'rows.csv'", "set a = 1"] {
        let run = sql(other);
        assert_eq!(run.status.code(), Some(FAILED), "{run}");
    }
    let rows = sql("select count(*) as n from bronze.rows");
    assert_eq!(rows.json()["n"], 2, "a refused statement changed the table: {rows}");
}

#[test]
fn a_file_that_cannot_be_loaded_changes_nothing() {
    let lake = Lake::on_disk();
    let load = |path: &str| lake.run(&["load", "csv", path, "--table", "bronze.rows"]);
    let run = load("absent.csv");
    assert!(matches!(run.status.code(), Some(FAILED | WRONG_USAGE)), "{run}");
    assert!(run.stderr.contains("absent.csv"), "{run}");

    lake.file("damaged.csv.zst", b"\x28\xb5\x2f\xfd and nothing that follows from it");
    refused(&load("damaged.csv.zst"), FAILED, &["damaged.csv.zst"]);

    lake.file("good.csv", "id,name\n1,a\n");
    refused(
        &lake.run(&["load", "csv", "good.csv", "--table", "no_namespace"]),
        WRONG_USAGE,
        &["no_namespace"],
    );

    let listed = lake.succeed(&["tables", "--json"]).json_lines();
    assert!(listed.iter().all(|table| table["rows"] == 0), "{listed:?}");
}

#[test]
fn a_line_that_does_not_fit_is_kept_as_a_dead_letter() {
    let lake = Lake::on_disk();
    lake.file("ragged.csv", "id,name\n1,a\n2\n3,c\n");
    let report = lake.succeed(&["load", "csv", "ragged.csv", "--table", "bronze.rows", "--json"]).json();
    assert_eq!((&report["rows"], &report["rejected"]), (&json!(2), &json!(1)), "{report}");

    let sql =
        "select cause, encode(payload, 'hex') as bytes, _src_topic, _src_offset from bronze.dead_letters";
    let letter = lake.succeed(&["sql", sql, "--json"]).json();
    assert_eq!(
        letter,
        json!({"cause": "ragged", "bytes": "32", "_src_topic": "ragged.csv", "_src_offset": 3})
    );
}
