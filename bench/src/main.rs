//! Side by side with ceilings measured in the same run: each benchmark prints one JSON line.
//!
//! A ceiling is the least work the same libraries need for the same bytes on the same threads; the ratio
//! says what the guarantees on top of it cost. `ingest` wants Kafka, and MinIO or a folder; the others a folder.
//!
//! Memory is allocated as in the binary `sluice`, for both sides.

mod chaos;
mod commits;
mod compaction;
mod day;
mod ingest;
mod load;
mod query;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmarks against ceilings measured in the same run.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Events from Kafka to Iceberg tables, against consume + decode + Parquet alone.
    Ingest(ingest::Arguments),
    /// Faults drawn from a seed on several workers, judged by PyIceberg: injected, lost, doubled.
    Chaos(chaos::Arguments),
    /// Commits to a growing table, by one writer and by many at once, and planning on it.
    Commits(commits::Arguments),
    /// Compaction of small files, against plain DataFusion and DuckDB on the same files.
    Compaction(compaction::Arguments),
    /// A day of small commits by an injected clock, with maintenance.
    Day(day::Arguments),
    /// A CSV file into a table, against a plain reader and writer, and DuckDB.
    Load(load::Arguments),
    /// Write files in the shape of the Retail Rocket data set.
    RetailRocket(load::Generate),
    /// SQL over a table, against plain DataFusion on the same files.
    Query(query::Arguments),
}

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().benchmark {
        Benchmark::Ingest(arguments) => ingest::run(arguments).await,
        Benchmark::Chaos(arguments) => chaos::run(arguments).await.map(Some),
        Benchmark::Commits(arguments) => commits::run(arguments).await.map(Some),
        Benchmark::Compaction(arguments) => compaction::run(arguments).await.map(Some),
        Benchmark::Day(arguments) => day::run(arguments).await.map(Some),
        Benchmark::Load(arguments) => load::run(arguments).await.map(Some),
        Benchmark::RetailRocket(arguments) => load::generate(&arguments).map(Some),
        Benchmark::Query(arguments) => query::run(arguments).await.map(Some),
    };
    match result {
        Ok(line) => {
            line.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
