//! The lake of one life, what its rows are, and what was acknowledged.
//!
//! Rows are not written: a data file is a few bytes, and which records it stands for is remembered beside it. So a
//! life takes milliseconds, and what is under test (metadata, manifests, pointers, offsets) is real.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use arrow::datatypes::{DataType, Field, Schema};
use chrono::{DateTime, TimeDelta, Utc};
use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Struct};
use object_store::ObjectStoreExt;
use tokio::time::Instant;
use uuid::Uuid;

use super::catalog::FaultyCatalog;
use super::dice::Dice;
use super::store::FaultyStore;
use crate::error::Result;
use crate::name::TableName;
use crate::settings::LakeSettings;
use crate::write::StagedFiles;
use crate::{Lake, TableSnapshot, TableSpec};

/// One record of the log: partition and offset. Foreign rows have a partition of their own.
pub(super) type Record = (i32, i64);

/// What every file holds.
const CONTENT: &[u8] = b"rows";

pub(super) struct World {
    pub(super) lake: Lake,
    pub(super) dice: Arc<Dice>,
    pub(super) catalog: Arc<FaultyCatalog>,
    /// The records of each data file, by location.
    pub(super) rows: Mutex<HashMap<String, BTreeSet<Record>>>,
    /// Offsets that a writer was told are committed: partition to end.
    pub(super) acknowledged: Mutex<BTreeMap<i32, i64>>,
    /// Foreign rows by the token that brings them; true once acknowledged.
    pub(super) foreign: Mutex<BTreeMap<Uuid, (Record, bool)>>,
    /// Times that another engine moved `main`: what was acknowledged before may be gone.
    pub(super) moves: Mutex<u64>,
    /// Whether another engine meddles in this life.
    pub(super) meddled: bool,
    began: Instant,
    drawn: Mutex<u128>,
}

impl World {
    pub(super) async fn new(seed: u64) -> Self {
        let dice = Arc::new(Dice::new(seed));
        let store = Arc::new(FaultyStore::new(Arc::clone(&dice)));
        let catalog = Arc::new(FaultyCatalog::new(Arc::clone(&dice), seed % 3 != 2));
        let settings =
            LakeSettings { warehouse: "memory:///".to_owned(), ..LakeSettings::local("unused".as_ref()) };
        let lake = Lake::open_with(settings, store, Arc::clone(&catalog) as _).await.unwrap();
        let world = Self {
            lake,
            dice,
            catalog,
            rows: Mutex::default(),
            acknowledged: Mutex::default(),
            foreign: Mutex::default(),
            moves: Mutex::default(),
            meddled: seed / 4 % 2 == 1,
            began: Instant::now(),
            drawn: Mutex::new(u128::from(seed) << 64),
        };
        for table in tables() {
            let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
            while world.lake.create(&table, TableSpec::new(schema.clone())).await.is_err() {}
        }
        world
    }

    /// A name for a commit that nobody else has.
    pub(super) fn token(&self) -> Uuid {
        let mut drawn = self.drawn.lock().unwrap();
        *drawn += 1;
        Uuid::from_u128(*drawn)
    }

    /// The time on a clock that is some hours off.
    pub(super) fn now(&self, skew: TimeDelta) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.began.elapsed()).unwrap();
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + elapsed + skew
    }

    /// A file with these records, complete in the store.
    pub(super) async fn stage(
        &self,
        table: &TableSnapshot,
        token: Uuid,
        number: usize,
        records: BTreeSet<Record>,
    ) -> Result<StagedFiles> {
        let metadata = table.metadata();
        let location = format!("{}/data/{token}-{number}.parquet", metadata.location());
        let path = self.lake.object_path(&location)?;
        // A real writer gives up and reads again; here the upload is repeated.
        while self.lake.store().put(&path, CONTENT.into()).await.is_err() {}
        let file = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(location.clone())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::empty())
            .partition_spec_id(0)
            .record_count(records.len() as u64)
            .file_size_in_bytes(CONTENT.len() as u64)
            .build()
            .unwrap();
        self.rows.lock().unwrap().insert(location, records);
        Ok(StagedFiles {
            files: vec![file],
            schema_id: metadata.current_schema_id(),
            oldest_schema_id: metadata.current_schema_id(),
            spec_id: metadata.default_partition_spec_id(),
            table_uuid: metadata.uuid(),
            redefinition: None,
        })
    }
}

/// The table of events and that of dead letters: both take every topic.
pub(super) fn tables() -> [TableName; 2] {
    ["events", "dead_letters"].map(|name| TableName::new("bronze", name).unwrap())
}

/// Which table a record belongs to.
pub(super) fn table_of(offset: i64) -> usize {
    usize::from(offset % 7 == 3)
}
