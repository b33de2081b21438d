//! The nine files of the Brazilian E-Commerce Public Dataset by Olist: names, tables, columns, types.
//!
//! Types are declared, because a small extract would be inferred otherwise than the whole: zip code prefixes
//! are text (they begin with zeros in parts of the country), money is decimal, times have no zone. Misspelt
//! column names (`lenght`) are those of the source.

use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, TimeUnit};
use sluice_catalog::TableName;

use super::infer::PRECISION;
use super::{Error, Result};

/// One file of the data set.
#[derive(Clone, Copy, Debug)]
pub(super) struct OlistFile {
    /// The file's name without `.csv`.
    pub(super) stem: &'static str,
    /// The table in namespace bronze.
    table: &'static str,
    columns: &'static [(&'static str, Type)],
}

#[derive(Clone, Copy, Debug)]
enum Type {
    Text,
    Long,
    Double,
    Money,
    Time,
}

use Type::{Double, Long, Money, Text, Time};

pub(super) const ORDERS: OlistFile = OlistFile {
    stem: "olist_orders_dataset",
    table: "olist_orders",
    columns: &[
        ("order_id", Text),
        ("customer_id", Text),
        ("order_status", Text),
        ("order_purchase_timestamp", Time),
        ("order_approved_at", Time),
        ("order_delivered_carrier_date", Time),
        ("order_delivered_customer_date", Time),
        ("order_estimated_delivery_date", Time),
    ],
};

pub(super) const ITEMS: OlistFile = OlistFile {
    stem: "olist_order_items_dataset",
    table: "olist_order_items",
    columns: &[
        ("order_id", Text),
        ("order_item_id", Long),
        ("product_id", Text),
        ("seller_id", Text),
        ("shipping_limit_date", Time),
        ("price", Money),
        ("freight_value", Money),
    ],
};

pub(super) const PAYMENTS: OlistFile = OlistFile {
    stem: "olist_order_payments_dataset",
    table: "olist_order_payments",
    columns: &[
        ("order_id", Text),
        ("payment_sequential", Long),
        ("payment_type", Text),
        ("payment_installments", Long),
        ("payment_value", Money),
    ],
};

/// All files, in the order they are loaded.
pub(super) const FILES: [OlistFile; 9] = [
    ORDERS,
    ITEMS,
    PAYMENTS,
    OlistFile {
        stem: "olist_order_reviews_dataset",
        table: "olist_order_reviews",
        columns: &[
            ("review_id", Text),
            ("order_id", Text),
            ("review_score", Long),
            ("review_comment_title", Text),
            ("review_comment_message", Text),
            ("review_creation_date", Time),
            ("review_answer_timestamp", Time),
        ],
    },
    OlistFile {
        stem: "olist_customers_dataset",
        table: "olist_customers",
        columns: &[
            ("customer_id", Text),
            ("customer_unique_id", Text),
            ("customer_zip_code_prefix", Text),
            ("customer_city", Text),
            ("customer_state", Text),
        ],
    },
    OlistFile {
        stem: "olist_products_dataset",
        table: "olist_products",
        columns: &[
            ("product_id", Text),
            ("product_category_name", Text),
            ("product_name_lenght", Long),
            ("product_description_lenght", Long),
            ("product_photos_qty", Long),
            ("product_weight_g", Long),
            ("product_length_cm", Long),
            ("product_height_cm", Long),
            ("product_width_cm", Long),
        ],
    },
    OlistFile {
        stem: "olist_sellers_dataset",
        table: "olist_sellers",
        columns: &[
            ("seller_id", Text),
            ("seller_zip_code_prefix", Text),
            ("seller_city", Text),
            ("seller_state", Text),
        ],
    },
    OlistFile {
        stem: "olist_geolocation_dataset",
        table: "olist_geolocation",
        columns: &[
            ("geolocation_zip_code_prefix", Text),
            ("geolocation_lat", Double),
            ("geolocation_lng", Double),
            ("geolocation_city", Text),
            ("geolocation_state", Text),
        ],
    },
    OlistFile {
        stem: "product_category_name_translation",
        table: "olist_category_translation",
        columns: &[("product_category_name", Text), ("product_category_name_english", Text)],
    },
];

impl OlistFile {
    pub(super) fn table(&self) -> Result<TableName> {
        Ok(TableName::new("bronze", self.table)?)
    }

    pub(super) fn columns(&self) -> Vec<(String, DataType)> {
        self.columns.iter().map(|(name, kind)| ((*name).to_owned(), kind.arrow())).collect()
    }
}

impl Type {
    fn arrow(self) -> DataType {
        match self {
            Text => DataType::Utf8,
            Long => DataType::Int64,
            Double => DataType::Float64,
            Money => DataType::Decimal128(PRECISION, 2),
            Time => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

/// Where each of these files lies in a folder.
///
/// # Errors
/// Names all that are missing.
pub(super) fn find(folder: &Path, files: &[OlistFile]) -> Result<Vec<(OlistFile, PathBuf)>> {
    let path = |file: &OlistFile| {
        let candidates =
            ["csv", "csv.zst", "csv.gz"].map(|ending| folder.join(format!("{}.{ending}", file.stem)));
        candidates.into_iter().find(|path| path.is_file())
    };
    let missing: Vec<&str> = files.iter().filter(|file| path(file).is_none()).map(|file| file.stem).collect();
    if !missing.is_empty() {
        return Err(Error::MissingFiles { folder: folder.to_owned(), missing: missing.join(", ") });
    }
    Ok(files.iter().filter_map(|file| Some((*file, path(file)?))).collect())
}
