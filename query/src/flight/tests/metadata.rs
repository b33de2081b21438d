//! What tools list: catalogs, schemas, tables, columns, types, and what the server says of itself.

use std::collections::BTreeSet;

use arrow::array::cast::AsArray;
use arrow::array::{Array, RecordBatch, UnionArray};
use arrow::datatypes::{DataType, Int32Type, UInt32Type};
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
};
use arrow_flight::{FlightInfo, IpcMessage};
use bytes::Bytes;

use super::client::{Client, TestServer, query, rows};
use crate::flight::{sqlinfo, types, vocabulary, xdbc};

/// Fetches an answer, checking that FlightInfo has its schema: ODBC reads it there.
async fn answer(client: &mut Client, info: FlightInfo) -> RecordBatch {
    let schema = info.clone().try_decode_schema().unwrap();
    let batches = rows(client, &info).await.unwrap();
    for batch in &batches {
        assert_eq!(&schema, batch.schema().as_ref());
    }
    arrow::compute::concat_batches(&schema.into(), &batches).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    batch.column_by_name(column).unwrap().as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

#[tokio::test]
async fn catalogs_and_schemas() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(texts(&answer(&mut client, info).await, "catalog_name"), ["sluice"]);
    for (catalog, pattern, expected) in [
        (None, None, vec!["bronze", "gold"]),
        (Some("sluice"), Some("b%"), vec!["bronze"]),
        (Some("other"), None, vec![]),
        (Some(""), None, vec![]),
    ] {
        let command = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        let info = client.get_db_schemas(command).await.unwrap();
        assert_eq!(texts(&answer(&mut client, info).await, "db_schema_name"), expected);
    }
}

#[tokio::test]
async fn tables_by_pattern_and_type() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    for (pattern, table_types, expected) in [
        (None, vec![], vec!["numbers TABLE", "even VIEW"]),
        (None, vec!["BASE TABLE", "table"], vec!["numbers TABLE"]),
        (None, vec!["view"], vec!["even VIEW"]),
        (None, vec![""], vec!["numbers TABLE", "even VIEW"]),
        (None, vec!["SEQUENCE"], vec![]),
        (Some("num_ers"), vec![], vec!["numbers TABLE"]),
        (Some("num\\_ers"), vec![], vec![]),
        (Some("numbers\\_"), vec![], vec![]),
    ] {
        let command = CommandGetTables {
            table_name_filter_pattern: pattern.map(str::to_owned),
            table_types: table_types.into_iter().map(str::to_owned).collect(),
            ..CommandGetTables::default()
        };
        let info = client.get_tables(command.clone()).await.unwrap();
        let batch = answer(&mut client, info).await;
        let names = texts(&batch, "table_name").into_iter().zip(texts(&batch, "table_type"));
        assert_eq!(
            names.map(|(name, kind)| format!("{name} {kind}")).collect::<Vec<_>>(),
            expected,
            "{command:?}"
        );
    }
}

#[tokio::test]
async fn columns_are_those_of_a_query() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let info =
        client.get_tables(CommandGetTables { include_schema: true, ..Default::default() }).await.unwrap();
    let batch = answer(&mut client, info).await;
    let schemas = batch.column_by_name("table_schema").unwrap().as_binary::<i32>();
    for (row, table) in ["bronze.numbers", "gold.even"].into_iter().enumerate() {
        let message = IpcMessage(Bytes::copy_from_slice(schemas.value(row)));
        let listed = arrow::datatypes::Schema::try_from(message).unwrap();
        let queried = query(&mut client, &format!("SELECT * FROM {table}")).await.unwrap()[0].schema();
        let plain = |schema: &arrow::datatypes::Schema| -> Vec<_> {
            schema
                .fields()
                .iter()
                .map(|f| (f.name().clone(), f.data_type().clone(), f.is_nullable()))
                .collect()
        };
        assert_eq!(plain(&listed), plain(&queried));
        let id = listed.field_with_name("id").unwrap().metadata();
        assert_eq!(
            format!("{}.{}", id["ARROW:FLIGHT:SQL:SCHEMA_NAME"], id["ARROW:FLIGHT:SQL:TABLE_NAME"]),
            table
        );
    }
}

#[tokio::test]
async fn table_types_and_keys() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let info = client.get_table_types().await.unwrap();
    assert_eq!(texts(&answer(&mut client, info).await, "table_type"), ["TABLE", "VIEW"]);
    let infos = [
        client.get_primary_keys(CommandGetPrimaryKeys::default()).await.unwrap(),
        client.get_exported_keys(CommandGetExportedKeys::default()).await.unwrap(),
        client.get_imported_keys(CommandGetImportedKeys::default()).await.unwrap(),
        client.get_cross_reference(CommandGetCrossReference::default()).await.unwrap(),
    ];
    for (info, columns) in infos.into_iter().zip([6, 13, 13, 13]) {
        let batch = answer(&mut client, info).await;
        assert_eq!((batch.num_rows(), batch.num_columns()), (0, columns));
    }
}

#[tokio::test]
async fn sql_info_is_asked_by_id_and_as_a_whole() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerTransaction]).await.unwrap();
    assert_eq!(answer(&mut client, info).await.num_rows(), 1);
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert!(answer(&mut client, info).await.num_rows() > 90);
}

/// The kind that drivers expect of each id: 0 text, 1 boolean, 2 64 bits, 3 32 bits, 4 texts, 5 map.
fn expected_kind(id: u32) -> i8 {
    match id {
        0..=2 | 6 | 7 | 504 | 513 | 514 | 529..=531 => 0,
        8 | 100 | 101 | 522 | 525 | 526 | 528 | 533..=535 | 538 | 540 | 564 | 567..=571 => 3,
        508..=512 => 4,
        517 => 5,
        503 | 505 | 507 | 541..=555 | 557..=562 => 2,
        _ => 1,
    }
}

#[test]
fn no_sql_info_is_missing_and_each_has_its_kind() {
    let batch = sqlinfo::data(1, 1, true).unwrap().record_batch([]).unwrap();
    let ids = batch.column(0).as_primitive::<UInt32Type>();
    let values = batch.column(1).as_any().downcast_ref::<UnionArray>().unwrap();
    let expected: Vec<u32> = (0..=11).chain([100, 101]).chain(500..=576).collect();
    assert_eq!(ids.values().to_vec(), expected);
    for row in 0..ids.len() {
        assert_eq!(values.type_id(row), expected_kind(ids.value(row)), "id {}", ids.value(row));
    }
}

#[tokio::test]
async fn the_functions_listed_exist() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let batches =
        query(&mut client, "SELECT DISTINCT routine_name FROM information_schema.routines").await.unwrap();
    let known: BTreeSet<String> = batches.iter().flat_map(|batch| texts(batch, "routine_name")).collect();
    let listed = [
        vocabulary::NUMERIC_FUNCTIONS,
        vocabulary::STRING_FUNCTIONS,
        vocabulary::SYSTEM_FUNCTIONS,
        vocabulary::DATETIME_FUNCTIONS,
    ]
    .concat();
    // Written without parentheses or by the parser itself: not in the list of routines.
    let absent: Vec<_> = listed.into_iter().filter(|name| !known.contains(*name)).collect();
    assert_eq!(absent, [""; 0]);
}

#[tokio::test]
async fn types_are_listed_once_and_by_number() {
    let server = TestServer::start(1).await;
    let mut client = server.client().await;
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: Some(12) }).await.unwrap();
    assert_eq!(texts(&answer(&mut client, info).await, "type_name"), ["VARCHAR"]);

    let batch = xdbc::data().unwrap().record_batch(None).unwrap();
    let names = texts(&batch, "type_name");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    let numbers = batch.column_by_name("data_type").unwrap().as_primitive::<Int32Type>();
    assert_eq!(numbers.values().iter().collect::<BTreeSet<_>>().len(), names.len());
    // Every scalar type that a table can have is among them, under the name that its columns carry.
    for data_type in
        [DataType::Boolean, DataType::Int32, DataType::Int64, DataType::Float32, DataType::Float64]
    {
        assert!(names.contains(&types::sql_name(&data_type).to_owned()), "{data_type}");
    }
    for field in super::numbers::schema().fields() {
        assert!(names.contains(&types::sql_name(field.data_type()).to_owned()), "{field:?}");
    }
}
