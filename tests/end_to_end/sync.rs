//! Reference data from a real PostgreSQL and a local HTTP server: whole, by a cursor, by a key; killed in the middle;
//! judged by PyIceberg and DuckDB.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::Value;

use crate::judge::{judge, same_rows};
use crate::kill_points::store;
use crate::parts::parts;
use crate::sluice::{Lake, unique};
use crate::wire::Moment::{After, Before};
use crate::wire::{Moment, Point};

const TABLES: [&str; 4] = ["bronze.products", "bronze.changes", "bronze.copied", "bronze.rates"];

/// The arrows of a run that changes rows by their key.
const POINTS: [(&str, Moment, &str); 4] = [
    ("no file is written", Before, "PUT *.parquet"),
    ("rows and deletes are written", After, "PUT *-deletes-0.parquet"),
    ("the list is written", After, "PUT */snap-"),
    ("everything is written, nothing swapped", After, "PUT *.metadata.json"),
];

struct Source {
    lake: Lake,
    table: String,
}

impl Source {
    fn new() -> Self {
        let schema = unique("reference").replace('-', "_");
        let lake = Lake::on_s3()
            .with("SYNC_SOURCE", parts().get("POSTGRES_URL"))
            .with("SYNC_PASSWORD", parts().get("POSTGRES_PASSWORD"));
        let source = Self { lake, table: format!("{schema}.products") };
        source.change(&format!(
            "create schema {schema};
             create type {schema}.mood as enum ('calm', 'wild');
             create table {schema}.products (id bigint primary key, name text not null, price numeric(10, 2),
               active boolean, tags text[], detail jsonb, updated_at timestamptz not null);
             insert into {schema}.products select n, 'product ' || n, n / 7.0, n % 2 = 0, array['a', 'b' || n],
               jsonb_build_object('n', n), '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second'
             from generate_series(1, 3000) n;
             insert into {schema}.products values (0, 'nothing', null, null, null, null, '2026-01-01T00:00:00Z')"
        ));
        source
    }

    fn change(&self, sql: &str) {
        judge("reference.py", &self.lake, &["run", &sql.replace("PRODUCTS", &self.table)]);
    }

    /// The sync file.
    fn describe(&self, rates: &str) {
        let table = |name: &str, more: &str| {
            format!(
                "  - name: {name}\n    postgres:\n      url: {}\n      password_env: SYNC_PASSWORD\n      \
                 table: {}\n{more}",
                parts().get("POSTGRES_URL"),
                self.table
            )
        };
        let products = table("products", "      cursor: updated_at\n      key: [id]\n      overlap: 1h\n");
        let changes = table("changes", "      cursor: updated_at\n");
        let copied = table("copied", "");
        let rates = format!(
            "  - name: rates\n    every: 1s\n    http:\n      url: {rates}/latest\n      records: /rates\n      \
             entries: {{key: currency, value: rate}}\n      with: {{day: /date}}\n      \
             columns: {{day: date, currency: string, rate: 'decimal(18,6)'}}\n"
        );
        self.lake.file("sync.yaml", format!("syncs:\n{products}{changes}{copied}{rates}"));
    }

    fn sync(&self, arguments: &[&str]) -> Vec<Value> {
        self.lake.succeed(&[&["sync", "--once", "--json"], arguments].concat()).json_lines()
    }

    /// The table is what the source says.
    fn judge(&self, table: &str) {
        let data = self.lake.dir().to_str().unwrap();
        judge("reference.py", &self.lake, &["same", data, table, &self.table]);
    }

    /// Where the states of all tables lie.
    fn states(&self) -> String {
        let data = self.lake.dir().to_str().unwrap();
        judge("reference.py", &self.lake, &[&["state", data], TABLES.as_slice()].concat())
    }
}

/// A feed of exchange rates: the first answer is good, the second not modified for who knows it, later ones are none.
fn feed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let known =
                String::from_utf8_lossy(&head[..length]).to_lowercase().contains("if-none-match: \"v1\"");
            let body = r#"{"date":"2026-11-20","rates":{"USD":1.1650,"JPY":181.25}}"#;
            let (status, body) = if known { (304, "") } else { (200, body) };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\netag: \"v1\"\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

fn outcomes(reports: &[Value]) -> Vec<(&str, u64)> {
    reports.iter().map(|it| (it["outcome"].as_str().unwrap(), it["written"].as_u64().unwrap())).collect()
}

#[test]
fn reference_data_follows_its_source_exactly_also_when_killed() {
    let source = Source::new();
    source.describe(&feed());
    let dry = source.sync(&["--all", "--dry-run"]);
    assert_eq!(outcomes(&dry), [("merged", 3001), ("appended", 3001), ("replaced", 3001), ("replaced", 2)]);
    assert_eq!(source.lake.succeed(&["tables", "--json"]).stdout, "", "a dry run makes no table");

    source.sync(&["--all"]);
    ["bronze.products", "bronze.changes", "bronze.copied"].iter().for_each(|table| source.judge(table));
    let rates = source.lake.succeed(&["sql", "select * from bronze.rates order by currency", "--csv"]);
    assert_eq!(rates.stdout, "day,currency,rate\n2026-11-20,JPY,181.250000\n2026-11-20,USD,1.165000\n");
    let before = source.states();
    assert!(outcomes(&source.sync(&["--all"])).iter().all(|it| *it == ("unchanged", 0)));
    assert_eq!(source.states(), before, "what did not change commits nothing");

    // One row more with the largest cursor, one that was committed late, one that changed.
    source.change(
        "insert into PRODUCTS select 9001, 'tie', 1, true, '{}', null, max(updated_at) from PRODUCTS;
         insert into PRODUCTS select 9002, 'late', 2, true, '{}', '{}', max(updated_at) - interval '5 minutes' from PRODUCTS",
    );
    assert_eq!(outcomes(&source.sync(&["--all"])[..2]), [("merged", 2), ("appended", 2)]);
    source.judge("bronze.changes");
    source.change("update PRODUCTS set price = 5, updated_at = '2026-02-01T00:00:00Z' where id in (7, 9001)");
    let merged = source.sync(&["products"]);
    assert_eq!((outcomes(&merged)[0], merged[0]["replaced"].as_u64()), (("merged", 2), Some(2)));
    source.judge("bronze.products");

    for (number, (name, moment, request)) in POINTS.into_iter().enumerate() {
        source.change(&format!(
            "update PRODUCTS set price = {number}, updated_at = timestamptz '2026-03-0{}T00:00:00Z' where id < 500;
             insert into PRODUCTS select max(id) + 1, 'new', 0, false, null, null, '2026-03-0{}T00:00:00Z' from PRODUCTS",
            number + 1,
            number + 1
        ));
        let (wire, variable, value) = store(Some(Point { moment, number: 1, request }));
        wire.kills(source.lake.start_with(&["sync", "products", "--once"], &[(variable, value)]), name);
        let again = source.sync(&["products"]);
        assert_eq!((outcomes(&again)[0].0, again[0]["replaced"].as_u64()), ("merged", Some(500)), "{name}");
        source.judge("bronze.products");
    }
    // What others did to the table, and what the source lost, is put right by a table that is read whole.
    source.lake.succeed(&["sql", "delete from bronze.copied where id < 10"]);
    source.change("delete from PRODUCTS where id = 3");
    source.sync(&["copied"]);
    source.judge("bronze.copied");
    same_rows(&source.lake);
}

#[test]
fn a_schedule_goes_on_and_a_bad_source_leaves_the_table() {
    let source = Source::new();
    source.describe(&feed());
    let running = source.lake.start(&["sync", "rates"]);
    while !source.lake.succeed(&["tables"]).stdout.contains("bronze.rates") {}
    running.stop();

    source.change("alter table PRODUCTS add column place point");
    let refused = source.lake.run(&["sync", "copied", "--once"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("`place`") && refused.stderr.contains("columns"), "{refused}");
    source.change("alter table PRODUCTS drop column place");
    source.sync(&["products", "copied"]);
    source.change(
        "update PRODUCTS set price = 'NaN' where id = 9; alter table PRODUCTS add column more int default 4",
    );
    let refused = source.lake.run(&["sync", "copied", "--once"]);
    assert!(refused.stderr.contains("`price`") && refused.stderr.contains("NaN"), "{refused}");
    source.change("update PRODUCTS set price = 3, updated_at = '2026-02-01T00:00:00Z' where id = 9");
    source.sync(&["products", "copied"]);
    source.judge("bronze.products");
    source.judge("bronze.copied");
    let more =
        source.lake.succeed(&["sql", "select more, count(*) as n from bronze.copied group by 1", "--csv"]);
    assert_eq!(more.stdout, "more,n\n4,3001\n");

    let unknown = source.lake.run(&["sync", "prodcts", "--once"]);
    assert!(unknown.status.code() == Some(2) && unknown.stderr.contains("products"), "{unknown}");
}
