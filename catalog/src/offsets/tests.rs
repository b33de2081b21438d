//! The fence, row by row and as a property, and the texts that tables keep.

use iceberg::spec::{Operation, Summary};

use super::*;

fn source() -> SourceId {
    SourceId { cluster: "c1".to_owned(), topic: "orders".to_owned() }
}

fn ranges(of: &[(i32, i64, i64)]) -> SourceRanges {
    let ranges = of
        .iter()
        .map(|&(partition, start, end)| {
            let anchor = (end > start).then(|| Anchor { offset: end - 1, crc32: end as u32 });
            (partition, OffsetRange { start, end, anchor })
        })
        .collect();
    SourceRanges { source: source(), ranges }
}

fn passed(current: Option<&SourceOffsets>, of: &[(i32, i64, i64)]) -> SourceOffsets {
    match fence(current, &ranges(of)) {
        Fence::Passed(after) => after,
        other => panic!("expected to pass: {other:?}"),
    }
}

#[test]
fn a_new_source_starts_anywhere() {
    let after = passed(None, &[(0, 17, 20), (3, 0, 0)]);
    assert_eq!(after.next, BTreeMap::from([(0, 20), (3, 0)]));
    assert_eq!(after.anchors, BTreeMap::from([(0, Anchor { offset: 19, crc32: 20 })]));
}

#[test]
fn a_range_that_follows_on_moves_next_and_leaves_other_partitions() {
    let base = passed(None, &[(0, 0, 10), (1, 0, 5)]);
    let after = passed(Some(&base), &[(0, 10, 12), (2, 4, 6)]);
    assert_eq!(after.next, BTreeMap::from([(0, 12), (1, 5), (2, 6)]));
}

#[test]
fn a_range_that_starts_early_or_late_is_fenced() {
    let base = passed(None, &[(0, 0, 10)]);
    for start in [0, 9, 11] {
        let outcome = fence(Some(&base), &ranges(&[(0, start, 20)]));
        assert_eq!(outcome, Fence::Fenced { partition: 0, start, next: 10 });
    }
}

#[test]
fn an_empty_range_keeps_the_anchor() {
    let base = passed(None, &[(0, 0, 10)]);
    assert_eq!(passed(Some(&base), &[(0, 10, 10)]), base);
}

#[test]
fn a_reversed_range_and_another_cluster_are_told_apart_from_a_fence() {
    let base = passed(None, &[(0, 0, 10)]);
    assert_eq!(fence(Some(&base), &ranges(&[(0, 10, 9)])), Fence::Reversed { partition: 0 });
    let mut other = ranges(&[(0, 10, 11)]);
    other.source.cluster = "c2".to_owned();
    assert_eq!(fence(Some(&base), &other), Fence::OtherCluster { recorded: "c1".to_owned() });
}

#[test]
fn offsets_survive_the_property() {
    let table = TableName::new("bronze", "orders").unwrap();
    let offsets = passed(None, &[(0, 0, 10), (11, 3, 3)]);
    let token = Uuid::from_u128(7);
    let summary = Summary { operation: Operation::Append, additional_properties: HashMap::new() };
    let snapshot = Snapshot::builder()
        .with_snapshot_id(42)
        .with_sequence_number(3)
        .with_timestamp_ms(0)
        .with_manifest_list("list.avro")
        .with_summary(summary)
        .build();
    let (key, value) = offsets.property(token, Some(&snapshot)).unwrap();
    assert_eq!(key, "sluice.offsets.orders");
    assert_eq!(
        value,
        r#"{"cluster":"c1","next":{"0":10,"11":3},"anchors":{"0":{"offset":9,"crc32":10}},"#.to_owned()
            + r#""token":"00000000-0000-0000-0000-000000000007","snapshot":42,"sequence":3}"#
    );
    let properties = HashMap::from([(key, value)]);
    assert_eq!(SourceOffsets::said(&properties, &table, "orders").unwrap(), Some(offsets));
    assert_eq!(SourceOffsets::said(&properties, &table, "payments").unwrap(), None);
    assert!(written_by(&properties, &table, "orders", token).unwrap());
    assert!(!written_by(&properties, &table, "orders", Uuid::from_u128(8)).unwrap());
}

#[test]
fn a_damaged_property_is_an_error_that_names_it() {
    let table = TableName::new("bronze", "orders").unwrap();
    let properties = HashMap::from([("sluice.offsets.orders".to_owned(), "{}".to_owned())]);
    let message = SourceOffsets::said(&properties, &table, "orders").unwrap_err().to_string();
    assert!(message.contains("sluice.offsets.orders of table bronze.orders"), "{message}");
}

#[test]
fn the_summary_lists_the_ranges() {
    let (key, value) = ranges(&[(0, 5, 9), (2, 1, 1)]).summary().unwrap();
    assert_eq!((key.as_str(), value.as_str()), ("sluice.ranges.orders", r#"{"0":[5,9],"2":[1,1]}"#));
}

mod any {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever arrives in whatever order: what has passed is one gapless chain per partition.
        #[test]
        fn passed_ranges_chain(offers in prop::collection::vec((0..3i32, 0..6i64, 0..4i64), 0..60)) {
            let mut state: Option<SourceOffsets> = None;
            let mut chains: BTreeMap<i32, Vec<(i64, i64)>> = BTreeMap::new();
            for (partition, start, length) in offers {
                let offer = ranges(&[(partition, start, start + length)]);
                let before = state.clone();
                match fence(state.as_ref(), &offer) {
                    Fence::Passed(after) => {
                        chains.entry(partition).or_default().push((start, start + length));
                        state = Some(after);
                    }
                    Fence::Fenced { next, .. } => {
                        prop_assert_ne!(next, start);
                        prop_assert_eq!(&state, &before);
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            for (partition, chain) in chains {
                prop_assert!(chain.windows(2).all(|pair| pair[0].1 == pair[1].0));
                let next = state.as_ref().and_then(|state| state.next.get(&partition)).copied();
                prop_assert_eq!(next, chain.last().map(|last| last.1));
            }
        }
    }
}
