//! The selection language.

use crate::select::Selection;
use crate::testing::graph;

const FILES: [(&str, &str); 7] = [
    ("models/s.yml", "sources: [{name: bronze, tables: [{name: raw}]}]"),
    ("models/silver/a.sql", "{{ config(tags='daily') }}select * from {{ source('bronze', 'raw') }}"),
    ("models/silver/b.sql", "select * from {{ ref('a') }}"),
    ("models/silver/hidden.sql", "{{ config(materialized='ephemeral') }}select * from {{ ref('b') }}"),
    ("models/gold/c.sql", "{{ config(tags=['daily', 'x']) }}select * from {{ ref('hidden') }}"),
    ("models/gold/d.sql", "select 1 as one"),
    ("models/gold/daily_d.sql", "select * from {{ ref('d') }}"),
];

fn picked(select: &str, exclude: &str) -> String {
    let graph = graph(&FILES).unwrap();
    let mut selection = Selection::of(select);
    selection.exclude = Selection::of(exclude).select;
    match selection.apply(&graph) {
        Ok(names) => names.into_iter().collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn selectors_pick_what_the_table_says() {
    for (select, exclude, expected) in [
        ("", "", "a b c d daily_d"),
        ("b", "", "b"),
        ("gold.d", "", "d"),
        ("+c", "", "a b c"),
        ("a+", "", "a b c"),
        ("+b+", "", "a b c"),
        ("tag:daily", "", "a c"),
        ("tag:daily,path:gold", "", "c"),
        ("path:models/gold", "", "c d daily_d"),
        ("models/silver/a.sql", "", "a"),
        ("silver/b.sql d", "", "b d"),
        ("*d", "", "d daily_d"),
        ("gold.*", "d+", "c"),
        ("source:bronze.raw+", "", "a b c"),
        ("source:bronze+", "c", "a b"),
        ("config.materialized:view", "tag:daily", "b d daily_d"),
    ] {
        assert_eq!(picked(select, exclude), expected, "select `{select}` exclude `{exclude}`");
    }
}

#[test]
fn a_selector_that_picks_nothing_is_an_error() {
    assert_eq!(picked("dayly_d", ""), "`dayly_d` selects no model\n  did you mean `daily_d`?");
    assert!(picked("tag:none", "").starts_with("`tag:none` selects no model"));
    assert!(picked("source:bronze.raw", "").contains("selects no model"));
}
