//! The second reading of a part: blocks become record batches on several threads, in the order of the file.
//!
//! ```text
//! one thread reads and cuts -> threads parse blocks, some at a time -> pieces in order
//! ```
//!
//! So many blocks are in memory as there are threads, and two more.

use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::task::spawn_blocking;

use super::blocks::{self, Block, Ends};
use super::columns::{Column, Origin, Rejects, Rows, misfit};
use super::csv::{Fault, Records};
use super::ndjson::Decoder;
use super::survey::{Survey, received};
use super::{Format, Progress, Result, parquet};

/// A stretch of a part, ready to be written.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) rows: Vec<RecordBatch>,
    pub(super) letters: Vec<RecordBatch>,
    pub(super) row_count: u64,
    pub(super) rejected: u64,
    /// The line and the fault of the first record that is no row.
    pub(super) first_fault: Option<(u64, String)>,
    /// Where it ends: the next byte, or row.
    pub(super) end: u64,
    /// Bytes of content it was made of.
    pub(super) bytes: u64,
}

/// What turns blocks into pieces.
enum Parser {
    Csv { delimiter: u8, columns: Vec<Column> },
    Ndjson(Decoder),
}

/// The pieces of a part from `start` on, its columns read as `columns`, in the survey's order.
pub(super) fn pieces(
    survey: &Survey,
    format: Format,
    columns: &[Column],
    origin: Origin,
    start: u64,
    progress: &Arc<Progress>,
) -> BoxStream<'static, Result<Piece>> {
    let (ends, parser) = match format {
        Format::Csv { delimiter } => {
            (Ends::Csv(delimiter), Parser::Csv { delimiter, columns: columns.to_vec() })
        }
        Format::Ndjson => {
            let fields: Vec<String> = survey.columns.iter().map(|(field, _)| field.clone()).collect();
            (Ends::Line, Parser::Ndjson(Decoder::new(&fields, columns)))
        }
        Format::Parquet => return parquet::pieces(survey, columns, origin, start, progress),
    };
    let (part, parser) = (survey.part.clone(), Arc::new(parser));
    let start = start.max(survey.data_start);
    let known = Some(survey.fingerprint.clone());
    let (blocks, reading) = blocks::send(part.clone(), ends, known, Arc::clone(progress));
    let wanted = received(blocks).filter_map(move |block| std::future::ready(block.from(start)));
    let parsed = wanted.map(move |block| {
        let (parser, origin) = (Arc::clone(&parser), origin.clone());
        spawn_blocking(move || parser.parse(&block, origin))
    });
    let subject = part.clone();
    let parsed = parsed.buffered(super::workers()).map(move |piece| match piece {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(error)) => Err(subject.broken(&error)),
        Err(ended) => Err(subject.broken(&ended)),
    });
    // The end of the blocks is only the end of the part when reading says so.
    let verdict = stream::once(reading).filter_map(move |read| {
        let failed = read.unwrap_or_else(|ended| Err(part.broken(&ended))).err();
        std::future::ready(failed.map(Err))
    });
    parsed.chain(verdict).boxed()
}

impl Parser {
    fn parse(&self, block: &Block, origin: Origin) -> Result<Piece, ArrowError> {
        let mut rejects = Rejects::new(origin.clone());
        let mut rows = Vec::new();
        match self {
            _ if block.too_long => rejects.push(block.line, &Fault::too_long(), &block.bytes)?,
            Self::Csv { delimiter, columns } => {
                rows.extend(csv_rows(block, *delimiter, columns, origin, &mut rejects)?);
            }
            Self::Ndjson(decoder) => rows = decoder.decode(block, &origin, &mut rejects)?,
        }
        Ok(Piece {
            row_count: rows.iter().map(|batch| batch.num_rows() as u64).sum(),
            rows,
            rejected: rejects.count,
            first_fault: rejects.first.take(),
            letters: rejects.finish()?,
            end: block.end,
            bytes: block.bytes.len() as u64,
        })
    }
}

fn csv_rows(
    block: &Block,
    delimiter: u8,
    columns: &[Column],
    origin: Origin,
    rejects: &mut Rejects,
) -> Result<Option<RecordBatch>, ArrowError> {
    let mut rows = Rows::new(columns, origin);
    let mut records = Records::new(block, delimiter, columns.len());
    while let Some(mut record) = records.next() {
        match record.fault.take().or_else(|| misfit(record.fields, columns)) {
            None => rows.push(record.line, record.fields),
            Some(fault) => rejects.push(record.line, &fault, record.raw)?,
        }
    }
    rows.finish()
}
