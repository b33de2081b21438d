//! What landing does, topic by topic, for people at a terminal.
//!
//! ```text
//! consumed 1,200,000 · landed 1,190,000 · dead letters 12 · buffered 34.0 MiB · commits 8
//! topic     read/s      lag  behind  caught up in     landed  dead letters  last commit
//! clicks    12,345  123,456     14s           10s  1,190,000            12       3s ago
//! orders         0    2,000    3m2s        paused          0             0            -  dead_letter_share
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use sluice_ingest::{PartitionProgress, PauseReason, Progress, TopicProgress};

use crate::output;

/// Over how long speeds are measured: longer than the steps in which batches are read.
const WINDOW: Duration = Duration::from_secs(10);
/// Topics that have a line.
const TOPICS_MAX: usize = 12;
const HEADER: [&str; 8] =
    ["topic", "read/s", "lag", "behind", "caught up in", "landed", "dead letters", "last commit"];

/// Where a topic stood at a time since the start.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    consumed: u64,
    /// `None` while it is unknown.
    unread: Option<u64>,
}

/// The view, and what it must remember to tell speeds.
#[derive(Debug, Default)]
pub(super) struct View {
    samples: BTreeMap<String, VecDeque<Sample>>,
}

/// A topic as the view shows it.
#[derive(Debug)]
struct Row {
    name: String,
    topic: TopicProgress,
    lag: u64,
    behind: f64,
    speed: f64,
    /// `None` while the positions of some partition are unknown.
    unread: Option<u64>,
    /// Unread messages a second that there are fewer; negative when they become more.
    gain: Option<f64>,
}

impl View {
    /// The lines as of a time since the start.
    pub(super) fn lines(
        &mut self,
        counters: &Progress,
        elapsed: Duration,
        now: DateTime<Utc>,
    ) -> Vec<String> {
        let mut lines = vec![summary(counters)];
        lines.extend(self.table(counters.topics(), &counters.partitions(), (elapsed, now)));
        lines
    }

    fn table(
        &mut self,
        topics: BTreeMap<String, TopicProgress>,
        partitions: &BTreeMap<(String, i32), PartitionProgress>,
        (elapsed, now): (Duration, DateTime<Utc>),
    ) -> Vec<String> {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for (name, topic) in topics {
            let (lag, behind, speed, gain) = (0, 0.0, 0.0, None);
            rows.insert(name.clone(), Row { name, topic, lag, behind, speed, unread: None, gain });
        }
        let mut unread: BTreeMap<&String, Option<u64>> = BTreeMap::new();
        for ((name, _), partition) in partitions {
            let Some(row) = rows.get_mut(name) else { continue };
            row.lag += partition.lag();
            let known = partition.read.and(partition.end).map(|_| partition.unread());
            let others = unread.entry(name).or_insert(Some(0));
            *others = others.zip(known).map(|(others, own)| others + own);
            row.behind = row.behind.max(partition.lag_seconds(now.timestamp_millis()));
        }
        for row in rows.values_mut() {
            row.unread = unread.get(&row.name).copied().flatten();
            self.measure(row, elapsed);
        }
        let (shown, hidden) = select(rows.into_values().collect());
        let cells: Vec<_> = shown.iter().map(|row| row.cells(now)).collect();
        let mut lines = aligned(&cells);
        if hidden > 0 {
            lines.push(format!("and {} topics that lag less", output::grouped(hidden as u64)));
        }
        lines
    }

    /// Adds a sample, and tells the speeds over those of the last seconds.
    fn measure(&mut self, row: &mut Row, at: Duration) {
        let samples = self.samples.entry(row.name.clone()).or_default();
        samples.push_back(Sample { at, consumed: row.topic.consumed, unread: row.unread });
        while samples.get(1).is_some_and(|second| at.saturating_sub(second.at) >= WINDOW) {
            samples.pop_front();
        }
        let Some(first) = samples.front() else { return };
        let seconds = at.saturating_sub(first.at).as_secs_f64();
        if seconds > 0.0 {
            row.speed = row.topic.consumed.saturating_sub(first.consumed) as f64 / seconds;
        }
        let known = samples.iter().find_map(|sample| Some((sample.at, sample.unread?)));
        row.gain = row.unread.zip(known).and_then(|(unread, (since, before))| {
            let seconds = at.saturating_sub(since).as_secs_f64();
            (seconds > 0.0).then(|| (before as f64 - unread as f64) / seconds)
        });
    }
}

impl Row {
    fn cells(&self, now: DateTime<Utc>) -> [String; 9] {
        let age = |micros: i64| {
            let seconds = (now.timestamp_micros() - micros).max(0) / 1_000_000;
            format!("{} ago", span(seconds as u64))
        };
        [
            self.name.clone(),
            output::grouped(self.speed as u64),
            output::grouped(self.lag),
            if self.lag == 0 { "-".to_owned() } else { span(self.behind as u64) },
            self.caught_up_in(),
            output::grouped(self.topic.landed),
            output::grouped(self.topic.dead_lettered),
            self.topic.committed_at.map_or_else(|| "-".to_owned(), age),
            self.topic.paused.map_or_else(String::new, |reason| reason.name().to_owned()),
        ]
    }

    /// When everything that Kafka holds will have been read, at the pace of the last seconds.
    fn caught_up_in(&self) -> String {
        if self.topic.paused.is_some() {
            return "paused".to_owned();
        }
        match (self.unread, self.gain) {
            // What comes in while one looks is no arrears.
            (Some(unread), _) if unread as f64 <= self.speed * 2.0 => "now".to_owned(),
            (Some(unread), Some(gain)) if gain > 0.0 => span((unread as f64 / gain) as u64),
            (Some(_), Some(_)) => "never".to_owned(),
            _ => "?".to_owned(),
        }
    }
}

/// One line for all topics, with those that pause, for where there is no terminal.
pub(super) fn line(counters: &Progress) -> String {
    let topics = counters.topics();
    let paused = topics.iter().filter_map(|(name, topic)| Some((name, topic.paused?)));
    let told = paused.take(TOPICS_MAX).map(|(name, reason)| format!(" · {name} paused: {}", reason.name()));
    std::iter::once(summary(counters)).chain(told).collect()
}

/// The figures of all topics.
fn summary(counters: &Progress) -> String {
    let mut line = format!(
        "consumed {} · landed {} · dead letters {} · lag {} · buffered {} · commits {}",
        output::grouped(counters.consumed()),
        output::grouped(counters.landed()),
        output::grouped(counters.dead_lettered()),
        output::grouped(counters.lag()),
        ByteSize(counters.buffered_bytes()),
        counters.commits()
    );
    if counters.is_memory_paused() {
        line += &format!(" · paused: {}", PauseReason::Memory.name());
    }
    line
}

/// The topics that have a line, in the order of their names: those that pause, then those that lag most.
fn select(mut rows: Vec<Row>) -> (Vec<Row>, usize) {
    let hidden = rows.len().saturating_sub(TOPICS_MAX);
    rows.sort_by_key(|row| (row.topic.paused.is_none(), std::cmp::Reverse(row.lag)));
    rows.truncate(TOPICS_MAX);
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    (rows, hidden)
}

/// Columns: names to the left, numbers to the right.
fn aligned(rows: &[[String; 9]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain(HEADER.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let mut line = padded.collect::<Vec<_>>().join("  ");
        if let Some(note) = cells.get(HEADER.len()).filter(|note| !note.is_empty()) {
            line += &format!("  {note}");
        }
        line
    };
    let header = line(&HEADER);
    let lines = rows.iter().map(|row| line(&row.each_ref().map(String::as_str)));
    std::iter::once(header).chain(lines).collect()
}

/// `14s`, `3m2s`, `5h3m`, `2d7h`: the two largest units.
fn span(seconds: u64) -> String {
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(3);
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, name) in units.iter().skip(first).take(2) {
        if rest / unit > 0 || text.is_empty() {
            text += &format!("{}{name}", rest / unit);
        }
        rest %= unit;
    }
    text
}

#[cfg(test)]
mod tests;
