//! Metadata that lies: whatever a file holds, reading a table is an error or right, and maintenance deletes
//! nothing that is not the table's.
//!
//! Each test runs in a process of its own with little memory, so that asking for 200 GB ends it. Within it every
//! metadata file of a small table is changed in single bytes, cut short, and mixed up by seed; after each change a
//! new handle reads the table. What a flipped byte must not do: end the process, hang, or leave files out.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use crate::catalogs::Catalog;
use crate::commit::{Commit, CommitOutcome, Operation};
use crate::fixture::{name, orders, staged, token};
use crate::lake::Lake;
use crate::maintain::{Cursors, Policy, expire, remove};
use crate::settings::LakeSettings;
use crate::snapshot::TableSnapshot;

mod outside;

/// Virtual memory of a child: a few times what it needs.
const CHILD_KIB: usize = 3 << 20;

/// Set in a child.
const CHILD: &str = "SLUICE_HOSTILE_CHILD";

/// One in so many bytes is changed by itself.
const STEP: usize = 7;

/// The library refuses changes of a table whose log is a minute ahead of its own clock.
#[expect(clippy::disallowed_methods, reason = "the library's own clock is not an argument")]
static START: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);

fn at(seconds: i64) -> DateTime<Utc> {
    *START + Duration::from_secs(seconds.cast_unsigned())
}

/// Whether this is the child; in the parent, the child has run `test` when this returns.
fn in_a_child(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let limited = format!("ulimit -v {CHILD_KIB}; exec \"$0\" --exact \"$1\" --nocapture");
    let this = std::env::current_exe().unwrap();
    let child =
        Command::new("sh").arg("-c").arg(limited).arg(this).arg(test).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let text = format!("{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && said.contains("1 passed"), "{:?}: {text}", child.status);
    false
}

/// A small table, and what reading it must say.
struct Victim {
    store: Arc<InMemory>,
    catalog: Arc<dyn Catalog>,
    settings: LakeSettings,
    pointer: String,
    files: usize,
    rows: u64,
    _dir: TempDir,
}

impl Victim {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings =
            LakeSettings { warehouse: "memory:///warehouse".to_owned(), ..LakeSettings::local(dir.path()) };
        let store = Arc::new(InMemory::new());
        let shared = Arc::clone(&store) as Arc<dyn ObjectStore>;
        let lake = Lake::open_with_store(settings.clone(), shared).await.unwrap();
        orders(&lake, "others", vec![], &[]).await;
        let mut table = orders(&lake, "orders", vec![], &[]).await;
        for (number, name) in [(1, "others"), (2, "orders"), (3, "orders")] {
            table = append(&lake, name, number).await;
        }
        let live = table.files().await.unwrap();
        let rows = live.iter().map(|file| file.whole().unwrap().record_count()).sum();
        let pointer = table.metadata_location().to_owned();
        let catalog = Arc::clone(&lake.inner().catalog);
        Self { store, catalog, settings, pointer, files: live.len(), rows, _dir: dir }
    }

    /// A handle that remembers nothing, over a copy of the store.
    async fn fresh(&self, path: &Path, bytes: &[u8]) -> Lake {
        let store = self.store.fork();
        store.put(path, bytes.to_vec().into()).await.unwrap();
        Lake::open_with(self.settings.clone(), Arc::new(store), Arc::clone(&self.catalog)).await.unwrap()
    }

    /// The table's metadata files and what is in them.
    async fn metadata(&self) -> Vec<(Path, Vec<u8>)> {
        let folder = Path::from("warehouse/bronze/orders/metadata");
        let listed: Vec<_> = self.store.list(Some(&folder)).try_collect().await.unwrap();
        let mut found = Vec::new();
        for object in listed {
            let bytes = self.store.get(&object.location).await.unwrap().bytes().await.unwrap();
            let packed = object.location.to_string().ends_with(".json");
            let current = self.pointer.ends_with(object.location.filename().unwrap());
            if packed && current {
                let mut gz = GzEncoder::new(Vec::new(), Compression::default());
                std::io::Write::write_all(&mut gz, &bytes).unwrap();
                found.push((object.location.clone(), gz.finish().unwrap()));
            }
            if !packed || current {
                found.push((object.location, bytes.to_vec()));
            }
        }
        assert!(found.len() >= 6, "metadata twice, two lists, two manifests: {found:?}");
        found
    }

    /// What is wrong with how a handle reads the table, if anything is.
    async fn misread(&self, lake: &Lake, path: &Path) -> Option<String> {
        let read = async {
            let table = lake.load(&name("orders")).await?;
            let files = table.files().await?;
            for manifest in table.manifests().await?.data() {
                table.manifests().await?.entries(manifest).await?;
            }
            Ok::<_, crate::Error>(files)
        };
        let read = tokio::time::timeout(Duration::from_secs(30), read).await;
        let Ok(read) = read else { return Some("it hangs".to_owned()) };
        match read {
            Ok(files) => {
                let rows: u64 = files.iter().map(|file| file.whole().unwrap().record_count()).sum();
                let same = (files.len(), rows) == (self.files, self.rows);
                (!same).then(|| format!("{} files, {rows} rows", files.len()))
            }
            Err(error) => {
                let text = error.to_string();
                let named = text.contains(path.filename().unwrap())
                    || text.contains("memory:")
                    || text.contains("warehouse")
                    || text.contains("column `");
                (!named).then_some(text)
            }
        }
    }
}

async fn append(lake: &Lake, table: &str, number: i64) -> TableSnapshot {
    let token = token(number as u128);
    let base = lake.load(&name(table)).await.unwrap();
    let files = staged(lake, &base, token, number * 10..number * 10 + 7).await;
    let commit = Commit { files: Some(files), ..Commit::new(name(table), Operation::Append, token) };
    match lake.commit(vec![commit], at(number)).await.unwrap() {
        CommitOutcome::Committed(mut tables) => tables.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Bytes changed in several places by a seed: overwritten, left out, doubled, inserted, cut.
fn mixed_up(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut mixed = bytes.to_vec();
    for _ in 0..dice.random_range(1..6) {
        if mixed.is_empty() {
            break;
        }
        let start = dice.random_range(0..mixed.len());
        let end = (start + dice.random_range(1..16)).min(mixed.len());
        match dice.random_range(0..6) {
            0 => mixed[start..end].iter_mut().for_each(|byte| *byte = dice.random()),
            1 => drop(mixed.drain(start..end)),
            2 => {
                let twice = mixed[start..end].to_vec();
                mixed.splice(start..start, twice);
            }
            // Long numbers, as lengths and counts are written.
            3 => mixed[start..end].fill(0xff),
            4 => drop(mixed.splice(start..start, [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
            _ => mixed.truncate(end),
        }
    }
    mixed
}

#[tokio::test]
async fn a_byte_that_is_flipped_is_an_error_or_means_nothing() {
    if !in_a_child("manifest::tests::a_byte_that_is_flipped_is_an_error_or_means_nothing") {
        return;
    }
    let victim = Victim::new().await;
    let mut wrong = String::new();
    for (path, bytes) in victim.metadata().await {
        let (mut refused, mut tried) = (0, 0);
        for at in (path.as_ref().len() % STEP..bytes.len()).step_by(STEP) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let lake = victim.fresh(&path, &flipped).await;
            if let Some(fault) = victim.misread(&lake, &path).await {
                writeln!(wrong, "{path} byte {at} ({:?}): {fault}", flipped[at] as char).unwrap();
            }
            refused += usize::from(lake.load(&name("orders")).await.is_err());
            tried += 1;
        }
        println!("{path}: {refused} of {tried} flips refused by the metadata itself");
        for length in (0..bytes.len()).step_by(5 * STEP) {
            let lake = victim.fresh(&path, &bytes[..length]).await;
            if let Some(fault) = victim.misread(&lake, &path).await {
                writeln!(wrong, "{path} cut at {length}: {fault}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn files_that_are_mixed_up_end_in_an_error() {
    if !in_a_child("manifest::tests::files_that_are_mixed_up_end_in_an_error") {
        return;
    }
    let victim = Victim::new().await;
    let mut wrong = String::new();
    for (path, bytes) in victim.metadata().await {
        for seed in 0..300 {
            let lake = victim.fresh(&path, &mixed_up(&bytes, seed)).await;
            if let Some(fault) = victim.misread(&lake, &path).await {
                writeln!(wrong, "{path} seed {seed}: {fault}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Whatever the table's metadata says, maintenance leaves the live files and all that is not the table's.
#[tokio::test]
async fn maintenance_of_a_lying_table_deletes_nothing_of_others() {
    if !in_a_child("manifest::tests::maintenance_of_a_lying_table_deletes_nothing_of_others") {
        return;
    }
    let victim = Victim::new().await;
    for canary in ["elsewhere/x.parquet", "warehouse/exports/x.parquet", "warehouse/x.metadata.json"] {
        victim.store.put(&Path::from(canary), vec![1].into()).await.unwrap();
    }
    let listed: Vec<_> = victim.store.list(None).try_collect().await.unwrap();
    let data = "warehouse/bronze/orders/data/";
    let kept: Vec<Path> = listed.into_iter().map(|object| object.location).collect();
    let kept: Vec<&Path> = kept
        .iter()
        .filter(|path| {
            !path.as_ref().starts_with("warehouse/bronze/orders/") || path.as_ref().starts_with(data)
        })
        .collect();
    let policy =
        Policy { max_snapshot_age: Duration::ZERO, reader_grace: Duration::ZERO, ..Policy::default() };
    let at_once = Policy { orphan_age: Duration::ZERO, ..policy.clone() };
    for (path, bytes) in victim.metadata().await {
        let flips = (0..bytes.len()).step_by(3 * STEP).map(|at| {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            flipped
        });
        let mixed = (0..40).map(|seed| mixed_up(&bytes, seed));
        for (number, changed) in std::iter::once(bytes.clone()).chain(flips).chain(mixed).enumerate() {
            let lake = victim.fresh(&path, &changed).await;
            let table = name("orders");
            let expired = expire(&lake, &table, &policy, &Cursors::default(), at(9), false).await;
            let removed = remove(&lake, &table, &at_once, (at(9), token(99)), false).await;
            for kept in &kept {
                let found = lake.store().head(kept).await;
                assert!(found.is_ok(), "{path} {number}: {kept} is gone after {expired:?} and {removed:?}");
            }
            if number == 0 {
                // What is not changed is maintained.
                assert!(expired.unwrap().files > 0 && removed.is_ok(), "{path}");
            }
            victim.point_back().await;
        }
    }
}

impl Victim {
    /// Undoes what maintenance committed.
    async fn point_back(&self) {
        let now = self.catalog.table(&name("orders")).await.unwrap().unwrap().location;
        if now != self.pointer {
            let swap = [crate::testing::swap(&name("orders"), &now, &self.pointer)];
            let _ = self.catalog.swap(&swap).await.unwrap();
        }
    }
}
