//! The files of the Retail Rocket recommender data set: names, tables, columns, types.
//!
//! Times are milliseconds since 1970 in the files and timestamps in the tables. The properties of items come in two
//! files and are one table. Values of properties are text: numbers among them are written as `n277.200`.

use super::SetFile;
use super::Type::{Long, Millis, Text};

const PROPERTIES: &[(&str, super::Type)] =
    &[("timestamp", Millis), ("itemid", Long), ("property", Text), ("value", Text)];

/// What visitors did.
pub(in crate::load) const EVENTS: SetFile = SetFile {
    stem: "events",
    table: "retail_rocket_events",
    columns: &[
        ("timestamp", Millis),
        ("visitorid", Long),
        ("event", Text),
        ("itemid", Long),
        ("transactionid", Long),
    ],
};

/// All files, in the order they are loaded.
pub(super) const FILES: [SetFile; 4] = [
    EVENTS,
    SetFile {
        stem: "category_tree",
        table: "retail_rocket_category_tree",
        columns: &[("categoryid", Long), ("parentid", Long)],
    },
    SetFile { stem: "item_properties_part1", table: "retail_rocket_item_properties", columns: PROPERTIES },
    SetFile { stem: "item_properties_part2", table: "retail_rocket_item_properties", columns: PROPERTIES },
];
