//! Statements that write, judged by PyIceberg and DuckDB, who run the same ones on copies.

use crate::judge::{judge, same_rows};
use crate::places::Place;
use crate::sluice::Lake;

#[test]
fn a_random_sequence_of_changes_is_the_same_elsewhere() {
    let place = Place::on_sqlite();
    random_changes(&place, "1", "16");
    same_rows(&place.lake);
}

#[test]
fn random_changes_on_postgresql_are_the_same_elsewhere() {
    random_changes(&Place::on_postgresql(), "2", "5");
}

#[test]
fn random_changes_over_rest_are_the_same_elsewhere() {
    random_changes(&Place::over_rest(), "3", "5");
}

fn random_changes(place: &Place, seed: &str, statements: &str) {
    let (binary, data) = (env!("CARGO_BIN_EXE_sluice"), place.lake.dir().to_str().unwrap());
    let [kind, uri, name] = place.reached();
    judge("sql_changes.py", &place.lake, &[binary, data, kind, uri, name, seed, statements]);
}

#[test]
fn nested_columns_change_as_elsewhere() {
    let lake = Lake::on_disk();
    let (binary, data) = (env!("CARGO_BIN_EXE_sluice"), lake.dir().to_str().unwrap());
    judge("nested_columns.py", &lake, &[binary, data]);
}

#[test]
fn sluice_sql_says_what_it_changed() {
    let lake = Lake::on_disk();
    lake.succeed(&["sql", "create table bronze.t as select 1 as id union all select 2"]);
    let said = lake.succeed(&["sql", "delete from bronze.t where id = 2"]).stdout;
    assert_eq!(said, "DELETE bronze.t: 1 row deleted\n");
    let said = lake.succeed(&["sql", "update bronze.t set id = 7", "--json"]).json();
    assert_eq!((said["updated"].as_u64(), said["subject"].as_str()), (Some(1), Some("bronze.t")));
    let refused = lake.run(&["sql", "copy bronze.t to 'x.parquet'"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
}
