//! Tables that messages name: what they have, and the ranges that they commit.
//!
//! Such a table commits only with rows of its own, from where it stands itself. In between the dead letters speak for
//! it: its rows at or after their next offset, and at or after its own, are those it lacks.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use sluice_catalog::{OffsetRange, SourceRanges, TableSnapshot};

use super::Lander;
use crate::error::{Error, Result};
use crate::resume;
use crate::source::Seal;

/// Tables that are loaded at the same time.
const LOADS: usize = 16;

/// Table, topic, partition.
pub(super) type Place = (usize, usize, i32);

/// The parts of a commit that tables of templates have, and how far each table gets with them.
#[derive(Debug, Default)]
pub(super) struct NamedParts {
    pub(super) parts: Vec<(usize, Vec<SourceRanges>)>,
    pub(super) carried: Vec<(Place, i64)>,
}

impl Lander {
    pub(super) fn is_of_template(&self, table: usize) -> bool {
        self.plan.tables[table].made_by.is_some()
    }

    /// The first offset whose row a table takes, if it lacks not all.
    pub(super) fn floor(&self, table: usize, topic: usize, partition: i32) -> Option<i64> {
        let own = self.nexts.get(&(table, topic, partition)).copied();
        if !self.is_of_template(table) {
            return own;
        }
        resume::named(own, self.nexts.get(&(self.plan.dead_letters, topic, partition)).copied())
    }

    /// Takes up topics and tables that came into the plan, and what tables of templates have of a topic.
    pub(super) async fn follow(&mut self, topic: usize, tables: impl Iterator<Item = usize>) -> Result<()> {
        let tables: Vec<usize> = tables.collect();
        if topic >= self.plan.topics.len() || tables.iter().any(|table| *table >= self.snapshots.len()) {
            self.plan = self.plans.current();
        }
        let mut fresh = BTreeSet::new();
        for table in self.snapshots.len()..self.plan.tables.len() {
            let name = &self.plan.tables[table].name;
            self.snapshots.push(match self.plans.take_met(name) {
                Some(snapshot) => snapshot,
                None => self.lake.load(name).await?,
            });
            fresh.insert(table);
        }
        let unknown = |table: &usize| self.is_of_template(*table) && !self.known.contains(&(*table, topic));
        let unknown: Vec<usize> = tables.into_iter().filter(unknown).collect();
        let stale = unknown.iter().filter(|table| !fresh.contains(*table));
        let (lake, plan) = (&self.lake, &self.plan);
        let loads = stale
            .map(|&table| async move { Ok::<_, Error>((table, lake.load(&plan.tables[table].name).await?)) });
        let loads: Vec<_> = loads.collect();
        let loaded: Vec<(usize, TableSnapshot)> =
            stream::iter(loads).buffer_unordered(LOADS).try_collect().await?;
        for (table, snapshot) in loaded {
            self.snapshots[table] = snapshot;
        }
        for table in unknown {
            let offsets = self.snapshots[table].offsets(&self.plan.topics[topic].name)?;
            let next = offsets.map(|offsets| offsets.next).unwrap_or_default();
            self.nexts.extend(next.into_iter().map(|(partition, next)| ((table, topic, partition), next)));
            self.known.insert((table, topic));
        }
        Ok(())
    }

    /// The ranges of the tables that rows were brought to.
    pub(super) fn named_parts(&self, seal: &Seal, brought: &BTreeSet<Place>) -> NamedParts {
        let mut ranges: BTreeMap<(usize, usize), BTreeMap<i32, OffsetRange>> = BTreeMap::new();
        let mut carried = Vec::new();
        for &(table, topic, partition) in brought {
            let Some(range) = seal.ranges.get(&topic).and_then(|ranges| ranges.get(&partition)) else {
                continue;
            };
            let next = self.nexts.get(&(table, topic, partition)).copied();
            let Some((start, end)) = resume::named_carry(next, range.start, range.end) else { continue };
            let anchor = range.anchor.filter(|anchor| anchor.offset >= start);
            ranges.entry((table, topic)).or_default().insert(partition, OffsetRange { start, end, anchor });
            carried.push(((table, topic, partition), end));
        }
        let mut parts: BTreeMap<usize, Vec<SourceRanges>> = BTreeMap::new();
        for ((table, topic), ranges) in ranges {
            parts.entry(table).or_default().push(SourceRanges { source: self.source(topic), ranges });
        }
        NamedParts { parts: parts.into_iter().collect(), carried }
    }
}
