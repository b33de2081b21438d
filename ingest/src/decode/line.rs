//! Formats of one line a message: plain text, and values with a delimiter.
//!
//! A line may end in a line break. An empty value is null. A line with more or fewer values
//! than the topics file names is a reject: nobody knows which one is missing.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{Decode, Decoded};
use crate::reject::{Cause, Reject};
use crate::source::raw::RawBatch;
use crate::topics::{CsvFormat, TEXT_FIELD};

/// Payloads as they are.
pub(crate) struct Text;

/// Values with a delimiter.
pub(crate) struct Csv {
    fields: SchemaRef,
    reader: Reader,
    /// Room for the unquoted values of a line, and for where each of them ends.
    values: Vec<u8>,
    ends: Vec<usize>,
}

impl Decode for Text {
    fn decode(&mut self, raw: &RawBatch) -> Result<Decoded, ArrowError> {
        let (mut rows, mut rejects) = (Vec::with_capacity(raw.len()), Vec::new());
        let mut lines = StringBuilder::with_capacity(raw.len(), raw.byte_count());
        for message in 0..raw.len() as u32 {
            match text(raw.payload(message as usize)) {
                Ok(line) => {
                    lines.append_value(line);
                    rows.push(message);
                }
                Err((cause, text)) => rejects.push(Reject::new(message, cause, text)),
            }
        }
        let fields = Arc::new(Schema::new(vec![Field::new(TEXT_FIELD, DataType::Utf8, true)]));
        Ok(Decoded { batch: RecordBatch::try_new(fields, vec![Arc::new(lines.finish())])?, rows, rejects })
    }
}

impl Csv {
    pub(crate) fn new(format: &CsvFormat) -> Self {
        let fields = format.fields.iter().map(|name| Field::new(name, DataType::Utf8, true));
        Self {
            fields: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            reader: ReaderBuilder::new().delimiter(format.delimiter).build(),
            values: Vec::new(),
            ends: vec![0; format.fields.len() + 1],
        }
    }

    /// Cuts a line; the values are then in `values`, one after the other, up to `ends`.
    fn cut(&mut self, line: &str) -> Result<(), (Cause, String)> {
        self.reader.reset();
        self.values.resize(line.len() + 1, 0);
        let line = line.as_bytes();
        let malformed = |text: String| Err((Cause::Malformed, text));
        let (result, used, written, ended) = self.reader.read_record(line, &mut self.values, &mut self.ends);
        let count = match result {
            ReadRecordResult::Record => ended,
            ReadRecordResult::InputEmpty if used == line.len() => {
                // An empty input tells the reader that the line ends here.
                let (values, ends) = (&mut self.values[written..], &mut self.ends[ended..]);
                match self.reader.read_record(&[], values, ends).0 {
                    ReadRecordResult::Record => ended + 1,
                    ReadRecordResult::OutputEndsFull => return malformed(self.count_fault("more")),
                    _ => return malformed("the line is no record of values".to_owned()),
                }
            }
            ReadRecordResult::OutputEndsFull => return malformed(self.count_fault("more")),
            _ => return malformed("the line is no record of values".to_owned()),
        };
        if used < line.len() && !line[used..].iter().all(u8::is_ascii_whitespace) {
            let text = "more than one line in one message; send one record per message";
            return Err((Cause::SeveralValues, text.to_owned()));
        }
        let wanted = self.fields.fields().len();
        if count != wanted {
            return malformed(self.count_fault(if count < wanted { "fewer" } else { "more" }));
        }
        Ok(())
    }

    fn count_fault(&self, than: &str) -> String {
        let wanted = self.fields.fields().len();
        format!("the line has {than} values than the {wanted} that the topics file names")
    }
}

impl Decode for Csv {
    fn decode(&mut self, raw: &RawBatch) -> Result<Decoded, ArrowError> {
        let (mut rows, mut rejects) = (Vec::with_capacity(raw.len()), Vec::new());
        let mut columns: Vec<_> = self.fields.fields().iter().map(|_| StringBuilder::new()).collect();
        for message in 0..raw.len() as u32 {
            let cut = text(raw.payload(message as usize)).and_then(|line| self.cut(line));
            if let Err((cause, text)) = cut {
                rejects.push(Reject::new(message, cause, text));
                continue;
            }
            let mut start = 0;
            for (column, end) in columns.iter_mut().zip(&self.ends) {
                // Cut out of text at ASCII delimiters, with quotes removed: still text.
                match std::str::from_utf8(&self.values[start..*end]).unwrap_or_default() {
                    "" => column.append_null(),
                    value => column.append_value(value),
                }
                start = *end;
            }
            rows.push(message);
        }
        let columns = columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let batch = RecordBatch::try_new(Arc::clone(&self.fields), columns.collect())?;
        Ok(Decoded { batch, rows, rejects })
    }
}

/// The line of a message, without its line break.
fn text(payload: Option<&[u8]>) -> Result<&str, (Cause, String)> {
    let payload = payload
        .ok_or_else(|| (Cause::Tombstone, "the message has no payload; it should hold a line".to_owned()))?;
    let line = std::str::from_utf8(payload)
        .map_err(|error| (Cause::InvalidUtf8, format!("invalid UTF-8 at byte {}", error.valid_up_to())))?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err((Cause::Empty, "the payload is empty; it should hold a line".to_owned()));
    }
    Ok(line)
}

#[cfg(test)]
mod tests;
