//! Every kind of commit on every kind of catalog, partitioned and not, judged by PyIceberg and DuckDB.
//!
//! ```text
//! Sluice commits -> judges read -> PyIceberg appends -> judges read -> Sluice appends -> judges and Sluice read
//! ```
//!
//! Over REST all of them use the catalog of `sluice serve`, so each commit goes through Sluice's client of the
//! protocol and through its server.

mod kinds;

use chrono::Utc;
use sluice_catalog::{Lake, TableName};
use tokio::runtime::Runtime;

use self::kinds::{Case, Expected, KINDS, row};
use crate::judge::judge;
use crate::places::Place;

#[test]
fn every_kind_of_commit_on_sqlite_is_read_and_built_upon_by_others() {
    check(&Place::on_sqlite());
}

#[test]
fn every_kind_of_commit_on_postgresql_is_read_and_built_upon_by_others() {
    check(&Place::on_postgresql());
}

#[test]
fn every_kind_of_commit_over_rest_is_read_and_built_upon_by_others() {
    check(&Place::over_rest());
}

fn check(place: &Place) {
    let runtime = Runtime::new().unwrap();
    let lake = runtime.block_on(Lake::open(place.settings())).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the commits' time is that of the test")]
    let now = Utc::now();
    let case = |name, split| Case { lake: &lake, name, now, split };

    let mut tables: Vec<Expected> = Vec::new();
    for kind in KINDS {
        for split in [false, true] {
            let name = format!("{kind}_{}", if split { "split" } else { "plain" });
            let name = TableName::new("kinds", name).unwrap();
            tables.extend(runtime.block_on(case(name, split).make(kind)));
        }
    }
    judged(place, "append", &tables);
    for table in &mut tables {
        table.rows.push(row(1000));
        runtime.block_on(case(table.table.clone(), false).add(row(2000)));
        table.rows.push(row(2000));
    }
    judged(place, "read", &tables);
    read(place, &mut tables);
}

/// PyIceberg and DuckDB find what is expected; with `append`, PyIceberg appends row 1000 to each, and they find
/// that too.
fn judged(place: &Place, step: &str, tables: &[Expected]) {
    let lines: Vec<String> =
        tables.iter().map(|table| serde_json::to_string(table).unwrap() + "\n").collect();
    let expected = place.lake.file("expected.jsonl", lines.concat());
    let [kind, uri, name] = place.reached();
    judge("commit_kinds.py", &place.lake, &[kind, uri, name, expected.to_str().unwrap(), step]);
}

/// Sluice finds what is expected.
fn read(place: &Place, tables: &mut [Expected]) {
    let select = |name: &TableName| format!("select '{name}' as t, id, status from {name}");
    let sql: Vec<String> = tables.iter().map(|table| select(&table.table)).collect();
    let rows = place.lake.succeed(&["sql", &sql.join(" union all "), "--json"]).json_lines();
    for table in tables {
        let name = table.table.to_string();
        let own = rows.iter().filter(|row| row["t"] == *name);
        let mut found: Vec<(i64, &str)> =
            own.map(|row| (row["id"].as_i64().unwrap(), row["status"].as_str().unwrap())).collect();
        found.sort_unstable();
        table.rows.sort_unstable();
        assert_eq!(found, table.rows, "{name}");
    }
}
