//! The nine files: every row lands, the sums are exact, codes stay text, a repeat is skipped.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Decimal128Type};
use tempfile::TempDir;

use crate::load::tests::data::{self, Place, name, now};
use crate::load::{DataSet, FileReport, LoadSettings, Progress, Result, What, load};

async fn olist(place: &Place, folder: &std::path::Path, progress: &Arc<Progress>) -> Result<Vec<FileReport>> {
    let settings = LoadSettings::new(What::Set(DataSet::Olist), vec![folder.to_owned()]);
    Ok(load(&place.lake, settings, now(), progress).await?.files)
}

/// The sum of a decimal column with two digits after the point, in cents.
async fn cents(place: &Place, table: &str, column: &str) -> i128 {
    let batches = place.rows(table).await;
    let sums = batches.iter().map(|batch| {
        let values = batch.column_by_name(column).expect("the column is declared");
        assert_eq!(values.data_type(), &DataType::Decimal128(18, 2));
        values.as_primitive::<Decimal128Type>().iter().flatten().sum::<i128>()
    });
    sums.sum()
}

#[tokio::test]
async fn the_nine_files_land_whole() {
    let place = Place::new().await;
    let generated = TempDir::new().expect("a temporary folder");
    let (folder, contents) = data::olist(generated.path());
    let progress = Arc::new(Progress::default());
    let reports = olist(&place, &folder, &progress).await.expect("the files are right");
    assert_eq!(reports.len(), 9);
    for report in &reports {
        let table = report.table.strip_prefix("bronze.").expect("they land in bronze");
        assert_eq!((report.rows, report.rejected), (contents.rows[table], 0), "{table}");
        let snapshot = place.lake.load(&name(&report.table)).await.expect("the table is there");
        assert_eq!(snapshot.row_count(), Some(contents.rows[table]), "{table}");
    }
    assert_eq!(progress.rows(), contents.rows.values().sum::<u64>());
    assert_eq!(progress.bytes(), progress.bytes_total());
    assert_eq!(cents(&place, "bronze.olist_order_payments", "payment_value").await, contents.paid);
    let sold = cents(&place, "bronze.olist_order_items", "price").await
        + cents(&place, "bronze.olist_order_items", "freight_value").await;
    assert_eq!(sold, contents.sold);
    let zips = place.lines("bronze.olist_sellers", &["seller_zip_code_prefix"]).await;
    assert!(zips.iter().all(|zip| zip.len() == 5) && zips.iter().any(|zip| zip.starts_with('0')), "{zips:?}");
    let names = place.lines("bronze.olist_category_translation", &["product_category_name"]).await;
    assert!(names.contains(&"beleza_saude".to_owned()), "the byte-order mark is not part of a name");

    let repeated = olist(&place, &folder, &progress).await.expect("the files are right");
    assert!(repeated.iter().all(|report| report.skipped && report.rows == 0), "{repeated:?}");
}

#[tokio::test]
async fn missing_files_are_named_before_anything_is_loaded() {
    let place = Place::new().await;
    let folder = TempDir::new().expect("a temporary folder");
    crate::load::sample::write(folder.path(), 1);
    std::fs::remove_file(folder.path().join("olist_sellers_dataset.csv")).expect("it was written");
    let missing = olist(&place, folder.path(), &Arc::default()).await;
    let text = missing.expect_err("a file is missing").to_string();
    assert!(text.contains("lacks olist_sellers_dataset\n"), "{text}");
    assert!(place.lake.find(&name("bronze.olist_orders")).await.expect("the catalog answers").is_none());
}

#[tokio::test]
async fn a_file_with_other_columns_is_refused() {
    let place = Place::new().await;
    let folder = TempDir::new().expect("a temporary folder");
    crate::load::sample::write(folder.path(), 1);
    std::fs::write(folder.path().join("olist_orders_dataset.csv"), "order_id,when\n1,2\n")
        .expect("it can be written");
    let refused = olist(&place, folder.path(), &Arc::default()).await;
    let text = refused.expect_err("the columns are others").to_string();
    assert!(text.contains("its columns are order_id, when"), "{text}");
}

#[test]
fn the_generated_set_is_the_same_for_a_seed() {
    let folders = [(); 3].map(|()| TempDir::new().expect("a temporary folder"));
    let seeds = [1, 1, 2];
    let orders = folders.iter().zip(seeds).map(|(folder, seed)| {
        crate::load::sample::write(folder.path(), seed);
        std::fs::read(folder.path().join("olist_orders_dataset.csv")).expect("it was written")
    });
    let orders: Vec<_> = orders.collect();
    assert_eq!(orders[0], orders[1]);
    assert_ne!(orders[0], orders[2]);
}
