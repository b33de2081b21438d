//! The least work for the same file: one thread reads CSV into columns, another writes them as Parquet (zstd 1) to a
//! file. Nothing is hashed, checked, remembered or committed; types are known.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::Measured;
use crate::ingest::Failure;
use crate::usage;

const ROWS: usize = 65_536;

/// Reads `events.csv` and writes `ceiling.parquet` beside it.
pub(super) fn measure(folder: &Path) -> Result<Measured, Failure> {
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let event = Field::new("event", DataType::Utf8, true);
    let fields = vec![long("timestamp"), long("visitorid"), event, long("itemid"), long("transactionid")];
    let schema = Arc::new(Schema::new(fields));
    let (began, cpu) = (Instant::now(), usage::cpu_seconds());
    let file = File::open(folder.join("events.csv"))?;
    let reader =
        ReaderBuilder::new(Arc::clone(&schema)).with_header(true).with_batch_size(ROWS).build(file)?;
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    let properties =
        WriterProperties::builder().set_compression(zstd).set_max_row_group_row_count(Some(1 << 18));
    let out = File::create(folder.join("ceiling.parquet"))?;
    let mut writer = ArrowWriter::try_new(out, schema, Some(properties.build()))?;
    let (sender, receiver) = sync_channel(2);
    let rows = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            for batch in reader {
                if sender.send(batch?).is_err() {
                    break; // The writer says why.
                }
            }
            Ok::<_, arrow::error::ArrowError>(())
        });
        let mut rows = 0;
        for batch in receiver {
            rows += batch.num_rows() as u64;
            writer.write(&batch)?;
        }
        writer.close()?;
        reading.join().map_err(|_| Failure::from("the reader of the ceiling stopped"))??;
        Ok::<_, Failure>(rows)
    })?;
    Ok(Measured { rows, seconds: began.elapsed().as_secs_f64(), cpu_seconds: usage::cpu_seconds() - cpu })
}
