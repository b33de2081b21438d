//! A small generated data set in the shape of the nine Olist files, for tests without the real one: the same
//! names, columns and quirks (quoted codes with leading zeros, a byte-order mark, comments over several lines,
//! empty times, orders without items), always the same for a seed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const ORDERS: u32 = 250;
const STATUSES: [&str; 6] = ["delivered", "delivered", "delivered", "delivered", "shipped", "canceled"];
const STATES: [&str; 4] = ["SP", "RJ", "MG", "RS"];
const CATEGORIES: [(&str, &str); 4] = [
    ("beleza_saude", "health_beauty"),
    ("esporte_lazer", "sports_leisure"),
    ("cama_mesa_banho", "bed_bath_table"),
    ("relogios_presentes", "watches_gifts"),
];

/// What the files hold, counted while they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// Rows by table name, without namespace.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Sum of all payments, in cents.
    pub(crate) paid: i128,
    /// Sum of price and freight of all items, in cents.
    pub(crate) sold: i128,
}

/// Writes the nine files, plain, and says what is in them.
pub(crate) fn write(folder: &Path, seed: u64) -> Contents {
    let mut making = Making::new(seed);
    let (products, sellers) = (making.ids(40), making.ids(8));
    making.dimensions(&products, &sellers);
    for _ in 0..ORDERS {
        making.order(&products, &sellers);
    }
    for (stem, (table, header)) in FILES {
        let rows = making.files.remove(stem).unwrap_or_default();
        making.contents.rows.insert(table.to_owned(), rows.len() as u64);
        let mark = if stem == "product_category_name_translation" { "\u{feff}" } else { "" };
        let text = format!("{mark}{header}\n{}", rows.concat());
        std::fs::write(folder.join(format!("{stem}.csv")), text).expect("the folder can be written");
    }
    making.contents
}

const FILES: [(&str, (&str, &str)); 9] = [
    (
        "olist_orders_dataset",
        (
            "olist_orders",
            "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,\
             order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date",
        ),
    ),
    (
        "olist_order_items_dataset",
        (
            "olist_order_items",
            "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
        ),
    ),
    (
        "olist_order_payments_dataset",
        (
            "olist_order_payments",
            "order_id,payment_sequential,payment_type,payment_installments,payment_value",
        ),
    ),
    (
        "olist_order_reviews_dataset",
        (
            "olist_order_reviews",
            "review_id,order_id,review_score,review_comment_title,review_comment_message,\
             review_creation_date,review_answer_timestamp",
        ),
    ),
    (
        "olist_customers_dataset",
        (
            "olist_customers",
            "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
        ),
    ),
    (
        "olist_products_dataset",
        (
            "olist_products",
            "product_id,product_category_name,product_name_lenght,product_description_lenght,product_photos_qty,\
             product_weight_g,product_length_cm,product_height_cm,product_width_cm",
        ),
    ),
    ("olist_sellers_dataset", ("olist_sellers", "seller_id,seller_zip_code_prefix,seller_city,seller_state")),
    (
        "olist_geolocation_dataset",
        (
            "olist_geolocation",
            "geolocation_zip_code_prefix,geolocation_lat,geolocation_lng,geolocation_city,geolocation_state",
        ),
    ),
    (
        "product_category_name_translation",
        ("olist_category_translation", "product_category_name,product_category_name_english"),
    ),
];

struct Making {
    rng: ChaCha8Rng,
    files: BTreeMap<&'static str, Vec<String>>,
    contents: Contents,
}

impl Making {
    fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), files: BTreeMap::new(), contents: Contents::default() }
    }

    fn below(&mut self, n: u32) -> u32 {
        self.rng.next_u32() % n
    }

    fn id(&mut self) -> String {
        format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64())
    }

    fn ids(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.id()).collect()
    }

    fn put(&mut self, file: &'static str, row: String) {
        self.files.entry(file).or_default().push(row + "\n");
    }

    fn zip(&mut self) -> String {
        format!("\"{:05}\"", self.below(99_999))
    }

    fn dimensions(&mut self, products: &[String], sellers: &[String]) {
        for (name, english) in CATEGORIES {
            self.put("product_category_name_translation", format!("{name},{english}"));
        }
        for (at, id) in products.iter().enumerate() {
            let category = if at % 10 == 0 { "" } else { CATEGORIES[at % CATEGORIES.len()].0 };
            let photos = if at % 10 == 0 { String::new() } else { self.below(5).to_string() };
            let weight = self.below(5000);
            self.put(
                "olist_products_dataset",
                format!("\"{id}\",{category},40,300,{photos},{weight},20,10,15"),
            );
        }
        for id in sellers {
            let (zip, state) = (self.zip(), STATES[self.below(4) as usize]);
            self.put("olist_sellers_dataset", format!("\"{id}\",{zip},sao paulo,{state}"));
        }
        for _ in 0..100 {
            let (zip, lat, lng) = (self.zip(), self.rng.next_u32(), self.rng.next_u32());
            self.put("olist_geolocation_dataset", format!("{zip},-23.{lat:010},-46.{lng:010},são paulo,SP"));
        }
    }

    fn order(&mut self, products: &[String], sellers: &[String]) {
        let (order, customer, person) = (self.id(), self.id(), self.id());
        let (zip, state) = (self.zip(), STATES[self.below(4) as usize]);
        self.put(
            "olist_customers_dataset",
            format!("\"{customer}\",\"{person}\",{zip},rio de janeiro,{state}"),
        );
        let status = STATUSES[self.below(6) as usize];
        let (month, day, second) = (1 + self.below(12), 1 + self.below(28), self.below(60));
        let at = |days: u32| format!("2017-{month:02}-{:02} 10:20:{second:02}", (day + days).min(28));
        let delivered = if status == "delivered" { at(5) } else { String::new() };
        let times = format!("{},{},{},{delivered},2018-01-31 00:00:00", at(0), at(0), at(2));
        self.put("olist_orders_dataset", format!("\"{order}\",\"{customer}\",{status},{times}"));
        let mut due = 0;
        for number in 1..=self.below(4) {
            let (price, freight) = (100 + self.below(30_000), self.below(3_000));
            let product = &products[self.below(products.len() as u32) as usize];
            let seller = &sellers[self.below(sellers.len() as u32) as usize];
            let money = format!("{},{}", cents(price), cents(freight));
            self.put(
                "olist_order_items_dataset",
                format!("\"{order}\",{number},{product},{seller},{},{money}", at(3)),
            );
            due += price + freight;
        }
        self.contents.sold += i128::from(due);
        self.contents.paid += i128::from(due);
        self.put("olist_order_payments_dataset", format!("\"{order}\",1,credit_card,2,{}", cents(due)));
        let (review, score) = (self.id(), 1 + self.below(5));
        let mut comment = String::new();
        if score == 1 {
            let _ = write!(comment, "\"Não gostei,\né \"\"ruim\"\"\"");
        }
        let title = if score == 5 { "ótimo" } else { "" };
        let times = format!("{},{}", at(6), at(7));
        self.put(
            "olist_order_reviews_dataset",
            format!("\"{review}\",\"{order}\",{score},{title},{comment},{times}"),
        );
    }
}

fn cents(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
