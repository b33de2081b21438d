//! Real data: the Olist files, loaded and built; every cell of the gold tables equals what DuckDB computes.

use std::path::{Path, PathBuf};

use crate::judge::{exactly_once, judge, same_rows};
use crate::parts::root;
use crate::sluice::Lake;

const FILES: usize = 9;

#[test]
fn gold_equals_what_duckdb_computes_from_the_files() {
    let lake = Lake::on_disk();
    let folder = files(&lake);
    let folder = folder.to_str().unwrap();
    lake.succeed(&["load", "olist", folder]);
    lake.succeed(&["build", "--project", "olist"]);

    let queries = root().join("tests/clients/olist_expected.sql");
    let said =
        judge("same_olist.py", &lake, &[lake.dir().to_str().unwrap(), folder, queries.to_str().unwrap()]);
    println!("{said}");
    same_rows(&lake);

    // A second load must not double the first.
    let count = "select count(*) as n from bronze.olist_orders";
    let before = lake.succeed(&["sql", count, "--json"]).stdout;
    lake.run(&["load", "olist", folder]);
    assert_eq!(before, lake.succeed(&["sql", count, "--json"]).stdout);
}

#[test]
fn a_replay_lands_what_the_files_hold() {
    let lake = Lake::on_s3().with_kafka();
    let folder = sample(&lake);
    let topics = root().join("ingest/topics-olist.yaml");
    let topics = topics.to_str().unwrap();
    lake.succeed(&["topics", "apply", "--topics", topics]);
    lake.succeed(&["load", "olist", folder.to_str().unwrap()]);
    lake.succeed(&["load", "olist", folder.to_str().unwrap(), "--to-topics"]);

    let names = ["olist-orders", "olist-order-items", "olist-payments"];
    lake.succeed(&["ingest", "--topics", topics, "--until-caught-up"]);
    let landing = exactly_once(&lake, &names);
    assert_eq!(landing.get("dead_letters"), 0, "{landing:?}");
    for (events, rows, columns, amount) in [
        ("olist_order_events", "olist_orders", "order_id, customer_id, order_status", "0"),
        ("olist_order_item_events", "olist_order_items", "order_id, order_item_id, price", "price"),
        (
            "olist_payment_events",
            "olist_order_payments",
            "order_id, payment_sequential, payment_value",
            "payment_value",
        ),
    ] {
        // distinct: a broker that outlived an earlier run holds its replay too
        let of = |table: &str| {
            let rows = format!("select distinct {columns} from bronze.{table}");
            let sql =
                format!("select count(*) as n, cast(sum({amount}) as decimal(18, 2)) as total from ({rows})");
            lake.succeed(&["sql", &sql, "--json"]).json()
        };
        assert_eq!(of(events), of(rows), "{events}");
        assert!(of(rows)["n"].as_u64() >= Some(400), "{rows}");
    }
}

/// The folder `olist` of `SLUICE_TEST_DATA`, or a small generated set of the same shape; says which.
fn files(lake: &Lake) -> PathBuf {
    let real = std::env::var_os("SLUICE_TEST_DATA").map(|data| Path::new(&data).join("olist"));
    if let Some(folder) = real {
        let found = std::fs::read_dir(&folder).map(Iterator::count).unwrap_or(0);
        assert!(found >= FILES, "SLUICE_TEST_DATA has {found} of {FILES} files in {}", folder.display());
        println!("olist: the real files");
        return folder;
    }
    println!("olist: SLUICE_TEST_DATA is not set, so a small generated set of the same shape is used");
    sample(lake)
}

/// A few hundred generated orders in the shape of the real files.
fn sample(lake: &Lake) -> PathBuf {
    let folder = lake.dir().join("olist");
    judge("olist_sample.py", lake, &[folder.to_str().unwrap()]);
    folder
}
