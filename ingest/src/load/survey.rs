//! The first reading of a part: its fingerprint, its columns, and, where nobody declared types, the types.
//!
//! A type is only safe when every value has been seen, and a content that was loaded before must be noticed before
//! anything is written: so each part is read twice. Where the types are known already, the first reading only
//! takes the fingerprint and looks for the ends of records.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::blocks::{self, Block, Ends, Fingerprint};
use super::columns::Column;
use super::csv::{self, Records};
use super::infer::Guess;
use super::ndjson::{Kind, Shape};
use super::part::Part;
use super::{Format, Progress, Result, parquet};

/// What the first reading of a part found.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    pub(super) part: Part,
    pub(super) fingerprint: Fingerprint,
    /// Where its progress ends: bytes of the content, or rows of a Parquet file.
    pub(super) length: u64,
    /// Where the first record begins.
    pub(super) data_start: u64,
    /// The columns by their names in the file, with the types that the values have in common.
    pub(super) columns: Vec<(String, Column)>,
    /// What the values of each column are, for files that do not say types.
    pub(super) kinds: Vec<Kind>,
    /// Records that can be rows, as far as they were looked at, and the first that cannot.
    pub(super) rows: u64,
    pub(super) rejected: u64,
    pub(super) first_fault: Option<(u64, String)>,
}

/// What was seen of the records of a CSV file.
#[derive(Clone, Debug, Default)]
struct Seen {
    guesses: Vec<Guess>,
    rows: u64,
    rejected: u64,
    first_fault: Option<(u64, String)>,
}

/// Reads a part for the first time. `infer` asks for types where the file does not say them.
pub(super) async fn survey(
    part: &Part,
    format: Format,
    infer: bool,
    progress: &Arc<Progress>,
) -> Result<Survey> {
    match format {
        Format::Csv { delimiter } => csv_file(part, delimiter, infer, progress).await,
        Format::Ndjson => ndjson_file(part, progress).await,
        Format::Parquet => {
            let (task, counters) = (part.clone(), Arc::clone(progress));
            let survey = spawn_blocking(move || parquet::survey(&task, &counters));
            survey.await.unwrap_or_else(|ended| Err(part.broken(&ended)))
        }
    }
}

/// Blocks as they are received.
pub(super) fn received(mut blocks: mpsc::Receiver<Block>) -> BoxStream<'static, Block> {
    stream::poll_fn(move |context| blocks.poll_recv(context)).boxed()
}

async fn csv_file(part: &Part, delimiter: u8, infer: bool, progress: &Arc<Progress>) -> Result<Survey> {
    let (mut blocks, reading) = blocks::send(part.clone(), Ends::Csv(delimiter), None, Arc::clone(progress));
    let Some(first) = blocks.recv().await else {
        // Nothing came: reading failed, or the content is empty.
        reading.await.unwrap_or_else(|ended| Err(part.broken(&ended)))?;
        return Err(csv::header(part, None, delimiter).err().unwrap_or_else(|| part.broken(&"no block")));
    };
    let (names, data_start) = csv::header(part, Some(&first), delimiter)?;
    let width = names.len();
    let mut seen = Seen { guesses: vec![Guess::new(); width], ..Seen::default() };
    let all = stream::iter(first.from(data_start)).chain(received(blocks));
    if infer {
        let looks = all.map(|block| spawn_blocking(move || Seen::of(&block, delimiter, width)));
        let mut looks = looks.buffered(super::workers());
        while let Some(look) = looks.next().await {
            seen.merge(look.map_err(|ended| part.broken(&ended))?);
        }
    } else {
        all.for_each(|_| std::future::ready(())).await;
    }
    let fingerprint = reading.await.unwrap_or_else(|ended| Err(part.broken(&ended)))?;
    let types = seen.guesses.iter().map(Guess::settle);
    let columns = names.into_iter().zip(types).map(|(name, kind)| (name.clone(), Column::new(name, kind)));
    Ok(Survey {
        part: part.clone(),
        length: fingerprint.length,
        fingerprint,
        data_start,
        columns: columns.collect(),
        kinds: seen.guesses.into_iter().map(Kind::Plain).collect(),
        rows: seen.rows,
        rejected: seen.rejected,
        first_fault: seen.first_fault,
    })
}

async fn ndjson_file(part: &Part, progress: &Arc<Progress>) -> Result<Survey> {
    let (blocks, reading) = blocks::send(part.clone(), Ends::Line, None, Arc::clone(progress));
    let looks = received(blocks).map(|block| spawn_blocking(move || Shape::of(&block)));
    let mut looks = looks.buffered(super::workers());
    let mut shape = Shape::default();
    while let Some(look) = looks.next().await {
        shape.merge(&look.map_err(|ended| part.broken(&ended))?);
    }
    let fingerprint = reading.await.unwrap_or_else(|ended| Err(part.broken(&ended)))?;
    if shape.fields.len() > csv::COLUMNS_MAX {
        let fact = format!("its records have more than {} fields together", csv::COLUMNS_MAX);
        return Err(part.unfit(fact, "put what varies into one nested field, or correct the file"));
    }
    let (columns, kinds): (Vec<_>, Vec<_>) = shape.columns().into_iter().unzip();
    let mut names = Vec::new();
    for (at, (_, column)) in columns.iter().enumerate() {
        csv::check_name(part, at, &column.name, &names)?;
        names.push(column.name.clone());
    }
    Ok(Survey {
        part: part.clone(),
        length: fingerprint.length,
        fingerprint,
        data_start: 0,
        columns,
        kinds,
        rows: shape.rows,
        rejected: shape.rejected,
        first_fault: shape.first_fault,
    })
}

impl Seen {
    fn of(block: &Block, delimiter: u8, width: usize) -> Self {
        let mut seen = Self { guesses: vec![Guess::new(); width], ..Self::default() };
        if block.too_long {
            seen.fault(block.line, &csv::Fault::too_long());
            return seen;
        }
        let mut records = Records::new(block, delimiter, width);
        while let Some(record) = records.next() {
            if let Some(fault) = &record.fault {
                seen.fault(record.line, fault);
                continue;
            }
            seen.rows += 1;
            for (guess, field) in seen.guesses.iter_mut().zip(record.fields.iter()) {
                guess.see(std::str::from_utf8(field).unwrap_or_default());
            }
        }
        seen
    }

    fn fault(&mut self, line: u64, fault: &csv::Fault) {
        self.rejected += 1;
        self.first_fault.get_or_insert_with(|| (line, fault.text.clone()));
    }

    fn merge(&mut self, other: Self) {
        self.guesses.iter_mut().zip(&other.guesses).for_each(|(own, other)| own.merge(other));
        self.rows += other.rows;
        self.rejected += other.rejected;
        self.first_fault = self.first_fault.take().or(other.first_fault);
    }
}
