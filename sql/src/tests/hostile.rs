//! Text that is meant to break the planner ends in an error or an answer, never in the end of the process.

use std::fmt::Write;

use super::TestLake;
use crate::{Error, Session};

async fn outcome(session: &Session, sql: &str) -> Result<(), Error> {
    super::rows(session, sql, Vec::new()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flat_chains() {
    let lake = TestLake::new().await;
    let session = lake.session();
    let long = format!("SELECT 1{}", "+1".repeat(2_000));
    assert!(matches!(outcome(&session, &long).await, Err(Error::Syntax(_))));
    for (first, link) in [("n", "+n"), ("n = 1", " OR n = 1"), ("true", " AND true"), ("'a'", " || 'a'")] {
        let links = 1_000 / link.split(' ').filter(|word| !word.is_empty()).count().max(1);
        let chain =
            format!("SELECT {first}{} FROM generate_series(1, 3) AS t(n)", link.repeat(links.min(100)));
        outcome(&session, &chain).await.unwrap();
    }
    let full = format!("SELECT n{} FROM generate_series(1, 3) AS t(n)", "+n".repeat(1_000));
    outcome(&session, &full).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_nesting() {
    let lake = TestLake::new().await;
    let session = lake.session();
    for (open, close) in
        [("(", ")"), ("abs(", ")"), ("CASE WHEN true THEN ", " END"), ("NOT (", ")"), ("[", "]")]
    {
        for depth in [2_000, 400] {
            let sql = format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth));
            assert!(matches!(outcome(&session, &sql).await, Err(Error::Syntax(_))), "{open} {depth}");
        }
    }
    let selects = format!("{}SELECT 1 AS a{}", "SELECT * FROM (".repeat(300), ")".repeat(300));
    assert!(matches!(outcome(&session, &selects).await, Err(Error::Syntax(_))));
    let selects = format!("{}SELECT 1 AS a{}", "SELECT * FROM (".repeat(30), ")".repeat(30));
    outcome(&session, &selects).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefix_chains() {
    let lake = TestLake::new().await;
    for prefix in ["NOT ", "- ", "+ ", "~ "] {
        let sql = format!("SELECT {}1", prefix.repeat(900));
        assert!(matches!(outcome(&lake.session(), &sql).await, Err(Error::Syntax(_))), "{prefix}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sheer_size() {
    let lake = TestLake::new().await;
    let session = lake.session();
    let text = format!("SELECT '{}'", "x".repeat(1 << 20));
    assert!(matches!(outcome(&session, &text).await, Err(Error::Syntax(_))));
    let unions = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(2_000));
    assert!(matches!(outcome(&session, &unions).await, Err(Error::Syntax(_))));
    let unions = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(300));
    outcome(&session, &unions).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubling_with_queries() {
    let lake = TestLake::new().await;
    let mut sql = "WITH c0 AS (SELECT 1 AS n)".to_owned();
    for level in 1..=40 {
        let below = level - 1;
        write!(sql, ", c{level} AS (SELECT a.n FROM c{below} a, c{below} b)").unwrap();
    }
    sql.push_str(" SELECT * FROM c40");
    let error = outcome(&lake.session(), &sql).await.unwrap_err();
    assert!(matches!(&error, Error::Plan(c) if c.message().contains("unfolds")), "{error}");

    // The same by expressions.
    let mut sql = "WITH c0 AS (SELECT value AS n FROM generate_series(1, 3))".to_owned();
    for level in 1..=60 {
        let below = level - 1;
        write!(sql, ", c{level} AS (SELECT (n + n) % 7 AS n FROM c{below})").unwrap();
    }
    sql.push_str(" SELECT * FROM c60");
    outcome(&lake.session(), &sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_bytes() {
    let lake = TestLake::new().await;
    let session = lake.session();
    for sql in [
        "",
        ";",
        "'",
        "\"",
        "/*",
        "SELECT \0",
        "SELECT '\u{202e}",
        "$$",
        "$1",
        "?",
        "SELECT \u{feff}1",
        "\u{1f4a9}",
    ] {
        assert!(matches!(session.prepare(sql).await, Err(Error::Syntax(_) | Error::Plan(_))), "{sql:?}");
    }
}
