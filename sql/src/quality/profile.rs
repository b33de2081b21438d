//! A table's columns one by one: nulls, ranges, different values, quantiles, how values are spread; and its rows:
//! duplicates, freshness, volume.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::subject::{Class, Subject, count, float, quoted, text};
use super::volume::{Freshness, Volume, freshness, volume};
use crate::error::Result;

/// Bars of a histogram of numbers or times.
const BINS: u64 = 24;
/// Bars of a column of categories.
const CATEGORIES: u64 = 12;
/// A column with more different values than this has no counts by value: nearly each value would have its own.
const CATEGORY_VALUES_MAX: u64 = 100_000;

/// What is in a table.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// The table or file.
    pub subject: String,
    /// Rows.
    pub rows: u64,
    /// Rows that equal an earlier one in every data column; none when a column's type cannot be compared.
    pub duplicates: Option<u64>,
    /// How old it is.
    pub freshness: Freshness,
    /// How much came when.
    pub volume: Volume,
    /// The data columns.
    pub columns: Vec<ColumnProfile>,
    /// Which figures are approximate, and how.
    pub notes: [&'static str; 2],
}

/// What is in a column.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Rows without a value.
    pub nulls: u64,
    /// Different values, approximately.
    pub distinct: Option<u64>,
    /// The least value.
    pub min: Option<String>,
    /// The greatest value.
    pub max: Option<String>,
    /// The mean of numbers.
    pub mean: Option<f64>,
    /// The standard deviation of numbers, of the values as a sample.
    pub deviation: Option<f64>,
    /// The 5th, 50th and 95th percentile of numbers, approximately.
    pub quantiles: Option<[f64; 3]>,
    /// How values are spread: bins of equal width, or the most frequent values.
    pub bars: Vec<Bar>,
}

/// Rows of one bin, or of one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Where the bin begins, or the value.
    pub label: String,
    /// Rows in it.
    pub rows: u64,
}

/// Looks at all of a table, at `now`.
///
/// # Errors
/// As those of a query.
pub async fn profile(subject: &Subject, now: DateTime<Utc>) -> Result<Profile> {
    let (rows, mut columns) = aggregates(subject).await?;
    for (column, field) in columns.iter_mut().zip(subject.columns()) {
        column.bars = bars(subject, column, Class::of(field.data_type())).await?;
    }
    let volume = volume(subject.table());
    Ok(Profile {
        subject: subject.name().to_owned(),
        rows,
        duplicates: duplicates(subject, rows).await?,
        freshness: freshness(&volume, now),
        volume,
        columns,
        notes: [
            "distinct is approximate (HyperLogLog, about 2 %), and exact up to 1,000 for the columns of categories",
            "quantiles are approximate (t-digest)",
        ],
    })
}

/// Figures of one column in the aggregate, in this order.
const FIGURES: usize = 9;

/// One statement over all columns.
async fn aggregates(subject: &Subject) -> Result<(u64, Vec<ColumnProfile>)> {
    let fields = subject.columns();
    let mut items = vec!["count(*)".to_owned()];
    for field in &fields {
        let (name, class) = (quoted(field.name()), Class::of(field.data_type()));
        let null = || "null".to_owned();
        let over =
            |function: &str| if class == Class::Opaque { null() } else { format!("{function}({name})") };
        let number = |text: String| if class == Class::Number { text } else { null() };
        let double = class.number(&name);
        items.push(format!("count({name})"));
        items.push(match class {
            Class::Opaque => null(),
            // It knows whole numbers and texts; equal values have equal texts.
            _ if field.data_type().is_integer() => over("approx_distinct"),
            _ => format!("approx_distinct(cast({name} as varchar))"),
        });
        items.push(over("min"));
        items.push(over("max"));
        items.push(number(format!("avg({double})")));
        items.push(number(format!("stddev({double})")));
        for share in ["0.05", "0.5", "0.95"] {
            items.push(number(format!("approx_percentile_cont({share}) within group (order by {double})")));
        }
    }
    let items: Vec<String> =
        items.into_iter().enumerate().map(|(at, item)| format!("{item} as c{at}")).collect();
    let row = subject.row(&format!("select {} from {}", items.join(", "), subject.relation())).await?;
    let rows = row.first().map_or(0, count);
    let columns =
        fields.iter().zip(row.get(1..).unwrap_or_default().chunks(FIGURES)).map(|(field, figures)| {
            let quantiles = [float(&figures[6]), float(&figures[7]), float(&figures[8])];
            ColumnProfile {
                name: field.name().clone(),
                kind: field.data_type().to_string(),
                nulls: rows - count(&figures[0]).min(rows),
                distinct: (!figures[1].is_null()).then(|| count(&figures[1])),
                min: text(&figures[2]),
                max: text(&figures[3]),
                mean: float(&figures[4]),
                deviation: float(&figures[5]),
                quantiles: match quantiles {
                    [Some(low), Some(middle), Some(high)] => Some([low, middle, high]),
                    _ => None,
                },
                bars: Vec::new(),
            }
        });
    Ok((rows, columns.collect()))
}

/// How the values of a column are spread.
async fn bars(subject: &Subject, column: &mut ColumnProfile, class: Class) -> Result<Vec<Bar>> {
    match class {
        Class::Opaque => Ok(Vec::new()),
        Class::Category => categories(subject, column).await,
        Class::Number | Class::Time => bins(subject, &column.name, class).await,
    }
}

async fn categories(subject: &Subject, column: &mut ColumnProfile) -> Result<Vec<Bar>> {
    if column.distinct.is_none_or(|distinct| distinct > CATEGORY_VALUES_MAX) {
        return Ok(Vec::new());
    }
    let (name, relation) = (quoted(&column.name), subject.relation());
    if column.distinct.is_some_and(|distinct| distinct <= 1000) {
        let exact = subject.row(&format!("select count(distinct {name}) from {relation}")).await?;
        column.distinct = exact.first().map(count);
    }
    let sql = format!(
        "select {name} as label, count(*) as n from {relation} where {name} is not null group by {name} \
         order by n desc, label limit {CATEGORIES}"
    );
    let bar = |row: Vec<_>| Bar { label: text(&row[0]).unwrap_or_default(), rows: count(&row[1]) };
    Ok(subject.rows(&sql).await?.into_iter().map(bar).collect())
}

/// Rows by bins of equal width between the least and the greatest value.
async fn bins(subject: &Subject, name: &str, class: Class) -> Result<Vec<Bar>> {
    let (double, relation) = (class.number(&quoted(name)), subject.relation());
    let ends = subject.row(&format!("select min({double}), max({double}) from {relation}")).await?;
    let (Some(low), Some(high)) = (ends.first().and_then(float), ends.get(1).and_then(float)) else {
        return Ok(Vec::new());
    };
    let label = |at: f64| match class {
        Class::Time => DateTime::from_timestamp_millis((at * 1000.0) as i64)
            .map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M").to_string()),
        _ => super::page::short(at),
    };
    let width = (high - low) / BINS as f64;
    if width <= 0.0 || !width.is_finite() {
        let sql = format!("select count({double}) from {relation}");
        let rows = subject.row(&sql).await?.first().map_or(0, count);
        return Ok(vec![Bar { label: label(low), rows }]);
    }
    // Literals with all their digits, so that the ends are where the values are.
    let bin = format!("least(cast(floor(({double} - {low:e}) / {width:e}) as bigint), {})", BINS - 1);
    let sql = format!(
        "select {bin} as bin, count(*) as n from {relation} where {double} between {low:e} and {high:e} group by 1"
    );
    let mut bars: Vec<Bar> =
        (0..BINS).map(|at| Bar { label: label(low + at as f64 * width), rows: 0 }).collect();
    for row in subject.rows(&sql).await? {
        if let Some(bar) = bars.get_mut(count(&row[0]) as usize) {
            bar.rows += count(&row[1]);
        }
    }
    Ok(bars)
}

/// Rows that equal an earlier one: counted exactly, by grouping; beyond the memory of queries it spills.
async fn duplicates(subject: &Subject, rows: u64) -> Result<Option<u64>> {
    let fields = subject.columns();
    if fields.is_empty() || fields.iter().any(|field| field.data_type().is_nested()) {
        return Ok(None);
    }
    let names: Vec<String> = fields.iter().map(|field| quoted(field.name())).collect();
    let grouped = format!("select 1 as one from {} group by {}", subject.relation(), names.join(", "));
    let different = subject.row(&format!("select count(*) from ({grouped}) as different")).await?;
    Ok(different.first().map(|different| rows - count(different).min(rows)))
}
