//! Lakes for unit tests: in memory, and in a folder that goes away with the test.

pub(crate) mod stub;

use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use iceberg::{MetadataLocation, TableUpdate};
use tempfile::TempDir;

use crate::catalogs::{Change, Swap, SwapOutcome};
use crate::commit::restate;
use crate::lake::{Created, Lake};
use crate::name::TableName;
use crate::settings::LakeSettings;
use crate::snapshot::TableSnapshot;
use crate::spec::TableSpec;

/// A lake and the folder it needs.
pub(crate) struct TestLake {
    pub(crate) lake: Lake,
    pub(crate) dir: TempDir,
}

/// Settings of a lake whose files are in memory and whose catalog is in `dir`.
pub(crate) fn memory_settings(dir: &TempDir) -> LakeSettings {
    LakeSettings { warehouse: "memory:///".to_owned(), ..LakeSettings::local(dir.path()) }
}

/// A lake whose files are in memory.
pub(crate) async fn memory_lake() -> TestLake {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(memory_settings(&dir)).await.unwrap();
    TestLake { lake, dir }
}

/// A lake in a folder.
pub(crate) async fn local_lake() -> TestLake {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(LakeSettings::local(dir.path())).await.unwrap();
    TestLake { lake, dir }
}

/// `id` (long, required) and `name` (string).
pub(crate) fn two_columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
    ]))
}

/// Moves a table's pointer, whatever the change is.
pub(crate) fn swap(table: &TableName, expected: &str, new: &str) -> Swap {
    let change = Change::Table { requirements: Vec::new(), updates: Vec::new() };
    Swap { table: table.clone(), expected: expected.to_owned(), new: new.to_owned(), change }
}

/// A change as other engines make it on a SQL catalog: they swap the pointer themselves, and know nothing of Sluice.
pub(crate) async fn change_from_outside(lake: &Lake, table: &TableName, updates: &[TableUpdate]) {
    let base = lake.load(table).await.unwrap();
    let time = base.metadata().last_updated_ms();
    let (next, _) = restate(base.metadata(), base.metadata_location(), updates, time).unwrap();
    let location = MetadataLocation::from_str(base.metadata_location()).unwrap().with_next_version();
    next.write_to(&lake.inner().file_io, &location).await.unwrap();
    let swap = swap(table, base.metadata_location(), &location.to_string());
    let outcome = lake.inner().catalog.swap(&[swap]).await.unwrap();
    assert!(matches!(outcome, SwapOutcome::Swapped(_)), "{outcome:?}");
}

/// Parses a name that is valid.
pub(crate) fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

/// A new table of [`two_columns`].
pub(crate) async fn new_table(lake: &Lake, table: &str) -> TableSnapshot {
    match lake.create(&name(table), TableSpec::new(two_columns())).await.unwrap() {
        Created::New(table) => table,
        Created::Existed(_) => panic!("{table} was there already"),
    }
}
