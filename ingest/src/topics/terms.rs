//! How a table lies: fields of its partitioning such as `day(at)`, terms of its sort order such as `at desc`.

use std::str::FromStr;

use sluice_catalog::{PartitionBy, SortBy, Transform};

/// A field of a partitioning.
pub(super) struct PartitionField(pub(super) PartitionBy);

/// A term of a sort order.
pub(super) struct SortTerm(pub(super) SortBy);

impl FromStr for PartitionField {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORMS: &str =
            "use a column name, year(c), month(c), day(c), hour(c), bucket(N, c) or truncate(N, c)";
        let Some((function, inside)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
            return Ok(Self(PartitionBy { column: text.to_owned(), transform: Transform::Identity }));
        };
        let wrong = || format!("`{text}` is not a partition field\n  {FORMS}");
        let with_number = |make: fn(u32) -> Transform| {
            let (number, column) = inside.split_once(',').ok_or_else(wrong)?;
            let number = number.trim().parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
            Ok::<_, String>((make(number), column))
        };
        let (transform, column) = match function.trim() {
            "year" => (Transform::Year, inside),
            "month" => (Transform::Month, inside),
            "day" => (Transform::Day, inside),
            "hour" => (Transform::Hour, inside),
            "bucket" => with_number(Transform::Bucket)?,
            "truncate" => with_number(Transform::Truncate)?,
            _ => return Err(wrong()),
        };
        Ok(Self(PartitionBy { column: column.trim().to_owned(), transform }))
    }
}

impl FromStr for SortTerm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let column = words.next().unwrap_or_default().to_owned();
        let descends = match (words.next(), words.next()) {
            (None | Some("asc"), None) => false,
            (Some("desc"), None) => true,
            _ => return Err(format!("`{text}` is no term of a sort order\n  use `COLUMN` or `COLUMN desc`")),
        };
        let by = PartitionBy { column, transform: Transform::Identity };
        Ok(Self(SortBy { by, descends, nulls_first: false }))
    }
}
