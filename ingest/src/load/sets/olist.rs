//! The nine files of the Brazilian E-Commerce Public Dataset by Olist: names, tables, columns, types.
//!
//! Types are declared, because a small extract would be inferred otherwise than the whole: zip code prefixes
//! are text (they begin with zeros in parts of the country), money is decimal, times have no zone. Misspelt
//! column names (`lenght`) are those of the source.

use super::SetFile;
use super::Type::{Double, Long, Money, Text, Time};

pub(in crate::load) const ORDERS: SetFile = SetFile {
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

pub(in crate::load) const ITEMS: SetFile = SetFile {
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

pub(in crate::load) const PAYMENTS: SetFile = SetFile {
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
pub(in crate::load) const FILES: [SetFile; 9] = [
    ORDERS,
    ITEMS,
    PAYMENTS,
    SetFile {
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
    SetFile {
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
    SetFile {
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
    SetFile {
        stem: "olist_sellers_dataset",
        table: "olist_sellers",
        columns: &[
            ("seller_id", Text),
            ("seller_zip_code_prefix", Text),
            ("seller_city", Text),
            ("seller_state", Text),
        ],
    },
    SetFile {
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
    SetFile {
        stem: "product_category_name_translation",
        table: "olist_category_translation",
        columns: &[("product_category_name", Text), ("product_category_name_english", Text)],
    },
];
