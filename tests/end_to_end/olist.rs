//! Real data: the Olist files, loaded and built; every cell of the gold tables equals what DuckDB computes.

use std::path::{Path, PathBuf};

use crate::judge::{judge, same_rows};
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
    let folder = lake.dir().join("olist");
    judge("olist_sample.py", lake, &[folder.to_str().unwrap()]);
    folder
}
