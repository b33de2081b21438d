//! Models that cannot be built: the message names file and line, and what readers see stays as it was.

use crate::sluice::{Lake, Run};

const PROJECT: &str = "name: test\n";

fn lake_with_rows() -> Lake {
    let lake = Lake::on_disk();
    lake.file("rows.csv", "id,amount\n1,10\n2,20\n3,30\n");
    lake.succeed(&["load", "csv", "rows.csv", "--table", "bronze.rows"]);
    lake.file("project/dbt_project.yml", PROJECT);
    lake.file("project/models/sources.yml", "sources:\n  - name: bronze\n    tables:\n      - name: rows\n");
    lake
}

fn build(lake: &Lake) -> Run {
    lake.run(&["build", "--project", "project"])
}

fn refused(run: &Run, words: &[&str]) {
    assert!(matches!(run.status.code(), Some(1 | 2)), "{run}");
    let said = format!("{}{}", run.stdout, run.stderr);
    for word in words {
        assert!(said.contains(word), "the message does not say `{word}`: {run}");
    }
    assert!(!said.contains("panicked"), "{run}");
}

#[test]
fn a_project_that_is_wrong_is_refused_before_anything_is_built() {
    let lake = lake_with_rows();
    lake.file("project/models/silver/good.sql", "select id, amount from {{ source('bronze', 'rows') }}\n");
    lake.file("project/models/silver/first.sql", "select * from\n{{ ref('second') }}\n");
    lake.file("project/models/silver/second.sql", "select * from {{ ref('first') }}\n");
    refused(&build(&lake), &["first", "second", "cycle", ".sql"]);

    lake.file("project/models/silver/first.sql", "select 1 as one\n");
    lake.file("project/models/silver/second.sql", "-- a comment\nselect *\nfrom {{ ref('god') }}\n");
    refused(&build(&lake), &["models/silver/second.sql:3", "god", "good"]);

    lake.file("project/models/silver/second.sql", "select *\nfrom {{ source('bronze', 'row') }}\n");
    refused(&build(&lake), &["models/silver/second.sql:2", "row", "rows"]);

    lake.file("project/models/silver/second.sql", "select *\nfrom {{ ref('good' }}\n");
    refused(&build(&lake), &["models/silver/second.sql:2"]);

    let tables = lake.succeed(&["tables", "--json"]).stdout;
    assert!(!tables.contains("silver."), "{tables}");
}

#[test]
fn wrong_sql_in_a_model_names_file_and_line_and_leaves_the_table() {
    let lake = lake_with_rows();
    let config = "{{ config(materialized='table') }}\n";
    lake.file(
        "project/models/gold/total.sql",
        format!("{config}select sum(amount) as total\nfrom {{{{ source('bronze', 'rows') }}}}\n"),
    );
    let run = build(&lake);
    assert!(run.status.success(), "{run}");
    let total = || lake.succeed(&["sql", "select total from gold.total", "--json"]).json()["total"].as_f64();
    assert_eq!(total(), Some(60.0));

    for (text, line) in [
        ("select sum(amont) as total\n", 2),
        ("select sum(amount as total\n", 2),
        ("\n\nselec 1 as total\n", 4),
    ] {
        let from = "from {{ source('bronze', 'rows') }}\n";
        lake.file("project/models/gold/total.sql", format!("{config}{text}{from}"));
        refused(&build(&lake), &[&format!("models/gold/total.sql:{line}")]);
        assert_eq!(total(), Some(60.0), "a failed build changed the table");
    }
}

#[test]
fn a_failed_test_keeps_the_table_from_being_published() {
    let lake = lake_with_rows();
    lake.file(
        "project/models/gold/items.sql",
        "{{ config(materialized='table') }}\nselect id from {{ source('bronze', 'rows') }}\n",
    );
    lake.file(
        "project/models/gold/schema.yml",
        "models:\n  - name: items\n    columns:\n      - name: id\n        tests: [not_null, unique]\n",
    );
    let run = build(&lake);
    assert!(run.status.success(), "{run}");
    lake.succeed(&["test", "--project", "project"]);

    lake.file("more.csv", "id,amount\n3,40\n");
    lake.succeed(&["load", "csv", "more.csv", "--table", "bronze.rows"]);
    refused(&build(&lake), &["items", "unique", "id"]);
    let rows = lake.succeed(&["sql", "select count(*) as n from gold.items", "--json"]).json();
    assert_eq!(rows["n"], 3, "a table whose test failed was published");
}
