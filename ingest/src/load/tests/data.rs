//! What the tests read and where they write: a lake in a temporary folder, the real data set or the generated.

use std::path::{Path, PathBuf};

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sluice_catalog::{Lake, LakeSettings, TableName};
use tempfile::TempDir;

use crate::load::sample::{self, Contents};

/// A lake that is gone after the test, and a folder for files.
pub(super) struct Place {
    pub(super) lake: Lake,
    folder: TempDir,
}

impl Place {
    pub(super) async fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let lake =
            Lake::open(LakeSettings::local(&folder.path().join("lake"))).await.expect("a new lake opens");
        Self { lake, folder }
    }

    /// Writes a file and gives its path.
    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("the folder can be written");
        path
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All rows of a table, read from its files; none when there is no table.
    pub(super) async fn rows(&self, table: &str) -> Vec<RecordBatch> {
        let Some(table) = self.lake.find(&name(table)).await.expect("the catalog answers") else {
            return Vec::new();
        };
        let files = table.files().await.expect("the manifests are readable");
        let batches = files.iter().flat_map(|file| {
            let path = file
                .whole()
                .expect("nothing is deleted")
                .file_path()
                .trim_start_matches("file://")
                .to_owned();
            let file = std::fs::File::open(path).expect("the data file is there");
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("it is Parquet");
            reader.build().expect("it is Parquet").map(|batch| batch.expect("it is whole"))
        });
        batches.collect()
    }

    /// Rows of a table, and how many different values a column has in them.
    pub(super) async fn distinct(&self, table: &str, column: &str) -> (usize, usize) {
        let values = self.lines(table, &[column]).await;
        let rows = values.len();
        (rows, values.into_iter().collect::<std::collections::HashSet<_>>().len())
    }

    /// The named columns of a table as text, one line a row, sorted.
    pub(super) async fn lines(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        for batch in self.rows(table).await {
            let options = arrow::util::display::FormatOptions::default().with_null("∅");
            let shown: Vec<_> = columns
                .iter()
                .map(|name| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}")))
                .map(|column| {
                    arrow::util::display::ArrayFormatter::try_new(column, &options).expect("a plain type")
                })
                .collect();
            lines.extend((0..batch.num_rows()).map(|row| {
                shown.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")
            }));
        }
        lines.sort();
        lines
    }
}

pub(super) fn name(text: &str) -> TableName {
    text.parse().expect("a table name")
}

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

/// The Olist files: those of `SLUICE_TEST_DATA`, else a small generated set of the same shape; says which.
pub(super) fn olist(generated: &Path) -> (PathBuf, Contents) {
    let Some(data) = std::env::var_os("SLUICE_TEST_DATA") else {
        println!("olist: SLUICE_TEST_DATA is not set, a small generated set of the same shape is used");
        return (generated.to_owned(), sample::write(generated, 1));
    };
    println!("olist: the real files");
    let rows = [
        ("olist_orders", 99_441),
        ("olist_order_items", 112_650),
        ("olist_order_payments", 103_886),
        ("olist_order_reviews", 99_224),
        ("olist_customers", 99_441),
        ("olist_products", 32_951),
        ("olist_sellers", 3_095),
        ("olist_geolocation", 1_000_163),
        ("olist_category_translation", 71),
    ];
    let rows = rows.map(|(table, rows)| (table.to_owned(), rows)).into();
    // The published control sums.
    (Path::new(&data).join("olist"), Contents { rows, paid: 1_600_887_212, sold: 1_584_355_324 })
}
