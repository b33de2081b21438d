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

/// A worker that brings every third record to a table that messages name.
#[derive(Clone, Debug)]
struct Namer {
    /// What the table has, once it was looked up for a row.
    own: Option<Option<i64>>,
    letters: Option<i64>,
    start: i64,
    position: i64,
}

#[derive(Clone, Debug)]
enum Turn {
    /// Reading begins at the dead letters, or further back for a table that lacks more.
    Assign(usize, i64),
    Read(usize, i64),
    Commit(usize),
    /// The tables land one after the other, and the worker dies behind so many.
    CommitAndDie(usize, usize),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        2 => (0..3_usize, 0..20_i64).prop_map(|(worker, back)| Turn::Assign(worker, back)),
        4 => (0..3_usize, 1..9_i64).prop_map(|(worker, count)| Turn::Read(worker, count)),
        2 => (0..3_usize).prop_map(Turn::Commit),
        3 => (0..3_usize, 0..3_usize).prop_map(|(worker, landed)| Turn::CommitAndDie(worker, landed)),
    ]
}

/// The named table and the dead letters, all or none or the first few; what a fence or a death left.
fn commit_named(tables: &mut [Table; 2], worker: &Namer, dies_behind: Option<usize>) -> Option<Namer> {
    let own = worker.own.unwrap_or_default();
    let first = floor(named(own, worker.letters), worker.start).unwrap_or(worker.start);
    let rows: Vec<i64> = (first..worker.position).filter(|offset| offset % 3 == 0).collect();
    let range = (!rows.is_empty()).then(|| named_carry(own, worker.start, worker.position)).flatten();
    let first = floor(worker.letters, worker.start).unwrap_or(worker.start);
    let bad: Vec<i64> = (first..worker.position).filter(|offset| offset % 3 == 1).collect();
    let parts = [(range, rows), (carry(worker.letters, worker.start, worker.position), bad)];
    let is_fenced = |table: &Table, range: Option<(i64, i64)>| {
        range.is_some_and(|(from, _)| table.next.is_some_and(|next| next != from))
    };
    if dies_behind.is_none() && tables.iter().zip(&parts).any(|(table, part)| is_fenced(table, part.0)) {
        return None;
    }
    for (number, (table, (range, rows))) in tables.iter_mut().zip(&parts).enumerate() {
        if dies_behind == Some(number) || is_fenced(table, *range) {
            return None;
        }
        let Some((_, end)) = range else { continue };
        for offset in rows {
            *table.landed.entry(*offset).or_default() += 1;
        }
        table.next = Some(*end);
    }
    let own = if parts[0].0.is_some() { Some(Some(worker.position)) } else { worker.own };
    let letters = parts[1].0.map_or(worker.letters, |(_, end)| Some(end));
    Some(Namer { own, letters, start: worker.position, position: worker.position })
}

fn read(worker: &mut Namer, table: &Table, until: i64) {
    if worker.own.is_none() && (worker.position..until).any(|offset| offset % 3 == 0) {
        worker.own = Some(table.next);
    }
    worker.position = until.max(worker.position);
}

proptest! {
    #[test]
    fn each_offset_reaches_a_table_that_messages_name_once(turns in prop::collection::vec(turn(), 1..120)) {
        let mut tables = [Table::default(), Table::default()];
        let mut workers: Vec<Option<Namer>> = vec![None; 3];
        for turn in turns {
            match turn {
                Turn::Assign(w, back) => {
                    let letters = tables[1].next;
                    let start = (letters.unwrap_or(0) - back).max(0);
                    workers[w] = Some(Namer { own: None, letters, start, position: start });
                }
                Turn::Read(w, count) => {
                    if let Some(worker) = &mut workers[w] {
                        read(worker, &tables[0], (worker.position + count).min(LOG));
                    }
                }
                Turn::Commit(w) => {
                    workers[w] = workers[w].take().and_then(|it| commit_named(&mut tables, &it, None));
                }
                Turn::CommitAndDie(w, landed) => {
                    let ended = workers[w].take().and_then(|it| commit_named(&mut tables, &it, Some(landed)));
                    workers[w] = ended.filter(|_| landed == 2); // Behind both: only fences end it.
                }
            }
        }
        let letters = tables[1].next;
        let start = letters.unwrap_or(0);
        let mut last = Namer { own: None, letters, start, position: start };
        read(&mut last, &tables[0], LOG);
        prop_assert!(commit_named(&mut tables, &last, None).is_some());
        for (table, rest) in tables.iter().zip([0, 1]) {
            let expected: BTreeMap<i64, u32> =
                (0..LOG).filter(|offset| offset % 3 == rest).map(|offset| (offset, 1)).collect();
            prop_assert_eq!(&table.landed, &expected);
        }
    }
}
