//! Which files of older partition specs go when partitions of another spec are replaced.
//!
//! Such a file does not say which partitions of that spec its rows belong to. Its own partition values and the
//! bounds of its columns tell, for each file, one of three:
//!
//! | its rows | the file |
//! |---|---|
//! | are all of one of the replaced partitions | goes |
//! | are of none of them | stays |
//! | may be of them and of others | is in the way: the commit is refused |
//!
//! Delete files have no bounds of a table's columns, so only their partition values tell, and one that cannot be
//! told stays. It does no harm: what it deletes from goes or stays whole.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::mem::discriminant;

use iceberg::spec::{
    DataFile, Datum, Literal, ManifestContentType, ManifestFile, PartitionField, PartitionSpecRef,
    PrimitiveLiteral, Struct, Transform,
};

use super::manifests::Manifests;
use super::removal::only_target;
use crate::error::{Error, Result};
use crate::write::Partitioner;

/// What is known of one partition value over all rows of a file.
enum Known {
    /// It is this one in every row.
    Always(Option<PrimitiveLiteral>),
    /// It is between these, where they are known, or null, if it can be.
    Within { lower: Option<PrimitiveLiteral>, upper: Option<PrimitiveLiteral>, nulls: bool },
}

/// Whether the rows of a file belong to partitions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Belong {
    All,
    Some,
    None,
}

/// The files of specs other than `spec_id` that hold nothing but rows of the partitions `values` of that spec.
///
/// # Errors
/// When a data file may hold rows of these partitions and of others.
pub(super) async fn files(
    manifests: &Manifests<'_>,
    live: &[ManifestFile],
    spec_id: i32,
    values: &HashSet<Struct>,
) -> Result<HashSet<String>> {
    let mut older: Vec<_> =
        live.iter().filter(|manifest| manifest.partition_spec_id != spec_id).cloned().collect();
    let base = manifests.base;
    let Some(spec) = base.partition_spec_by_id(spec_id).filter(|_| !older.is_empty()) else {
        return Ok(HashSet::new());
    };
    let partitioner = Partitioner::new(manifests.table, base.current_schema(), spec)?;
    // Data files first: which deletes are left without one follows from them.
    older.sort_by_key(|manifest| manifest.content == ManifestContentType::Deletes);
    let mut gone = HashSet::new();
    for (manifest, read) in older.iter().zip(manifests.read(&older).await?) {
        let own = base.partition_spec_by_id(manifest.partition_spec_id);
        for entry in read.entries().iter().filter(|entry| entry.is_alive()) {
            let file = entry.data_file();
            let fields = spec.fields().iter().enumerate();
            let known: Vec<_> = fields
                .map(|(at, field)| known(file, own, field, |datum| partitioner.value(at, datum)))
                .collect();
            let belong = values.iter().map(|values| belong(&known, values));
            let belong = belong.fold(Belong::None, Belong::or);
            let left = || only_target(file).is_some_and(|path| gone.contains(&path));
            match (manifest.content, belong) {
                (_, Belong::All) => drop(gone.insert(file.file_path().to_owned())),
                (ManifestContentType::Data, Belong::Some) => return Err(in_the_way(manifests, file)),
                (ManifestContentType::Deletes, Belong::Some) if left() => {
                    gone.insert(file.file_path().to_owned());
                }
                _ => {}
            }
        }
    }
    Ok(gone)
}

/// What the file says of a partition field of another spec; `value` applies the field's transform.
fn known(
    file: &DataFile,
    own: Option<&PartitionSpecRef>,
    field: &PartitionField,
    value: impl Fn(&Datum) -> Option<PrimitiveLiteral>,
) -> Known {
    if field.transform == Transform::Void {
        return Known::Always(None);
    }
    let alike =
        |other: &PartitionField| other.source_id == field.source_id && other.transform == field.transform;
    let at = own.and_then(|own| own.fields().iter().position(alike));
    if let Some(value) = at.and_then(|at| file.partition().fields().get(at)) {
        match value {
            None => return Known::Always(None),
            Some(Literal::Primitive(value)) => return Known::Always(Some(value.clone())),
            Some(_) => {}
        }
    }
    let count = |counts: &HashMap<i32, u64>| counts.get(&field.source_id).copied();
    let nulls = count(file.null_value_counts());
    if nulls.is_some() && nulls == count(file.value_counts()) {
        return Known::Always(None);
    }
    let nulls = nulls != Some(0);
    let bound = |bounds: &HashMap<i32, Datum>| {
        bounds.get(&field.source_id).filter(|bound| is_ordered(bound)).cloned()
    };
    let (lower, upper) = (bound(file.lower_bounds()), bound(file.upper_bounds()));
    let one = lower.is_some() && lower == upper;
    if !one && !field.transform.preserves_order() {
        return Known::Within { lower: None, upper: None, nulls };
    }
    let (lower, upper) = (lower.and_then(|bound| value(&bound)), upper.and_then(|bound| value(&bound)));
    match &lower {
        Some(_) if lower == upper && !nulls => Known::Always(lower),
        _ => Known::Within { lower, upper, nulls },
    }
}

/// Bounds of floating-point columns leave out values that are no numbers.
fn is_ordered(bound: &Datum) -> bool {
    !matches!(bound.literal(), PrimitiveLiteral::Float(_) | PrimitiveLiteral::Double(_))
}

/// Whether the rows of a file belong to one partition.
fn belong(known: &[Known], values: &Struct) -> Belong {
    let fields = known.iter().zip(values.iter()).map(|(known, value)| match value {
        None => known.holds(None),
        Some(Literal::Primitive(value)) => known.holds(Some(value)),
        Some(_) => Belong::Some,
    });
    fields.fold(Belong::All, Belong::and)
}

impl Known {
    fn holds(&self, value: Option<&PrimitiveLiteral>) -> Belong {
        match (self, value) {
            (Self::Always(Some(known)), Some(value)) => match order(known, value) {
                Some(Ordering::Equal) => Belong::All,
                Some(_) => Belong::None,
                None => Belong::Some,
            },
            (Self::Always(known), value) if known.is_some() == value.is_some() => Belong::All,
            (Self::Always(_), _) => Belong::None,
            (Self::Within { nulls, .. }, None) => {
                if *nulls {
                    Belong::Some
                } else {
                    Belong::None
                }
            }
            (Self::Within { lower, upper, .. }, Some(value)) => {
                let below = lower.as_ref().is_some_and(|lower| order(value, lower) == Some(Ordering::Less));
                let above =
                    upper.as_ref().is_some_and(|upper| order(value, upper) == Some(Ordering::Greater));
                if below || above { Belong::None } else { Belong::Some }
            }
        }
    }
}

/// The order of two values of one type; of different types (a column was widened) nothing is said.
fn order(one: &PrimitiveLiteral, other: &PrimitiveLiteral) -> Option<Ordering> {
    if discriminant(one) == discriminant(other) { one.partial_cmp(other) } else { None }
}

impl Belong {
    /// Of rows that belong as both say.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, Self::All) => Self::All,
            _ => Self::Some,
        }
    }

    /// Of rows that belong as either says.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, Self::None) => Self::None,
            _ => Self::Some,
        }
    }
}

fn in_the_way(manifests: &Manifests<'_>, file: &DataFile) -> Error {
    Error::File {
        subject: format!("{} of table {}", file.file_path(), manifests.table),
        fact: "it was written by an older partitioning, and may hold rows of the replaced partitions beside others"
            .to_owned(),
        remedy: "compact the table first, which moves such files to the current partitioning; or delete by a condition and insert",
    }
}
