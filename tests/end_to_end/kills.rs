//! Exactly once: ingest from Kafka to MinIO is killed at random moments, and nothing is lost or doubled.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use crate::judge::{exactly_once, same_rows};
use crate::sluice::Lake;

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
        let mut ingest = lake.start(&INGEST);
        // The fault happens at a moment, not at an event: this is the one place where a test waits by the clock.
        sleep(delay);
        kill(&mut ingest);
    }
    // More arrives while nobody reads; then ingest ends by itself.
    lake.succeed(&["produce", "--events", "5000", "--bad", "0.01", "--seed", "12"]);
    lake.succeed(&[&INGEST[..], &["--until-caught-up"]].concat());

    let landing = exactly_once(&lake, &LANDED);
    assert!(landing.get("records") >= 65_000, "{landing:?}");
    assert!(landing.get("dead_letters") > 0 && landing.rows("bronze.user_events") > 0, "{landing:?}");
    same_rows(&lake);
    a_restart_without_input_commits_nothing(&lake);
}

fn a_restart_without_input_commits_nothing(lake: &Lake) {
    let before = lake.succeed(&["tables", "--json"]).stdout;
    let report = lake.succeed(&[&INGEST[..], &["--until-caught-up", "--json"]].concat()).json();
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
    wait_until_it_reads(&mut ingest);
    assert_eq!(lake.succeed(&["sql", COUNT, "--json"]).json()["n"], 0, "committed before the stop");
    interrupt(&ingest);
    assert!(ingest.wait().unwrap().success());
    let rows = lake.succeed(&["sql", COUNT, "--json"]).json();
    assert!(rows["n"].as_u64() > Some(0), "{rows}");

    lake.succeed(&["ingest", "--until-caught-up"]);
    exactly_once(&lake, &LANDED);
}

/// The shop's topics have fixed names: whoever counts what is in them must be alone with them.
fn shop_topics() -> MutexGuard<'static, ()> {
    static TOPICS: Mutex<()> = Mutex::new(());
    TOPICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the progress lines of a running ingest until one says that something was consumed.
fn wait_until_it_reads(ingest: &mut Child) {
    let mut lines = BufReader::new(ingest.stderr.take().unwrap()).lines();
    let reads = |line: &str| line.contains("consumed ") && !line.contains("consumed 0 ");
    assert!(lines.any(|line| reads(&line.unwrap())), "ingest ended without reading anything");
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

/// SIGKILL. The process must still have been there: one that ended by itself had an error.
fn kill(process: &mut Child) {
    assert_eq!(process.try_wait().unwrap(), None, "ingest ended before it was killed");
    process.kill().unwrap();
    process.wait().unwrap();
}

/// SIGTERM, as a supervisor sends it.
fn interrupt(process: &Child) {
    let sent = std::process::Command::new("kill").arg(process.id().to_string()).status().unwrap();
    assert!(sent.success());
}
