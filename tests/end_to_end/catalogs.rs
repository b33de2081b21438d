//! One lake behind three kinds of catalog: SQLite, PostgreSQL, and the Iceberg REST protocol on top of them.
//!
//! Sluice writes through each, other engines write over REST, and each sees what the others wrote.

use crate::clients::Server;
use crate::judge::judge;
use crate::parts::parts;
use crate::places::{on_postgres, twin};
use crate::sluice::Lake;

#[test]
fn other_engines_use_the_rest_catalog_over_sqlite() {
    let lake = Lake::on_s3();
    let server = Server::start(twin(&lake));
    let direct = format!("sqlite:///{}/catalog.db", lake.dir().display());
    let uri = format!("http://{}/iceberg", server.http);
    judge("rest_catalog.py", &lake, &[&uri, &direct, "sluice"]);
}

#[test]
fn other_engines_use_the_rest_catalog_over_postgresql() {
    let (lake, name) = on_postgres(Lake::on_s3());
    let server = Server::start(twin(&lake));
    let direct = parts().get("POSTGRES_URL").replace("postgresql://", "postgresql+psycopg2://");
    let uri = format!("http://{}/iceberg", server.http);
    judge("rest_catalog.py", &lake, &[&uri, &direct, &name]);
    let found = lake.succeed(&["sql", "select count(*) as n from rest.plain", "--json"]).json_lines();
    assert_eq!(found[0]["n"], 12, "Sluice reads what others wrote: {found:?}");
}

#[test]
fn sluice_uses_postgresql_and_the_rest_catalog_over_it_as_one() {
    let (lake, _) = on_postgres(Lake::on_s3());
    let server = Server::start(twin(&lake));
    let over_rest = twin(&lake).with("SLUICE_LAKE_CATALOG", &format!("http://{}/iceberg", server.http));
    let count = |lake: &Lake| {
        let rows = lake.succeed(&["sql", "select count(*) as n, max(id) as id from bronze.rows", "--json"]);
        let rows = rows.json_lines();
        (rows[0]["n"].as_i64().unwrap(), rows[0]["id"].as_i64().unwrap())
    };
    over_rest.file("rows.csv", "id,name\n1,a\n2,b\n");
    over_rest.succeed(&["load", "csv", "rows.csv", "--table", "bronze.rows"]);
    assert_eq!((count(&lake), count(&over_rest)), ((2, 2), (2, 2)));
    let doctor = over_rest.run(&["doctor"]);
    assert!(doctor.stdout.contains("REST http://"), "{doctor}");
}

/// Sluice reads, writes and creates in a catalog that PyIceberg made, and PyIceberg goes on.
fn goes_on_with(lake: &Lake, uri: &str, name: &str, step: &str) {
    let warehouse = format!("file://{}/warehouse", lake.dir().display());
    judge("foreign_catalog.py", lake, &[step, uri, name, &warehouse]);
    for table in ["made.t", "\"made.inner\".t"] {
        let rows =
            lake.succeed(&["sql", &format!("select id, name from {table} order by id"), "--csv"]).stdout;
        assert_eq!(rows, "id,name\n1,a\n2,b\n", "{table}");
        lake.succeed(&["sql", &format!("insert into {table} values (3, 'c')")]);
    }
    lake.succeed(&["sql", "create table made.ours as select 7 as id"]);
    judge("foreign_catalog.py", lake, &["check", uri, name, &warehouse]);
}

#[test]
fn sqlite_catalogs_that_pyiceberg_made_open_as_they_are() {
    for step in ["make", "old"] {
        let lake = Lake::on_disk().with("SLUICE_LAKE_NAME", "theirs");
        let file = lake.dir().join("theirs.db");
        let lake = lake.with("SLUICE_LAKE_CATALOG", file.to_str().unwrap());
        goes_on_with(&lake, &format!("sqlite:///{}", file.display()), "theirs", step);
    }
}

#[test]
fn postgresql_catalogs_that_pyiceberg_made_open_as_they_are() {
    let (lake, name) = on_postgres(Lake::on_disk());
    let uri = parts().get("POSTGRES_URL").replace("postgresql://", "postgresql+psycopg2://");
    goes_on_with(&lake, &uri, &name, "make");
}

#[test]
fn a_database_that_is_away_is_named_without_its_password() {
    let lake = Lake::on_disk().with("SLUICE_LAKE_CATALOG", "postgresql://u:hush-hush@127.0.0.1:1/lake");
    let run = lake.run(&["tables"]);
    assert_eq!(run.status.code(), Some(1), "{run}");
    assert!(run.stderr.contains("start the database") && !run.stderr.contains("hush-hush"), "{run}");
}
