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
/// The clock begins when every worker has read something: until then the group deals the partitions out. What was
/// read before does not count. When all is read the workers are told to stop, and land what they hold. It ends with
/// the commit that brings the last message.
pub(super) fn land(arguments: &Arguments, total: u64) -> Result<(Measured, Vec<Value>), Failure> {
    let (heard, lines) = channel();
    let start = |number| Running::start(arguments, Role::Worker, number, Some(heard.clone()));
    let mut workers = (0..arguments.workers).map(start).collect::<Result<Vec<_>, _>>()?;
    let mut last: BTreeMap<usize, Value> = BTreeMap::new();
    let mut before: Option<(Instant, Stand)> = None;
    let ended = loop {
        let (number, at, line) = lines.recv_timeout(PATIENCE).map_err(|_| "the workers are silent")?;
        if line.is_null() && Stand::of(&last).consumed != total {
            return Err(format!("worker {number} ended by itself").into());
        }
        if line.is_null() {
            continue;
        }
        last.insert(number, line);
        let stand = Stand::of(&last);
        if before.is_none() && last.len() == workers.len() {
            before = Some((at, Stand::of(&last)));
        }
        if stand.committed >= total {
            break at;
        }
        if stand.consumed == total {
            workers.iter_mut().for_each(Running::ask_to_stop);
        }
    };
    for worker in workers {
        worker.stop()?;
    }
    let (whole, few) = (Stand::of(&last), "all was read before every worker had a share; use more events");
    if whole.committed != total {
        return Err(format!("{total} messages in Kafka, but {} were committed", whole.committed).into());
    }
    let (began, before) = before.filter(|(_, before)| before.consumed < total).ok_or(few)?;
    let measured = Measured {
        messages: total - before.consumed,
        bytes: whole.bytes - before.bytes,
        seconds: (ended - began).as_secs_f64(),
        cpu_seconds: whole.cpu_seconds - before.cpu_seconds,
    };
    let each = last.into_iter().map(|(worker, line)| json!({ "worker": worker, "at_the_end": line }));
    Ok((measured, each.collect()))
}

/// The sum of what workers said.
struct Stand {
    consumed: u64,
    committed: u64,
    bytes: u64,
    cpu_seconds: f64,
}

impl Stand {
    fn of(last: &BTreeMap<usize, Value>) -> Self {
        let sum = |name: &str| last.values().filter_map(|line| line[name].as_u64()).sum();
        let cpu_seconds = last.values().filter_map(|line| line["cpu_seconds"].as_f64()).sum();
        Self { consumed: sum("consumed"), committed: sum("committed"), bytes: sum("bytes"), cpu_seconds }
    }
}
