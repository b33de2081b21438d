//! Records, the lines they begin on, and the bytes of what is none.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use tempfile::NamedTempFile;

use crate::load::blocks::{self, Block, Ends, RECORD_BYTES_MAX};
use crate::load::csv::{Records, header};
use crate::load::part::{self, Part};
use crate::load::{Progress, Result};

fn file(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(content).expect("it can be written");
    file
}

/// Line, fields, and for a faulty record its cause and bytes.
type Seen = (u64, Vec<String>, Option<(String, String)>);

fn only_part(path: &Path) -> Result<Part> {
    Ok(part::open(path)?.pop().expect("a file is one part"))
}

/// The blocks of a file.
fn cut(part: &Part) -> Result<Vec<Block>> {
    let mut all = Vec::new();
    blocks::read(part, Ends::Csv(b','), None, &Arc::default(), |block| {
        all.push(block);
        true
    })?;
    Ok(all)
}

fn read(content: &[u8]) -> Result<(Vec<String>, Vec<Seen>)> {
    let file = file(content);
    let part = only_part(file.path())?;
    let blocks = cut(&part)?;
    let (names, start) = header(&part, blocks.first(), b',')?;
    let mut seen = Vec::new();
    for block in blocks.into_iter().filter_map(|block| block.from(start)) {
        let mut records = Records::new(&block, b',', names.len());
        while let Some(row) = records.next() {
            let fields = row.fields.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
            let fault = row.fault.map(|fault| (fault.cause, String::from_utf8_lossy(row.raw).into_owned()));
            seen.push((row.line, fields, fault));
        }
    }
    Ok((names, seen))
}

fn good(line: u64, fields: &[&str]) -> Seen {
    (line, fields.iter().map(|field| (*field).to_owned()).collect(), None)
}

#[test]
fn quotes_line_breaks_marks_and_blank_lines_are_understood() {
    let content = "\u{feff}a,\"B b\"\n1,\"x,\"\"y\"\"\nz\"\n\n\n2,\n\"\",3";
    let (names, rows) = read(content.as_bytes()).expect("it is CSV");
    assert_eq!(names, ["a", "b_b"]);
    assert_eq!(rows, [good(2, &["1", "x,\"y\"\nz"]), good(6, &["2", ""]), good(7, &["", "3"])]);
}

#[test]
fn windows_line_ends_count_as_one_line() {
    let (_, rows) = read(b"a,b\r\n1,2\r\n\r\n3,\"4\r\n5\"\r\n6,7\r\n").expect("it is CSV");
    assert_eq!(rows, [good(2, &["1", "2"]), good(4, &["3", "4\r\n5"]), good(6, &["6", "7"])]);
}

#[test]
fn what_is_no_record_keeps_line_cause_and_bytes() {
    let (_, rows) = read(b"a,b\n1,2\n3\n4,5,\"6\" \n\xff,7\n8,9\n").expect("it is CSV");
    let faults: Vec<_> =
        rows.iter().filter_map(|(line, _, fault)| fault.clone().map(|fault| (*line, fault))).collect();
    let expected = [(3, "ragged", "3"), (4, "ragged", "4,5,\"6\" "), (5, "invalid_utf8", "\u{fffd},7")];
    assert_eq!(faults, expected.map(|(line, cause, raw)| (line, (cause.to_owned(), raw.to_owned()))));
    assert_eq!(rows.len(), 5);
}

#[test]
fn a_quote_that_is_never_closed_is_no_row() {
    let (_, rows) = read(b"a,b\n1,2\n3,\"4\n5,6\n7,8\n").expect("it is CSV");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].2, Some(("malformed".to_owned(), "3,\"4\n5,6\n7,8".to_owned())));
    for whole in
        ["a,b\n1,\"2\"", "a,b\n1,\"\"", "a,b\n5\" pipe,100\n", "a,b\n1,5\"\n", "a,b\n1,\"say \"\"x\"\"\"\n"]
    {
        let (_, rows) = read(whole.as_bytes()).expect("it is CSV");
        assert_eq!(rows[0].2, None, "{whole:?}");
    }
}

#[test]
fn long_files_keep_every_position() {
    let lines: Vec<String> =
        (0..60_000).map(|number| format!("{number},{}\n", "x".repeat(number % 40))).collect();
    let (_, rows) =
        read(format!("a,b\n{}", lines.concat()).replace("777,", "777;").as_bytes()).expect("it is CSV");
    assert_eq!(rows.len(), 60_000);
    for (number, (line, _, fault)) in rows.iter().enumerate() {
        assert_eq!(*line, number as u64 + 2);
        let expected = (number % 1000 == 777).then(|| lines[number].trim_end().replace("777,", "777;"));
        assert_eq!(fault.as_ref().map(|(_, raw)| raw), expected.as_ref());
    }
}

#[test]
fn a_record_without_end_is_refused_before_it_fills_the_memory() {
    let mut content = b"a,b\n1,2\n3,\"".to_vec();
    content.resize(content.len() + RECORD_BYTES_MAX + (1 << 20), b'x');
    let text = read(&content).expect_err("too long").to_string();
    assert!(
        text.contains("line 3") && text.contains("longer than 1 MiB") && text.contains("opening quote"),
        "{text}"
    );
}

#[test]
fn the_hash_is_that_of_the_content_however_it_is_packed() {
    let content = b"a\n1\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content).expect("memory can be written");
    let gzip = gzip.finish().expect("memory can be written");
    let zstd = zstd::encode_all(content.as_slice(), 1).expect("memory can be written");
    for packed in [content.to_vec(), gzip, zstd] {
        let file = file(&packed);
        let progress = Arc::new(Progress::default());
        let part = only_part(file.path()).expect("it is a file");
        let print = blocks::read(&part, Ends::Csv(b','), None, &progress, |_| true).expect("it is CSV");
        // `printf 'a\n1\n' | sha256sum`
        let expected = "309b0e45a73d3fc5325e2b6ed0a01ef8b9cde6b05a5633c1f893f970d52bfddc";
        assert_eq!((print.sha256.as_str(), print.length), (expected, 4));
        assert_eq!(progress.bytes(), packed.len() as u64);
    }
}

#[test]
fn headers_that_name_no_columns_are_refused() {
    for (content, fact) in [
        ("", "there is no header"),
        ("a,\n", "column 2 has no name"),
        ("a,A\n", "two columns are called `a`"),
        ("a b,a-b\n", "two columns are called `a_b`"),
        ("_src_offset\n", "one that Sluice adds"),
    ] {
        let text = read(content.as_bytes()).expect_err("the header is wrong").to_string();
        assert!(text.contains(fact) && text.contains("line 1"), "{text}");
    }
    for (content, remedy) in [("a;b\n1;2\n", "--delimiter ';'"), ("a\tb\n", "tabs"), ("a|b\n", "bars")] {
        let text = read(content.as_bytes()).expect_err("another delimiter").to_string();
        assert!(text.contains("the only column is") && text.contains(remedy), "{text}");
    }
    let text = read(b"a,\xff\n").expect_err("no UTF-8").to_string();
    assert!(text.contains("convert the file to UTF-8"), "{text}");
}

#[test]
fn a_file_that_is_damaged_or_not_there_is_named() {
    let mut damaged = zstd::encode_all(b"a\n1\n2\n3\n".as_slice(), 1).expect("memory can be written");
    damaged.truncate(damaged.len() - 4);
    assert!(read(&damaged).is_err());
    let missing = only_part(Path::new("/nowhere/x.csv"));
    let text = missing.expect_err("it is not there").to_string();
    assert!(text.contains("cannot read `/nowhere/x.csv`"), "{text}");
}
