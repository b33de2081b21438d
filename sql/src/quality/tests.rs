//! Statistics against values known from elsewhere; volume; pages that hostile data cannot break out of.

use chrono::{DateTime, TimeDelta};

use super::page::{profile_page, short};
use super::profile::{Bar, ColumnProfile, Profile};
use super::statistics::{KolmogorovSmirnov, stability_index};
use super::volume::{Volume, freshness, judged};

/// The distance of two samples, value by value in their order.
fn distance(a: &[i32], b: &[i32]) -> Option<(f64, f64)> {
    let mut values: Vec<i32> = a.iter().chain(b).copied().collect();
    values.sort_unstable();
    values.dedup();
    let mut distance = KolmogorovSmirnov::new([a.len() as u64, b.len() as u64]);
    for value in values {
        let count = |side: &[i32]| side.iter().filter(|other| **other == value).count() as u64;
        distance.see([count(a), count(b)]);
    }
    distance.finish()
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9
}

#[test]
fn the_distance_is_that_of_the_cumulative_shares() {
    assert!(close(distance(&[1, 2, 3, 4], &[3, 4, 5, 6]).expect("both have values").0, 0.5));
    assert!(close(distance(&[1, 2], &[3, 4]).expect("both have values").0, 1.0));
    let (none, p) = distance(&[1, 1, 2, 9], &[9, 2, 1, 1]).expect("both have values");
    assert!(close(none, 0.0) && close(p, 1.0));
    assert!(distance(&[], &[1]).is_none());
    // Kolmogorov's distribution at 1, as tables have it: 0.26999967.
    let (a, b): (Vec<i32>, Vec<i32>) = ((0..200).collect(), (14..214).collect());
    let (d, p) = distance(&a, &b).expect("both have values");
    assert!(close(d, 0.07));
    // scipy's asymptotic value for the corrected argument 0.7 + (0.12 + 0.011) * 0.07 is 0.6956.
    assert!((p - 0.6956).abs() < 1e-3, "{p}");
}

#[test]
fn the_index_is_the_sum_over_the_shares() {
    let expected = 0.25 * 2.0_f64.ln() + 0.25 * 1.5_f64.ln();
    assert!(close(stability_index(&[[50, 25], [50, 75]]).expect("both have values"), expected));
    assert!(close(stability_index(&[[5, 50], [5, 50]]).expect("both have values"), 0.0));
    let apart = stability_index(&[[10, 0], [0, 10]]).expect("both have values");
    assert!(apart > 10.0 && apart.is_finite(), "{apart}");
    assert!(stability_index(&[[10, 0]]).is_none());
}

#[test]
fn a_commit_is_usual_when_it_is_as_those_before_it() {
    let volume = |rows: &[u64]| {
        let at = |index: usize| DateTime::UNIX_EPOCH + TimeDelta::hours(index as i64);
        judged(rows.iter().enumerate().map(|(index, rows)| (at(index), *rows)).collect())
    };
    assert_eq!(volume(&[]), Volume::default());
    assert_eq!(volume(&[100, 110, 90, 105]).usual, None, "three commits say nothing");
    assert_eq!(volume(&[100, 110, 90, 105, 95, 102]).usual, Some(true));
    assert_eq!(volume(&[100, 110, 90, 105, 95, 20]).usual, Some(false));
    assert_eq!(volume(&[100, 100, 100, 100, 100, 101]).usual, Some(true));
    assert_eq!(volume(&[100, 100, 100, 100, 100, 200]).usual, Some(false));
    let age = freshness(&volume(&[1, 2]), DateTime::UNIX_EPOCH + TimeDelta::hours(3));
    assert_eq!(age.seconds, Some(2 * 3600));
}

#[test]
fn a_page_escapes_what_data_says_and_fetches_nothing() {
    let hostile = "</title><script>alert(1)</script>\u{1b}[2J'\"&";
    let column = ColumnProfile {
        name: hostile.to_owned(),
        kind: "Utf8".to_owned(),
        nulls: 1,
        distinct: Some(2),
        min: Some(hostile.to_owned()),
        max: Some("x".repeat(10_000)),
        mean: None,
        deviation: None,
        quantiles: None,
        bars: vec![Bar { label: hostile.to_owned(), rows: 3 }],
    };
    let volume = Volume::default();
    let profile = Profile {
        subject: hostile.to_owned(),
        rows: 4,
        duplicates: None,
        freshness: freshness(&volume, DateTime::UNIX_EPOCH),
        volume,
        columns: vec![column],
        notes: ["a", "b"],
    };
    let page = profile_page(&profile);
    assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains("http"), "{page}");
    assert!(page.contains("&lt;script&gt;") && page.len() < 10_000);
}

#[test]
fn numbers_are_shown_with_the_digits_that_count() {
    let shown = [0.0, 1.0, -2.5, 0.012345678, 1234.5678, 123_456.7, 1e20].map(short);
    assert_eq!(shown, ["0", "1", "-2.5", "0.012346", "1234.6", "123457", "1.0000e20"]);
}
