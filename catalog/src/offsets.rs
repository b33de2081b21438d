//! Progress of a source, written in the same metadata change as the data it brought.
//!
//! For each topic a table keeps the next offset of every partition in the property
//! `sluice.offsets.<topic>` (survives expiry, compaction and foreign commits), and each snapshot keeps
//! the ranges it carried in its summary `sluice.ranges.<topic>`.
//!
//! The fence: a commit that carries `[start, end)` of a partition lands only on a base whose next offset
//! is exactly `start`.
//!
//! | base's next | outcome |
//! |---|---|
//! | none yet | allowed: the source is new to this table |
//! | `== start` | allowed; next becomes `end` |
//! | anything else | fenced: someone else committed, or rows are missing |
//!
//! A property counts for the history that it was written on: where another engine moved `main`, the rows that went
//! with it are read again ([`history`]).
//!
//! A range may be empty (`start == end`): it records where a partition stands. One that ends before it
//! starts, or comes from another cluster than the one the table recorded, is refused as an error: no base
//! would take it.

mod history;

use std::collections::{BTreeMap, HashMap};

use iceberg::spec::{Snapshot, TableMetadata};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use self::history::held;
use crate::error::{Error, Result};
use crate::name::TableName;

/// Table property: prefix before the topic's name.
const OFFSETS: &str = "sluice.offsets.";
/// Snapshot summary: prefix before the topic's name.
const RANGES: &str = "sluice.ranges.";

/// A topic of a cluster; the ids tell a topic from one recreated under its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    /// The cluster's id as the broker reports it.
    pub cluster: String,
    /// The topic's name.
    pub topic: String,
}

/// The last consumed record, to tell a topic from one that was truncated and refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its offset.
    pub offset: i64,
    /// CRC-32 of its key and payload bytes.
    pub crc32: u32,
}

/// Offsets `[start, end)` of one partition; `end` is the consumer's position, not the last offset + 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// First offset, inclusive.
    pub start: i64,
    /// Last offset, exclusive.
    pub end: i64,
    /// The last record inside the range, if it holds one.
    pub anchor: Option<Anchor>,
}

/// What one commit carries of one topic: ranges by partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRanges {
    /// The topic.
    pub source: SourceId,
    /// Ranges by partition number.
    pub ranges: BTreeMap<i32, OffsetRange>,
}

/// What a table holds of one topic: where to go on, by partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOffsets {
    /// The topic.
    pub source: SourceId,
    /// The next offset to read, by partition number.
    pub next: BTreeMap<i32, i64>,
    /// The last record consumed, by partition number.
    pub anchors: BTreeMap<i32, Anchor>,
}

/// What the fence says to a range; see the module's table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// The ranges follow on; the table's offsets once they have landed.
    Passed(SourceOffsets),
    /// The table stands elsewhere than where the range starts.
    Fenced { partition: i32, start: i64, next: i64 },
    /// The table's offsets were counted by another cluster.
    OtherCluster { recorded: String },
    /// The range ends before it starts.
    Reversed { partition: i32 },
}

/// The property's text.
#[derive(Serialize, Deserialize)]
struct Recorded {
    cluster: String,
    next: BTreeMap<i32, i64>,
    #[serde(default)]
    anchors: BTreeMap<i32, Anchor>,
    /// The commit that wrote it.
    token: String,
    /// The table's current snapshot after that commit; none when it has none yet.
    snapshot: Option<i64>,
    /// The sequence number of that snapshot, which outlives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence: Option<i64>,
}

impl SourceOffsets {
    /// What a table holds of `topic`; `None` when it never wrote there.
    pub(crate) fn find(metadata: &TableMetadata, table: &TableName, topic: &str) -> Result<Option<Self>> {
        let Some(record) = recorded(metadata.properties(), table, topic)? else { return Ok(None) };
        let record = history::on(record, topic, table, metadata, metadata.current_snapshot_id())?;
        Ok(Some(Self::of(record, topic)))
    }

    /// What properties say of `topic`, whatever history the table has.
    pub(crate) fn said(
        properties: &HashMap<String, String>,
        table: &TableName,
        topic: &str,
    ) -> Result<Option<Self>> {
        Ok(recorded(properties, table, topic)?.map(|record| Self::of(record, topic)))
    }

    fn of(record: Recorded, topic: &str) -> Self {
        let source = SourceId { cluster: record.cluster, topic: topic.to_owned() };
        Self { source, next: record.next, anchors: record.anchors }
    }

    /// The property that records these offsets as written by the commit `token`, which leaves the table at
    /// `snapshot`.
    pub(crate) fn property(&self, token: Uuid, snapshot: Option<&Snapshot>) -> Result<(String, String)> {
        let recorded = Recorded {
            cluster: self.source.cluster.clone(),
            next: self.next.clone(),
            anchors: self.anchors.clone(),
            token: token.to_string(),
            snapshot: snapshot.map(Snapshot::snapshot_id),
            sequence: snapshot.map(Snapshot::sequence_number),
        };
        let key = format!("{OFFSETS}{}", self.source.topic);
        Ok((key.clone(), json(&key, &recorded)?))
    }
}

impl SourceRanges {
    /// The entry of the snapshot's summary: `{"0":[start,end],…}`.
    pub(crate) fn summary(&self) -> Result<(String, String)> {
        let ranges: BTreeMap<i32, [i64; 2]> =
            self.ranges.iter().map(|(partition, range)| (*partition, [range.start, range.end])).collect();
        let key = format!("{RANGES}{}", self.source.topic);
        Ok((key.clone(), json(&key, &ranges)?))
    }
}

/// The offsets after `ranges`, if they follow on from `current`; see the module's table.
pub(crate) fn fence(current: Option<&SourceOffsets>, ranges: &SourceRanges) -> Fence {
    let mut after = match current {
        Some(current) => current.clone(),
        None => {
            SourceOffsets { source: ranges.source.clone(), next: BTreeMap::new(), anchors: BTreeMap::new() }
        }
    };
    if after.source.cluster != ranges.source.cluster {
        return Fence::OtherCluster { recorded: after.source.cluster };
    }
    for (&partition, range) in &ranges.ranges {
        if range.end < range.start {
            return Fence::Reversed { partition };
        }
        match after.next.get(&partition) {
            Some(&next) if next != range.start => {
                return Fence::Fenced { partition, start: range.start, next };
            }
            _ => after.next.insert(partition, range.end),
        };
        if let Some(anchor) = range.anchor {
            after.anchors.insert(partition, anchor);
        }
    }
    Fence::Passed(after)
}

/// The topics whose offsets these properties hold.
pub(crate) fn topics(properties: &HashMap<String, String>) -> Vec<String> {
    properties.keys().filter_map(|key| key.strip_prefix(OFFSETS)).map(str::to_owned).collect()
}

/// The properties with each topic's offsets as they are with `snapshot` as the current one.
pub(crate) fn at(
    metadata: &TableMetadata,
    table: &TableName,
    snapshot: i64,
) -> Result<HashMap<String, String>> {
    let mut restored = HashMap::new();
    for topic in topics(metadata.properties()) {
        if let Some(record) = recorded(metadata.properties(), table, &topic)? {
            let record = history::on(record, &topic, table, metadata, Some(snapshot))?;
            let key = format!("{OFFSETS}{topic}");
            restored.insert(key.clone(), json(&key, &record)?);
        }
    }
    Ok(restored)
}

/// Whether the offsets of `topic` were last written by the commit `token`.
pub(crate) fn written_by(
    properties: &HashMap<String, String>,
    table: &TableName,
    topic: &str,
    token: Uuid,
) -> Result<bool> {
    let recorded = recorded(properties, table, topic)?;
    Ok(recorded.is_some_and(|recorded| recorded.token == token.to_string()))
}

fn recorded(
    properties: &HashMap<String, String>,
    table: &TableName,
    topic: &str,
) -> Result<Option<Recorded>> {
    let key = format!("{OFFSETS}{topic}");
    let Some(text) = properties.get(&key) else { return Ok(None) };
    match serde_json::from_str(text) {
        Ok(recorded) => Ok(Some(recorded)),
        Err(cause) => Err(Error::File {
            subject: format!("property {key} of table {table}"),
            fact: format!("not the offsets that sluice writes: {cause}"),
            remedy: "something else changed it; restore the value of an earlier snapshot's metadata file",
        }),
    }
}

fn json(key: &str, value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|cause| Error::File {
        subject: key.to_owned(),
        fact: format!("cannot be written as JSON: {cause}"),
        remedy: "report this with the topic's name",
    })
}

#[cfg(test)]
mod tests;
