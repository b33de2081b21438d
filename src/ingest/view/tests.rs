//! The lines of the view, from figures that are given.

use super::*;

fn topics(topics: &[(&str, TopicProgress)]) -> BTreeMap<String, TopicProgress> {
    topics.iter().map(|(name, topic)| ((*name).to_owned(), *topic)).collect()
}

fn partition(topic: &str, number: i32, (committed, read, end): (i64, i64, i64), since: i64) -> Partition {
    let progress = PartitionProgress {
        read: Some(read),
        committed: Some(committed),
        end: Some(end),
        committed_at: None,
        waiting_since: Some(since),
    };
    ((topic.to_owned(), number), progress)
}

type Partition = ((String, i32), PartitionProgress);

fn at(seconds: i64) -> (Duration, DateTime<Utc>) {
    (Duration::from_secs(seconds as u64), DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap())
}

#[test]
fn each_topic_has_a_line_with_its_speed_and_when_it_is_caught_up() {
    let mut view = View::default();
    let since = 999_986_000;
    let mut clicks = TopicProgress { consumed: 1_000, ..TopicProgress::default() };
    let bad = TopicProgress { paused: Some(PauseReason::DeadLetterShare), ..TopicProgress::default() };
    let parts = |read| {
        let all = [partition("clicks", 0, (0, read, 5_000), since), partition("clicks", 1, (7, 9, 9), since)];
        all.into_iter().chain([partition("orders", 0, (5, 5, 2_005), since)]).collect()
    };
    view.table(topics(&[("clicks", clicks), ("orders", bad)]), &parts(1_000), at(0));
    clicks.consumed = 3_000;
    (clicks.landed, clicks.dead_lettered, clicks.committed_at) = (2_500, 12, Some(999_999_000_000));
    let lines = view.table(topics(&[("clicks", clicks), ("orders", bad)]), &parts(2_000), at(2));
    assert_eq!(
        lines,
        [
            "topic   read/s    lag  behind  caught up in  landed  dead letters  last commit",
            "clicks   1,000  5,002     16s            6s   2,500            12       3s ago",
            "orders       0  2,000     16s        paused       0             0            -  dead_letter_share",
        ]
    );
}

#[test]
fn what_comes_in_while_one_looks_is_caught_up_and_what_grows_never_is() {
    let mut row = Row {
        name: String::new(),
        topic: TopicProgress::default(),
        lag: 0,
        behind: 0.0,
        speed: 100.0,
        unread: Some(200),
        gain: Some(-1.0),
    };
    assert_eq!(row.caught_up_in(), "now");
    row.unread = Some(201);
    assert_eq!(row.caught_up_in(), "never");
    (row.speed, row.unread) = (0.0, Some(0));
    assert_eq!(row.caught_up_in(), "now");
    row.unread = None;
    assert_eq!(row.caught_up_in(), "?", "nobody knows before the first answer of Kafka");
}

#[test]
fn an_end_that_becomes_known_is_no_growth() {
    let mut view = View::default();
    let topic = |consumed| topics(&[("t", TopicProgress { consumed, ..TopicProgress::default() })]);
    let before = view.table(topic(0), &BTreeMap::new(), at(0));
    assert!(before[1].contains(" ? "), "{before:?}");
    let mut parts: BTreeMap<_, _> = [partition("t", 0, (0, 0, 0), 0)].into();
    parts.get_mut(&("t".to_owned(), 0)).unwrap().end = None;
    let first = view.table(topic(0), &parts, at(0));
    assert!(first[1].contains(" ? "), "{first:?}");
    view.table(topic(100), &[partition("t", 0, (0, 100, 1000), 0)].into(), at(1));
    let lines = view.table(topic(200), &[partition("t", 0, (0, 200, 1000), 0)].into(), at(2));
    assert!(lines[1].contains("            8s  "), "{lines:?}");
}

#[test]
fn speeds_are_those_of_the_last_seconds() {
    let mut view = View::default();
    let mut last = Vec::new();
    for second in 0..60 {
        let consumed = if second < 40 { 0 } else { (second - 39) * 100 };
        let topic = TopicProgress { consumed: consumed as u64, ..TopicProgress::default() };
        last = view.table(topics(&[("t", topic)]), &BTreeMap::new(), at(second));
    }
    assert!(last[1].starts_with("t         100  "), "{last:?}");
    assert!(view.samples["t"].len() <= 11);
}

#[test]
fn of_many_topics_those_that_pause_or_lag_most_are_shown() {
    let many: Vec<String> = (0..100).map(|number| format!("t{number:02}")).collect();
    let mut all = topics(&[]);
    all.extend(many.iter().map(|name| (name.clone(), TopicProgress::default())));
    all.get_mut("t03").unwrap().paused = Some(PauseReason::DeadLetterRate);
    let parts =
        many.iter().enumerate().map(|(lag, name)| partition(name, 0, (0, 0, lag as i64), 0)).collect();
    let lines = View::default().table(all, &parts, at(1));
    assert_eq!(lines.len(), 1 + TOPICS_MAX + 1);
    assert!(lines[1].starts_with("t03 ") && lines[2].starts_with("t89 ") && lines[12].starts_with("t99 "));
    assert_eq!(lines[13], "and 88 topics that lag less");
}

#[test]
fn spans_have_two_units() {
    let spans = [0, 59, 60, 62, 3600, 3700, 100_000, 90_000_000].map(span);
    assert_eq!(spans, ["0s", "59s", "1m", "1m2s", "1h", "1h1m", "1d3h", "1041d16h"]);
}
