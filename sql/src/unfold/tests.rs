//! Counting what a statement unfolds to.

use super::count;
use crate::text::Text;

fn tables(sql: &str) -> Option<u64> {
    let parsed = Text::read(sql).unwrap().parse().unwrap();
    count(&parsed, |name| if name == ["gold", "view"] { 100 } else { 1 }).ok()
}

#[test]
fn every_use_counts() {
    assert_eq!(tables("SELECT 1"), Some(0));
    assert_eq!(tables("SELECT * FROM a, b JOIN a AS c ON true WHERE x IN (SELECT x FROM d)"), Some(4));
    assert_eq!(tables("WITH w AS (SELECT * FROM a, b) SELECT * FROM w, W, c"), Some(5));
    assert_eq!(tables("EXPLAIN SELECT * FROM a, gold.view"), Some(101));
    assert_eq!(tables("WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT * FROM r) SELECT * FROM r"), Some(1));
}

#[test]
fn an_unused_with_query_counts_nothing() {
    assert_eq!(tables("WITH w AS (SELECT * FROM a, b) SELECT * FROM c"), Some(1));
}

#[test]
fn doubling_is_stopped_and_a_long_chain_is_not() {
    let chain = |from: &str| {
        let steps: Vec<String> = (1..=60)
            .map(|n| format!("w{n} AS (SELECT * FROM {})", from.replace('?', &(n - 1).to_string())))
            .collect();
        format!("WITH w0 AS (SELECT * FROM a), {} SELECT * FROM w60", steps.join(", "))
    };
    assert_eq!(tables(&chain("w?")), Some(1));
    assert_eq!(tables(&chain("w? x, w? y")), None);
    assert_eq!(
        tables(
            "SELECT * FROM (WITH w AS (SELECT * FROM gold.view a, gold.view b)
         SELECT * FROM w a, w b, w c, w d, w e, w f)"
        ),
        None
    );
}
