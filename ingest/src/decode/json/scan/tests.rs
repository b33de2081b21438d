//! Another parser judges: what serde_json takes is taken, what it refuses is refused, and values are equal.

use proptest::prelude::*;
use serde_json::Value as Judge;

use super::*;

/// The members of an object, or nothing when it is refused. Nested values are told by their kind only.
fn read(document: &[u8]) -> Option<Vec<(String, Judge)>> {
    let mut scratch = Vec::new();
    let mut scan = Scan::new(document, &mut scratch);
    let mut members = Vec::new();
    let read = scan.document(|scan| {
        let key = scan.key()?;
        let key = text(scan, key);
        scan.colon()?;
        let quoted = scan.peek() == Some(b'"');
        let value = match scan.value(1)? {
            Value::Null => Judge::Null,
            Value::List => Judge::Array(Vec::new()),
            Value::Object => Judge::Object(serde_json::Map::new()),
            value if quoted => Judge::String(text(scan, value)),
            // The other parser refuses a number beyond a double, and with it the document.
            value => serde_json::from_str(&text(scan, value)).unwrap_or_default(),
        };
        members.push((key, value));
        Ok(())
    });
    read.is_ok().then_some(members)
}

fn text(scan: &Scan<'_, '_>, value: Value<'_>) -> String {
    let bytes = if let Value::Plain(text) = value { text } else { scan.unescaped() };
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn agree(document: &[u8]) {
    let shown = String::from_utf8_lossy(document);
    match (read(document), serde_json::from_slice::<serde_json::Map<String, Judge>>(document)) {
        (None, Err(_)) => {}
        // The other parser keeps numbers as doubles; here they are text.
        (Some(_), Err(error)) if error.to_string().contains("number out of range") => {}
        (Some(members), Ok(judged)) => {
            for (key, mut value) in judged {
                match &mut value {
                    Judge::Array(list) => list.clear(),
                    Judge::Object(object) => object.clear(),
                    _ => {}
                }
                let last = members.iter().rfind(|(known, _)| *known == key);
                assert_eq!(last.map(|(_, value)| value), Some(&value), "`{key}` of {shown}");
            }
        }
        (read, judged) => panic!("{shown}\nread as {read:?}\njudged as {judged:?}"),
    }
}

fn value() -> impl Strategy<Value = Judge> {
    let leaf = prop_oneof![
        Just(Judge::Null),
        any::<bool>().prop_map(Judge::from),
        any::<i64>().prop_map(Judge::from),
        (-1e300..1e300).prop_map(Judge::from),
        ".*".prop_map(Judge::from),
        "[a-z\"\\\\\\u{0}-\\u{20}\\u{7f}\\u{e9}\\u{1f600}]{0,40}".prop_map(Judge::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Judge::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4)
                .prop_map(|members| Judge::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Judge> {
    prop::collection::btree_map(".{0,12}", value(), 0..6)
        .prop_map(|members| Judge::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn what_is_written_is_read(object in object(), pretty: bool) {
        let text = if pretty { serde_json::to_vec_pretty(&object) } else { serde_json::to_vec(&object) };
        let text = text.unwrap();
        prop_assert!(read(&text).is_some());
        agree(&text);
    }

    /// Cut off, with a byte replaced by one that means something, or with a piece written twice.
    #[test]
    fn a_damaged_document_is_judged_alike(
        object in object(),
        at: prop::sample::Index,
        to: prop::sample::Index,
        byte in prop::sample::select(b"{}[]\",:\\/ut0123456789eE+-. \n\x00nfb".to_vec()),
    ) {
        let text = serde_json::to_vec(&object).unwrap();
        let (at, to) = (at.index(text.len()), to.index(text.len()));
        let cut = text[..at].to_vec();
        let mut replaced = text.clone();
        replaced[at] = byte;
        let mut inserted = text.clone();
        inserted.insert(at, byte);
        let repeated = [&text[..at.max(to)], &text[at.min(to)..]].concat();
        for damaged in [cut, replaced, inserted, repeated] {
            // What is not UTF-8 or does not begin as an object never gets here.
            if std::str::from_utf8(&damaged).is_ok() && damaged.first() == Some(&b'{') {
                agree(&damaged);
            }
        }
    }

    #[test]
    fn the_plain_length_is_that_of_a_loop(bytes in prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(vec![b'"', b'\\', 0x1f, 0x20, 0x7f, 0x80, 0xff])], 0..40,
    )) {
        let meant = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        let expected = bytes.iter().position(meant).unwrap_or(bytes.len());
        prop_assert_eq!(plain_length(&bytes), expected);
    }
}
