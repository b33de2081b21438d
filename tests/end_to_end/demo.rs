//! `sluice demo`: the whole flow with nothing but the binary.

use serde_json::Value;

use crate::judge::same_rows;
use crate::sluice::Lake;

#[test]
fn the_demo_accounts_for_every_event() {
    let lake =
        Lake::on_disk().with("SLUICE_SERVE_FLIGHT", "127.0.0.1:0").with("SLUICE_SERVE_HTTP", "127.0.0.1:0");
    let report = lake.succeed(&["demo", "--events", "30000", "--seed", "7", "--json"]).json();
    let number =
        |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no number `{name}` in {report}"));

    assert!(number("produced") >= 30_000, "{report}");
    assert_eq!(number("produced"), number("landed") + number("dead_lettered"), "{report}");
    assert!(number("dead_lettered") > 0, "the broken events of the demo are not dead letters: {report}");
    assert_eq!((number("lost"), number("doubled")), (0, 0), "{report}");
    assert!(number("events_per_second") > 0, "{report}");
    assert!(
        report["flight"].as_str().is_some_and(|flight| flight.starts_with("grpc://127.0.0.1:")),
        "{report}"
    );
    let tables = report["tables"].as_array().map(Vec::len);
    assert!(tables.is_some_and(|count| count >= 5), "{report}");

    same_rows(&lake);
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let events = |seed: &str| -> Vec<Value> {
        let lake = Lake::on_disk()
            .with("SLUICE_SERVE_FLIGHT", "127.0.0.1:0")
            .with("SLUICE_SERVE_HTTP", "127.0.0.1:0");
        lake.succeed(&["demo", "--events", "2000", "--seed", seed, "--json"]);
        // ids of events and sessions, and times, begin with the moment of the run
        let sql = "select _src_partition, _src_offset, event_type, user_id, item_id, query, rating \
                   from bronze.user_events order by _src_partition, _src_offset";
        lake.succeed(&["sql", sql, "--json"]).json_lines()
    };
    let first = events("7");
    assert!(first.len() > 1000, "{} events", first.len());
    assert_eq!(first, events("7"));
    assert_ne!(first, events("8"));
}
