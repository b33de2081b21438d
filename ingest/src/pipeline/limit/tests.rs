//! Topics with bad messages, second by second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Count, DeadLetterLimit, Limits};
use crate::error::Error;
use crate::progress::{PauseReason, Progress};

const LIMIT: DeadLetterLimit =
    DeadLetterLimit { messages: 10, share: 0.5, per_minute: None, pause: Duration::from_secs(30) };

fn limits(limit: DeadLetterLimit) -> (Limits, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    (Limits::new(Some(limit), Arc::clone(&progress)), progress)
}

fn count(topic: &str, dead: u64, messages: u64) -> Count {
    Count { topic: topic.to_owned(), dead, messages, last: String::new() }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_share_counts_from_a_number_of_letters_on_and_for_its_topic_alone() {
    let (limits, _) = limits(LIMIT);
    let now = Instant::now();
    let flooded = |counts: &[Count]| match limits.check(counts, now) {
        Err(Error::TooManyDeadLetters { topic, .. }) => Some(topic),
        _ => None,
    };
    assert_eq!(flooded(&[count("t", 10, 10)]), None, "as many as always may be");
    assert_eq!(flooded(&[count("t", 11, 22)]), None, "half is not more than half");
    assert!(limits.paused(now).is_empty());
    assert_eq!(flooded(&[count("t", 11, 21)]), Some("t".to_owned()));
    let beside =
        [count("good", 0, 1_000_000), count("bad", 11, 11), count("fair", 3, 9), count("worse", 99, 99)];
    assert_eq!(flooded(&beside), Some("bad".to_owned()), "good messages of another topic do not cover it");
    let paused: Vec<_> = limits.paused(now).into_iter().collect();
    assert_eq!(paused, ["bad", "t", "worse"], "all at once");
}

#[test]
fn a_slow_topic_is_flooded_over_many_commits_and_an_old_one_is_forgotten() {
    let (limits, _) = limits(LIMIT);
    let start = Instant::now();
    let one = [count("t", 1, 1)];
    for second in 0..10 {
        assert!(limits.check(&one, start + seconds(second)).is_ok(), "{second}");
        limits.landed(&one, start + seconds(second));
    }
    let two = [count("t", 2, 2)];
    assert!(limits.check(&two, start + seconds(10)).is_err());
    assert!(limits.check(&[count("t", 2, 50)], start + seconds(10)).is_ok(), "good ones came");
    assert!(limits.check(&two, start + seconds(610)).is_ok(), "two half-lives later");
}

#[test]
fn pauses_become_longer_until_something_lands() {
    let (limits, progress) = limits(LIMIT);
    let now = Instant::now();
    let flood = || {
        assert!(limits.check(&[count("t", 99, 99)], now).is_err());
        (limits.next_end().unwrap() - now).as_secs()
    };
    let pauses: Vec<_> = (0..6).map(|_| flood()).collect();
    assert_eq!(pauses, [30, 60, 120, 240, 480, 480]);
    assert_eq!(limits.paused(now + seconds(479)).len(), 1);
    assert_eq!(progress.topics()["t"].paused, Some(PauseReason::DeadLetterShare));
    assert_eq!(limits.next_end(), Some(now + seconds(480)));
    assert!(limits.paused(now + seconds(480)).is_empty());
    assert_eq!((progress.topics()["t"].paused, limits.next_end()), (None, None));
    assert_eq!(flood(), 480, "the same messages are bad again");
    limits.landed(&[count("t", 0, 5)], now);
    assert_eq!(flood(), 30);
    limits.close();
    assert_eq!(progress.topics()["t"].paused, None);
}

#[test]
fn a_run_that_ends_by_itself_does_not_try_again() {
    let limits = limits(LIMIT).0.for_good();
    let now = Instant::now();
    assert!(limits.check(&[count("t", 99, 99)], now).is_err());
    assert!(
        limits
            .flood()
            .is_some_and(|flood| flood.to_string().contains("99 of the last 99 messages of topic `t`"))
    );
    assert_eq!(limits.given_up().len(), 1);
    assert_eq!((limits.paused(now + seconds(1_000_000)).len(), limits.next_end()), (1, None));
}

#[test]
fn letters_land_no_faster_than_allowed() {
    let (limits, progress) = limits(DeadLetterLimit { per_minute: Some(60), ..LIMIT });
    let start = Instant::now();
    let paused = |at: u64| !limits.paused(start + seconds(at)).is_empty();
    limits.landed(&[count("t", 60, 1000)], start);
    limits.landed(&[count("other", 60, 1000)], start);
    assert!(!paused(0), "a minute's letters may come at once, of each topic");
    limits.landed(&[count("t", 10, 1000)], start + seconds(9));
    assert_eq!(progress.topics()["t"].paused, Some(PauseReason::DeadLetterRate), "nine came back");
    assert!(paused(9) && !paused(10));
    limits.landed(&[count("t", 0, 1000)], start + seconds(10));
    limits.landed(&[count("t", 660, 1000)], start + seconds(70));
    assert!(paused(669), "a commit cannot be cut, so its debt is paid first");
    assert!(!paused(670));
}

#[test]
fn without_limits_nothing_pauses() {
    let now = Instant::now();
    let limits = Limits::new(None, Arc::default());
    assert!((0..100).all(|_| {
        limits.landed(&[count("t", 1000, 1000)], now);
        limits.check(&[count("t", 1_000_000, 1_000_000)], now).is_ok()
    }));
    assert!(limits.paused(now).is_empty());
}
