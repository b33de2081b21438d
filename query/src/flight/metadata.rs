//! What the lake holds, as Flight SQL asks for it: catalogs, schemas, tables with columns, keys.
//!
//! One catalog, as SQL names it. Every answer has the schema the protocol prescribes, with plain `Utf8`
//! (ADBC's Go driver casts blindly), and is sorted as it prescribes. Filters are the library's: catalog
//! exact, schema and table as LIKE patterns with `\` as escape.

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::array::cast::AsArray;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{
    GetCatalogsBuilder, GetDbSchemasBuilder, GetTablesBuilder, SqlInfoData, XdbcTypeInfoData,
};
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};
use futures::{StreamExt, TryStreamExt, stream};
use sluice_catalog::TableName;
use sluice_sql::{CATALOG, Command};

use super::command::Metadata;
use super::fault::{Fault, Result};
use super::query::Queries;
use super::types;

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";
/// Tables described at the same time.
const DESCRIBED_AT_ONCE: usize = 8;

/// The answers that never change.
pub(crate) struct Constants {
    pub(crate) sql_info: SqlInfoData,
    pub(crate) type_info: XdbcTypeInfoData,
}

/// The schema of the answer, known without asking the lake.
pub(crate) fn schema(command: &Metadata, constants: &Constants) -> SchemaRef {
    match command {
        Metadata::Catalogs => GetCatalogsBuilder::new().schema(),
        Metadata::Schemas(command) => command.clone().into_builder().schema(),
        Metadata::Tables(command) => command.clone().into_builder().schema(),
        Metadata::TableTypes => table_types_schema(),
        Metadata::SqlInfo(_) => constants.sql_info.schema(),
        Metadata::TypeInfo(_) => constants.type_info.schema(),
        Metadata::PrimaryKeys => Arc::clone(&PRIMARY_KEYS),
        Metadata::ForeignKeys => Arc::clone(&FOREIGN_KEYS),
    }
}

/// The answer.
pub(crate) async fn answer(
    command: Metadata,
    queries: &Queries,
    constants: &Constants,
) -> Result<RecordBatch> {
    match command {
        Metadata::Catalogs => {
            let mut builder = GetCatalogsBuilder::new();
            builder.append(CATALOG);
            builder.build().map_err(built)
        }
        Metadata::Schemas(command) => schemas(command, queries).await,
        Metadata::Tables(command) => tables(command, queries).await,
        Metadata::TableTypes => {
            let types = arrow::array::StringArray::from(vec![TABLE, VIEW]);
            Ok(RecordBatch::try_new(table_types_schema(), vec![Arc::new(types)])?)
        }
        Metadata::SqlInfo(command) => command.into_builder(&constants.sql_info).build().map_err(built),
        Metadata::TypeInfo(command) => command.into_builder(&constants.type_info).build().map_err(built),
        Metadata::PrimaryKeys => Ok(RecordBatch::new_empty(Arc::clone(&PRIMARY_KEYS))),
        Metadata::ForeignKeys => Ok(RecordBatch::new_empty(Arc::clone(&FOREIGN_KEYS))),
    }
}

async fn schemas(command: CommandGetDbSchemas, queries: &Queries) -> Result<RecordBatch> {
    let mut builder: GetDbSchemasBuilder = command.into_builder();
    for namespace in queries.lake().namespaces().await? {
        builder.append(CATALOG, namespace);
    }
    builder.build().map_err(built)
}

/// Filters by name first and describes only what is left: describing a table reads its metadata.
async fn tables(command: CommandGetTables, queries: &Queries) -> Result<RecordBatch> {
    let include_schema = command.include_schema;
    let command =
        CommandGetTables { include_schema: false, table_types: asked_types(&command.table_types), ..command };
    let nothing = Schema::empty();
    let mut names: GetTablesBuilder = command.into_builder();
    for namespace in queries.lake().namespaces().await? {
        for (kind, tables) in [
            (TABLE, queries.lake().tables(&namespace).await?),
            (VIEW, queries.lake().views(&namespace).await?),
        ] {
            for table in tables {
                names.append(CATALOG, table.namespace(), table.name(), kind, &nothing).map_err(built)?;
            }
        }
    }
    let names = names.build().map_err(built)?;
    match include_schema {
        false => Ok(names),
        true => with_schemas(&names, queries).await,
    }
}

async fn with_schemas(names: &RecordBatch, queries: &Queries) -> Result<RecordBatch> {
    let column = |at: usize| names.column(at).as_string::<i32>();
    let (namespaces, tables, kinds) = (column(1), column(2), column(3));
    let rows = (0..names.num_rows()).map(|row| {
        let table = TableName::new(namespaces.value(row), tables.value(row));
        async move {
            let table = table?;
            let schema = table_schema(&table, queries).await;
            Ok::<_, Fault>((table, kinds.value(row), schema))
        }
    });
    let rows: Vec<_> = stream::iter(rows).buffered(DESCRIBED_AT_ONCE).try_collect().await?;
    let mut builder =
        GetTablesBuilder::new(None::<String>, None::<String>, None::<String>, [] as [String; 0], true);
    for (table, kind, schema) in rows {
        builder.append(CATALOG, table.namespace(), table.name(), kind, &schema).map_err(built)?;
    }
    builder.build().map_err(built)
}

/// The columns as a query would return them. A table that cannot be read has none here: one broken table
/// must not hide all others from a client that lists them.
async fn table_schema(table: &TableName, queries: &Queries) -> SchemaRef {
    let sql = format!(r#"SELECT * FROM "{}"."{}""#, table.namespace(), table.name());
    match queries.plan(&sql, "").await {
        Ok(Command::Read(statement)) => types::describe_table(&statement.schema(), CATALOG, table),
        Ok(Command::Write(_)) => Arc::new(Schema::empty()),
        Err(error) => {
            tracing::warn!(%table, %error, "a table is listed without columns because it cannot be planned");
            Arc::new(Schema::empty())
        }
    }
}

/// Grafana asks for `BASE TABLE`, ODBC for `""` when it means all; the library compares exactly.
fn asked_types(types: &[String]) -> Vec<String> {
    if types.iter().all(String::is_empty) {
        return Vec::new();
    }
    let upper = types.iter().map(|name| name.trim().to_ascii_uppercase());
    upper.map(|name| if name == "BASE TABLE" { TABLE.to_owned() } else { name }).collect()
}

fn built(error: FlightError) -> Fault {
    match error {
        FlightError::Arrow(error) => Fault::Arrow(error),
        other => Fault::Defect(other.to_string()),
    }
}

fn table_types_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("table_type", DataType::Utf8, false)]))
}

static PRIMARY_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
});

static FOREIGN_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
});
