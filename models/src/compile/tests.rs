//! Lines of compiled SQL led back to the template, and SQL in place of ephemeral models.

use crate::compile::{Compiled, Compiler};
use crate::graph::Graph;
use crate::render::Templates;
use crate::testing::{inputs, project};

fn compile(files: &[(&str, &str)], model: &str) -> Compiled {
    let project = project(files).unwrap();
    let graph = Graph::new(&project, &inputs()).unwrap();
    let (templates, _) = Templates::new(&project, &inputs());
    let compiler = Compiler::new(project.into(), graph.into(), templates, None);
    let node = compiler.graph().node(model).unwrap().clone();
    compiler.compile(&node, false).unwrap()
}

#[test]
fn lines_are_found_past_blocks_that_grow_and_vanish() {
    let template = "{{ config(materialized='table') }}\n\nselect\n\
                    {% for i in range(3) %}\n  {{ i }},\n{% endfor %}\n  wrong\nfrom x";
    let compiled = compile(&[("models/a.sql", template)], "a");
    let line_of = |text: &str| compiled.sql.lines().position(|line| line.trim() == text).unwrap() + 1;
    assert_eq!(compiled.template_line(line_of("select")), Some(3));
    assert_eq!(compiled.template_line(line_of("wrong")), Some(7));
    assert_eq!(compiled.template_line(line_of("from x")), Some(8));
}

#[test]
fn a_line_with_an_expression_is_found_by_its_neighbour() {
    let compiled =
        compile(&[("models/z.sql", "select 1"), ("models/a.sql", "\n\nselect *\nfrom {{ ref('z') }}")], "a");
    assert_eq!(compiled.sql, "select *\nfrom main.z");
    assert_eq!(compiled.template_line(2), Some(4));
}

#[test]
fn an_ephemeral_model_is_put_in_place_through_others() {
    let files = [
        ("models/a.sql", "{{ config(materialized='ephemeral') }}select 1 as x -- one"),
        ("models/b.sql", "{{ config(materialized='ephemeral') }}select x from {{ ref('a') }};"),
        ("models/c.sql", "select * from {{ ref('b') }} as b"),
    ];
    assert_eq!(compile(&files, "c").sql, "select * from (select x from (select 1 as x -- one\n)\n) as b");
}
