//! Files that claim more than they hold.

use super::{check, is_avro};

const RECORD: &str = r#"{"type": "record", "name": "r", "fields": [
    {"name": "n", "type": "long"},
    {"name": "s", "type": ["null", "string"]},
    {"name": "l", "type": {"type": "array", "items": "int"}}]}"#;

/// A file of blocks, each a number of objects and their bytes.
fn file(schema: &str, codec: &str, blocks: &[(i64, &[u8])]) -> Vec<u8> {
    let mut file = b"Obj\x01".to_vec();
    long(&mut file, 2);
    for (key, value) in [("avro.schema", schema), ("avro.codec", codec)] {
        for text in [key, value] {
            long(&mut file, text.len() as i64);
            file.extend(text.as_bytes());
        }
    }
    long(&mut file, 0);
    file.extend([7; 16]);
    for (objects, bytes) in blocks {
        long(&mut file, *objects);
        long(&mut file, bytes.len() as i64);
        file.extend(*bytes);
        file.extend([7; 16]);
    }
    file
}

fn long(file: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left > 0x7f {
        file.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    file.push(left as u8);
}

/// `n` 1, `s` "ab", `l` [1, 2].
const ONE: &[u8] = &[2, 2, 4, b'a', b'b', 4, 2, 4, 0];

fn fault(file: &[u8]) -> String {
    check(file).unwrap_err().into_owned()
}

#[test]
fn a_whole_file_passes() {
    let two = [ONE, ONE].concat();
    let whole = file(RECORD, "null", &[(1, ONE), (2, &two)]);
    assert!(is_avro(&whole) && !is_avro(b"PAR1"));
    check(&whole).unwrap();
    check(&file(RECORD, "null", &[])).unwrap();
    check(&file(RECORD, "null", &[(1, ONE), (0, &[])])).unwrap();
}

#[test]
fn every_codec_is_unpacked() {
    use std::io::Write;
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflated.write_all(ONE).unwrap();
    check(&file(RECORD, "deflate", &[(1, &deflated.finish().unwrap())])).unwrap();
    check(&file(RECORD, "zstandard", &[(1, &zstd::encode_all(ONE, 0).unwrap())])).unwrap();
    let mut snappy = snap::raw::Encoder::new().compress_vec(ONE).unwrap();
    snappy.extend(crc32fast::hash(ONE).to_be_bytes());
    check(&file(RECORD, "snappy", &[(1, &snappy)])).unwrap();
    assert!(fault(&file(RECORD, "lzma", &[(1, ONE)])).contains("codec `lzma`"));
}

#[test]
fn no_byte_may_be_missing() {
    let whole = file(RECORD, "null", &[(1, ONE), (1, ONE)]);
    let first = file(RECORD, "null", &[(1, ONE)]).len();
    let bare = file(RECORD, "null", &[]).len();
    for length in 0..whole.len() {
        // Where a block ends a file may end too; how many files there must be stands elsewhere.
        assert_eq!(check(&whole[..length]).is_ok(), length == first || length == bare, "{length}");
    }
}

#[test]
fn a_block_holds_what_it_says() {
    let two = [ONE, ONE].concat();
    assert!(fault(&file(RECORD, "null", &[(1, &two)])).contains("more than it says"));
    assert!(fault(&file(RECORD, "null", &[(3, &two)])).contains("middle of a value"));
    assert!(fault(&file(RECORD, "null", &[(-1, ONE)])).contains("negative"));
    assert!(fault(&file(RECORD, "null", &[(0, &[]), (1, ONE)])).contains("follows an empty one"));
}

#[test]
fn what_asks_for_more_than_there_is_is_refused() {
    let mut text = vec![2, 2];
    long(&mut text, 200 << 30);
    assert!(fault(&file(RECORD, "null", &[(1, &text)])).contains("middle of a value"));
    let mut list = vec![2, 0];
    long(&mut list, 200 << 30);
    assert!(fault(&file(RECORD, "null", &[(1, &list)])).contains("more items than there are bytes"));
    let fixed = r#"{"type": "fixed", "name": "f", "size": 200000000000}"#;
    assert!(fault(&file(fixed, "null", &[(1, ONE)])).contains("middle of a value"));
    assert!(fault(&file(r#""null""#, "null", &[(1 << 60, &[])])).contains("without content"));
    let many = r#"{"type": "array", "items": {"type": "record", "name": "e", "fields": []}}"#;
    let mut items = Vec::new();
    (0..2_000).for_each(|_| long(&mut items, 1_000));
    long(&mut items, 0);
    assert!(fault(&file(many, "null", &[(1, &items)])).contains("more values than its size allows"));
    let bomb = zstd::encode_all(&vec![0_u8; 300 << 20][..], 19).unwrap();
    assert!(fault(&file(RECORD, "zstandard", &[(1, &bomb)])).contains("more than 256 MiB"));
}

#[test]
fn a_type_that_holds_itself_is_refused() {
    let endless = r#"{"type": "record", "name": "r", "fields": [{"name": "r", "type": "r"}]}"#;
    assert!(fault(&file(endless, "null", &[(1, ONE)])).contains("before it is complete"));
    let deep = format!("{}\"int\"{}", r#"{"type": "array", "items": "#.repeat(60), "}".repeat(60));
    assert!(fault(&file(&deep, "null", &[])).contains("too deep"));
}

/// Each type holds the one before twice: a thousand million values of no bytes.
#[test]
fn types_that_double_are_refused_by_their_values() {
    let mut schema = r#"{"type": "record", "name": "r0", "fields": []}"#.to_owned();
    for level in 1..=30 {
        let below = level - 1;
        schema = format!(
            r#"{{"type": "record", "name": "r{level}", "fields": [
                {{"name": "a", "type": {schema}}}, {{"name": "b", "type": "r{below}"}}]}}"#
        );
    }
    assert!(fault(&file(&schema, "null", &[(1, ONE)])).contains("more values than its size allows"));
}
