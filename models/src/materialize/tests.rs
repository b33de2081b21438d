//! Models on a lake in memory: every kind, every commit, and what a failed build leaves behind.

use crate::build::BuildOptions;
use crate::error::Error;
use crate::project::Project;
use crate::report::{CheckStatus, Status};
use crate::testing::{TestLake, project};

const SOURCES: (&str, &str) =
    ("models/s.yml", "sources: [{name: bronze, tables: [{name: rows}, {name: more}]}]");

fn shop(files: &[(&str, &str)]) -> Project {
    project(&[&[SOURCES], files].concat()).unwrap()
}

async fn with_rows() -> TestLake {
    let lake = TestLake::new().await;
    lake.land("bronze.rows", "select * from (values (1, 10), (2, 20), (3, 30)) as t(id, amount)").await;
    lake
}

#[tokio::test]
async fn views_and_tables_hold_their_query() {
    let lake = with_rows().await;
    let project = shop(&[
        ("models/silver/v.sql", "select id, amount * 2 as double from {{ source('bronze', 'rows') }}"),
        (
            "models/gold/t.sql",
            "{{ config(materialized='table') }}\n\
             select sum(double) as total, count(*) as n from {{ ref('v') }}",
        ),
    ]);
    let report = lake.build_all(&project).await;
    assert_eq!(lake.rows("select * from gold.t").await, ["120|3"]);
    assert_eq!(report.result("t").unwrap().rows, Some(1));
    assert_eq!(report.result("t").unwrap().action, "created table");
    assert_eq!(report.result("v").unwrap().rows, None);

    lake.land("bronze.rows", "select 4 as id, 40 as amount").await;
    let report = lake.build_all(&project).await;
    assert_eq!(report.result("t").unwrap().action, "replaced table");
    assert_eq!(lake.rows("select * from gold.t").await, ["200|4"]);
}

#[tokio::test]
async fn types_that_iceberg_lacks_are_stored_as_the_next_wider() {
    let lake = with_rows().await;
    let project = shop(&[(
        "models/t.sql",
        "{{ config(materialized='table') }}\nselect row_number() over (order by id) as n, \
         date_trunc('day', timestamp '2024-02-03 04:05:06') as day from {{ source('bronze', 'rows') }}",
    )]);
    lake.build_all(&project).await;
    lake.build_all(&project).await;
    assert_eq!(lake.rows("select max(n), min(day) from main.t").await, ["3|2024-02-03T00:00:00"]);
}

#[tokio::test]
async fn an_empty_result_replaces_what_was_there() {
    let lake = with_rows().await;
    let model = "{{ config(materialized='table') }}\n\
                 select id from {{ source('bronze', 'rows') }} where id > {{ var('above', 0) }}";
    let project = shop(&[("models/t.sql", model)]);
    lake.build_all(&project).await;
    let mut options = lake.options();
    options.inputs.vars.insert("above".to_owned(), 100.into());
    assert!(lake.build_with(&project, &options).await.succeeded());
    assert_eq!(lake.rows("select count(*) from main.t").await, ["0"]);
}

#[tokio::test]
async fn is_incremental_filters_the_second_build() {
    let lake = with_rows().await;
    let model = "{{ config(materialized='incremental') }}\n\
                 select id, amount from {{ source('bronze', 'rows') }}\n\
                 {% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}";
    let project = shop(&[("models/silver/t.sql", model)]);
    assert_eq!(lake.build_all(&project).await.result("t").unwrap().rows, Some(3));
    lake.land("bronze.rows", "select 4 as id, 40 as amount").await;
    let second = lake.build_all(&project).await;
    assert_eq!(second.result("t").unwrap().rows, Some(1));
    assert_eq!(second.result("t").unwrap().action, "appended to incremental");
    assert_eq!(lake.build_all(&project).await.result("t").unwrap().rows, Some(0));
    assert_eq!(lake.rows("select count(*), sum(amount) from silver.t").await, ["4|100"]);

    let mut refresh = lake.options();
    refresh.inputs.full_refresh = true;
    assert_eq!(lake.build_with(&project, &refresh).await.result("t").unwrap().rows, Some(4));
}

#[tokio::test]
async fn incremental_from_reads_each_landed_row_once() {
    let lake = with_rows().await;
    let model = "{{ config(materialized='incremental', incremental_from='bronze.rows') }}\n\
                 select id, amount from {{ source('bronze', 'rows') }}";
    let project = shop(&[("models/silver/t.sql", model)]);
    let rows = async || lake.build_all(&project).await.result("t").unwrap().rows;
    assert_eq!(rows().await, Some(3));
    assert_eq!(rows().await, Some(0));
    lake.land("bronze.rows", "select 4 as id, 40 as amount").await;
    // The same values again are new rows: what was read is known by snapshot, not by value.
    lake.land("bronze.rows", "select 4 as id, 40 as amount").await;
    assert_eq!(rows().await, Some(2));
    assert_eq!(rows().await, Some(0));
    assert_eq!(lake.rows("select count(*), sum(amount) from silver.t").await, ["5|140"]);
}

#[tokio::test]
async fn incremental_from_begins_with_an_input_that_is_empty() {
    let lake = TestLake::new().await;
    lake.land("bronze.rows", "select 1 as id, 10 as amount where false").await;
    let model = "{{ config(materialized='incremental', incremental_from='bronze.rows') }}\n\
                 select id, amount from {{ source('bronze', 'rows') }}";
    let project = shop(&[("models/silver/t.sql", model)]);
    lake.build_all(&project).await;
    lake.build_all(&project).await;
    lake.land("bronze.rows", "select 4 as id, 40 as amount").await;
    lake.build_all(&project).await;
    lake.build_all(&project).await;
    assert_eq!(lake.rows("select id, amount from silver.t").await, ["4|40"]);
}

#[tokio::test]
async fn an_input_that_was_rewritten_asks_for_a_full_refresh() {
    let lake = with_rows().await;
    let project = shop(&[
        (
            "models/silver/base.sql",
            "{{ config(materialized='table') }}\nselect id from {{ source('bronze', 'rows') }}",
        ),
        (
            "models/silver/t.sql",
            "{{ config(materialized='incremental', incremental_from='base') }}\n\
             select id from {{ ref('base') }}",
        ),
    ]);
    lake.build_all(&project).await;
    let report = lake.build(&project).await;
    let result = report.result("t").unwrap();
    assert_eq!(result.status, Status::Error);
    let message = result.message.as_ref().unwrap();
    assert!(
        message.starts_with("models/silver/t.sql: rows of silver.base were changed")
            && message.contains("--full-refresh"),
        "{message}"
    );
    assert_eq!(lake.rows("select count(*) from silver.t").await, ["3"]);
}

fn checked(severity: &str) -> Project {
    let yaml = format!(
        "models: [{{name: t, columns: [{{name: id, tests: \
         [not_null, {{unique: {{config: {{severity: {severity}}}}}}}]}}]}}]"
    );
    shop(&[
        ("models/t.yml", &yaml),
        ("models/t.sql", "{{ config(materialized='table') }}\nselect id from {{ source('bronze', 'rows') }}"),
        ("models/after.sql", "{{ config(materialized='table') }}\nselect count(*) as n from {{ ref('t') }}"),
        ("models/last.sql", "select n from {{ ref('after') }}"),
    ])
}

#[tokio::test]
async fn a_failed_check_publishes_nothing_and_skips_what_follows() {
    let lake = with_rows().await;
    lake.build_all(&checked("error")).await;
    let before = lake.lake().load(&"main.t".parse().unwrap()).await.unwrap().metadata_location().to_owned();
    lake.land("bronze.rows", "select 3 as id, 99 as amount").await;

    let report = lake.build(&checked("error")).await;
    let result = report.result("t").unwrap();
    assert_eq!((result.status, result.rows), (Status::Fail, None));
    assert_eq!(result.checks[1].name, "unique(id)");
    assert_eq!((result.checks[1].status, result.checks[1].failures), (CheckStatus::Fail, 1));
    assert_eq!(report.result("after").unwrap().status, Status::Skip);
    assert_eq!(report.result("last").unwrap().status, Status::Skip);
    assert!(!report.succeeded());
    let after = lake.lake().load(&"main.t".parse().unwrap()).await.unwrap().metadata_location().to_owned();
    assert_eq!(before, after, "the table changed");

    let warned = lake.build(&checked("warn")).await;
    assert_eq!(warned.result("t").unwrap().status, Status::Warn);
    assert!(warned.succeeded());
    assert_eq!(lake.rows("select n from main.after").await, ["4"]);
}

#[tokio::test]
async fn a_new_model_that_fails_its_check_leaves_no_table() {
    let lake = with_rows().await;
    lake.land("bronze.rows", "select 3 as id, 99 as amount").await;
    let report = lake.build(&checked("error")).await;
    assert_eq!(report.result("t").unwrap().status, Status::Fail);
    assert!(lake.lake().find(&"main.t".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_checks_of_an_incremental_model_see_old_and_new_rows() {
    let lake = with_rows().await;
    let project = shop(&[
        ("models/t.yml", "models: [{name: t, columns: [{name: id, tests: [unique]}]}]"),
        (
            "models/t.sql",
            "{{ config(materialized='incremental', incremental_from='bronze.rows') }}\n\
             select id from {{ source('bronze', 'rows') }}",
        ),
    ]);
    lake.build_all(&project).await;
    lake.land("bronze.rows", "select 2 as id, 0 as amount").await;
    let report = lake.build(&project).await;
    assert_eq!(report.result("t").unwrap().status, Status::Fail);
    assert_eq!(lake.rows("select count(*) from main.t").await, ["3"]);
    // The cursor was not moved either: the rows are still to be read.
    assert_eq!(lake.build(&project).await.result("t").unwrap().status, Status::Fail);
}

#[tokio::test]
async fn a_failed_check_keeps_the_old_view() {
    let lake = with_rows().await;
    let yaml = ("models/v.yml", "models: [{name: v, columns: [{name: id, tests: [unique]}]}]");
    lake.build_all(&shop(&[yaml, ("models/v.sql", "select id from {{ source('bronze', 'rows') }}")])).await;
    let twice = "select id from {{ source('bronze', 'rows') }} union all select 1";
    let report = lake.build(&shop(&[yaml, ("models/v.sql", twice)])).await;
    assert_eq!(report.result("v").unwrap().status, Status::Fail);
    assert_eq!(lake.rows("select count(*) from main.v").await, ["3"]);
}

#[tokio::test]
async fn relationships_look_at_the_other_model() {
    let lake = with_rows().await;
    lake.land("bronze.more", "select * from (values (1), (9), (null)) as t(row_id)").await;
    let project = shop(&[
        (
            "models/c.yml",
            "models: [{name: c, columns: [{name: row_id, tests: \
             [{relationships: {to: \"source('bronze', 'rows')\", field: id}}]}]}]",
        ),
        (
            "models/c.sql",
            "{{ config(materialized='table') }}\nselect row_id from {{ source('bronze', 'more') }}",
        ),
    ]);
    let report = lake.build(&project).await;
    assert_eq!(report.result("c").unwrap().checks[0].failures, 1);
}

#[tokio::test]
async fn a_landed_table_is_never_overwritten() {
    let lake = with_rows().await;
    let project =
        shop(&[("models/bronze/more.sql", "{{ config(materialized='table', alias='rows') }}select 1 as id")]);
    let report = lake.build(&project).await;
    let message = report.result("more").unwrap().message.clone().unwrap();
    assert!(message.contains("table bronze.rows exists and was not built by a model"), "{message}");
    assert_eq!(lake.rows("select count(*) from bronze.rows").await, ["3"]);
}

#[tokio::test]
async fn a_missing_source_says_what_to_do() {
    let lake = TestLake::new().await;
    let project = shop(&[("models/a.sql", "select * from {{ source('bronze', 'rows') }}")]);
    let report = lake.build(&project).await;
    assert_eq!(
        report.result("a").unwrap().message.as_deref().unwrap(),
        "models/a.sql: source bronze.rows (declared in models/s.yml:1) does not exist as bronze.rows\n  \
         bring it in first: `sluice ingest` or `sluice load`"
    );
}

#[tokio::test]
async fn changed_columns_need_a_full_refresh() {
    let lake = with_rows().await;
    let model = |column: &str| {
        shop(&[(
            "models/t.sql",
            &format!("{{{{ config(materialized='table') }}}}select id as {column} from bronze.rows"),
        )])
    };
    lake.build_all(&model("a")).await;
    let report = lake.build(&model("b")).await;
    let message = report.result("t").unwrap().message.clone().unwrap();
    assert!(
        message.contains("`b` Int64 is new, `a` Int64 is gone") && message.contains("--full-refresh"),
        "{message}"
    );
    assert_eq!(lake.rows("select max(a) from main.t").await, ["3"]);
    let mut refresh = lake.options();
    refresh.inputs.full_refresh = true;
    assert!(lake.build_with(&model("b"), &refresh).await.succeeded());
    assert_eq!(lake.rows("select max(b) from main.t").await, ["3"]);

    // Even then the old table only goes when the new one is known to be good.
    for wrong in [
        "c from (select null as id)",
        "c from (select 'x' as id), (select cast('x' as int) as y) where y = 1",
    ] {
        let yaml = ("models/t.yml", "models: [{name: t, columns: [{name: c, tests: [not_null]}]}]");
        let text = format!("{{{{ config(materialized='table') }}}}select cast(id as varchar) as {wrong}");
        let report = lake.build_with(&shop(&[yaml, ("models/t.sql", &text)]), &refresh).await;
        assert!(!report.succeeded(), "{wrong}");
        assert_eq!(lake.rows("select max(b) from main.t").await, ["3"]);
    }
}

#[tokio::test]
async fn a_view_can_become_a_table_and_the_other_way() {
    let lake = with_rows().await;
    let model = |kind: &str| {
        shop(&[(
            "models/t.sql",
            &format!("{{{{ config(materialized='{kind}') }}}}select id from bronze.rows"),
        )])
    };
    for kind in ["view", "table", "view"] {
        lake.build_all(&model(kind)).await;
        assert_eq!(lake.rows("select count(*) from main.t").await, ["3"], "as {kind}");
    }
}

#[tokio::test]
async fn errors_of_the_engine_name_the_models_own_line() {
    let lake = with_rows().await;
    for (text, line) in
        [("select sum(amont) as total\n", 2), ("select sum(amount as total\n", 2), ("\n\nselec 1\n", 4)]
    {
        let model = format!(
            "{{{{ config(materialized='table') }}}}\n{text}from {{{{ source('bronze', 'rows') }}}}\n"
        );
        let report = lake.build(&shop(&[("models/gold/t.sql", &model)])).await;
        let message = report.result("t").unwrap().message.clone().unwrap();
        assert!(message.starts_with(&format!("models/gold/t.sql:{line}: ")), "{message}");
    }
}

#[tokio::test]
async fn an_error_while_running_leaves_nothing() {
    let lake = with_rows().await;
    let model = "{{ config(materialized='table') }}\n\
                 select cast('x' || id as int) as n from {{ source('bronze', 'rows') }}";
    let report = lake.build(&shop(&[("models/t.sql", model)])).await;
    assert_eq!(report.result("t").unwrap().status, Status::Error);
    assert!(lake.lake().find(&"main.t".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn two_builds_of_one_incremental_model_at_a_time_append_once() {
    let lake = with_rows().await;
    let model = "{{ config(materialized='incremental', incremental_from='bronze.rows') }}\n\
             select id from {{ source('bronze', 'rows') }}";
    let project = shop(&[("models/t.sql", model)]);
    lake.build_all(&project).await;
    for round in 0..5 {
        lake.land("bronze.rows", &format!("select {} as id, 0 as amount", 10 + round)).await;
        let (left, right): (BuildOptions, BuildOptions) = (lake.options(), lake.options());
        let (one, other) = tokio::join!(lake.build_with(&project, &left), lake.build_with(&project, &right));
        assert!(one.succeeded() && other.succeeded());
    }
    assert_eq!(lake.rows("select count(*), count(distinct id) from main.t").await, ["8|8"]);
}

#[tokio::test]
async fn partitions_and_descriptions_reach_the_table() {
    let lake = with_rows().await;
    let project = shop(&[
        (
            "models/t.yml",
            "models: [{name: t, description: All., columns: [{name: id, description: Names it.}]}]",
        ),
        (
            "models/t.sql",
            "{{ config(materialized='table', partition_by='bucket(4, id)') }}\n\
             select id from {{ source('bronze', 'rows') }}",
        ),
    ]);
    lake.build_all(&project).await;
    let table = lake.lake().load(&"main.t".parse().unwrap()).await.unwrap();
    assert_eq!(table.metadata().default_partition_spec().fields().len(), 1);
    assert_eq!(table.metadata().properties().get("comment").map(String::as_str), Some("All."));
    assert_eq!(table.schema().field(0).metadata().get("doc").map(String::as_str), Some("Names it."));
}

#[tokio::test]
async fn a_wrong_project_builds_nothing() {
    let lake = with_rows().await;
    let project =
        shop(&[("models/a.sql", "select 1 as x"), ("models/b.sql", "select * from {{ ref('none') }}")]);
    let error = crate::build::build(&lake.engine, &project, &lake.options(), &crate::report::Silent)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid(_)));
    assert!(lake.lake().find_view(&"main.a".parse().unwrap()).await.unwrap().is_none());
}
