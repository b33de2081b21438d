//! What a batch holds, and when it is full.

use super::*;

#[test]
fn headers_that_choose_tables_are_kept_by_message_and_count_as_its_bytes() {
    let mut raw = RawBatch::new(0, 0).with_headers(2);
    let large = vec![b'x'; 1 << 20];
    let values = [Some(b"a".as_slice()), None, Some(b"".as_slice())];
    for (offset, value) in values.into_iter().enumerate() {
        raw.push(offset as i64, None, None, Some(b"{}"));
        raw.push_header(0, value);
        raw.push_header(1, None);
    }
    assert_eq!([0, 1, 2].map(|message| raw.header(0, message)), values);
    assert_eq!([0, 1, 2].map(|message| raw.header(1, message)), [None; 3]);
    assert_eq!((raw.header(2, 0), raw.byte_count(), raw.is_full()), (None, 7, false));
    let mut copy = raw.successor();
    copy.push_from(&raw, 2);
    copy.push_from(&raw, 0);
    assert_eq!(
        [0, 1].map(|message| (copy.offset(message), copy.header(0, message))),
        [(2, values[2]), (0, values[0])]
    );
    let before = raw.memory();
    for offset in 3..5 {
        raw.push(offset, None, None, None);
        raw.push_header(0, None);
        raw.push_header(1, Some(&large));
    }
    assert!(raw.is_full() && raw.memory() >= before + (2 << 20), "a stranger chooses how long a header is");
    let next = raw.successor();
    assert_eq!((next.byte_count(), next.len()), (0, 0));
}
