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

use super::Site;
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

pub(crate) async fn show(State(site): State<Site>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], site.metrics.render()).into_response()
}

fn describe() {
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
    metrics::gauge!("sluice_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}
