//! `/metrics`: everything the process counts, in Prometheus' text form.
//!
//! Names start with `sluice_`, units are seconds and bytes, counters end in `_total`. Labels never hold
//! ids or SQL.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::Watched;
use crate::error::{Error, Result};

/// Bounds of all histograms, in seconds: from a cached plan to a long report.
const SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
const UPKEEP: Duration = Duration::from_secs(5);

/// The installed recorder's output. Held while installing, so that two servers bound at once share one.
static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Installs the process's recorder of metrics, once; later calls do nothing.
///
/// Call it before the first metric is counted: what was counted earlier is lost. A server does so when it
/// is bound.
///
/// # Errors
/// When another recorder was installed by somebody else.
pub fn install_metrics() -> Result<()> {
    recorder().map(|_| ())
}

/// The recorder's output, installing it when that was not done yet.
pub(crate) fn recorder() -> Result<PrometheusHandle> {
    let mut installed = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let error = |error: metrics_exporter_prometheus::BuildError| Error::Metrics(error.to_string());
    let recorder = PrometheusBuilder::new().set_buckets(SECONDS).map_err(error)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| Error::Metrics(error.to_string()))?;
    describe();
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Keeps histograms small until the server stops.
pub(crate) async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => handle.run_upkeep(),
        }
    }
}

pub(crate) async fn show(State(watched): State<Watched>) -> Response {
    if let Some(bytes) = resident_bytes() {
        metrics::gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], watched.metrics.render()).into_response()
}

/// Memory that the process holds; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn describe() {
    describe_ingest();
    describe_gauge!("process_resident_memory_bytes", "Memory that the process holds.");
    describe_gauge!("sluice_build_info", "Always 1; its label `version` says what runs.");
    describe_counter!("sluice_flight_requests_total", "Flight SQL calls by method and gRPC code.");
    describe_counter!("sluice_flight_sent_bytes_total", "Bytes of Arrow data sent to clients.");
    describe_gauge!("sluice_flight_active_streams", "Results that are being streamed.");
    describe_histogram!("sluice_query_plan_seconds", "Time to plan a statement.");
    describe_histogram!(
        "sluice_query_stream_seconds",
        "Time from a query's start to the end of its result, by end."
    );
    describe_counter!("sluice_commits_total", "Commits to tables by outcome.");
    describe_counter!(
        "sluice_commit_attempts_total",
        "Attempts of commits; more than commits when writers race."
    );
    describe_counter!("sluice_commit_lost_races_total", "Attempts that another writer was faster than.");
    describe_counter!(
        "sluice_commit_unknown_total",
        "Attempts of which the catalog did not say how they ended."
    );
    describe_histogram!("sluice_commit_seconds", "Time of a commit with all its attempts.");
    describe_counter!("sluice_maintenance_runs_total", "Tables maintained, by result.");
    describe_gauge!("sluice_maintenance_waiting_tables", "Tables that the current turn has not come to yet.");
    describe_histogram!("sluice_maintenance_seconds", "Time to maintain a table.");
    describe_histogram!("sluice_maintenance_step_seconds", "Time of one step of maintenance.");
    describe_counter!("sluice_maintenance_rewritten_files_total", "Data files that compaction rewrote.");
    describe_counter!("sluice_maintenance_rewritten_bytes_total", "Bytes that compaction rewrote.");
    describe_counter!("sluice_maintenance_rewritten_manifests_total", "Manifests that were replaced.");
    describe_counter!("sluice_maintenance_expired_snapshots_total", "Snapshots that were forgotten.");
    describe_counter!(
        "sluice_maintenance_expired_bytes_total",
        "Bytes of files that expired snapshots led to."
    );
    describe_counter!("sluice_maintenance_orphans_total", "Files removed that nothing led to.");
    describe_counter!("sluice_maintenance_orphan_bytes_total", "Bytes of those files.");
    describe_gauge!("sluice_table_files", "Live data files after the last maintenance.");
    describe_gauge!("sluice_table_bytes", "Bytes of the live data files after the last maintenance.");
    describe_gauge!("sluice_table_snapshots", "Snapshots after the last maintenance.");
    // A counter that is not there cannot be watched.
    for counter in ["sluice_commit_lost_races_total", "sluice_commit_unknown_total"] {
        metrics::counter!(counter).increment(0);
    }
    metrics::gauge!("sluice_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

fn describe_ingest() {
    describe_counter!("sluice_ingest_consumed_messages_total", "Messages taken from Kafka, by topic.");
    describe_counter!("sluice_ingest_consumed_bytes_total", "Bytes of their keys and payloads, by topic.");
    describe_counter!("sluice_ingest_landed_rows_total", "Rows committed, by table.");
    describe_counter!("sluice_ingest_landed_bytes_total", "Bytes of the files committed, by table.");
    describe_counter!("sluice_ingest_dead_letters_total", "Dead letters committed, by topic and cause.");
    describe_counter!("sluice_ingest_commits_total", "Commits of ingest.");
    describe_histogram!("sluice_ingest_commit_seconds", "Time from the last row of a commit to its end.");
    describe_histogram!("sluice_ingest_batch_seconds", "Time to decode and route a batch of messages.");
    describe_counter!("sluice_ingest_restarts_total", "Times that reading began anew from the tables.");
    describe_gauge!("sluice_ingest_lag_messages", "Messages that are not committed, by partition.");
    describe_gauge!("sluice_ingest_lag_seconds", "Age of the oldest message that is not committed.");
    describe_gauge!("sluice_ingest_committed_offset", "The next offset after the last commit.");
    describe_gauge!(
        "sluice_ingest_committed_timestamp_seconds",
        "Kafka's time of the last message committed."
    );
    describe_gauge!("sluice_ingest_table_committed_timestamp_seconds", "When a table last got rows.");
    describe_gauge!("sluice_ingest_buffered_bytes", "Memory of messages, batches and open files.");
    describe_gauge!("sluice_ingest_buffered_peak_bytes", "The most that was ever buffered.");
    describe_gauge!("sluice_ingest_memory_budget_bytes", "The most that may be buffered.");
    describe_gauge!("sluice_ingest_topic_paused", "1 while a topic is not read, by reason.");
    describe_gauge!("sluice_ingest_memory_paused", "1 while nothing is read for want of memory.");
    describe_counter!("sluice_ingest_pauses_total", "Pauses, by reason.");
}
