//! NDJSON, Parquet and archives into tables: types, nesting, names, data sets.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use crate::load::tests::data::{Place, name, now};
use crate::load::{DataSet, Format, LoadReport, LoadSettings, Result, What, load};

async fn run(place: &Place, what: What, inputs: Vec<PathBuf>) -> Result<LoadReport> {
    load(&place.lake, LoadSettings::new(what, inputs), now(), &Arc::default()).await
}

fn columns(report: &LoadReport) -> Vec<String> {
    report.files[0].columns.iter().map(|column| format!("{} {}", column.name, column.kind)).collect()
}

#[tokio::test]
async fn json_lines_become_columns_nested_ones_too() {
    let place = Place::new().await;
    let content = r#"{"userId":7,"price":58.90,"ok":true,"tags":["a","b"],"at":{"lat":1,"lon":2.5},"mixed":1,"empty":{}}
{"userId":8,"price":13,"note":"007","tags":[],"at":{"lat":3},"mixed":"x","big":12345678901234567890}
{"userId":9,"price":null,"at":null,"tags":"plain"}
"#;
    let report = run(&place, What::Files(Format::Ndjson), vec![place.file("users-1.ndjson", content)]).await;
    let report = report.expect("it loads");
    let expected = [
        "at Struct(\"lat\": Int64, \"lon\": Float64)",
        "big string",
        "mixed string",
        "note string",
        "ok boolean",
        "price decimal(18,2)",
        "tags List(Utf8)",
        "userid long",
    ];
    let found = columns(&report);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(
            found.split_once(' ').expect("name and type").0,
            expected.split_once(' ').expect("both").0
        );
    }
    assert_eq!((report.rows, report.rejected, report.files[0].table.as_str()), (2, 1, "bronze.users_1"));
    let names = ["userid", "price", "ok", "note", "mixed", "big", "tags", "at"];
    assert_eq!(
        place.lines("bronze.users_1", &names).await,
        [
            "7|58.90|true|∅|1|∅|[a, b]|{lat: 1, lon: 2.5}",
            "8|13.00|∅|007|x|12345678901234567890|[]|{lat: 3, lon: ∅}"
        ]
    );
    assert_eq!(place.lines("bronze.dead_letters", &["_src_offset", "cause"]).await, ["3|wrong_type"]);
}

#[tokio::test]
async fn parquet_lands_with_its_types_and_goes_on_after_a_break() {
    let place = Place::new().await;
    let path = place.folder().join("people.parquet");
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..50_000));
    let names: ArrayRef =
        Arc::new(StringArray::from_iter((0..50_000).map(|id| (id % 3 > 0).then(|| format!("n{id}")))));
    let batch = RecordBatch::try_from_iter([("Id", ids), ("Name", names)]).expect("two columns");
    let file = std::fs::File::create(&path).expect("it can be written");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("it can be written");
    writer.close().expect("it can be written");

    let parquet = What::Files(Format::Parquet);
    let small = LoadSettings { commit_bytes: 1, ..LoadSettings::new(parquet, vec![path.clone()]) };
    let report = load(&place.lake, small, now(), &Arc::default()).await.expect("it loads");
    assert_eq!(
        (report.rows, columns(&report)),
        (50_000, vec!["id long".to_owned(), "name string".to_owned()])
    );
    let table = place.lake.load(&name("bronze.people")).await.expect("it is there");
    assert!(table.history().len() > 2, "a commit for each batch");
    assert_eq!(place.distinct("bronze.people", "id").await, (50_000, 50_000));
    assert_eq!(place.distinct("bronze.people", "_src_offset").await, (50_000, 50_000));
    assert!(run(&place, parquet, vec![path]).await.expect("it is recognised").files[0].skipped);
}

#[tokio::test]
async fn retail_rocket_times_are_timestamps_and_its_parts_one_table() {
    let place = Place::new().await;
    let events = "timestamp,visitorid,event,itemid,transactionid\n\
                  1433221332117,257597,view,355908,\n1433224214164,992329,transaction,248676,12\nsoon,1,view,2,\n";
    let properties = "timestamp,itemid,property,value\n1435460400000,460429,categoryid,1338\n";
    let other = "timestamp,itemid,property,value\n1441508400000,206783,888,1116713 960601 n277.200\n";
    let inputs = vec![
        place.file("events.csv", events),
        place.file("item_properties_part1.csv", properties),
        place.file("item_properties_part2.csv", other),
        place.file("category_tree.csv", "categoryid,parentid\n1016,213\n231,\n"),
    ];
    let report = run(&place, What::Set(DataSet::RetailRocket), inputs).await.expect("it loads");
    assert_eq!((report.rows, report.rejected), (6, 1));
    assert_eq!(
        place
            .lines("bronze.retail_rocket_events", &["timestamp", "visitorid", "event", "transactionid"])
            .await,
        ["2015-06-02T05:02:12.117Z|257597|view|∅", "2015-06-02T05:50:14.164Z|992329|transaction|12"]
    );
    assert_eq!(place.lines("bronze.retail_rocket_item_properties", &["value"]).await.len(), 2);
    assert_eq!(place.lines("bronze.retail_rocket_category_tree", &["parentid"]).await, ["213", "∅"]);
    let letter = place.lines("bronze.dead_letters", &["_src_offset", "error"]).await;
    assert_eq!(letter, ["4|column `timestamp`: `soon` is not a number of milliseconds"]);
}

#[tokio::test]
async fn the_instacart_files_land() {
    let place = Place::new().await;
    let inputs = match std::env::var_os("SLUICE_TEST_DATA") {
        Some(data) => {
            println!("instacart: the sample of SLUICE_TEST_DATA");
            vec![PathBuf::from(data).join("instacart_sample")]
        }
        None => {
            println!("instacart: SLUICE_TEST_DATA is not set, one file of the same shape is used");
            let header =
                "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order";
            let rows = (0..1000).map(|row| format!("{row},{},prior,1,2,{:02},15.0\n", row % 64, row % 24));
            vec![place.file("orders.csv", format!("{header}\n{}", rows.collect::<String>()))]
        }
    };
    let report = run(&place, What::Set(DataSet::Instacart), inputs).await.expect("it loads");
    assert_eq!(report.rejected, 0);
    assert_eq!(place.distinct("bronze.instacart_orders", "order_id").await, (1000, 1000));
    assert!(place.distinct("bronze.instacart_orders", "order_hour_of_day").await.1 <= 24);
}
