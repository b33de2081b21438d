//! Marks, peaks and the return of what was taken.

use std::sync::Arc;

use super::*;

#[test]
fn reservations_are_given_back_and_the_peak_is_kept() {
    let budget = Budget::new(1000);
    let mut first = budget.reserve(300);
    let second = budget.reserve(300);
    assert!(budget.is_high());
    assert_eq!(budget.used(), 600);
    first.resize(100);
    assert_eq!(budget.used(), 400);
    assert!(!budget.is_high() && !budget.is_low());
    drop(second);
    assert!(budget.is_low());
    drop(first);
    assert_eq!((budget.used(), budget.peak()), (0, 700));
}

#[test]
fn open_files_alone_ask_for_a_commit() {
    let budget = Budget::new(1000);
    budget.set_files(800);
    assert!(budget.is_high() && budget.needs_commit());
    budget.set_files(200);
    let _raw = budget.reserve(700);
    assert!(budget.is_high() && !budget.needs_commit());
}

#[test]
fn rows_that_wait_ask_for_a_commit_until_the_last_of_them_is_gone() {
    let budget = Budget::new(1000);
    let mut landing = budget.reserve(900);
    let first = Arc::new(landing.set_aside(800));
    let second = Arc::clone(&first);
    drop(landing);
    assert_eq!((budget.used(), budget.peak()), (800, 900));
    assert!(budget.needs_commit());
    drop(first);
    assert_eq!(budget.used(), 800);
    drop(second);
    assert_eq!(budget.used(), 0);
    assert_eq!(budget.reserve(10).set_aside(20).bytes, 10, "no more than there is");
}
