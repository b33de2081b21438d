//! Embedded: the projects that come with the program, as files in memory.
//!
//! The list is spelled out, so that a file that is added without being listed is noticed by a test, not by
//! a user.

use crate::project::SourceFile;

macro_rules! files {
    ($root:literal: $($path:literal),+ $(,)?) => {
        vec![$(SourceFile {
            path: $path.to_owned(),
            text: include_str!(concat!("../", $root, $path)).to_owned(),
        }),+]
    };
}

/// The shop: bronze events to silver and gold.
pub(crate) fn shop() -> Vec<SourceFile> {
    files!["":
        "dbt_project.yml",
        "bronze/sources.yml",
        "silver/events.sql",
        "silver/orders.sql",
        "silver/payments.sql",
        "silver/schema.yml",
        "silver/sessions.sql",
        "silver/stock_changes.sql",
        "silver/transactions.sql",
        "gold/category_performance.sql",
        "gold/conversion_funnel.sql",
        "gold/dead_letters_by_cause.sql",
        "gold/payments_by_country.sql",
        "gold/revenue_by_day.sql",
        "gold/revenue_by_hour.sql",
        "gold/schema.yml",
        "gold/stock_position.sql",
        "gold/top_items.sql",
        "macros/first_by.sql",
        "macros/share.sql",
    ]
}

/// The Olist data set.
pub(crate) fn olist() -> Vec<SourceFile> {
    files!["olist/":
        "dbt_project.yml",
        "bronze/sources.yml",
        "gold/olist_delivery_days.sql",
        "gold/olist_order_status_funnel.sql",
        "gold/olist_revenue_by_month_state.sql",
        "gold/olist_top_categories.sql",
        "gold/schema.yml",
        "macros/hundredths.sql",
    ]
}

#[cfg(test)]
mod tests;
