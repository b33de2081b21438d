//! The figures of partitions, and how many labels there can be.

use std::collections::BTreeSet;

use super::labels::{LABELS_MAX, Labels, OTHER};
use super::*;

fn of(progress: &Progress) -> PartitionProgress {
    progress.partitions()[&("t".to_owned(), 0)]
}

#[test]
fn the_lag_in_seconds_is_the_age_of_what_waits_longest() {
    let progress = Progress::default();
    progress.set_start("t", 0, 10);
    progress.set_end("t", 0, 30);
    assert_eq!(of(&progress).lag_seconds(12_000), 0.0, "nothing was read, so nobody knows");
    progress.set_read("t", 0, 15, Some(5_000));
    progress.set_read("t", 0, 20, Some(9_000));
    assert_eq!((of(&progress).lag(), of(&progress).unread()), (20, 10));
    assert_eq!(of(&progress).lag_seconds(12_000), 7.0);
    progress.set_committed("t", 0, 15);
    assert_eq!((of(&progress).lag(), of(&progress).lag_seconds(12_000)), (15, 3.0));
    progress.set_committed("t", 0, 20);
    assert_eq!(
        of(&progress).lag_seconds(12_000),
        3.0,
        "what comes next is at most as old as what landed last"
    );
    progress.set_read("t", 0, 30, Some(11_000));
    progress.set_committed("t", 0, 30);
    assert_eq!((of(&progress).lag(), of(&progress).lag_seconds(99_000)), (0, 0.0), "nothing waits");
    progress.set_end("t", 0, 31);
    progress.set_end("t", 0, 30);
    assert_eq!(of(&progress).lag(), 1, "an end that was asked for earlier takes nothing back");
    progress.set_read("t", 0, 31, Some(98_000));
    assert_eq!(of(&progress).lag_seconds(99_000), 1.0, "a message after a long silence is not late");
    progress.forget("t", 0);
    assert!(progress.partitions().is_empty());
}

#[test]
fn reading_again_and_again_keeps_the_age_and_no_more() {
    let progress = Progress::default();
    progress.set_end("t", 0, 30);
    for _ in 0..1000 {
        progress.set_start("t", 0, 10);
        progress.set_end("t", 0, 30);
        assert!(of(&progress).waiting_since.is_none_or(|since| since == 5_000));
        progress.set_read("t", 0, 15, Some(5_000));
        progress.set_read("t", 0, 20, Some(9_000));
    }
    assert_eq!(of(&progress).lag_seconds(12_000), 7.0);
    progress.set_start("t", 0, 10);
    assert_eq!((of(&progress).unread(), of(&progress).lag_seconds(12_000)), (20, 7.0), "it still waits");
}

#[test]
fn a_topic_pauses_for_a_reason_until_it_ends() {
    let progress = Progress::default();
    let paused = || progress.topics()["t"].paused;
    progress.start(1, ["t"]);
    assert_eq!(paused(), None);
    progress.set_topic_paused("t", Some(PauseReason::DeadLetterRate));
    progress.set_topic_paused("t", Some(PauseReason::DeadLetterShare));
    assert_eq!(paused(), Some(PauseReason::DeadLetterShare));
    progress.set_topic_paused("t", None);
    assert_eq!(paused(), None);
}

#[test]
fn what_became_of_messages_is_told_by_topic() {
    let progress = Progress::default();
    progress.add_consumed("t", 5, 50);
    progress.add_fate("t", 3, &[("malformed", 1), ("empty", 1)], 7);
    progress.add_fate("t", 1, &[], 9);
    let told = progress.topics()["t"];
    assert_eq!((told.consumed, told.landed, told.dead_lettered, told.committed_at), (5, 4, 2, Some(9)));
}

#[test]
fn names_are_labels_up_to_a_number() {
    let labels = Labels::default();
    let made: BTreeSet<String> = (0..5000).map(|number| labels.of(&format!("t{number}"))).collect();
    assert_eq!(made.len(), LABELS_MAX + 1);
    assert_eq!((labels.of("t0"), labels.of("t4999")), ("t0".to_owned(), OTHER.to_owned()));
}
