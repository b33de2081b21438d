//! Date functions, by their answers.

use crate::tests::{TestLake, shown, value};

async fn answers(cases: &[(&str, &str)]) {
    let lake = TestLake::new().await;
    let session = lake.session();
    for (sql, expected) in cases {
        assert_eq!(value(&session, &format!("SELECT {sql}")).await, *expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts() {
    answers(&[
        ("year(date '2026-11-21')", "2026"),
        ("month(timestamp '2026-11-21 13:14:15')", "11"),
        ("day('2026-11-21')", "21"),
        ("dayofmonth(date '2026-11-21')", "21"),
        ("hour(timestamp '2026-11-21 13:14:15')", "13"),
        ("quarter(date '2026-11-21')", "4"),
        ("week(date '2026-01-01')", "1"),
        ("dayofyear(date '2026-02-01')", "32"),
        ("year(NULL)", "NULL"),
        ("cast(date('2026-11-21 13:14:15') AS varchar)", "2026-11-21"),
        ("cast(last_day(date '2024-02-03') AS varchar)", "2024-02-29"),
        ("cast(last_day(timestamp '2025-12-31 23:59:59') AS varchar)", "2025-12-31"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_count_boundaries() {
    answers(&[
        ("date_diff('day', timestamp '2026-01-01 23:59:00', timestamp '2026-01-02 00:01:00')", "1"),
        ("datediff(day, date '2026-01-31', date '2026-01-01')", "-30"),
        ("datediff('month', date '2025-12-31', date '2026-01-01')", "1"),
        ("datediff('year', date '2025-12-31', date '2026-01-01')", "1"),
        ("datediff('quarter', date '2025-12-31', date '2026-07-01')", "3"),
        ("datediff('week', date '2026-11-22', date '2026-11-23')", "1"),
        ("datediff('week', date '2026-11-16', date '2026-11-22')", "0"),
        ("timestampdiff(HOUR, timestamp '2026-01-01 00:59:00', timestamp '2026-01-01 02:00:00')", "2"),
        ("date_diff(date '2026-01-05', date '2026-01-01', day)", "4"),
        ("datediff(date '2026-01-05', date '2026-01-01')", "4"),
        ("datediff('day', '1969-12-30', '1970-01-02')", "3"),
        ("datediff('day', NULL, date '2026-01-01')", "NULL"),
        (
            "sum(datediff('day', '2026-01-01', d)) FROM (VALUES ('2026-01-03'), (NULL), ('2026-01-04')) v(d)",
            "5",
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn additions_keep_dates_dates() {
    answers(&[
        ("cast(dateadd(month, 1, date '2026-01-31') AS varchar)", "2026-02-28"),
        ("arrow_typeof(dateadd(month, 1, date '2026-01-31'))", "Date32"),
        ("cast(date_add('hour', 3, date '2026-01-31') AS varchar)", "2026-01-31T03:00:00"),
        ("cast(date_add(date '2026-01-31', 1) AS varchar)", "2026-02-01"),
        ("cast(date_sub(date '2026-01-01', 1) AS varchar)", "2025-12-31"),
        ("cast(date_add(date '2026-01-31', interval '1 month') AS varchar)", "2026-02-28"),
        ("cast(date_add('year', -1, timestamp '2024-02-29 10:00:00') AS varchar)", "2023-02-28T10:00:00"),
        (
            "cast(max(date_add('day', n, date '2026-01-01')) AS varchar) FROM (VALUES (1), (40)) v(n)",
            "2026-02-10",
        ),
        ("cast(date_trunc(month, timestamp '2026-05-06 07:08:09') AS varchar)", "2026-05-01T00:00:00"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_named() {
    let lake = TestLake::new().await;
    let session = lake.session();
    let unknown = shown(&session, "SELECT datediff('fortnight', date '2026-01-01', date '2026-01-02')").await;
    assert!(unknown.contains("`fortnight` is no unit of date_diff"), "{unknown}");
    let number = shown(&session, "SELECT year(1)").await;
    assert!(number.contains("year takes a date or timestamp, not Int64"), "{number}");
    // A column called like a unit stays a column where no unit stands.
    let column = value(
        &session,
        "SELECT datediff('day', day, date '2026-01-03') FROM (VALUES (date '2026-01-01')) v(day)",
    )
    .await;
    assert_eq!(column, "2");
}
