//! Ranges of values never say no to a value that is there.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;

use super::super::keys::KeyColumns;
use super::*;
use crate::topics::Upsert;

fn ranges(values: &[i64], most: usize) -> (KeyColumns, Ranges) {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    let upsert = Upsert { key: vec!["id".to_owned()], changes: Default::default(), order_by: None };
    let columns = KeyColumns::new(&schema, &upsert).unwrap();
    let arrays: Vec<ArrayRef> =
        values.chunks(3).map(|part| Arc::new(Int64Array::from(part.to_vec())) as ArrayRef).collect();
    let ranges = Ranges::of(&columns.columns[0], &arrays, most).unwrap();
    (columns, ranges)
}

fn between(columns: &KeyColumns, ranges: &Ranges, lower: i64, upper: i64) -> bool {
    let bytes = |value: i64| columns.columns[0].bound(&value.to_le_bytes()).unwrap();
    ranges.any_between(Some(&bytes(lower)), Some(&bytes(upper)))
}

proptest! {
    #[test]
    fn a_value_between_the_bounds_is_seen(
        values in prop::collection::vec(-50..50_i64, 1..40), most in 1..8_usize, lower in -60..60_i64, width in 0..30_i64
    ) {
        let (columns, some) = ranges(&values, most);
        prop_assert!(some.0.len() <= most);
        let there = values.iter().any(|value| (lower..=lower + width).contains(value));
        prop_assert!(!there || between(&columns, &some, lower, lower + width));
        // As many ranges as values are exact.
        let (columns, exact) = ranges(&values, values.len());
        prop_assert_eq!(there, between(&columns, &exact, lower, lower + width));
    }
}

#[test]
fn a_few_old_keys_beside_many_new_ones_leave_the_files_between_out() {
    let values: Vec<i64> = (0..4).chain(1_000_000..1_010_000).collect();
    let (columns, ranges) = ranges(&values, 64);
    assert!(between(&columns, &ranges, 0, 10));
    assert!(between(&columns, &ranges, 1_000_500, 1_000_501));
    assert!(!between(&columns, &ranges, 10, 999_999));
    assert!(!between(&columns, &ranges, 1_020_000, 2_000_000));
    assert!(!ranges.any_between(None, Some(&columns.columns[0].bound(&(-1_i64).to_le_bytes()).unwrap())));
    assert!(ranges.any_between(None, None));
}
