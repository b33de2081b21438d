//! Order, edges, and what is wrong with a graph, as text.

use crate::testing::{graph, refused};

const ONE: &str = "select 1 as one";

fn order(files: &[(&str, &str)]) -> Vec<String> {
    graph(files).unwrap().nodes().map(|node| node.name.clone()).collect()
}

#[test]
fn inputs_come_first_and_ties_are_ordered_by_name() {
    let files = [
        ("models/a.sql", "select * from {{ ref('z') }}"),
        ("models/z.sql", ONE),
        ("models/m.sql", ONE),
        ("models/b.sql", "select * from {{ ref('a') }} join {{ ref('m') }}"),
    ];
    assert_eq!(order(&files), ["m", "z", "a", "b"]);
    let graph = graph(&files).unwrap();
    assert_eq!(graph.ancestors("b").into_iter().collect::<Vec<_>>(), ["a", "m", "z"]);
    assert_eq!(graph.descendants("z").into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn an_edge_inside_is_incremental_is_an_edge() {
    let files = [
        (
            "models/a.sql",
            "{{ config(materialized='incremental') }}select 1
             {% if is_incremental() %} from {{ ref('z') }}{% endif %}",
        ),
        ("models/z.sql", ONE),
    ];
    assert_eq!(order(&files), ["z", "a"]);
}

#[test]
fn an_unknown_ref_names_file_line_and_what_was_meant() {
    let text = refused(&[("models/orders.sql", ONE), ("models/b.sql", "select *\nfrom {{ ref('order') }}")]);
    assert_eq!(text, "models/b.sql:2: ref('order'): the project has no such model\n  did you mean `orders`?");
}

#[test]
fn an_unknown_source_names_file_line_and_what_was_meant() {
    let sources = ("models/s.yml", "sources: [{name: bronze, tables: [{name: orders}]}]");
    let text = refused(&[sources, ("models/b.sql", "select * from {{ source('bronze', 'ordrs') }}")]);
    assert_eq!(
        text,
        "models/b.sql:1: source('bronze', 'ordrs'): no schema.yml declares it\n  \
         did you mean `bronze.orders`?"
    );
}

#[test]
fn a_cycle_names_its_path_with_files() {
    let text = refused(&[
        ("models/before.sql", "select * from {{ ref('c') }}"),
        ("models/a.sql", "select * from {{ ref('b') }}"),
        ("models/x/b.sql", "select * from {{ ref('c') }}"),
        ("models/c.sql", "select * from {{ ref('a') }}"),
    ]);
    assert_eq!(
        text,
        "models/a.sql: the models read each other in a cycle:\n    \
         a (models/a.sql)\n    -> b (models/x/b.sql)\n    -> c (models/c.sql)\n    -> a (models/a.sql)\n  \
         remove one of these refs, or move the shared part into a model of its own"
    );
    let text = refused(&[("models/a.sql", "select * from {{ ref('a') }}")]);
    assert!(text.contains("a (models/a.sql)\n    -> a (models/a.sql)"), "{text}");
}

#[test]
fn all_problems_are_told_at_once() {
    let text = refused(&[
        ("models/a.sql", "select * from {{ ref('x1') }}"),
        ("models/b.sql", "select {{ nothing }}"),
        ("models/c.sql", "{{ config(materialized='cube') }}"),
        ("models/off.sql", "{{ config(enabled=false) }}select 1"),
        ("models/d.sql", "select * from {{ ref('off') }}"),
        ("models/s.yml", "models:\n  - name: gone\n"),
    ]);
    let starts: Vec<&str> = text.lines().filter(|line| line.starts_with("models/")).collect();
    assert_eq!(
        starts,
        [
            "models/a.sql:1: ref('x1'): the project has no such model",
            "models/b.sql:1: undefined value: `nothing`",
            "models/c.sql:1: materialized is \"cube\", which is not known",
            "models/d.sql: ref('off'): that model is disabled",
            "models/s.yml:2: model `gone` is described but has no file",
        ]
    );
}

#[test]
fn two_models_cannot_share_a_table() {
    let text =
        refused(&[("models/gold/a.sql", ONE), ("models/gold/b.sql", "{{ config(alias='a') }}select 1")]);
    assert!(text.starts_with("models/gold/b.sql: gold.a is also the table of models/gold/a.sql"), "{text}");
}

#[test]
fn a_merge_is_refused_instead_of_appended() {
    let text =
        refused(&[("models/a.sql", "{{ config(materialized='incremental', unique_key='id') }}select 1")]);
    assert!(text.starts_with("models/a.sql:1: unique_key asks for a merge"), "{text}");
    let text = refused(&[(
        "models/a.sql",
        "{{ config(materialized='incremental',\n incremental_strategy='merge') }}select 1",
    )]);
    assert!(text.starts_with("models/a.sql:2: incremental_strategy `merge` is not available"), "{text}");
}

#[test]
fn incremental_from_must_be_an_input_of_an_incremental_model() {
    let text = refused(&[(
        "models/a.sql",
        "{{ config(materialized='incremental', incremental_from='b') }}select 1",
    )]);
    assert!(text.contains("incremental_from is `b`, which the model does not read"), "{text}");
    let text = refused(&[("models/a.sql", "{{ config(incremental_from='b') }}select 1")]);
    assert!(text.contains("incremental_from is set, but the model is a view"), "{text}");
}

#[test]
fn namespaces_come_from_config_then_folder_then_the_run() {
    let graph = graph(&[
        ("models/silver/deep/a.sql", ONE),
        ("models/b.sql", ONE),
        ("models/silver/c.sql", "{{ config(schema='mart') }}select 1"),
    ])
    .unwrap();
    let table = |name| graph.node(name).unwrap().table.to_string();
    assert_eq!([table("a"), table("b"), table("c")], ["silver.a", "main.b", "mart.c"]);
}
