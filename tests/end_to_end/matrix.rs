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
use sluice_catalog::{
    CatalogSettings, Lake, LakeSettings, PostgresSettings, RestSettings, Secret, TableName,
};
use tokio::runtime::Runtime;

use self::kinds::{Case, Expected, KINDS, row};
use crate::catalogs::{on_postgres, twin};
use crate::clients::Server;
use crate::judge::judge;
use crate::parts::parts;
use crate::sluice;

/// A catalog as Sluice and as the judges reach it.
struct Place {
    /// For runs of the binary.
    lake: sluice::Lake,
    catalog: CatalogSettings,
    /// The name under which a SQL catalog records tables.
    name: String,
    /// How PyIceberg reaches it: kind and address.
    judge: [String; 2],
}

#[test]
fn every_kind_of_commit_on_sqlite_is_read_and_built_upon_by_others() {
    let lake = sluice::Lake::on_disk();
    let path = lake.dir().join("catalog.db");
    let judge = ["sql".to_owned(), format!("sqlite:///{}", path.display())];
    Place { lake, catalog: CatalogSettings::Sqlite { path }, name: "sluice".to_owned(), judge }.check();
}

#[test]
fn every_kind_of_commit_on_postgresql_is_read_and_built_upon_by_others() {
    let (lake, name) = on_postgres(sluice::Lake::on_disk());
    let url = parts().get("POSTGRES_URL").to_owned();
    let judge = ["sql".to_owned(), url.replace("postgresql://", "postgresql+psycopg2://")];
    let password = Some(Secret::new(parts().get("POSTGRES_PASSWORD")));
    let catalog = CatalogSettings::Postgres(PostgresSettings { url, password });
    Place { lake, catalog, name, judge }.check();
}

#[test]
fn every_kind_of_commit_over_rest_is_read_and_built_upon_by_others() {
    let lake = sluice::Lake::on_disk();
    let server = Server::start(twin(&lake));
    let uri = format!("http://{}/iceberg", server.http);
    let lake = lake.with("SLUICE_LAKE_CATALOG", &uri);
    let catalog = CatalogSettings::Rest(RestSettings { uri: uri.clone(), ..RestSettings::default() });
    Place { lake, catalog, name: "sluice".to_owned(), judge: ["rest".to_owned(), uri] }.check();
}

impl Place {
    fn check(&self) {
        let runtime = Runtime::new().unwrap();
        let local = LakeSettings::local(self.lake.dir());
        let settings = LakeSettings { catalog: self.catalog.clone(), name: self.name.clone(), ..local };
        let lake = runtime.block_on(Lake::open(settings)).unwrap();
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
        self.judge("append", &tables);
        for table in &mut tables {
            table.rows.push(row(1000));
            runtime.block_on(case(table.table.clone(), false).add(row(2000)));
            table.rows.push(row(2000));
        }
        self.judge("read", &tables);
        self.read(&mut tables);
    }

    /// PyIceberg and DuckDB find what is expected; with `append`, PyIceberg appends row 1000 to each, and they find
    /// that too.
    fn judge(&self, step: &str, tables: &[Expected]) {
        let lines: Vec<String> =
            tables.iter().map(|table| serde_json::to_string(table).unwrap() + "\n").collect();
        let expected = self.lake.file("expected.jsonl", lines.concat());
        let [kind, uri] = &self.judge;
        judge("commit_kinds.py", &self.lake, &[kind, uri, &self.name, expected.to_str().unwrap(), step]);
    }

    /// Sluice finds what is expected.
    fn read(&self, tables: &mut [Expected]) {
        let select = |name: &TableName| format!("select '{name}' as t, id, status from {name}");
        let sql: Vec<String> = tables.iter().map(|table| select(&table.table)).collect();
        let rows = self.lake.succeed(&["sql", &sql.join(" union all "), "--json"]).json_lines();
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
}
