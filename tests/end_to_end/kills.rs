//! Exactly once: ingest from Kafka to MinIO is killed at random moments, and nothing is lost or doubled.

use std::io::{BufRead, BufReader};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use crate::judge::{exactly_once, same_rows};
use crate::rest_client::Proxy;
use crate::sluice::{Lake, Started};

/// Topics of the shop that land in tables.
const LANDED: [&str; 4] = ["user-events", "payments", "orders", "inventory"];
const KILLS: u64 = 6;
const INGEST: [&str; 3] = ["ingest", "--commit-interval", "300ms"];
const COUNT: &str = "select count(*) as n from bronze.user_events";

#[test]
fn kills_lose_and_double_nothing() {
    let _alone = shop_topics();
    let lake = Lake::on_s3().with_kafka();
    lake.succeed(&["topics", "apply"]);
    lake.succeed(&["produce", "--events", "60000", "--bad", "0.01", "--seed", "11"]);

    for delay in moments(seed()) {
        let ingest = lake.start(&INGEST);
        // The fault happens at a moment, not at an event: this is the one place where a test waits by the clock.
        sleep(delay);
        ingest.kill();
    }
    // More arrives while nobody reads; then ingest catches up.
    lake.succeed(&["produce", "--events", "5000", "--bad", "0.01", "--seed", "12"]);
    catch_up(&lake);

    let landing = exactly_once(&lake, &LANDED);
    assert!(landing.get("records") >= 65_000, "{landing:?}");
    assert!(landing.get("dead_letters") > 0 && landing.rows("bronze.user_events") > 0, "{landing:?}");
    same_rows(&lake);
    a_restart_without_input_commits_nothing(&lake);
}

#[test]
fn kills_lose_and_double_nothing_where_tables_land_one_after_the_other() {
    let _alone = shop_topics();
    let lake = Lake::on_s3().with_kafka();
    let proxy = Proxy::start(&lake, &["--no-transactions"]);
    let lake = lake.with("SLUICE_LAKE_CATALOG", proxy.uri());
    lake.succeed(&["topics", "apply"]);
    lake.succeed(&["produce", "--events", "20000", "--bad", "0.01", "--seed", "21"]);
    for delay in moments(seed() ^ 1) {
        let ingest = lake.start(&INGEST);
        sleep(delay);
        ingest.kill();
    }
    catch_up(&lake);
    // The judge reads the catalog behind the server.
    let landing = exactly_once(&lake, &LANDED);
    assert!(landing.get("dead_letters") > 0 && landing.rows("bronze.user_events") > 0, "{landing:?}");
}

fn a_restart_without_input_commits_nothing(lake: &Lake) {
    let before = lake.succeed(&["tables", "--json"]).stdout;
    let mut ingest = lake.start(&[&INGEST[..], &["--json"]].concat());
    wait_for_progress(&mut ingest, |_| true);
    let report = ingest.stop().json();
    assert_eq!(report["commits"], 0, "{report}");
    assert_eq!(before, lake.succeed(&["tables", "--json"]).stdout);
}

#[test]
fn a_polite_stop_commits_what_was_read() {
    let _alone = shop_topics();
    let lake = Lake::on_s3().with_kafka();
    lake.succeed(&["topics", "apply"]);
    lake.succeed(&["produce", "--events", "3000", "--seed", "13"]);
    // An interval that never ends: only the stop commits.
    let mut ingest = lake.start(&["ingest", "--commit-interval", "1h"]);
    wait_for_progress(&mut ingest, |line| line.contains("consumed ") && !line.contains("consumed 0 "));
    assert_eq!(lake.succeed(&["sql", COUNT, "--json"]).json()["n"], 0, "committed before the stop");
    ingest.stop();
    let rows = lake.succeed(&["sql", COUNT, "--json"]).json();
    assert!(rows["n"].as_u64() > Some(0), "{rows}");

    catch_up(&lake);
    exactly_once(&lake, &LANDED);
}

/// Lands all that the broker holds; what that was, the judge finds out by itself.
fn catch_up(lake: &Lake) {
    lake.succeed(&[&INGEST[..], &["--until-caught-up"]].concat());
}

/// The shop's topics have fixed names: whoever counts what is in them must be alone with them.
fn shop_topics() -> MutexGuard<'static, ()> {
    static TOPICS: Mutex<()> = Mutex::new(());
    TOPICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads what a running ingest says until one line is as `wanted`: it says how it stands every ten seconds.
fn wait_for_progress(ingest: &mut Started, wanted: fn(&str) -> bool) {
    let mut lines = BufReader::new(ingest.process.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| wanted(&line.unwrap())), "ingest ended without saying so");
    // keeps the pipe empty, so that ingest never waits for a reader
    std::thread::spawn(move || lines.for_each(drop));
}

/// Chooses the moments; `SLUICE_TEST_SEED` replays a run.
fn seed() -> u64 {
    let seed =
        std::env::var("SLUICE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_121);
    println!("SLUICE_TEST_SEED={seed}");
    seed
}

/// Between a start that has not begun to read and one that has committed several times.
fn moments(seed: u64) -> impl Iterator<Item = Duration> {
    // SplitMix64: enough for moments, and the same on every machine
    let mut state = seed;
    (0..KILLS).map(move |_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Duration::from_millis(100 + (mixed ^ (mixed >> 31)) % 3000)
    })
}
