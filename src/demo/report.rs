//! What the demo prints at its end: a gold table, the proof, the paths, how to connect.

use serde_json::json;

use super::flow::Outcome;
use crate::failure::Failure;
use crate::output::{self, Format, grouped};

/// The gold table shown at the end.
const SHOWN: &str = "select * from gold.category_performance order by revenue desc limit 10";

/// Prints for people, or one JSON object on the last line.
pub(super) async fn print(outcome: &Outcome, json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", object(outcome));
        return Ok(());
    }
    let session = outcome.engine.session();
    let statement = session.prepare(SHOWN).await?;
    let rows = session.execute(&statement, Vec::new()).await?;
    println!("\n{SHOWN}");
    output::print(statement.schema(), rows, Format::Table).await?;
    print_proof(outcome);
    print_places(outcome)
}

fn print_proof(outcome: &Outcome) {
    let check = &outcome.check;
    println!(
        "\n{} produced = {} landed + {} dead letters · {} lost · {} doubled",
        grouped(check.produced),
        grouped(check.landed),
        grouped(check.dead_lettered),
        check.lost,
        check.doubled
    );
    println!(
        "{:.1} s from the first event to the last commit · {} events/s",
        outcome.seconds,
        grouped(outcome.events_per_second)
    );
}

fn print_places(outcome: &Outcome) -> Result<(), Failure> {
    let (flight, http) = outcome.addresses;
    let dir = std::path::absolute(outcome.config.data_dir())?;
    println!("\nTables   {} in {}", outcome.tables.len(), dir.join("warehouse").display());
    println!("Catalog  {} (PyIceberg: type sql, name sluice)", dir.join("catalog.db").display());
    println!("Query    sluice sql \"show tables\" --data {}", dir.display());
    println!("Serve    sluice serve --data {}   or end the demo with --keep-serving", dir.display());
    println!("JDBC     jdbc:arrow-flight-sql://{flight}/?useEncryption=false");
    println!("ADBC     adbc_driver_flightsql.dbapi.connect(\"grpc://{flight}\")");
    println!("HTTP     http://{http}");
    Ok(())
}

fn object(outcome: &Outcome) -> serde_json::Value {
    let check = &outcome.check;
    json!({
        "produced": check.produced,
        "landed": check.landed,
        "dead_lettered": check.dead_lettered,
        "lost": check.lost,
        "doubled": check.doubled,
        "seconds": outcome.seconds,
        "events_per_second": outcome.events_per_second,
        "tables": outcome.tables,
        "flight": format!("grpc://{}", outcome.addresses.0),
        "http": format!("http://{}", outcome.addresses.1),
    })
}
