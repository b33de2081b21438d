//! The files of the Instacart Online Grocery Shopping data set of 2017: names, tables, columns, types.
//!
//! There are no dates, only weekday and hour. `days_since_prior_order` is written as `15.0`, and is empty for a
//! user's first order; the hour is padded with a zero in the published file. Both parts of the order lines
//! keep their own table, as published.

use super::SetFile;
use super::Type::{Double, Long, Padded, Text};

const LINES: &[(&str, super::Type)] =
    &[("order_id", Long), ("product_id", Long), ("add_to_cart_order", Long), ("reordered", Long)];

/// All files, in the order they are loaded.
pub(super) const FILES: [SetFile; 6] = [
    SetFile {
        stem: "orders",
        table: "instacart_orders",
        columns: &[
            ("order_id", Long),
            ("user_id", Long),
            ("eval_set", Text),
            ("order_number", Long),
            ("order_dow", Long),
            ("order_hour_of_day", Padded),
            ("days_since_prior_order", Double),
        ],
    },
    SetFile { stem: "order_products__prior", table: "instacart_order_products_prior", columns: LINES },
    SetFile { stem: "order_products__train", table: "instacart_order_products_train", columns: LINES },
    SetFile {
        stem: "products",
        table: "instacart_products",
        columns: &[("product_id", Long), ("product_name", Text), ("aisle_id", Long), ("department_id", Long)],
    },
    SetFile { stem: "aisles", table: "instacart_aisles", columns: &[("aisle_id", Long), ("aisle", Text)] },
    SetFile {
        stem: "departments",
        table: "instacart_departments",
        columns: &[("department_id", Long), ("department", Text)],
    },
];
