//! Result rows on standard output: a table for people, JSON lines or CSV for programs.
//!
//! JSON and CSV are written batch by batch as the query yields them. The table shows the first rows and
//! counts the rest, so that its memory does not depend on the result.

use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder as JsonBuilder;
use arrow::json::writer::{LineDelimited, Writer as JsonWriter};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use futures::{Stream, StreamExt};

use crate::failure::Failure;

/// Rows that a table shows before it only counts.
const TABLE_ROWS_MAX: usize = 100;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Aligned columns with a footer.
    Table,
    /// One JSON object per row.
    Json,
    /// A header and one line per row.
    Csv,
}

impl Format {
    /// The format that a pair of flags asks for.
    pub(crate) fn of(json: bool, csv: bool) -> Self {
        match (json, csv) {
            (true, _) => Self::Json,
            (_, true) => Self::Csv,
            _ => Self::Table,
        }
    }
}

/// Writes all rows of `batches` to standard output; a closed pipe (`| head`) ends it without an error.
pub(crate) async fn print<S, E>(schema: SchemaRef, batches: S, format: Format) -> Result<(), Failure>
where
    S: Stream<Item = Result<RecordBatch, E>> + Unpin,
    E: Into<Failure>,
{
    let written = match format {
        Format::Table => print_table(schema, batches).await,
        Format::Json => print_json(batches).await,
        Format::Csv => print_csv(schema, batches).await,
    };
    match written {
        Err(Printed::PipeClosed) | Ok(()) => Ok(()),
        Err(Printed::Failed(failure)) => Err(failure),
    }
}

enum Printed {
    PipeClosed,
    Failed(Failure),
}

impl From<io::Error> for Printed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<arrow::error::ArrowError> for Printed {
    fn from(error: arrow::error::ArrowError) -> Self {
        match error {
            arrow::error::ArrowError::IoError(_, error) => error.into(),
            other => Self::Failed(other.into()),
        }
    }
}

async fn print_json<S, E>(mut batches: S) -> Result<(), Printed>
where
    S: Stream<Item = Result<RecordBatch, E>> + Unpin,
    E: Into<Failure>,
{
    let out = io::BufWriter::new(io::stdout());
    let mut writer: JsonWriter<_, LineDelimited> = JsonBuilder::new().with_explicit_nulls(true).build(out);
    while let Some(batch) = batches.next().await {
        writer.write(&batch.map_err(|error| Printed::Failed(error.into()))?)?;
    }
    writer.finish()?;
    Ok(writer.into_inner().flush()?)
}

async fn print_csv<S, E>(schema: SchemaRef, mut batches: S) -> Result<(), Printed>
where
    S: Stream<Item = Result<RecordBatch, E>> + Unpin,
    E: Into<Failure>,
{
    let mut writer = arrow::csv::Writer::new(io::BufWriter::new(io::stdout()));
    writer.write(&RecordBatch::new_empty(schema))?;
    while let Some(batch) = batches.next().await {
        writer.write(&batch.map_err(|error| Printed::Failed(error.into()))?)?;
    }
    Ok(writer.into_inner().flush()?)
}

async fn print_table<S, E>(schema: SchemaRef, mut batches: S) -> Result<(), Printed>
where
    S: Stream<Item = Result<RecordBatch, E>> + Unpin,
    E: Into<Failure>,
{
    let mut table = new_table(&schema);
    let (mut shown, mut total) = (0, 0);
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| Printed::Failed(error.into()))?;
        let rows = batch.num_rows().min(TABLE_ROWS_MAX - shown);
        add_rows(&mut table, &batch.slice(0, rows))?;
        shown += rows;
        total += batch.num_rows();
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{table}")?;
    let noun = if total == 1 { "row" } else { "rows" };
    match total > shown {
        true => writeln!(out, "{} {noun} ({shown} shown; --json or --csv give all)", grouped(total as u64))?,
        false => writeln!(out, "{} {noun}", grouped(total as u64))?,
    }
    Ok(())
}

/// A table with a header of `schema`'s columns, numbers to the right.
fn new_table(schema: &SchemaRef) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(schema.fields().iter().map(|field| field.name()));
    for (column, field) in table.column_iter_mut().zip(schema.fields()) {
        if field.data_type().is_numeric() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn add_rows(table: &mut Table, batch: &RecordBatch) -> Result<(), Printed> {
    let options =
        FormatOptions::default().with_null("NULL").with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let options = options.with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        table.add_row(columns.iter().map(|column| column.value(row).to_string()));
    }
    Ok(())
}

/// A table of texts, for listings that do not come from a query.
pub(crate) fn print_listing(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header).add_rows(rows);
    println!("{table}");
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(["0", "999", "1,000", "12,345,678"], [0, 999, 1_000, 12_345_678].map(grouped).as_slice());
    }
}
