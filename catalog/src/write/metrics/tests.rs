//! Bounds hold for every row: also when texts are long, values are not numbers or statistics are missing.

use super::*;

fn text(text: &str) -> Datum {
    Datum::string(text)
}

#[test]
fn short_values_are_bounds_as_they_are() {
    for datum in [text("sixteen chars 16"), text(""), Datum::long(7), Datum::binary([1; 16])] {
        assert_eq!(cut_down(datum.clone()), Some(datum.clone()));
        assert_eq!(cut_up(datum.clone()), Some(datum));
    }
}

#[test]
fn long_texts_are_cut_down_and_up() {
    let long = text("0123456789abcdef and more");
    assert_eq!(cut_down(long.clone()), Some(text("0123456789abcdef")));
    assert_eq!(cut_up(long), Some(text("0123456789abcdeg")));
}

#[test]
fn characters_are_kept_whole() {
    let long = text(&"ż".repeat(17));
    assert_eq!(cut_down(long.clone()), Some(text(&"ż".repeat(16))));
    // The code point after ż (U+017C) is U+017D.
    assert_eq!(cut_up(long), Some(text(&("ż".repeat(15) + "\u{17D}"))));
}

#[test]
fn the_last_character_carries_over_or_there_is_no_bound() {
    let carried = text(&format!("{}{}tail", "a".repeat(15), char::MAX));
    assert_eq!(cut_up(carried), Some(text(&format!("{}b", "a".repeat(14)))));
    let surrogates = text(&format!("{}\u{D7FF}tail", "a".repeat(15)));
    assert_eq!(cut_up(surrogates), Some(text(&format!("{}\u{E000}", "a".repeat(15)))));
    assert_eq!(cut_up(text(&char::MAX.to_string().repeat(17))), None);
    assert_eq!(cut_up(Datum::binary([0xFF; 17])), None);
    assert_eq!(cut_up(Datum::binary([1; 17])), Some(Datum::binary([[1; 15].as_slice(), &[2]].concat())));
}

#[test]
fn a_group_without_a_bound_takes_the_files_bound_away() {
    let mut bound = Bound::default();
    bound.add(Some(Datum::long(5)), |new, old| new < old);
    bound.add(Some(Datum::long(3)), |new, old| new < old);
    bound.add(Some(Datum::long(4)), |new, old| new < old);
    assert!(matches!(&bound, Bound::Known(least) if *least == Datum::long(3)));
    bound.add(None, |new, old| new < old);
    bound.add(Some(Datum::long(1)), |new, old| new < old);
    assert!(bound.known().is_none());
}
