//! How much came when: rows of each commit that added some, against those before it, and how old the newest row is.
//!
//! Whether the last commit is usual is told by the median of up to 50 earlier ones and their median distance
//! from it (scaled to a standard deviation): usual is within three of it. Fewer than five say nothing.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sluice_catalog::TableSnapshot;

/// Commits that are looked at.
const COMMITS_MAX: usize = 50;
const COMMITS_MIN: usize = 5;
/// The median distance of normally spread values, times this, is their standard deviation.
const MAD_SCALE: f64 = 1.4826;
const DEVIATIONS_MAX: f64 = 3.0;

/// Rows by commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Volume {
    /// When, and how many rows were added; oldest first.
    pub commits: Vec<(DateTime<Utc>, u64)>,
    /// The median of the commits before the last.
    pub median: Option<f64>,
    /// Whether the last is as those before it; none when there are too few.
    pub usual: Option<bool>,
}

/// How old the table is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Freshness {
    /// When rows were last added.
    pub last_commit: Option<DateTime<Utc>>,
    /// Seconds from then to the time of the profile.
    pub seconds: Option<i64>,
}

/// The volume of a table's commits that added rows, as far as it keeps its snapshots.
pub(super) fn volume(table: &TableSnapshot) -> Volume {
    let added = table.history().into_iter().filter_map(|snapshot| {
        let rows = snapshot.summary.get("added-records")?.parse().ok()?;
        (snapshot.operation == "append" && rows > 0).then_some((snapshot.committed_at, rows))
    });
    let mut commits: Vec<(DateTime<Utc>, u64)> = added.take(COMMITS_MAX + 1).collect();
    commits.reverse();
    judged(commits)
}

pub(super) fn judged(commits: Vec<(DateTime<Utc>, u64)>) -> Volume {
    let Some(((_, last), before)) = commits.split_last() else { return Volume::default() };
    let counts: Vec<f64> = before.iter().map(|(_, rows)| *rows as f64).collect();
    let middle = median(counts.clone());
    let usual = middle.filter(|_| counts.len() >= COMMITS_MIN).map(|middle| {
        let spread = median(counts.iter().map(|rows| (rows - middle).abs()).collect()).unwrap_or(0.0);
        // Commits of equal size have no spread: one in a hundred more or less is still the same size.
        let allowed = (DEVIATIONS_MAX * MAD_SCALE * spread).max(middle / 100.0);
        (*last as f64 - middle).abs() <= allowed
    });
    Volume { commits, median: middle, usual }
}

pub(super) fn freshness(volume: &Volume, now: DateTime<Utc>) -> Freshness {
    let last_commit = volume.commits.last().map(|(at, _)| *at);
    Freshness { last_commit, seconds: last_commit.map(|at| (now - at).num_seconds()) }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => None,
        0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}
