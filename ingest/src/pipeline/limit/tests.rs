//! The bucket of dead letters, second by second.

use std::time::{Duration, Instant};

use super::{DeadLetterLimit, Rate};

#[test]
fn a_share_counts_from_a_number_of_letters_on() {
    let limit = DeadLetterLimit { messages: 10, share: 0.5, ..DeadLetterLimit::default() };
    assert!(!limit.is_exceeded(10, 10), "as many as always may be");
    assert!(!limit.is_exceeded(11, 22), "half is not more than half");
    assert!(limit.is_exceeded(11, 21));
}

#[test]
fn letters_land_no_faster_than_allowed() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let mut rate = Rate::new(Some(60), start);
    assert!(rate.admits(40, at(0)) && rate.admits(20, at(0)));
    assert!(!rate.admits(10, at(9)), "nine came back");
    assert!(rate.admits(10, at(10)));
    assert!(rate.admits(0, at(10)), "commits without letters never wait");
    assert!(rate.admits(600, at(70)), "a commit cannot be cut, so it lands when the bucket is full");
    assert!(!rate.admits(1, at(609)), "and its debt is paid first");
    assert!(rate.admits(1, at(611)));
    assert!(rate.admits_at() > at(611));
}

#[test]
fn without_a_limit_nothing_waits() {
    let now = Instant::now();
    assert!((0..100).all(|_| Rate::new(None, now).admits(u64::MAX, now)));
}
