//! Lines of text and of values.

use arrow::array::{Array, AsArray};
use proptest::prelude::*;

use super::*;

fn raw(payloads: &[Option<&[u8]>]) -> RawBatch {
    let mut raw = RawBatch::new(0, 0);
    for (offset, payload) in payloads.iter().enumerate() {
        raw.push(offset as i64, None, None, *payload);
    }
    raw
}

fn csv(fields: &[&str], delimiter: u8) -> Csv {
    let fields = fields.iter().map(|name| (*name).to_owned()).collect();
    Csv::new(&CsvFormat { fields, delimiter })
}

/// The values of each row, or the cause of the reject, in the order of the messages.
fn outcome(format: &mut dyn Decode, payloads: &[Option<&[u8]>]) -> Vec<String> {
    let decoded = format.decode(&raw(payloads)).unwrap();
    let mut lines: Vec<(u32, String)> =
        decoded.rejects.iter().map(|reject| (reject.message, reject.cause.to_string())).collect();
    for (row, message) in decoded.rows.iter().enumerate() {
        let values = decoded.batch.columns().iter().map(|column| {
            let column = column.as_string::<i32>();
            if column.is_null(row) { "-".to_owned() } else { column.value(row).to_owned() }
        });
        lines.push((*message, values.collect::<Vec<_>>().join("|")));
    }
    lines.sort();
    assert_eq!(lines.len(), payloads.len());
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn text_is_what_it_is() {
    let payloads: [Option<&[u8]>; 6] =
        [Some(b"a b"), Some(b"c\r\n"), Some(b""), Some(b"\n"), None, Some(b"\xff")];
    assert_eq!(outcome(&mut Text, &payloads), ["a b", "c", "empty", "empty", "tombstone", "invalid_utf8"]);
}

#[test]
fn values_are_cut_at_the_delimiter() {
    let payloads: [Option<&[u8]>; 11] = [
        Some(b"1,2,3"),
        Some(b"1,,3\n"),
        Some(b"\"a,b\",\"say \"\"x\"\"\",\"line\nbreak\""),
        Some(b"1,2"),
        Some(b"1,2,3,4"),
        Some(b"1,2,3,4,5,6,7,8"),
        Some(b"1,2,3\n4,5,6"),
        Some(b"\"open,2,3"),
        Some(b"1,2,"),
        Some(b",,"),
        Some("ä,ö,ü".as_bytes()),
    ];
    let expected = [
        "1|2|3",
        "1|-|3",
        "a,b|say \"x\"|line\nbreak",
        "malformed",
        "malformed",
        "malformed",
        "several_values",
        "malformed",
        "1|2|-",
        "-|-|-",
        "ä|ö|ü",
    ];
    assert_eq!(outcome(&mut csv(&["a", "b", "c"], b','), &payloads), expected);
    assert_eq!(outcome(&mut csv(&["a", "b"], b';'), &[Some(b"1,5;2")]), ["1,5|2"]);
    assert_eq!(outcome(&mut csv(&["a"], b','), &[Some(b"x"), Some(b"\"\"")]), ["x", "-"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn decoding_gives_what_was_encoded(rows in prop::collection::vec(prop::collection::vec("[ -~äöü]{1,8}", 3), 1..20)) {
        let lines: Vec<Vec<u8>> = rows.iter().map(|row| {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(row).unwrap();
            writer.into_inner().unwrap()
        }).collect();
        let payloads: Vec<_> = lines.iter().map(|line| Some(line.as_slice())).collect();
        let expected: Vec<_> = rows.iter().map(|row| row.join("|")).collect();
        prop_assert_eq!(outcome(&mut csv(&["a", "b", "c"], b','), &payloads), expected);
    }

    #[test]
    fn no_bytes_crash_or_stall(payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut format = csv(&["a", "b"], b',');
        let found = outcome(&mut format, &[Some(b"1,2"), Some(&payload), Some(b"3,4")]);
        prop_assert_eq!((&*found[0], &*found[2]), ("1|2", "3|4"));
        outcome(&mut Text, &[Some(&payload)]);
    }
}
