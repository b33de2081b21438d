//! Several processes in one consumer group land the same topics into the same tables.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::child::{Role, Running};
use super::{Arguments, Failure, Measured};

/// No worker is silent this long while there is something to land.
const PATIENCE: Duration = Duration::from_secs(300);

/// Lands `total` messages with so many processes; what all of them took, and what each says of itself.
///
/// The clock begins with the first message of any worker and ends with the commit that brings the last message, so it
/// holds the rebalances of those that join later.
pub(super) fn land(arguments: &Arguments, total: u64) -> Result<(Measured, Vec<Value>), Failure> {
    let (heard, lines) = channel();
    let start = |number| Running::start(arguments, Role::Worker, number, Some(heard.clone()));
    let workers = (0..arguments.workers).map(start).collect::<Result<Vec<_>, _>>()?;
    let mut last: BTreeMap<usize, Value> = BTreeMap::new();
    let mut began: Option<Instant> = None;
    let figure = |last: &BTreeMap<usize, Value>, name: &str| -> u64 {
        last.values().filter_map(|line| line[name].as_u64()).sum()
    };
    let ended = loop {
        let (number, at, line) = lines.recv_timeout(PATIENCE).map_err(|_| "the workers are silent")?;
        if line.is_null() {
            return Err(format!("worker {number} ended by itself").into());
        }
        began.get_or_insert(at);
        if line["commits"].is_u64() {
            last.insert(number, line);
        }
        if figure(&last, "committed") >= total {
            break at;
        }
    };
    for worker in workers {
        worker.stop()?;
    }
    let messages = figure(&last, "committed");
    if messages != total {
        return Err(format!("{total} messages in Kafka, but {messages} were committed").into());
    }
    let began = began.ok_or("nothing was consumed")?;
    let cpu_seconds = last.values().filter_map(|line| line["cpu_seconds"].as_f64()).sum();
    let (bytes, seconds) = (figure(&last, "bytes"), (ended - began).as_secs_f64());
    let whole = Measured { messages, bytes, seconds, cpu_seconds };
    let each = last.into_iter().map(|(worker, line)| json!({ "worker": worker, "at_its_last_commit": line }));
    Ok((whole, each.collect()))
}
