//! Reading folders: defaults by folder, tolerance, problems with their place.

use std::fs;
use std::path::Path;

use crate::config::Materialized;
use crate::project::Project;
use crate::testing::{graph, project};

#[test]
fn folder_defaults_apply_from_the_outside_in() {
    let yaml = r#"
name: shop
models:
  +tags: all
  shop:
    +materialized: table
    gold:
      materialized: view
      +tags: [g]
      deep: {+schema: mart}
    off:
      +enabled: "{{ var('on', false) }}"
"#;
    let graph = graph(&[
        ("dbt_project.yml", yaml),
        ("models/top.sql", "select 1"),
        ("models/gold/view.sql", "select 1"),
        ("models/gold/deep/own.sql", "{{ config(materialized='incremental') }}select 1"),
        ("models/gold/p.yml", "models: [{name: view, config: {tags: [p]}}]"),
        ("models/off/off.sql", "select 1"),
    ])
    .unwrap();
    let node = |name| graph.node(name).unwrap();
    assert_eq!(node("top").config.materialized, Materialized::Table);
    assert_eq!(node("view").config.materialized, Materialized::View);
    assert_eq!(node("view").config.tags.iter().collect::<Vec<_>>(), ["all", "g", "p"]);
    assert_eq!(node("own").config.materialized, Materialized::Incremental);
    assert_eq!(node("own").table.to_string(), "mart.own");
    assert!(graph.node("off").is_none());
}

#[test]
fn what_other_engines_need_is_tolerated_and_told() {
    let graph = graph(&[
        ("dbt_project.yml", "name: shop\nprofile: x\non-run-end: [\"grant\"]\nseeds: {}\nsurprise: 1\n"),
        ("models/a.sql", "{{ config(materialized='table', cluster_by='x', indexes=[]) }}select 1"),
        ("models/b.sql", "{{ config(cluster_by='y') }}select 1"),
        (
            "models/p.yml",
            "models:\n- name: a\n  desctiption: x\n  columns: [{name: x, tests: [dbt_utils.not_empty]}]\n",
        ),
        ("models/empty.yml", ""),
        ("seeds/countries.yml", ""),
    ])
    .unwrap();
    assert_eq!(
        graph.warnings(),
        [
            "dbt_project.yml: `on-run-end` has no effect in this version",
            "dbt_project.yml: `surprise` has no effect in this version",
            "models/empty.yml: the file is empty",
            "models/p.yml: `desctiption` of the model `a` has no effect in this version",
            "models/p.yml:2: a test of a.x is not run: `dbt_utils.not_empty` is not known; not_null, unique, \
             accepted_values, relationships are",
            "seeds/: not used by this version; its files are neither built nor run",
            "models/a.sql: config `cluster_by` has no effect in this version (said once)",
            "models/a.sql: config `indexes` has no effect in this version (said once)",
        ]
    );
}

#[test]
fn problems_name_their_place() {
    let text = project(&[("models/p.yml", "models:\n  - name: a\n   columns: x\n")]).unwrap_err().to_string();
    assert!(text.starts_with("models/p.yml:"), "{text}");
    let text =
        project(&[("models/x/a.sql", "select 1"), ("models/y/a.sql", "select 1")]).unwrap_err().to_string();
    assert_eq!(
        text,
        "models/y/a.sql: two models are called `a`; the other is models/x/a.sql\n  rename one of the files"
    );
    let text = Project::load(Path::new("no-such-folder")).unwrap_err().to_string();
    assert!(text.starts_with("`no-such-folder` is no model project"), "{text}");
}

#[test]
fn a_folder_is_read_without_what_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("dbt_project.yml", "name: shop\nmodel-paths: [silver, .]\n");
    write("silver/a.sql", "select 1");
    write("target/compiled/b.sql", "select 1");
    write("dbt_packages/c/models/c.sql", "select 1");
    write("other/dbt_project.yml", "name: other\n");
    write("other/d.sql", "select 1");
    write(".hidden/e.sql", "select 1");
    let project = Project::load(folder.path()).unwrap();
    assert_eq!(project.models.keys().collect::<Vec<_>>(), ["a"]);
}
