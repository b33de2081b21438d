//! What a new schema is said to do to a table, under each policy.

use super::*;
use crate::fixtures;
use crate::registry::RegistrySettings;
use crate::registry::tests::Server;
use crate::topics::Topics;

const NEW: &str = r#"{"type":"record","name":"R","fields":[
  {"name":"a","type":"long"},{"name":"b","type":"string"},{"name":"n","type":"double"},
  {"name":"s","type":{"type":"record","name":"S","fields":[{"name":"x","type":"int"},{"name":"y","type":"int"}]}}]}"#;

async fn findings(route: &str, answer: Option<&str>) -> Findings {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let server = Server::default();
    if let Some(answer) = answer {
        server.set("/compatibility/subjects/t-value/versions/latest?verbose=true", &[(200, answer)]);
    }
    let settings = RegistrySettings { url: server.start().await, ..RegistrySettings::default() };
    let text = format!(
        "topics:\n  - name: t\n    format: avro\n    routes:\n      - table: bronze.t\n        {route}\n"
    );
    let topics = Topics::parse(&text).unwrap();
    let (subject, text) = ("t-value".to_owned(), NEW.to_owned());
    let proposal = Proposal { subject, text, references: Vec::new(), message: Vec::new() };
    check(&Registry::new(&settings).unwrap(), &lake, &topics.topics[0], proposal).await.unwrap()
}

fn told(findings: &Findings) -> Vec<String> {
    findings.tables.iter().map(|effect| format!("{} {}", effect.field, effect.what)).collect()
}

#[tokio::test]
async fn each_policy_has_its_effect() {
    let columns = "columns: {a: int, b: int, gone: long, s: {x: long}}";
    let takes = Some(r#"{"is_compatible":true}"#);
    let of = async |policy: &str| findings(&format!("schema: {policy}\n        {columns}"), takes).await;
    let evolve = of("evolve").await;
    assert_eq!(told(&evolve), ["a widened", "n added", "s.y added", "b narrow", "gone null"]);
    assert!(evolve.is_safe());
    let ignore = of("ignore").await;
    assert_eq!(told(&ignore), ["a narrow", "b narrow", "n ignored", "s.y ignored", "gone null"]);
    let keep = of("keep").await;
    assert_eq!(told(&keep), ["a narrow", "b narrow", "n kept in _rest", "s.y kept in _rest", "gone null"]);
    let reject = of("reject").await;
    assert_eq!(told(&reject), ["a narrow", "b narrow", "n rejected", "s.y rejected", "gone null"]);
    assert!(ignore.is_safe() && keep.is_safe() && !reject.is_safe());
}

#[tokio::test]
async fn the_registry_and_required_fields_have_a_say() {
    let refused = findings("columns: {a: long}", Some(r#"{"is_compatible":false,"messages":["no"]}"#)).await;
    assert_eq!((refused.registry, refused.messages.as_slice()), (Some(false), &["no".to_owned()][..]));
    assert!(!refused.is_safe());
    let lacking = findings("columns: {a: long, z: long}\n        required: [z]", None).await;
    assert_eq!(lacking.registry, None);
    assert!(told(&lacking).contains(&"z rejected".to_owned()) && !lacking.is_safe());
    let never = findings("columns: {s: long}", None).await;
    assert!(told(&never).contains(&"s rejected".to_owned()), "{never:?}");
}

#[tokio::test]
async fn tables_of_a_template_are_judged_too() {
    let dir = tempfile::tempdir().unwrap();
    let lake = fixtures::lake(dir.path()).await;
    let server = Server::default();
    let settings = RegistrySettings { url: server.start().await, ..RegistrySettings::default() };
    let text = "topics:\n  - pattern: 't[0-9]'\n    format: avro\n    routes:\n      \
                - {table: 'bronze.{topic}_{field:b}', schema: evolve, columns: {a: int, z: long}, required: [z]}\n";
    let topic = Topics::parse(text).unwrap().of("t1").unwrap();
    let template = Plan::new(std::slice::from_ref(&topic), fixtures::name("bronze.dead_letters")).unwrap();
    let template = &template.topics[0].templates[0];
    for name in ["bronze.t1_x", "bronze.other"] {
        tables::open(&lake, &template.table(fixtures::name(name))).await.unwrap();
    }
    let (subject, text) = ("t1-value".to_owned(), NEW.to_owned());
    let proposal = Proposal { subject, text, references: Vec::new(), message: Vec::new() };
    let found = check(&Registry::new(&settings).unwrap(), &lake, &topic, proposal).await.unwrap();
    let rejected = found.tables.iter().filter(|effect| effect.what == What::Rejected);
    let rejected: Vec<_> = rejected.map(|effect| (effect.table.as_str(), effect.field.as_str())).collect();
    assert_eq!(rejected, [("bronze.{topic}_{field:b}", "z"), ("bronze.t1_x", "z")]);
    assert!(!found.is_safe(), "a template that no table was made of is not safe by that");
}
