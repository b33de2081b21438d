//! Order, parallelism, reports and the standalone test run.

use crate::build::{build, test};
use crate::report::Status;
use crate::select::Selection;
use crate::testing::{Notes, TestLake, project};

const TABLE: &str = "{{ config(materialized='table') }}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_model_starts_after_its_inputs_ended() {
    let lake = TestLake::new().await;
    let text = |inputs: &str| {
        let refs: Vec<String> =
            inputs.chars().map(|c| format!("select x from {{{{ ref('{c}') }}}}")).collect();
        let sql = if refs.is_empty() { "select 1 as x".to_owned() } else { refs.join(" union all ") };
        format!("{TABLE}{sql}")
    };
    let inputs = [("a", ""), ("b", ""), ("c", "a"), ("d", "ab"), ("e", "cd"), ("f", ""), ("g", "ef")];
    let files: Vec<(String, String)> =
        inputs.iter().map(|(name, inputs)| (format!("models/{name}.sql"), text(inputs))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let project = project(&files).unwrap();
    for threads in [1, 3, 8] {
        let notes = Notes::default();
        let mut options = lake.options();
        options.threads = threads;
        let report = build(&lake.engine, &project, &options, &notes).await.unwrap();
        assert!(report.succeeded(), "{:#?}", report.results);
        let notes = notes.0.into_inner().unwrap();
        let at = |note: String| notes.iter().position(|other| *other == note).unwrap();
        let mut running: i32 = 0;
        let mut most = 0;
        for note in &notes {
            running += if note.starts_with("start") { 1 } else { -1 };
            most = most.max(running);
        }
        assert!(most <= threads as i32);
        assert!(threads == 1 || most > 1, "{threads} threads, but one model at a time: {notes:?}");
        for (name, inputs) in inputs {
            for input in inputs.chars() {
                assert!(
                    at(format!("end {input} Ok")) < at(format!("start {name}")),
                    "{name} before {input}: {notes:?}"
                );
            }
        }
    }
    // g = e + f, e = c + d, d = a + b
    assert_eq!(lake.rows("select count(*) from main.g").await, ["4"]);
}

#[tokio::test]
async fn one_failure_stops_its_descendants_only() {
    let lake = TestLake::new().await;
    let project = project(&[
        ("models/bad.sql", "select no_such_column as x"),
        ("models/child.sql", "select * from {{ ref('bad') }}"),
        ("models/grandchild.sql", "select * from {{ ref('child') }}"),
        ("models/fine.sql", "select 1 as x"),
    ])
    .unwrap();
    let report = lake.build(&project).await;
    let status = |name| report.result(name).unwrap().status;
    assert_eq!(status("bad"), Status::Error);
    assert_eq!([status("child"), status("grandchild")], [Status::Skip, Status::Skip]);
    assert_eq!(status("fine"), Status::Ok);
    let text = report.to_string();
    assert!(text.ends_with("PASS=1 WARN=0 ERROR=1 SKIP=2 TOTAL=4"), "{text}");
    assert_eq!(report.result("child").unwrap().message.as_deref(), Some("its input bad was not published"));
}

#[tokio::test]
async fn lines_of_a_report_read_as_promised() {
    let lake = TestLake::new().await;
    let model = format!("{TABLE}select * from generate_series(1, 1204) as t(x)");
    let project = project(&[("models/silver/orders.sql", &model)]).unwrap();
    let report = lake.build_all(&project).await;
    let mut result = report.results[0].clone();
    result.seconds = 0.84;
    assert_eq!(result.to_string(), "OK created table silver.orders [1,204 rows in 0.84s]");
    assert_eq!(result.unique_id, "model.shop.orders");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["results"][0]["status"], "ok");
    assert_eq!(json["results"][0]["rows"], 1204);
}

#[tokio::test]
async fn a_selection_builds_nothing_else_but_keeps_the_order() {
    let lake = TestLake::new().await;
    let project = project(&[
        ("models/a.sql", "select 1 as x"),
        ("models/b.sql", "select * from {{ ref('a') }}"),
        ("models/c.sql", "select * from {{ ref('b') }}"),
    ])
    .unwrap();
    let mut options = lake.options();
    options.selection = Selection::of("b");
    let report = lake.build_with(&project, &options).await;
    let message = report.result("b").unwrap().message.clone().unwrap();
    assert!(
        message.contains("model a (models/a.sql) does not exist as main.a\n  build it first: select `+b`"),
        "{message}"
    );

    options.selection = Selection::of("+c");
    options.selection.exclude = vec!["b".to_owned()];
    let plan = crate::plan::plan(&project, &options.inputs, &options.selection).unwrap();
    assert_eq!(
        plan.to_string(),
        "1 of 2 view main.a (models/a.sql)\n2 of 2 view main.c (models/c.sql)\n    reads b\n"
    );
    assert_eq!(plan.steps[1].after, ["a"]);
}

#[tokio::test]
async fn test_looks_at_what_is_published_and_at_sources() {
    let lake = TestLake::new().await;
    let yaml = "models: [{name: m, columns: [{name: x, tests: [unique]}]}]\n\
                sources: [{name: bronze, tables: [{name: rows, columns: [{name: x, tests: [unique]}]}]}]";
    let project =
        project(&[("models/p.yml", yaml), ("models/m.sql", "select x from {{ source('bronze', 'rows') }}")])
            .unwrap();
    let run = async || test(&lake.engine, &project, &lake.options(), &crate::report::Silent).await.unwrap();
    let report = run().await;
    let message = report.result("m").unwrap().message.clone().unwrap();
    assert_eq!(
        message,
        "models/m.sql: main.m does not exist, so there is nothing to test\n  build or load it first"
    );

    lake.land("bronze.rows", "select 1 as x").await;
    lake.build_all(&project).await;
    assert!(run().await.succeeded());
    lake.land("bronze.rows", "select 1 as x").await;
    let report = run().await;
    assert_eq!(report.result("m").unwrap().status, Status::Fail);
    assert_eq!(report.result("bronze.rows").unwrap().status, Status::Fail);
    assert_eq!(report.result("bronze.rows").unwrap().unique_id, "source.shop.bronze.rows");
}

#[tokio::test]
async fn compiled_sql_is_written_where_told() {
    let lake = TestLake::new().await;
    let folder = tempfile::tempdir().unwrap();
    let project =
        project(&[("models/gold/a.sql", "{{ config(materialized='view') }}\nselect {{ 1 + 1 }} as x")])
            .unwrap();
    let mut options = lake.options();
    options.target_dir = Some(folder.path().to_owned());
    lake.build_with(&project, &options).await;
    let written = std::fs::read_to_string(folder.path().join("compiled/shop/models/gold/a.sql")).unwrap();
    assert_eq!(written, "select 2 as x\n");
}
