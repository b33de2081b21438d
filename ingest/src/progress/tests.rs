//! The figures of partitions, and how many labels there can be.

use super::*;

#[test]
fn the_lag_in_seconds_is_the_age_of_what_landed_last() {
    let progress = Progress::default();
    let of = |progress: &Progress| progress.partitions()[&("t".to_owned(), 0)];
    progress.set_committed("t", 0, 10);
    progress.set_read("t", 0, 15, Some(5_000));
    progress.set_read("t", 0, 20, Some(9_000));
    progress.set_end("t", 0, 30, 12_000);
    assert_eq!((of(&progress).lag(), of(&progress).committed_at), (20, None));
    assert_eq!(of(&progress).lag_seconds(12_000), 0.0, "nothing landed yet, so nobody knows");
    progress.set_committed("t", 0, 15);
    assert_eq!((of(&progress).lag(), of(&progress).lag_seconds(12_000)), (15, 7.0));
    progress.set_committed("t", 0, 30);
    assert_eq!((of(&progress).lag(), of(&progress).lag_seconds(99_000)), (0, 0.0), "nothing waits");
    progress.forget("t", 0);
    assert!(progress.partitions().is_empty());
}

#[test]
fn a_pause_has_a_reason_until_it_ends() {
    let progress = Progress::default();
    assert_eq!(progress.paused(), None);
    progress.set_paused(PauseReason::Memory, true);
    progress.set_paused(PauseReason::DeadLetterRate, true);
    assert_eq!(progress.paused(), Some(PauseReason::DeadLetterRate));
    progress.set_paused(PauseReason::DeadLetterRate, false);
    assert_eq!(progress.paused(), Some(PauseReason::Memory));
    progress.set_paused(PauseReason::Memory, false);
    assert_eq!(progress.paused(), None);
}

#[test]
fn names_are_labels_up_to_a_number() {
    let labels = Labels::default();
    let made: BTreeSet<String> = (0..5000).map(|number| labels.of(&format!("t{number}"))).collect();
    assert_eq!(made.len(), LABELS_MAX + 1);
    assert_eq!((labels.of("t0"), labels.of("t4999")), ("t0".to_owned(), OTHER.to_owned()));
}
