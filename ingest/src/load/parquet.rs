//! Parquet files: typed already, so their columns only have to be those of the table. Progress counts rows.
//!
//! A file that claims more than it can hold is refused before it is read. `_src_offset` is the row, from 1.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use futures::stream::{self, BoxStream, StreamExt};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::errors::ParquetError;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::blocks::Fingerprint;
use super::columns::{Column, Origin};
use super::csv::{COLUMNS_MAX, check_name, column_name};
use super::part::Part;
use super::pieces::Piece;
use super::survey::Survey;
use super::{Error, Progress, Result};

/// Rows that are decoded at once.
const ROWS: usize = 16_384;
/// The largest footer that is read.
const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// Hashes the file and reads its footer.
pub(super) fn survey(part: &Part, progress: &Progress) -> Result<Survey> {
    if part.member.is_some() {
        let fact = "a Parquet file inside of an archive cannot be read in parts";
        return Err(part.unfit(fact, "unpack the archive and load the files"));
    }
    let read = |source| part.read_error(source);
    let mut file = File::open(&part.path).map_err(read)?;
    let (mut sha256, mut buffer, mut tail) = (Sha256::new(), vec![0; 1 << 20], Vec::new());
    loop {
        let count = file.read(&mut buffer).map_err(read)?;
        if count == 0 {
            break;
        }
        progress.add_bytes(count as u64);
        sha256.update(&buffer[..count]);
        tail.extend_from_slice(&buffer[count.saturating_sub(8)..count]);
        tail.drain(..tail.len().saturating_sub(8));
    }
    check_tail(part, &tail)?;
    let reader = open(part)?;
    let metadata = reader.metadata();
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    let mut columns: Vec<(String, Column)> = Vec::new();
    let mut names = Vec::new();
    if reader.schema().fields().len() > COLUMNS_MAX {
        let fact = format!("it has more than {COLUMNS_MAX} columns");
        return Err(part.unfit(fact, "is it the right file? choose columns before loading"));
    }
    for (at, field) in reader.schema().fields().iter().enumerate() {
        let name = column_name(field.name());
        check_name(part, at, &name, &names)?;
        names.push(name.clone());
        columns.push((field.name().clone(), Column::new(name, field.data_type().clone())));
    }
    Ok(Survey {
        part: part.clone(),
        fingerprint: Fingerprint::of(format!("{:x}", sha256.finalize())),
        length: rows,
        data_start: 0,
        columns,
        kinds: Vec::new(),
        rows,
        rejected: 0,
        first_fault: None,
    })
}

/// The last eight bytes: how long the footer is, and `PAR1`.
fn check_tail(part: &Part, tail: &[u8]) -> Result<()> {
    let [a, b, c, d, b'P', b'A', b'R', b'1'] = tail else {
        return Err(part.unfit("it does not end as a Parquet file does", "is it whole, and is it Parquet?"));
    };
    let length = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
    if length > FOOTER_BYTES_MAX || length + 8 > part.bytes {
        let fact = format!("its footer claims {length} bytes of {}", part.bytes);
        return Err(part.unfit(fact, "the file is damaged: fetch it again"));
    }
    Ok(())
}

fn open(part: &Part) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(&part.path).map_err(|source| part.read_error(source))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(part, &error))
}

fn damaged(part: &Part, error: &ParquetError) -> Error {
    part.unfit(format!("it is no readable Parquet file: {error}"), "fetch the file again")
}

/// The rows from `start` on, as pieces.
pub(super) fn pieces(
    survey: &Survey,
    columns: &[Column],
    origin: Origin,
    start: u64,
    progress: &Arc<Progress>,
) -> BoxStream<'static, Result<Piece>> {
    let (sender, mut receiver) = mpsc::channel(2);
    let (survey, columns, progress) = (survey.clone(), columns.to_vec(), Arc::clone(progress));
    let part = survey.part.clone();
    let reading = spawn_blocking(move || {
        // Whoever receives has given up when a piece cannot be sent, and knows why.
        read(&survey, &columns, &origin, start, &progress, |piece| sender.blocking_send(piece).is_ok())
    });
    let verdict = stream::once(reading).filter_map(move |read| {
        let failed = read.unwrap_or_else(|ended| Err(part.broken(&ended))).err();
        std::future::ready(failed.map(Err))
    });
    stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok).chain(verdict).boxed()
}

fn read(
    survey: &Survey,
    columns: &[Column],
    origin: &Origin,
    start: u64,
    progress: &Progress,
    mut give: impl FnMut(Piece) -> bool,
) -> Result<()> {
    let part = &survey.part;
    let reader = open(part)?;
    if u64::try_from(reader.metadata().file_metadata().num_rows()).ok() != Some(survey.length) {
        return Err(Error::Changed { path: part.subject() });
    }
    let skipped = RowSelection::from(vec![
        RowSelector::skip(start as usize),
        RowSelector::select(survey.length.saturating_sub(start) as usize),
    ]);
    let reader = reader.with_batch_size(ROWS).with_row_selection(skipped).build();
    let reader = reader.map_err(|error| damaged(part, &error))?;
    let mut next = start;
    for batch in reader {
        let batch = batch.map_err(|error| damaged(part, &ParquetError::ArrowError(error.to_string())))?;
        let rows = batch.num_rows() as u64;
        let lines = (next as i64 + 1..).take(batch.num_rows()).collect();
        next += rows;
        let bytes = part.bytes * rows / survey.length.max(1);
        progress.add_bytes(bytes);
        let rows = table_batch(&batch, columns, origin, lines).map_err(|error| part.broken(&error))?;
        let row_count = rows.num_rows() as u64;
        let piece = Piece { rows: vec![rows], row_count, end: next, bytes, ..Piece::default() };
        if !give(piece) {
            break;
        }
    }
    Ok(())
}

/// The batch under the table's names, with the source columns; the writer casts what loses nothing.
fn table_batch(
    batch: &RecordBatch,
    columns: &[Column],
    origin: &Origin,
    lines: Vec<i64>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut fields: Vec<Field> = columns
        .iter()
        .zip(batch.columns())
        .map(|(column, values)| Field::new(&column.name, values.data_type().clone(), true))
        .collect();
    fields.extend(crate::plan::source_fields());
    let mut values: Vec<ArrayRef> = batch.columns().to_vec();
    values.extend(origin.columns(lines));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values)
}
