//! Bad input for every format, all the way from bytes to the rows of tables and of the dead letters.
//!
//! The corpus goes through every decoder, every policy and every kind of column; after it come mutations of good
//! and bad messages, drawn from a seed. Nothing panics or stalls, every message is one row, what it unpacks to is
//! in proportion to its bytes, and the good messages beside it land as if they were alone.
//! `SLUICE_TEST_FUZZ=100000` draws from so many seeds, `SLUICE_TEST_SEED=17` from that one alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;

/// Seeds of one run of the tests, of each format.
const SEEDS: u64 = 40;
/// Mutations of a seed.
const MUTATIONS: usize = 48;

const COLUMNS: &str = "{s: string, n: long, i: int, f: double, g: float, d: 'decimal(9,2)', at: timestamp_ms, day: date, time: time, \
    l: 'list(struct(y: int))', o: 'struct(x: long, l: list(struct(y: int)), k: map(decimal(9,2)))'}";

const AVRO: &str = r#"{"type":"record","name":"R","fields":[
  {"name":"s","type":"string"},{"name":"n","type":["null","long"]},
  {"name":"l","type":{"type":"array","items":{"type":"record","name":"Y","fields":[{"name":"y","type":"int"}]}}},
  {"name":"m","type":{"type":"map","values":"double"}},
  {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
  {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
  {"name":"day","type":{"type":"int","logicalType":"date"}},
  {"name":"time","type":{"type":"long","logicalType":"time-micros"}},
  {"name":"x","type":{"type":"fixed","name":"F","size":4}},
  {"name":"w","type":{"type":"array","items":["null",{"type":"record","name":"W","fields":[
     {"name":"p","type":"long"},{"name":"q","type":["null","string"]}]}]}}]}"#;

const PROTOBUF: &str = r#"syntax = "proto3"; import "google/protobuf/timestamp.proto";
  message R { string s = 1; int64 n = 2; repeated string tags = 3; map<string, double> m = 4; repeated I l = 5; I one = 6;
    R self = 7; google.protobuf.Timestamp at = 8; repeated K kinds = 9; bytes b = 10; oneof which { double f = 11; sint32 i = 12; } }
  message I { int32 y = 1; repeated sint32 z = 2; } enum K { A = 0; B = 1; }"#;

/// A topic of a format and a policy: its table, and messages of it that are good.
struct Format {
    name: &'static str,
    bench: Bench,
    good: Vec<Vec<u8>>,
    _dir: tempfile::TempDir,
}

impl Format {
    async fn new(name: &'static str, policy: SchemaPolicy) -> Self {
        let server = Server::default();
        let answer =
            |schema: &str, kind: &str| serde_json::json!({"schema": schema, "schemaType": kind}).to_string();
        let schema = if name == "avro" { answer(AVRO, "AVRO") } else { answer(PROTOBUF, "PROTOBUF") };
        server.set("/schemas/ids/1", &[(200, &schema)]);
        let (text, route) = match name {
            "csv" => ("{csv: {fields: [s, n, d]}}", "columns: {s: string, n: string, d: string}".to_owned()),
            "text" => ("text", "columns: {line: string}".to_owned()),
            _ => (name, format!("schema: {policy}\ncolumns: {COLUMNS}")),
        };
        let dir = tempfile::tempdir().unwrap();
        let bench = bench(dir.path(), topics(text, &route), Some(lookup(&server).await)).await;
        Self { name, bench, good: good(name), _dir: dir }
    }

    /// The rows of these messages, each after a good one: memory in proportion, good rows as alone.
    async fn judge(&self, bad: &[Vec<u8>]) -> usize {
        let good: Vec<_> = self.good.iter().map(Vec::as_slice).collect();
        let mut rejected = 0;
        // As much as one batch holds.
        for bad in bad.chunks(2000) {
            let pairs = bad.iter().enumerate();
            let messages: Vec<&[u8]> =
                pairs.flat_map(|(number, bad)| [good[number % good.len()], bad.as_slice()]).collect();
            let lines = self.bench.rows(&messages).await;
            // A table that grew shows what is new, as null.
            let alone = self.bench.rows(&good).await;
            assert!(
                alone.iter().all(|line| line.starts_with("s=") || line.starts_with("line=")),
                "{alone:?}"
            );
            for (number, pair) in lines.chunks(2).enumerate() {
                let expected = &alone[number % alone.len()];
                let shown = String::from_utf8_lossy(&bad[number][..bad[number].len().min(200)]);
                assert_eq!(pair[0], *expected, "{}: beside {shown:?}", self.name);
                rejected +=
                    usize::from(pair[1].split_once(": ").is_some_and(|(cause, _)| !cause.contains('=')));
            }
        }
        rejected
    }
}

fn good(format: &str) -> Vec<Vec<u8>> {
    let frame = |body: Vec<u8>| [&[0, 0, 0, 0, 1][..], &body].concat();
    match format {
        "json" => vec![
            br#"{"s":"a\u00e4","n":-1,"i":2,"f":1.5e3,"g":0.5,"d":-12.30,"at":1700000000123,"day":"2024-02-29","time":"12:34:56.789"}"#.to_vec(),
            br#"{"s":"b","l":[{"y":1},null,{"y":-2}],"o":{"x":3,"l":[{"y":4}],"k":{"a":1.25,"\"":0}}}"#.to_vec(),
        ],
        "avro" => {
            let mut body = vec![6, b'a', b'b', b'c', 2, 0x80, 0x02, 4, 2, 4, 0, 2, 2, b'k'];
            body.extend(1.5_f64.to_le_bytes());
            body.extend([0, 2, 4, 1, 0, 2, 4, 6, 1, 2, 3, 4, 4, 0, 2, 8, 2, 2, b'q', 0]);
            vec![frame(body)]
        }
        "protobuf" => {
            let mut body = vec![0, 0x0a, 1, b'x', 0x10, 0x80, 0x02, 0x1a, 2, b'x', b'y', 0x22, 12, 0x0a, 1, b'k', 0x11];
            body.extend(1.5_f64.to_le_bytes());
            body.extend([0x2a, 6, 0x08, 5, 0x12, 2, 1, 2, 0x32, 2, 0x08, 7, 0x42, 4, 0x08, 1, 0x10, 2, 0x4a, 2, 0, 1, 0x60, 3]);
            vec![frame(body)]
        }
        "csv" => vec![br#"one,"two ""and"" more, quoted",three"#.to_vec(), b"1,2,3".to_vec()],
        _ => vec![b"a line".to_vec()],
    }
}

const FORMATS: [&str; 5] = ["json", "avro", "protobuf", "csv", "text"];

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_crashes_and_stalls_nothing_and_good_rows_stay_as_they_are() {
    let corpus = corpus::all();
    assert!(corpus.len() >= 300, "{}", corpus.len());
    for name in FORMATS {
        let rejected = Format::new(name, SchemaPolicy::Ignore).await.judge(&corpus).await;
        assert!(rejected > 300, "{name}: only {rejected} of {} are dead letters", corpus.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_breaks_no_policy() {
    let corpus = corpus::all();
    for (name, policy) in
        [("json", SchemaPolicy::Keep), ("json", SchemaPolicy::Reject), ("json", SchemaPolicy::Evolve)]
    {
        Format::new(name, policy).await.judge(&corpus).await;
    }
    let binary: Vec<_> = corpus.into_iter().filter(|message| message.starts_with(&[0, 0, 0, 0, 1])).collect();
    for (name, policy) in
        [("avro", SchemaPolicy::Evolve), ("protobuf", SchemaPolicy::Keep), ("protobuf", SchemaPolicy::Evolve)]
    {
        Format::new(name, policy).await.judge(&binary).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mutations_crash_and_stall_nothing() {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let (first, count) = match number("SLUICE_TEST_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("SLUICE_TEST_FUZZ").unwrap_or(SEEDS)),
    };
    // Short ones only: what is long is long for a reason that a mutation takes away.
    let corpus: Vec<_> = corpus::all().into_iter().filter(|message| message.len() < 300).collect();
    for name in FORMATS {
        let format = Format::new(name, SchemaPolicy::Keep).await;
        for seed in first..first + count {
            let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
            let bad: Vec<_> = (0..MUTATIONS).map(|_| dice.mutation(&format.good, &corpus)).collect();
            let _named = Named(name, seed);
            format.judge(&bad).await;
        }
    }
}

/// What means something to some format.
const SIGNS: &[u8] = b"\"\\{}[]:,-+.eEu019tfn \n\0\x7f\x80\xff";

/// Says which seed failed.
struct Named(&'static str, u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: replay with SLUICE_TEST_SEED={}", self.0, self.1);
        }
    }
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end.max(1) as u64) as usize
    }

    /// A good message, seldom a bad one, changed in a few places.
    fn mutation(&mut self, good: &[Vec<u8>], corpus: &[Vec<u8>]) -> Vec<u8> {
        let source = if self.below(4) == 0 { corpus } else { good };
        let mut message = source[self.below(source.len())].clone();
        for _ in 0..1 + self.below(6) {
            let at = self.below(message.len() + 1);
            let end = (at + self.below(9)).min(message.len());
            match self.below(8) {
                0 => message.truncate(at),
                1 => drop(message.drain(at..end)),
                2 => {
                    let copy = message[at..end].to_vec();
                    let to = self.below(message.len() + 1);
                    drop(message.splice(to..to, copy));
                }
                3 => {
                    let number = corpus::VARINTS[self.below(corpus::VARINTS.len())];
                    drop(message.splice(at..end, number.iter().copied()));
                }
                4 => {
                    let other = &corpus[self.below(corpus.len())];
                    let (from, to) = (self.below(other.len()), self.below(other.len()));
                    drop(message.splice(at..end, other[from.min(to)..from.max(to)].iter().copied()));
                }
                5 => {
                    let sign = SIGNS[self.below(SIGNS.len())];
                    drop(message.splice(at..end.min(at + 1), [sign]));
                }
                _ => {
                    if let Some(byte) = message.get_mut(at) {
                        *byte ^= 1 << (self.0.next_u32() % 8);
                    }
                }
            }
        }
        message
    }
}
