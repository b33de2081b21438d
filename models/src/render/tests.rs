//! Rendering: functions, macros, limits, and errors with their place.

use std::collections::BTreeMap;

use crate::graph::Graph;
use crate::render::allowed_environment;
use crate::testing::{graph, inputs, project, refused};

fn compiled(files: &[(&str, &str)], model: &str) -> String {
    use crate::compile::Compiler;
    use crate::render::Templates;
    let project = project(files).unwrap();
    let graph = Graph::new(&project, &inputs()).unwrap();
    let (templates, _) = Templates::new(&project, &inputs());
    let compiler = Compiler::new(project.into(), graph.into(), templates, None);
    let node = compiler.graph().node(model).unwrap().clone();
    compiler.compile(&node, false).unwrap().sql
}

#[test]
fn references_become_names_and_settings_leave_no_text() {
    let sql = compiled(
        &[
            ("models/silver/a.sql", "{{ config(materialized='table', alias='first') }}select 1 as x"),
            (
                "models/sources.yml",
                "sources: [{name: raw, schema: bronze, tables: [{name: Orders, identifier: Ord}]}]",
            ),
            (
                "models/gold/b.sql",
                "select * from {{ ref('a') }}, {{ source('raw', 'Orders') }} -- {{ this }} {{ this.schema }}",
            ),
        ],
        "b",
    );
    assert_eq!(sql, "select * from silver.first, bronze.\"Ord\" -- gold.b gold");
}

#[test]
fn variables_come_from_the_run_then_the_project_then_the_default() {
    let files = [
        ("dbt_project.yml", "name: shop\nvars: {days: 7, shop: {limit: 10}}\n"),
        ("models/a.sql", "select {{ var('days') }}, {{ var('limit') }}, {{ var('none', 3) }}"),
    ];
    assert_eq!(compiled(&files, "a"), "select 7, 10, 3");
    let unknown = refused(&[
        ("dbt_project.yml", "name: s\nvars: {days: 7}\n"),
        ("models/a.sql", "\nselect {{ var('day') }}"),
    ]);
    assert_eq!(
        unknown,
        "models/a.sql:2: var `day` is not set\n  \
         set it under `vars:` in dbt_project.yml, with --var, or give a default. \
         did you mean `days`?"
    );
}

#[test]
fn only_marked_environment_variables_can_be_read() {
    let all = ["DBT_USER", "SLUICE_VAR_DAY", "AWS_SECRET_ACCESS_KEY", "DBT_ENV_SECRET_KEY", "HOME"];
    let allowed = allowed_environment(all.map(|name| (name.to_owned(), "x".to_owned())));
    assert_eq!(allowed.into_keys().collect::<Vec<_>>(), ["DBT_USER", "SLUICE_VAR_DAY"]);
    let refusal = refused(&[("models/a.sql", "select '{{ env_var('AWS_SECRET_ACCESS_KEY', 'd') }}'")]);
    assert!(
        refusal.starts_with("models/a.sql:1: env_var: templates may not read `AWS_SECRET_ACCESS_KEY`"),
        "{refusal}"
    );

    // Even an environment that was passed in whole gives nothing else away.
    let project = project(&[("models/a.sql", "select '{{ env_var('HOME') }}'")]).unwrap();
    let mut open = inputs();
    open.environment = BTreeMap::from([("HOME".to_owned(), "/home".to_owned())]);
    assert!(Graph::new(&project, &open).is_err());
}

#[test]
fn macros_see_each_other_and_the_run_in_any_order_of_files() {
    let files = [
        ("macros/a.sql", "{% macro outer(x) %}[{{ inner(x, sign='+') }}]{% endmacro %}"),
        ("macros/b.sql", "{%- macro inner(x, sign) -%}{{ sign }}{{ x }}{{ target.schema }}{%- endmacro -%}"),
        ("models/m.sql", "select {{ outer(1) }}"),
    ];
    assert_eq!(compiled(&files, "m"), "select [+1main]");
}

#[test]
fn errors_name_the_file_and_line_also_inside_a_macro() {
    let files = [
        ("macros/a.sql", "-- one\n{% macro broken() %}\n{{ nothing_here }}\n{% endmacro %}"),
        ("models/m.sql", "select\n{{ broken() }}"),
    ];
    let text = refused(&files);
    assert!(text.starts_with("macros/a.sql:3: undefined value"), "{text}");
    assert!(text.contains("nothing_here"), "{text}");
    let syntax = refused(&[("models/m.sql", "select *\nfrom {{ ref('good' }}\n")]);
    assert!(syntax.starts_with("models/m.sql:2: "), "{syntax}");
    let raised = refused(&[("models/m.sql", "\n\n{{ exceptions.raise_compiler_error('set a key') }}")]);
    assert_eq!(raised, "models/m.sql:3: set a key");
}

#[test]
fn a_macro_file_that_cannot_be_parsed_only_hurts_those_who_call_it() {
    let broken =
        ("macros/t.sql", "{% macro ok() %}1{% endmacro %}\n{% materialization x %}{% endmaterialization %}");
    let untouched = graph(&[broken, ("models/m.sql", "select 1 as x")]).unwrap();
    assert!(
        untouched.warnings().iter().any(|warning| warning.starts_with("macros/t.sql:2: ")),
        "{:?}",
        untouched.warnings()
    );
    let called = refused(&[broken, ("models/m.sql", "select {{ ok() }}")]);
    assert!(called.starts_with("models/m.sql:1: macro `ok` cannot be used\n  macros/t.sql:2: "), "{called}");
}

#[test]
fn templates_cannot_run_for_ever() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
    assert!(refused(&[("models/m.sql", endless)]).contains("fuel"));
    let itself = ("macros/r.sql", "{% macro again() %}{{ again() }}{% endmacro %}");
    let text = refused(&[itself, ("models/m.sql", "{{ again() }}")]);
    assert!(text.starts_with("macros/r.sql:1: recursion limit exceeded"), "{text}");
    let each_other = [
        ("macros/a.sql", "{% macro ping() %}{{ pong() }}{% endmacro %}"),
        ("macros/b.sql", "{% macro pong() %}{{ ping() }}{% endmacro %}"),
        ("models/m.sql", "{{ ping() }}"),
    ];
    let text = refused(&each_other);
    assert!(text.contains("nested more than") && text.contains("does it call itself?"), "{text}");
}

#[test]
fn times_and_ids_of_the_run_are_known() {
    let sql = compiled(
        &[(
            "models/a.sql",
            "{{ run_started_at.strftime('%Y-%m-%d') }} {{ run_started_at }} {{ invocation_id }}",
        )],
        "a",
    );
    assert_eq!(sql, "2026-09-21 2026-09-21 14:13:20.000000+00:00 00000000-0000-0000-0000-000000000007");
    let wrong = refused(&[("models/a.sql", "{{ run_started_at.strftime('%Q!') }}")]);
    assert_eq!(wrong, "models/a.sql:1: strftime: `%Q!` is no time format");
}

#[test]
fn settings_can_be_read_back() {
    let sql = compiled(
        &[(
            "models/a.sql",
            "{{ config({'owner': 'me'}) }}{{ config.get('owner') }} {{ config.get('x', 'y') }}",
        )],
        "a",
    );
    assert_eq!(sql, "me y");
}
