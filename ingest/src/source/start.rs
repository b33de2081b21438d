//! Where reading starts: what the tables know, checked against what Kafka holds now.
//!
//! For each partition: the tables are loaded fresh; the cluster must be the one they were filled from;
//! every next offset must lie in the log; and the last record a table remembers must still be there with
//! the same bytes. A topic that was truncated, recreated or replaced is noticed before anything lands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use sluice_catalog::{Anchor, Lake, SourceOffsets, TableName, TableSnapshot};

use super::probe::Probe;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::resume::{self, Problem};

/// Tables that are loaded at the same time.
const LOADS: usize = 16;

/// A partition that may be read now.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) topic: usize,
    pub(crate) partition: i32,
    /// The first offset to read.
    pub(crate) offset: i64,
    /// What each of the topic's tables has already: table number and next offset.
    pub(crate) nexts: Vec<(usize, Option<i64>)>,
}

/// What the tables of one topic know.
struct Known {
    topic: usize,
    tables: Vec<(usize, Option<SourceOffsets>)>,
}

/// Loads and checks the given partitions (topic number, partition).
pub(crate) async fn plan(
    lake: &Lake,
    plan: Arc<Plan>,
    probe: Arc<Probe>,
    cluster: &str,
    partitions: Vec<(usize, i32)>,
) -> Result<Vec<Start>> {
    let mut by_topic: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        by_topic.entry(topic).or_default().push(partition);
    }
    // The dead letters belong to every topic: each table is loaded once.
    let tables: BTreeSet<usize> =
        by_topic.keys().flat_map(|topic| plan.topics[*topic].tables.iter().copied()).collect();
    let load = |table: usize| {
        let name = &plan.tables[table].name;
        async move { Ok::<_, Error>((table, lake.load(name).await?)) }
    };
    let loads: Vec<_> = tables.into_iter().map(load).collect();
    let snapshots: BTreeMap<usize, TableSnapshot> =
        stream::iter(loads).buffer_unordered(LOADS).try_collect().await?;
    let mut starts = Vec::new();
    for (topic, partitions) in by_topic {
        let known = known(&snapshots, &plan, topic, cluster)?;
        let (plan, probe) = (Arc::clone(&plan), Arc::clone(&probe));
        let check = move || check(&plan, &probe, &known, &partitions);
        starts.extend(
            tokio::task::spawn_blocking(check)
                .await
                .map_err(|_| Error::Broken { part: "the check of offsets" })??,
        );
    }
    Ok(starts)
}

fn known(
    snapshots: &BTreeMap<usize, TableSnapshot>,
    plan: &Plan,
    topic: usize,
    cluster: &str,
) -> Result<Known> {
    let name = &plan.topics[topic].name;
    let mut tables = Vec::new();
    for &table in &plan.topics[topic].tables {
        let snapshot = snapshots.get(&table).ok_or(Error::Broken { part: "the check of offsets" })?;
        let offsets = snapshot.offsets(name)?;
        if let Some(found) = offsets.as_ref().filter(|found| found.source.cluster != cluster) {
            let fact = format!("it was filled from cluster `{}`, this is `{cluster}`", found.source.cluster);
            let partition = found.next.keys().next().copied().unwrap_or(0);
            return Err(other(&plan.tables[table].name, name, partition, fact));
        }
        tables.push((table, offsets));
    }
    Ok(Known { topic, tables })
}

fn check(plan: &Plan, probe: &Probe, known: &Known, partitions: &[i32]) -> Result<Vec<Start>> {
    let topic = &plan.topics[known.topic].name;
    let name = |index: usize| plan.tables[known.tables[index].0].name.clone();
    let mut starts = Vec::new();
    let mut anchors: BTreeMap<i32, (Anchor, usize)> = BTreeMap::new();
    for &partition in partitions {
        let (low, high) = probe.watermarks(topic, partition)?;
        let next = |offsets: &Option<SourceOffsets>| offsets.as_ref()?.next.get(&partition).copied();
        let nexts: Vec<(usize, Option<i64>)> =
            known.tables.iter().map(|(table, offsets)| (*table, next(offsets))).collect();
        let bare: Vec<Option<i64>> = nexts.iter().map(|(_, next)| *next).collect();
        let offset = resume::start(&bare, low, high).map_err(|problem| match problem {
            Problem::Gap { table, next } => {
                Error::Gap { table: name(table), topic: topic.clone(), partition, next, log_start: low }
            }
            Problem::Ahead { table, next } => {
                let fact = format!("the table goes on at offset {next}, the topic ends at {high}");
                other(&name(table), topic, partition, fact)
            }
        })?;
        starts.push(Start { topic: known.topic, partition, offset, nexts });
        for (index, (_, offsets)) in known.tables.iter().enumerate() {
            let anchor = offsets.as_ref().and_then(|offsets| offsets.anchors.get(&partition).copied());
            let newer =
                |anchor: &Anchor| anchors.get(&partition).is_none_or(|(old, _)| old.offset < anchor.offset);
            if let Some(anchor) = anchor.filter(|anchor| anchor.offset >= low).filter(newer) {
                anchors.insert(partition, (anchor, index));
            }
        }
    }
    let wanted = anchors.iter().map(|(partition, (anchor, _))| (*partition, anchor.offset)).collect();
    let found = if anchors.is_empty() { BTreeMap::new() } else { probe.records(topic, &wanted)? };
    for (partition, (anchor, index)) in &anchors {
        match found.get(partition) {
            Some(record) if record == anchor => {}
            Some(record) if record.offset == anchor.offset => {
                let fact = format!("the record at offset {} has other bytes", anchor.offset);
                return Err(other(&name(*index), topic, *partition, fact));
            }
            // Compaction removes records; a later one in its place is no sign of another topic.
            _ => tracing::warn!(topic, partition, offset = anchor.offset, "the last landed record is gone"),
        }
    }
    Ok(starts)
}

fn other(table: &TableName, topic: &str, partition: i32, fact: String) -> Error {
    Error::OtherTopic { table: table.clone(), topic: topic.to_owned(), partition, fact }
}
