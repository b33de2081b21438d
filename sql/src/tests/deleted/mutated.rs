//! Data and delete files with changed bytes: a query is an error that names the file, or it answers.
//!
//! All of it runs in a process of its own with little memory: asking for 200 GB ends it. What a changed byte in a
//! page means nobody can know, because Parquet pages have no checksum; rows of a data file must not become fewer
//! all the same, and a deletion vector, which has one, must be right.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::Engine;

/// Virtual memory of the child, and what says that this is one.
const CHILD_KIB: usize = 6 << 20;
const CHILD: &str = "SLUICE_MUTATED_CHILD";

const ROWS: usize = 300;

/// What a change of a file may do.
#[derive(Clone, Copy, PartialEq)]
enum May {
    /// Nothing but an error.
    Fail,
    /// Another answer: which rows are deleted.
    Differ,
}

struct Case {
    name: &'static str,
    place: String,
    bytes: Vec<u8>,
    deletes: Deletes,
    rows: usize,
    may: May,
}

/// A table of a few rows, and its only file.
async fn few() -> (TestLake, LiveFile) {
    let lake = TestLake::new().await;
    let columns = schema(&[("n", DataType::Int64), ("word", DataType::Utf8)]);
    lake.create("bronze.t", &columns, Vec::new()).await;
    let words = (0..ROWS).map(|n| format!("w{}", n % 9));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..ROWS as i64)),
        Arc::new(StringArray::from_iter_values(words)),
    ];
    let table = lake.append("bronze.t", batch(&columns, arrays)).await;
    let file = table.files().await.unwrap().remove(0);
    (lake, file)
}

fn vector(deleted: &RoaringTreemap) -> Vec<u8> {
    let mut bitmap = Vec::new();
    deleted.serialize_into(&mut bitmap).unwrap();
    blob(&bitmap)
}

/// The bitmap's bytes as a Puffin file has them, with the right checksum.
fn blob(bitmap: &[u8]) -> Vec<u8> {
    let content = [&[0xd1, 0xd3, 0x39, 0x64], bitmap].concat();
    let mut puffin = b"PFA1".to_vec();
    puffin.extend((content.len() as u32).to_be_bytes());
    puffin.extend(&content);
    puffin.extend(crc32fast::hash(&content).to_be_bytes());
    puffin
}

async fn by_vector(lake: &TestLake, name: &str, path: &str, puffin: Vec<u8>, rows: u64) -> Deletes {
    let size = puffin.len() as i64 - 4;
    let vector = put(lake, name, puffin, |f| {
        f.content(DataContentType::PositionDeletes)
            .file_format(DataFileFormat::Puffin)
            .record_count(rows)
            .referenced_data_file(Some(path.to_owned()))
            .content_offset(Some(4))
            .content_size_in_bytes(Some(size))
    });
    Deletes { positions: PositionDeletes::Vector(vector.await), ..Deletes::default() }
}

async fn cases(lake: &TestLake, file: &LiveFile) -> Vec<Case> {
    let data = file.parts().0.file_path();
    let at = positions(lake, "p.parquet", &[(data, 3), (data, 4), (data, 200)]).await;
    let n: ArrayRef = Arc::new(Int64Array::from(vec![5, 6]));
    let key = keys(lake, "k.parquet", vec![("n", 1, n)], 9).await;
    let deleted = (10..20).chain([70, 71]).collect();
    let of_vector = by_vector(lake, "v.puffin", data, vector(&deleted), 12).await;
    let files = Deletes { positions: PositionDeletes::Files(vec![at]), ..Deletes::default() };
    let kinds = [
        ("data", data.to_owned(), Deletes::default(), ROWS, May::Fail),
        ("positions", format!("{PLACE}/p.parquet"), files, ROWS - 3, May::Differ),
        ("keys", format!("{PLACE}/k.parquet"), by_key(vec![key]), ROWS - 2, May::Differ),
        ("vector", format!("{PLACE}/v.puffin"), of_vector, ROWS - 12, May::Fail),
    ];
    let mut cases = Vec::new();
    for (name, place, deletes, rows, may) in kinds {
        let bytes = lake.lake.store().get(&lake.lake.object_path(&place).unwrap()).await.unwrap();
        let bytes = bytes.bytes().await.unwrap().to_vec();
        cases.push(Case { name, place, bytes, deletes, rows, may });
    }
    cases
}

/// What is wrong with the answer when the case's file holds `bytes`, if anything is.
async fn wrong(lake: &TestLake, file: &LiveFile, case: &Case, bytes: Vec<u8>) -> Option<String> {
    let path = lake.lake.object_path(&case.place).unwrap();
    lake.lake.store().put(&path, bytes.into()).await.unwrap();
    // An engine of its own: footers and positions are remembered by their place.
    let engine = Engine::new(lake.lake.clone(), EngineSettings::default()).unwrap();
    let table = lake.lake.load(&super::super::name("bronze.t")).await.unwrap();
    let data = Arc::new(file.parts().0.clone());
    let live = LiveFile::with_deletes(data, 0, file.sequence_number, case.deletes.clone());
    let session = engine.session().with_files(&table, vec![live]);
    let answer = rows(&session, "SELECT n, word FROM t", Vec::new());
    match tokio::time::timeout(Duration::from_secs(60), answer).await {
        Err(_) => Some("it hangs".to_owned()),
        Ok(Ok(batches)) => {
            let read: usize = batches.iter().map(RecordBatch::num_rows).sum();
            (case.may == May::Fail && read != case.rows).then(|| format!("{read} rows"))
        }
        Ok(Err(error)) => {
            let text = error.to_string();
            (!text.contains(path.filename().unwrap())).then_some(text)
        }
    }
}

/// Whether this is the child; in the parent, the child has run `test` when this returns.
fn in_a_child(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let limited = format!("ulimit -v {CHILD_KIB}; exec \"$0\" --exact \"$1\" --nocapture");
    let this = std::env::current_exe().unwrap();
    let test = format!("tests::deleted::mutated::{test}");
    let mut child = Command::new("sh");
    let child = child.arg("-c").arg(limited).arg(this).arg(test).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let text = format!("{said}{}", String::from_utf8_lossy(&child.stderr));
    let end = &text[text.len().saturating_sub(20_000)..];
    assert!(child.status.success() && said.contains("1 passed"), "{:?}: {end}", child.status);
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_bytes_are_an_error_or_mean_nothing() {
    if !in_a_child("changed_bytes_are_an_error_or_mean_nothing") {
        return;
    }
    let (lake, file) = few().await;
    let mut faults = String::new();
    for case in cases(&lake, &file).await {
        let whole = case.bytes.clone();
        assert_eq!(wrong(&lake, &file, &case, whole.clone()).await, None, "{}", case.name);
        // The footers alone are changed in every byte elsewhere (`damaged`).
        for at in (0..whole.len()).step_by(3) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            if let Some(fault) = wrong(&lake, &file, &case, flipped).await {
                writeln!(faults, "{} byte {at} of {}: {fault}", case.name, whole.len()).unwrap();
            }
        }
        for seed in 0..300_u64 {
            let mixed = mixed_up(&whole, seed);
            if let Some(fault) = wrong(&lake, &file, &case, mixed).await {
                writeln!(faults, "{} seed {seed}: {fault}", case.name).unwrap();
            }
        }
        lake.lake.store().put(&lake.lake.object_path(&case.place).unwrap(), whole.into()).await.unwrap();
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Some bytes after one another become large numbers, others, or nothing; the rest of the file follows.
fn mixed_up(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let mut mixed = bytes.to_vec();
    for _ in 0..=next(4) {
        let start = next(mixed.len());
        let end = (start + 1 + next(12)).min(mixed.len());
        match next(4) {
            0 => mixed[start..end].fill(0xff),
            1 => mixed[start..end].iter_mut().for_each(|byte| *byte = next(256) as u8),
            2 => mixed.truncate(end),
            // The length stays, so that the footer is found.
            _ => mixed[start..end].rotate_left(1),
        }
    }
    mixed
}

/// Vectors with the right checksum that claim more than they hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vector_that_asks_for_everything_is_an_error() {
    if !in_a_child("a_vector_that_asks_for_everything_is_an_error") {
        return;
    }
    let (lake, file) = few().await;
    let data = file.parts().0.file_path();
    let mut honest = Vec::new();
    (0..ROWS as u64).collect::<RoaringTreemap>().serialize_into(&mut honest).unwrap();
    let mut lies = vec![Vec::new(), u64::MAX.to_le_bytes().to_vec(), vec![0xff; 64]];
    for at in 0..honest.len() {
        for fill in [0x00, 0x7f, 0xff] {
            let mut lie = honest.clone();
            let end = (at + 4).min(lie.len());
            lie[at..end].fill(fill);
            lies.push(lie);
        }
    }
    for (number, lie) in lies.into_iter().enumerate() {
        let name = format!("v{number}.puffin");
        let deletes = by_vector(&lake, &name, data, blob(&lie), ROWS as u64).await;
        let text = shown(&session(&lake, &file, deletes).await, "SELECT n FROM t WHERE n >= 0").await;
        let all_gone = !text.contains("w0") && !text.starts_with("error");
        assert!(all_gone || text.contains(&name), "{name} {lie:?}: {text}");
    }
}

/// A schema of groups in groups in groups, which the library follows on its stack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_footer_that_nests_without_end_is_an_error() {
    if !in_a_child("a_footer_that_nests_without_end_is_an_error") {
        return;
    }
    let (lake, file) = few().await;
    let case = cases(&lake, &file).await.remove(0);
    // version, then a list of structures: each a name and one child.
    let levels = 200_000_u32;
    let mut footer = vec![0x15, 0x02, 0x19, 0xfc];
    let mut left = levels;
    while left > 0x7f {
        footer.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    footer.push(left as u8);
    for _ in 0..levels {
        footer.extend([0x48, 0x01, b'g', 0x15, 0x02, 0x00]);
    }
    footer.extend([0x16, 0x00, 0x19, 0x0c, 0x00]);
    let mut lying = b"PAR1".to_vec();
    lying.extend(&footer);
    lying.extend((footer.len() as u32).to_le_bytes());
    lying.extend(b"PAR1");
    let mut grown = file.parts().0.clone();
    let path = lake.lake.object_path(grown.file_path()).unwrap();
    let mut build = DataFileBuilder::default();
    build
        .content(DataContentType::Data)
        .file_path(case.place.clone())
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(ROWS as u64)
        .file_size_in_bytes(lying.len() as u64);
    grown.clone_from(&build.build().unwrap());
    lake.lake.store().put(&path, lying.into()).await.unwrap();
    let live = LiveFile::new(Arc::new(grown), 0, file.sequence_number);
    let table = lake.lake.load(&super::super::name("bronze.t")).await.unwrap();
    let session = lake.session().with_files(&table, vec![live]);
    let text = shown(&session, "SELECT n FROM t").await;
    assert!(text.contains("nested too deep") && text.contains(path.filename().unwrap()), "{text}");
}
