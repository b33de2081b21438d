//! How two tables differ: columns, counts, and for each column they share one statistic of its values.
//!
//! Both sides are asked for their values with counts, in order; the two streams are merged, so that neither memory
//! nor the statistic depends on a sample.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use serde::Serialize;

use super::profile::Bar;
use super::statistics::{KolmogorovSmirnov, stability_index};
use super::subject::{Class, Subject, count, quoted};
use crate::error::Result;

/// Values of a category that count by themselves; all others together are one more.
const VALUES_MAX: usize = 50;
/// Bars that are shown of them.
const BARS: usize = 12;
/// Shares of rows without a value that differ by less are the same.
const NULLS_SAME: f64 = 0.01;

/// How two tables differ.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The first table or file.
    pub a: String,
    /// The second.
    pub b: String,
    /// Rows of each.
    pub rows: [u64; 2],
    /// Columns that only one of them has, or that have different types.
    pub differences: Vec<Difference>,
    /// The columns of both.
    pub columns: Vec<Shift>,
    /// The worst of all.
    pub verdict: Verdict,
    /// What the statistics are, and from where on they mean a change.
    pub notes: [&'static str; 2],
}

/// A column that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The column.
    pub column: String,
    /// Its type in the first; none when it is not there.
    pub a: Option<String>,
    /// Its type in the second.
    pub b: Option<String>,
}

/// How the values of a column differ.
#[derive(Clone, Debug, Serialize)]
pub struct Shift {
    /// The column.
    pub column: String,
    /// `kolmogorov-smirnov` or `population stability index`; none where values cannot be compared.
    pub statistic: Option<&'static str>,
    /// Its value.
    pub value: Option<f64>,
    /// Of Kolmogorov–Smirnov: how likely at least so much would be if both came from one distribution. Small for
    /// large tables, whatever the distance: the verdict goes by the distance.
    pub p_value: Option<f64>,
    /// Shares of rows without a value.
    pub null_share: [f64; 2],
    /// What it means.
    pub verdict: Verdict,
    /// Rows of each side by value, for categories: the most frequent of both.
    pub bars: [Vec<Bar>; 2],
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No difference that matters.
    Same,
    /// A difference to look at.
    Shifted,
    /// Not the same data any more.
    Changed,
}

/// Looks at all of both tables.
///
/// # Errors
/// As those of a query.
pub async fn compare(a: &Subject, b: &Subject) -> Result<Comparison> {
    let (left, right) = (a.columns(), b.columns());
    let names: BTreeSet<&String> = left.iter().chain(&right).map(|field| field.name()).collect();
    let (mut differences, mut columns) = (Vec::new(), Vec::new());
    for name in names {
        let find = |fields: &[std::sync::Arc<datafusion::arrow::datatypes::Field>]| {
            fields.iter().find(|field| field.name() == name).map(|field| field.data_type().clone())
        };
        let types = [find(&left), find(&right)];
        if types[0] != types[1] {
            let [a, b] = types.clone().map(|found| found.map(|found| found.to_string()));
            differences.push(Difference { column: name.clone(), a, b });
        }
        if let [Some(one), Some(other)] = types {
            let class = match (Class::of(&one), Class::of(&other)) {
                (one, other) if one == other => one,
                _ => Class::Opaque,
            };
            columns.push(shift(a, b, name, class).await?);
        }
    }
    let rows = [rows(a).await?, rows(b).await?];
    let worst = columns.iter().map(|column| column.verdict).max().unwrap_or(Verdict::Same);
    Ok(Comparison {
        a: a.name().to_owned(),
        b: b.name().to_owned(),
        rows,
        verdict: if differences.is_empty() { worst } else { worst.max(Verdict::Shifted) },
        differences,
        columns,
        notes: [
            "numbers and times: two-sample Kolmogorov-Smirnov distance; shifted from 0.05, changed from 0.15",
            "texts and booleans: population stability index over the 50 most frequent values and the rest; \
             shifted from 0.1, changed from 0.25",
        ],
    })
}

async fn rows(subject: &Subject) -> Result<u64> {
    let row = subject.row(&format!("select count(*) from {}", subject.relation())).await?;
    Ok(row.first().map_or(0, count))
}

async fn shift(a: &Subject, b: &Subject, name: &str, class: Class) -> Result<Shift> {
    let column = quoted(name);
    let mut present = [0; 2];
    let mut null_share = [0.0; 2];
    for (side, subject) in [a, b].into_iter().enumerate() {
        let sql = format!("select count(*), count({column}) from {}", subject.relation());
        let row = subject.row(&sql).await?;
        let (all, some) = (row.first().map_or(0, count), row.get(1).map_or(0, count));
        present[side] = some;
        null_share[side] = if all == 0 { 0.0 } else { (all - some) as f64 / all as f64 };
    }
    let mut shift = Shift {
        column: name.to_owned(),
        statistic: None,
        value: None,
        p_value: None,
        null_share,
        verdict: Verdict::Same,
        bars: Default::default(),
    };
    match class {
        Class::Opaque => {}
        Class::Number | Class::Time => numbers(a, b, &class.number(&column), present, &mut shift).await?,
        Class::Category => categories(a, b, &column, &mut shift).await?,
    }
    if (null_share[0] - null_share[1]).abs() > NULLS_SAME {
        shift.verdict = shift.verdict.max(Verdict::Shifted);
    }
    // A column that has values on one side only has no statistic, and has changed.
    if present.contains(&0) && present != [0, 0] {
        shift.verdict = Verdict::Changed;
    }
    Ok(shift)
}

async fn numbers(a: &Subject, b: &Subject, double: &str, present: [u64; 2], shift: &mut Shift) -> Result<()> {
    let mut merged = Merged::<f64>::new(a, b, double).await?;
    let mut distance = KolmogorovSmirnov::new(present);
    while let Some((_, counts)) = merged.next().await? {
        distance.see(counts);
    }
    shift.statistic = Some("kolmogorov-smirnov");
    if let Some((value, p_value)) = distance.finish() {
        (shift.value, shift.p_value) = (Some(value), Some(p_value));
        shift.verdict = verdict(value, 0.05, 0.15);
    }
    Ok(())
}

async fn categories(a: &Subject, b: &Subject, column: &str, shift: &mut Shift) -> Result<()> {
    let mut merged = Merged::<String>::new(a, b, &format!("cast({column} as varchar)")).await?;
    // The least frequent of the values that count is on top, ready to make room.
    let mut frequent: BinaryHeap<Reverse<(u64, String, [u64; 2])>> = BinaryHeap::new();
    let mut rest = [0; 2];
    while let Some((value, counts)) = merged.next().await? {
        frequent.push(Reverse((counts[0] + counts[1], value, counts)));
        if frequent.len() > VALUES_MAX
            && let Some(Reverse((_, _, counts))) = frequent.pop()
        {
            rest = [rest[0] + counts[0], rest[1] + counts[1]];
        }
    }
    let mut values = frequent.into_vec();
    values.sort();
    let mut counts: Vec<[u64; 2]> = values.iter().map(|Reverse((_, _, counts))| *counts).collect();
    counts.push(rest);
    shift.statistic = Some("population stability index");
    shift.value = stability_index(&counts);
    if let Some(value) = shift.value {
        shift.verdict = verdict(value, 0.1, 0.25);
    }
    shift.bars = [0, 1].map(|side| {
        let bar = |Reverse((_, label, counts)): &Reverse<(u64, String, [u64; 2])>| Bar {
            label: label.clone(),
            rows: counts[side],
        };
        values.iter().take(BARS).map(bar).collect()
    });
    Ok(())
}

fn verdict(value: f64, shifted: f64, changed: f64) -> Verdict {
    match value {
        value if value >= changed => Verdict::Changed,
        value if value >= shifted => Verdict::Shifted,
        _ => Verdict::Same,
    }
}

/// A value of a column, with an order that is that of the query.
trait Value: Sized {
    fn at(column: &dyn Array, row: usize) -> Self;
    fn order(&self, other: &Self) -> Ordering;
}

impl Value for f64 {
    fn at(column: &dyn Array, row: usize) -> Self {
        column.as_primitive::<Float64Type>().value(row)
    }

    fn order(&self, other: &Self) -> Ordering {
        self.total_cmp(other)
    }
}

impl Value for String {
    fn at(column: &dyn Array, row: usize) -> Self {
        column.as_string::<i32>().value(row).to_owned()
    }

    fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

/// The values of two tables in their common order, each with its counts.
struct Merged<V> {
    sides: [Side<V>; 2],
}

/// The values of one table with their counts, in order.
struct Side<V> {
    stream: SendableRecordBatchStream,
    batch: Option<RecordBatch>,
    row: usize,
    head: Option<(V, u64)>,
}

impl<V: Value> Merged<V> {
    async fn new(a: &Subject, b: &Subject, value: &str) -> Result<Self> {
        Ok(Self { sides: [Side::open(a, value).await?, Side::open(b, value).await?] })
    }

    async fn next(&mut self) -> Result<Option<(V, [u64; 2])>> {
        let order = match (&self.sides[0].head, &self.sides[1].head) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.order(b),
        };
        let a = if order == Ordering::Greater { None } else { self.sides[0].take().await? };
        let b = if order == Ordering::Less { None } else { self.sides[1].take().await? };
        let counts = [&a, &b].map(|side| side.as_ref().map_or(0, |(_, count)| *count));
        Ok(a.or(b).map(|(value, _)| (value, counts)))
    }
}

impl<V: Value> Side<V> {
    async fn open(subject: &Subject, value: &str) -> Result<Self> {
        let sql = format!(
            "select {value} as v, count(*) as n from {} where {value} is not null group by 1 order by 1",
            subject.relation()
        );
        let mut side = Self { stream: subject.stream(&sql).await?, batch: None, row: 0, head: None };
        side.take().await?;
        Ok(side)
    }

    /// The head; the value after it becomes the head.
    async fn take(&mut self) -> Result<Option<(V, u64)>> {
        while self.batch.as_ref().is_none_or(|batch| self.row >= batch.num_rows()) {
            self.row = 0;
            self.batch = self.stream.try_next().await?;
            if self.batch.is_none() {
                return Ok(self.head.take());
            }
        }
        let next = self.batch.as_ref().map(|batch| {
            let count = batch.column(1).as_primitive::<Int64Type>().value(self.row);
            (V::at(batch.column(0).as_ref(), self.row), count as u64)
        });
        self.row += 1;
        Ok(std::mem::replace(&mut self.head, next))
    }
}
