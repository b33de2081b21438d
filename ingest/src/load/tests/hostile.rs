//! Hostile input: each is a dead letter or an error that names it; nothing stalls, bursts memory or leaves the
//! folder.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::load::tests::data::{Place, name, now};
use crate::load::{Format, LoadReport, LoadSettings, Result, What, load};

const CSV: What = What::Files(Format::Csv { delimiter: b',' });
const NDJSON: What = What::Files(Format::Ndjson);
const PARQUET: What = What::Files(Format::Parquet);

async fn into_x(place: &Place, what: What, input: PathBuf) -> Result<LoadReport> {
    let settings = LoadSettings { table: Some(name("bronze.x")), ..LoadSettings::new(what, vec![input]) };
    load(&place.lake, settings, now(), &Arc::default()).await
}

async fn refused(place: &Place, what: What, input: PathBuf) -> String {
    into_x(place, what, input).await.expect_err("it cannot be loaded").to_string()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in members {
        writer.start_file(*name, options).expect("memory can be written");
        writer.write_all(content).expect("memory can be written");
    }
    writer.finish().expect("memory can be written").into_inner()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(content).expect("memory can be written");
    gzip.finish().expect("memory can be written")
}

#[tokio::test]
async fn a_bomb_is_stopped() {
    let place = Place::new().await;
    let line = "1,2,3\n".repeat(1 << 16);
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory can be written");
    encoder.write_all(b"a,b,c\n").expect("memory can be written");
    for _ in 0..20 {
        encoder.write_all(line.as_bytes()).expect("memory can be written");
    }
    let bomb = encoder.finish().expect("memory can be written");
    assert!(bomb.len() < 8_000, "{}", bomb.len());
    let text = refused(&place, CSV, place.file("bomb.csv.zst", bomb)).await;
    assert!(
        text.contains("bomb.csv.zst") && text.contains("500 times") && text.contains("unpack it"),
        "{text}"
    );
}

#[tokio::test]
async fn names_in_archives_lead_nowhere() {
    let place = Place::new().await;
    let members: [(&str, &[u8]); 4] = [
        ("../../escaped.csv", b"a\n1\n"),
        ("/srv/x\u{7}y.csv", b"a\n2\n"),
        ("__MACOSX/._junk.csv", b"\x00\x01"),
        ("notes.md", b"# no data"),
    ];
    let report = into_x(&place, CSV, place.file("a.zip", zip(&members))).await.expect("it loads");
    assert_eq!((report.files.len(), report.rows), (2, 2));
    assert_eq!(place.lines("bronze.x", &["a", "_src_topic"]).await, ["1|escaped.csv", "2|x\u{fffd}y.csv"]);
    assert!(!place.folder().join("escaped.csv").exists());
    assert!(place.folder().parent().is_none_or(|parent| !parent.join("escaped.csv").exists()));
}

#[tokio::test]
async fn a_member_that_is_not_what_the_archive_says_is_refused() {
    let place = Place::new().await;
    let mut packed = zip(&[("a.csv", b"a\n1\n")]);
    let at = packed.windows(4).position(|bytes| bytes == b"a\n1\n").expect("it is stored as it is");
    packed[at + 2] = b'2';
    let text = refused(&place, CSV, place.file("a.zip", packed)).await;
    assert!(text.contains("not those the archive was made of"), "{text}");
    let text = refused(&place, CSV, place.file("b.zip", b"PK\x03\x04 and no more")).await;
    assert!(text.contains("no readable zip archive"), "{text}");
    let text = refused(&place, CSV, place.file("c.zip", zip(&[("a.json", b"{}")]))).await;
    assert!(text.contains("no file of this kind"), "{text}");
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused() {
    let place = Place::new().await;
    let text = refused(&place, CSV, place.folder().to_owned()).await;
    assert!(text.contains("it is a folder") && text.contains("*.csv"), "{text}");
    let text = refused(&place, CSV, place.folder().join("*.nothing")).await;
    assert!(text.contains("no file matches"), "{text}");
    let text = refused(&place, CSV, PathBuf::from("/dev/zero")).await;
    assert!(text.contains("not a regular file"), "{text}");
    for what in [CSV, PARQUET] {
        let text = refused(&place, what, place.file("empty", b"")).await;
        assert!(text.contains("`") && text.contains("\n  "), "{text}");
    }
    let gone = place.folder().join("gone.csv");
    #[cfg(unix)]
    std::os::unix::fs::symlink(place.folder().join("nowhere"), &gone).expect("a link");
    assert!(refused(&place, CSV, gone).await.contains("cannot read"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_to_a_file_is_that_file() {
    let place = Place::new().await;
    let link = place.folder().join("link.csv");
    std::os::unix::fs::symlink(place.file("real.csv", "a\n1\n"), &link).expect("a link");
    assert_eq!(into_x(&place, CSV, link).await.expect("it loads").rows, 1);
}

#[tokio::test]
async fn a_record_without_line_end_is_a_dead_letter_that_keeps_its_beginning() {
    // A hole that reads as zeros: many times what a record may have.
    let place = Place::new().await;
    let path = place.file("long.csv", "a,b\n1,2\n");
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("it is there");
    file.set_len(8 + (20 << 20)).expect("a sparse file");
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).expect("its end");
    file.write_all(b",x\n3,4\n").expect("it can be written");
    let report = into_x(&place, CSV, path).await.expect("it loads");
    assert_eq!((report.rows, report.rejected), (2, 1));
    assert_eq!(place.lines("bronze.x", &["_src_offset", "a", "b"]).await, ["2|1|2", "4|3|4"]);
    let letters = place.lines("bronze.dead_letters", &["_src_offset", "cause"]).await;
    assert_eq!(letters, ["3|too_large"]);
}

#[tokio::test]
async fn lines_of_json_that_are_no_objects_are_dead_letters() {
    let place = Place::new().await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    let content = [
        b"{\"a\":1}\n{\"a\":\n[1]\n\n{\"a\":2} {\"a\":3}\n\"x\"\n{\"a\":\"\xff\"}\r\n".as_slice(),
        deep.as_bytes(),
        b"\nnull\n{\"b\":1e400,\"a\":12345678901234567890123}\n{\"a\":4}",
    ];
    let report = into_x(&place, NDJSON, place.file("x.ndjson", content.concat())).await.expect("it loads");
    assert_eq!((report.rows, report.rejected), (2, 8), "{report:?}");
    let lines = place.lines("bronze.dead_letters", &["_src_offset"]).await;
    assert_eq!(lines, ["10", "2", "3", "5", "6", "7", "8", "9"]);
    assert_eq!(place.lines("bronze.x", &["_src_offset", "a"]).await, ["11|4", "1|1"]);
}

#[tokio::test]
async fn files_that_only_claim_to_be_parquet_are_refused() {
    let place = Place::new().await;
    for (content, fact) in [
        (b"PAR1".as_slice(), "does not end"),
        (b"hello, world", "does not end"),
        (b"PAR1\xff\xff\xff\x7fPAR1", "its footer claims"),
        (b"PAR1aaaa\x04\x00\x00\x00PAR1", "no readable Parquet"),
    ] {
        let text = refused(&place, PARQUET, place.file("x.parquet", content)).await;
        assert!(text.contains(fact) && text.contains("x.parquet"), "{text}");
    }
    let text = refused(&place, PARQUET, place.file("p.zip", zip(&[("x.parquet", b"PAR1")]))).await;
    assert!(text.contains("unpack the archive"), "{text}");
}

#[tokio::test]
async fn truncated_archives_are_refused_before_anything_is_committed() {
    let place = Place::new().await;
    let rows: String = (0..200_000).map(|row| format!("{row},{}\n", row * 7919 % 100_003)).collect();
    let mut packed = gzip(format!("a,b\n{rows}").as_bytes());
    packed.truncate(packed.len() / 2);
    let path = place.file("x.csv.gz", packed);
    let settings =
        LoadSettings { commit_bytes: 1, table: Some(name("bronze.x")), ..LoadSettings::new(CSV, vec![path]) };
    let error = load(&place.lake, settings, now(), &Arc::default()).await.expect_err("it is not whole");
    assert!(error.to_string().contains("check that the file exists, is whole"), "{error}");
    assert!(place.lake.find(&name("bronze.x")).await.expect("the catalog answers").is_none());
}
