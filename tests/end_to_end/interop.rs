//! The tables belong to everyone: what others read equals what Sluice says, and what others write stays readable.

use crate::judge::{judge, same_rows};
use crate::places::Place;
use crate::sluice::Lake;

#[test]
fn others_read_tables_of_every_origin() {
    let lake = Lake::on_s3();
    lake.file(
        "rows.csv",
        "id,zip,name,amount,day,at\n1,01234,ä,1.5,2026-01-01,2026-01-01 10:00:00\n2,00001,,,,\n",
    );
    lake.succeed(&["load", "csv", "rows.csv", "--table", "bronze.rows"]);
    lake.succeed(&["load", "csv", "rows.csv", "--table", "bronze.rows_again"]);
    same_rows(&lake);
    let zip = lake.succeed(&["sql", "select zip from bronze.rows order by id", "--json"]).json_lines();
    assert_eq!(zip[0]["zip"], "01234", "leading zeros are lost: {zip:?}");
}

#[test]
fn what_pyiceberg_writes_is_read_and_built_upon() {
    let lake = Lake::on_s3();
    lake.file("rows.csv", "id,name\n1,a\n2,b\n");
    lake.succeed(&["load", "csv", "rows.csv", "--table", "bronze.rows"]);
    // Two appends, one with a column that is new, and a deletion of whole files.
    judge("foreign_writer.py", &lake, &[lake.dir().to_str().unwrap(), "bronze.rows"]);
    let sql = "select id, name, extra from bronze.rows order by id";
    let rows = lake.succeed(&["sql", sql, "--csv"]).stdout;
    assert_eq!(rows, "id,name,extra\n1,a,\n2,b,\n10,j,\n12,l,new\n");
    same_rows(&lake);
}

#[test]
fn rows_that_others_deleted_are_gone() {
    let place = Place::over_rest();
    let [_, uri, _] = place.reached();
    let lake = &place.lake;
    judge(
        "foreign_deletes.py",
        lake,
        &[env!("CARGO_BIN_EXE_sluice"), lake.dir().to_str().unwrap(), uri, "1"],
    );
}

#[test]
fn maintenance_changes_no_row_that_others_read() {
    let lake = Lake::on_s3();
    let data = lake.dir().to_str().unwrap().to_owned();
    lake.file("rows.csv", "id,name\n1,a\n2,b\n");
    lake.succeed(&["load", "csv", "rows.csv", "--table", "bronze.rows"]);
    judge("small_files.py", &lake, &[&data, "bronze.rows"]);
    let sql = "select id, name from bronze.rows order by id";
    let before = lake.succeed(&["sql", sql, "--csv"]).stdout;

    let maintain = |more: &[&str]| {
        let arguments = [&["maintain", "bronze.rows", "--json"], more].concat();
        lake.succeed(&arguments).json_lines().remove(0)
    };
    let says = maintain(&["--dry-run"]);
    assert_eq!(says["files_rewritten"], 8, "{says}");
    let report = maintain(&[]);
    assert_eq!((&report["files_before"], &report["files_after"]), (&8.into(), &1.into()), "{report}");
    assert_eq!(report["files_rewritten"], says["files_rewritten"]);
    assert!(report["snapshots_expired"].as_u64() >= says["snapshots_expired"].as_u64(), "{report}");
    assert!(report["snapshots_expired"].as_u64() > Some(5), "{report}");
    assert_eq!(report["orphans_removed"], 0, "nothing is old enough: {report}");

    assert_eq!(lake.succeed(&["sql", sql, "--csv"]).stdout, before);
    same_rows(&lake);
    let tagged = judge("tagged_rows.py", &lake, &[&data, "bronze.rows", "audit"]);
    assert_eq!(tagged.trim(), "6", "what a tag leads to is all there");
    // Others go on from what maintenance left.
    judge("foreign_writer.py", &lake, &[&data, "bronze.rows"]);
    same_rows(&lake);
}
