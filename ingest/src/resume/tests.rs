//! The offset rule: by hand, and under random interleavings of workers, crashes and new tables.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn reading_starts_at_the_smallest_next_offset() {
    assert_eq!(start(&[Some(5), Some(7)], 0, 10), Ok(5));
    assert_eq!(start(&[None, None], 3, 10), Ok(3));
    assert_eq!(start(&[Some(10)], 0, 10), Ok(10));
    assert_eq!(start(&[Some(7), None], 2, 10), Ok(2));
    assert_eq!(start(&[], 2, 10), Ok(2));
}

#[test]
fn a_gap_and_a_shorter_log_are_problems() {
    assert_eq!(start(&[Some(5), Some(1)], 2, 10), Err(Problem::Gap { table: 1, next: 1 }));
    assert_eq!(start(&[None, Some(1)], 2, 10), Err(Problem::Gap { table: 1, next: 1 }));
    assert_eq!(start(&[Some(11)], 0, 10), Err(Problem::Ahead { table: 0, next: 11 }));
}

#[test]
fn a_table_carries_only_what_it_lacks() {
    assert_eq!(carry(None, 0, 10), Some((0, 10)));
    assert_eq!(carry(Some(0), 0, 10), Some((0, 10)));
    assert_eq!(carry(Some(4), 0, 10), Some((4, 10)));
    assert_eq!(carry(Some(10), 0, 10), None);
    assert_eq!(carry(Some(12), 0, 10), None);
    assert_eq!(floor(None, 0), None);
    assert_eq!(floor(Some(0), 0), None);
    assert_eq!(floor(Some(4), 0), Some(4));
}

/// A worker's memory: what it was told at its start and what it read since.
#[derive(Clone, Debug, Default)]
struct Worker {
    nexts: Vec<Option<i64>>,
    start: i64,
    position: i64,
}

/// A table: its next offset and how often each offset was landed.
#[derive(Clone, Debug, Default)]
struct Table {
    next: Option<i64>,
    landed: BTreeMap<i64, u32>,
}

#[derive(Clone, Debug)]
enum Step {
    Assign(usize),
    Read(usize, i64),
    Commit(usize),
    AddTable,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..3_usize).prop_map(Step::Assign),
        4 => (0..3_usize, 1..9_i64).prop_map(|(worker, count)| Step::Read(worker, count)),
        4 => (0..3_usize).prop_map(Step::Commit),
        1 => Just(Step::AddTable),
    ]
}

const LOG: i64 = 40;

/// All tables or none, as the catalog does it: each next offset must be where the range starts.
fn commit(tables: &mut [Table], worker: &mut Worker) {
    let parts: Vec<_> = worker.nexts.iter().map(|next| carry(*next, worker.start, worker.position)).collect();
    let fenced = tables
        .iter()
        .zip(&parts)
        .any(|(table, part)| part.is_some_and(|(from, _)| table.next.is_some_and(|next| next != from)));
    if fenced {
        *worker = Worker::default();
        return;
    }
    for ((table, part), next) in tables.iter_mut().zip(&parts).zip(&mut worker.nexts) {
        if let Some((_, end)) = part {
            let first = floor(*next, worker.start).unwrap_or(worker.start);
            for offset in first..*end {
                *table.landed.entry(offset).or_default() += 1;
            }
            (table.next, *next) = (Some(*end), Some(*end));
        }
    }
    worker.start = worker.position;
}

proptest! {
    #[test]
    fn each_offset_reaches_each_table_once(steps in prop::collection::vec(step(), 1..120)) {
        let mut tables = vec![Table::default(), Table::default()];
        let mut workers = vec![Worker::default(); 3];
        for step in steps {
            match step {
                Step::Assign(w) => {
                    let nexts: Vec<_> = tables.iter().map(|table| table.next).collect();
                    let start = start(&nexts, 0, LOG).unwrap();
                    workers[w] = Worker { nexts, start, position: start };
                }
                Step::Read(w, count) if !workers[w].nexts.is_empty() => {
                    workers[w].position = (workers[w].position + count).min(LOG);
                }
                Step::Commit(w) => commit(&mut tables, &mut workers[w]),
                // A route that is added later; every worker is started anew for it.
                Step::AddTable if tables.len() < 4 => {
                    tables.push(Table::default());
                    workers = vec![Worker::default(); 3];
                }
                Step::Read(..) | Step::AddTable => {}
            }
        }
        let nexts: Vec<_> = tables.iter().map(|table| table.next).collect();
        let start = start(&nexts, 0, LOG).unwrap();
        let mut last = Worker { nexts, start, position: LOG };
        commit(&mut tables, &mut last);
        for table in &tables {
            let expected: BTreeMap<i64, u32> = (0..LOG).map(|offset| (offset, 1)).collect();
            prop_assert_eq!(&table.landed, &expected);
        }
    }
}
