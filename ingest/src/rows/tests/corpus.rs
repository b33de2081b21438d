//! Bad input, picked by hand: values, documents, bodies and frames that break readers, each in every place where it
//! can stand. All of it goes to every format, since a topic holds whatever somebody sends.

/// Values that are no JSON, or JSON that no column takes, or that only just fit.
const VALUES: &[&str] = &[
    // Numbers.
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "+1",
    "-",
    "--1",
    "1e",
    "1e+",
    "1e-",
    "1.e1",
    "0x10",
    "1_000",
    "1,5",
    "1e5",
    "-0",
    "-0.0",
    "0e0",
    "1e999999999999",
    "1e-999999999999",
    "1E400",
    "-1e309",
    "1e39",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890.123456789",
    "0.000000001",
    "1.005",
    "253402300800000",
    "-62135596800001",
    "9007199254740993",
    "2147483648",
    "86400000000",
    "-1",
    // Texts.
    r#""""#,
    r#"" ""#,
    r#""NaN""#,
    r#""inf""#,
    r#""1e39""#,
    r#""0x1F""#,
    r#""true""#,
    r#""null""#,
    r#""\u0000""#,
    r#""\ud800""#,
    r#""\udc00""#,
    r#""\ud800\ud800""#,
    r#""\ud800x""#,
    r#""\uDBFF\u0041""#,
    r#""\u00""#,
    r#""\uZZZZ""#,
    r#""\u+123""#,
    r#""\x41""#,
    r#""\"#,
    r#""\""#,
    r#""open"#,
    "\"a\tb\"",
    "\"a\nb\"",
    "\"a\0b\"",
    "\"\u{7f}\u{202e}\u{feff}\u{10ffff}\"",
    "'single'",
    r#""2020-02-30""#,
    r#""2020-01-01T12:00:00Z""#,
    r#""+10999-12-31""#,
    r#""0000-01-01""#,
    r#""25:61:61""#,
    r#""23:59:60""#,
    r#""12:00:00.1234567""#,
    r#""12:00 PM""#,
    // Words.
    "true",
    "false",
    "null",
    "tru",
    "TRUE",
    "nul",
    "None",
    "undefined",
    "nulll",
    // Lists and objects.
    "[]",
    "{}",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1",
    "[",
    "]",
    "[]]",
    "{",
    "}",
    "{,}",
    r#"{"a"}"#,
    r#"{"a":}"#,
    "{a:1}",
    r#"{"a":1,}"#,
    r#"{"a" 1}"#,
    r#"{1:1}"#,
    r#"{"":1}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"x":1,"x":"no"}"#,
    "[null]",
    "[[]]",
    "[{}]",
    r#"[{"x":1},2]"#,
    r#"{"x":{"x":{"x":1}}}"#,
    r#"{"l":[{"y":1},{"y":"no"}]}"#,
    r#"{"l":{"y":1}}"#,
    r#"{"k":{"x":[]}}"#,
    r#"[1,"1",null,true,{}]"#,
];

/// The fields of the tests' topics, and one that no table has.
pub(super) const FIELDS: [&str; 12] =
    ["s", "n", "i", "f", "g", "d", "at", "day", "time", "l", "o", "what is this"];

/// Each bad value in each field, before and behind a good one.
fn members() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for value in VALUES {
        for field in FIELDS {
            all.push(format!(r#"{{"{field}":{value},"s":"x"}}"#).into_bytes());
        }
        all.push(format!(r#"{{"s":"x","n":{value}"#).into_bytes());
        all.push(value.as_bytes().to_vec());
    }
    all
}

/// Documents that are bad as a whole.
fn documents() -> Vec<Vec<u8>> {
    let deep = |open: &str, close: &str, count: usize| [open.repeat(count), close.repeat(count)].concat();
    let inside = |value: &str| FIELDS.map(|field| format!(r#"{{"{field}":{value}}}"#)).to_vec();
    let mut all: Vec<String> = Vec::new();
    for (open, close) in
        [("[", "]"), (r#"{"x":"#, "}"), (r#"{"o":"#, "}"), (r#"[{"l":"#, "}]"), ("[", ""), ("{\"", "")]
    {
        for count in [127, 128, 1_000] {
            all.extend(inside(&deep(open, close, count)));
        }
        all.push(deep(open, close, 100_000));
    }
    for digits in ["9", "0", "1"] {
        let long = digits.repeat(500);
        all.extend(inside(&format!("1{long}")));
        all.extend(inside(&format!("-0.{long}")));
        all.extend(inside(&format!("1e{long}")));
        all.extend(inside(&format!("\"{long}\"")));
    }
    // Many members, all of them new, or all of them the same.
    all.push(format!("{{{}}}", (0..5_000).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",")));
    all.push(format!(
        r#"{{"o":{{{}}}}}"#,
        (0..5_000).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",")
    ));
    all.push(format!("{{{}}}", vec![r#""k":{"z":1}"#; 5_000].join(",")));
    all.push(format!("{{{}}}", vec![r#""n":1"#; 5_000].join(",")));
    for many in ["{}", "null", "[]", "1", r#"{"y":1}"#, r#"{"l":[]}"#] {
        all.push(format!(r#"{{"l":[{}]}}"#, vec![many; 10_000].join(",")));
        all.push(format!(r#"{{"o":{{"l":[{}]}}}}"#, vec![many; 10_000].join(",")));
    }
    all.extend(
        [
            "{}{}",
            "{} {}",
            "{}\n{}\n",
            "{},{}",
            "[{}]",
            "{}x",
            "{}\0",
            "{}}",
            "{}]",
            "null{}",
            "\u{feff}{}",
            "  ",
            "\t",
            "\n",
            "\r\n",
            "\0",
        ]
        .map(str::to_owned),
    );
    let mut all: Vec<Vec<u8>> = all.into_iter().map(String::into_bytes).collect();
    // Text in other encodings, and text that is none.
    all.push(r#"{"s":"x"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect());
    all.push(r#"{"s":"x"}"#.encode_utf16().flat_map(u16::to_be_bytes).collect());
    let none: [&[u8]; 12] = [
        b"\xff",
        b"\xfe\xff",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
    ];
    for bytes in none {
        all.push([b"{\"s\":\"", bytes, b"\"}"].concat());
        all.push([b"{\"", bytes, b"\":1}"].concat());
        all.push([b"{\"s\":\"x\"}", bytes].concat());
        all.push(bytes.to_vec());
    }
    all
}

/// Lines that are no records of values, or of others than expected.
fn lines() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        ",",
        ",,",
        ",,,,,,,,",
        "a",
        "a,b",
        "a,b,c,d",
        "\"",
        "\"\"",
        "\"\"\"",
        "\"a",
        "a\"b,c,d",
        "\"a\"b,c,d",
        "\"a\"\",b,c",
        "\"a\",\"b\",\"c",
        "a,b,c\n",
        "a,b,c\r\n",
        "a,b,c\n\n",
        "a,b,c\nd,e,f",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "a\nb\nc",
        "\"a\nb\",c,d",
        "a;b;c",
        "a\tb\tc",
        "\0,\0,\0",
        " a , b , c ",
        "\"a\" ,b,c",
        "=cmd|' /C calc'!A0,b,c",
        "\u{feff}a,b,c",
        "a,\u{2028},c",
        "'a','b','c'",
        "\\\"a\\\",b,c",
    ]
    .map(|line| line.as_bytes().to_vec())
    .to_vec();
    all.extend(
        [",".repeat(100_000), "\"".repeat(99_999), "\"\"".repeat(50_000), "a".repeat(100_000)]
            .map(String::into_bytes),
    );
    all
}

/// Numbers as variable-length bytes that decoders trip over: negative, huge, longer than they need to be, without
/// end.
pub(super) const VARINTS: &[&[u8]] = &[
    &[0x00],
    &[0x01],
    &[0x02],
    &[0x7f],
    &[0x80, 0x00],
    &[0x80, 0x80, 0x80, 0x80, 0x00],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xfe, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0xff; 12],
    &[0x80],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
];

/// What a body may begin with, and then each number alone, twice, and followed by bytes.
fn bodies() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    // Avro: a text, a null or a value, a list, a map. Protobuf: the key of each kind of field.
    let begins: [&[u8]; 24] = [
        &[],
        &[2, b'x'],
        &[2, b'x', 0],
        &[2, b'x', 2, 2],
        &[2, b'x', 0, 2],
        &[2, b'x', 0, 0, 2],
        &[2, b'x', 0, 1],
        &[2, b'x', 0, 0, 0],
        &[0x08],
        &[0x0a],
        &[0x0d],
        &[0x09],
        &[0x0b],
        &[0x0c],
        &[0x0f],
        &[0x10],
        &[0x1a],
        &[0x22],
        &[0x2a],
        &[0x32],
        &[0x3a],
        &[0x42],
        &[0x52],
        &[0xf8, 0xff, 0xff, 0xff, 0x0f],
    ];
    for begin in begins {
        for number in VARINTS {
            all.push([begin, number].concat());
            all.push([begin, number, number].concat());
            all.push([begin, number, &[0; 40]].concat());
            all.push([begin, number, &[0xff; 40]].concat());
        }
    }
    // A message inside of itself a thousand times, groups that never end, and lists of what takes a byte each.
    let mut nested = vec![0x10, 1];
    for _ in 0..1_000 {
        nested = [&[0x3a][..], &varint(nested.len()), &nested].concat();
    }
    all.push(nested);
    all.push(vec![0x0b; 10_000]);
    all.push([vec![0x0b; 10_000], vec![0x0c; 10_000]].concat());
    all.push([0x2a, 0].repeat(10_000));
    all.push([0x22, 0].repeat(10_000));
    all.push([&[0x1a][..], &varint(10_000), &[0; 10_000]].concat());
    all
}

/// Frames: no schema, another one, and paths of message types that lead nowhere.
fn frames() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> =
        vec![Vec::new(), vec![0], vec![0, 0], vec![0, 0, 0, 0], vec![0; 5], vec![0; 6], vec![0; 4096]];
    for magic in [1, 2, 3, 0x7b, 0xff] {
        all.push(vec![magic, 0, 0, 0, 1, 0, 2, b'x']);
    }
    for id in [[0, 0, 0, 9], [0xff; 4], [1, 0, 0, 0], [0x7f, 0xff, 0xff, 0xff]] {
        all.push([&[0][..], &id, &[0, 2, b'x', 0]].concat());
    }
    for number in VARINTS {
        all.push([&[0, 0, 0, 0, 1][..], number].concat());
        all.push([&[0, 0, 0, 0, 1, 2][..], number, &[0x10, 1]].concat());
    }
    all
}

/// A length as it is written.
pub(super) fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// All of it, each once: as it is, and what is binary also in the frame of the tests' schema.
pub(super) fn all() -> Vec<Vec<u8>> {
    let framed =
        |body: Vec<u8>| [[&[0, 0, 0, 0, 1][..], &body].concat(), [&[0, 0, 0, 0, 1, 0][..], &body].concat()];
    let mut all: Vec<Vec<u8>> = bodies().into_iter().flat_map(framed).collect();
    all.extend([members(), documents(), lines(), bodies(), frames()].concat());
    all.sort();
    all.dedup();
    // Those that make a table wide come last, so that few rows are that wide.
    all.sort_by_key(Vec::len);
    all
}
