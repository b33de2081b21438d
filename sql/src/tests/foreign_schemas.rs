//! Schemas as other engines leave them: defaults for older rows (format version 3), files without field ids.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, ListArray, StringArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use datafusion::object_store::ObjectStoreExt;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde_json::{Value, json};
use sluice_catalog::{Lake, PartitionBy, TableSnapshot, Transform};

use super::{TestLake, batch, schema, shown, value};
use crate::types::FIELD_ID;
use crate::{Engine, EngineSettings, Session};

/// The table after another engine has written its metadata file as `edit` makes it.
async fn edited(lake: &TestLake, table: &TableSnapshot, edit: impl FnOnce(&mut Value)) -> Session {
    let store = lake.lake.store();
    let path = lake.lake.object_path(table.metadata_location()).unwrap();
    let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
    let mut metadata: Value = serde_json::from_slice(&bytes).unwrap();
    edit(&mut metadata);
    store.put(&path, metadata.to_string().into_bytes().into()).await.unwrap();
    // A lake of its own: metadata is remembered by its location.
    let again = Lake::open_with_store(lake.lake.settings().clone(), store).await.unwrap();
    Engine::new(again, EngineSettings::default()).unwrap().session()
}

fn point(fields: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let fields = fields
        .into_iter()
        .map(|(name, column)| (Arc::new(Field::new(name, column.data_type().clone(), true)), column));
    Arc::new(StructArray::from(fields.collect::<Vec<_>>()))
}

fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values.iter().copied()))
}

/// A table of `id` (field 1) and a point `p` (field 2) of `x` (field 3), with two rows.
async fn points(lake: &TestLake) -> TableSnapshot {
    let p = point(vec![("x", ints(&[1, 2]))]);
    let columns = schema(&[("id", DataType::Int64), ("p", p.data_type().clone())]);
    lake.create("bronze.t", &columns, Vec::new()).await;
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    lake.append("bronze.t", batch(&columns, vec![ids, p])).await
}

fn optional(id: i32, name: &str, of: &str, default: Value) -> Value {
    json!({"id": id, "name": name, "required": false, "type": of, "initial-default": default})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_rows_have_the_default_of_a_column() {
    let lake = TestLake::new().await;
    let table = points(&lake).await;
    let session = edited(&lake, &table, |metadata| {
        metadata["format-version"] = 3.into();
        metadata["next-row-id"] = 0.into();
        metadata["last-column-id"] = 20.into();
        let fields = &mut metadata["schemas"][0]["fields"];
        let mut inside = fields[1]["type"]["fields"].as_array().unwrap().clone();
        inside.push(optional(4, "y", "int", json!(7)));
        fields[1]["type"]["fields"] = inside.into();
        let fields = fields.as_array_mut().unwrap();
        fields.push(optional(5, "word", "string", json!("none")));
        fields.push(optional(6, "price", "decimal(9, 2)", json!("1.50")));
        fields.push(optional(7, "at", "timestamptz", json!("2026-01-02T03:04:05.000000+00:00")));
        fields.push(optional(8, "uid", "uuid", json!("f79c3e09-677c-4bbd-a479-3f349cb785e7")));
        fields.push(optional(9, "raw", "fixed[2]", json!("0aff")));
        fields.push(optional(10, "nothing", "string", Value::Null));
        let mut required = optional(11, "must", "long", json!(9));
        required["required"] = true.into();
        fields.push(required);
    })
    .await;
    let all = "
+----+--------------+------+-------+----------------------+----------------------------------+------+---------+------+
| id | p            | word | price | at                   | uid                              | raw  | nothing | must |
+----+--------------+------+-------+----------------------+----------------------------------+------+---------+------+
| 1  | {x: 1, y: 7} | none | 1.50  | 2026-01-02T03:04:05Z | f79c3e09677c4bbda4793f349cb785e7 | 0aff |         | 9    |
| 2  | {x: 2, y: 7} | none | 1.50  | 2026-01-02T03:04:05Z | f79c3e09677c4bbda4793f349cb785e7 | 0aff |         | 9    |
+----+--------------+------+-------+----------------------+----------------------------------+------+---------+------+";
    assert_eq!(shown(&session, "SELECT * FROM bronze.t ORDER BY id").await, all.trim());
    assert_eq!(value(&session, "SELECT count(*) FROM bronze.t WHERE word = 'none'").await, "2");
    assert_eq!(value(&session, "SELECT count(*) FROM bronze.t WHERE word IS NULL").await, "0");
    assert_eq!(value(&session, "SELECT max(must) FROM bronze.t WHERE must > 8").await, "9");
    assert_eq!(value(&session, "SELECT sum(t.p['y']) FROM bronze.t t WHERE t.p['y'] < 8").await, "14");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_column_that_a_file_lacks_is_an_error_that_names_the_file() {
    let lake = TestLake::new().await;
    let table = points(&lake).await;
    let file = table.files().await.unwrap()[0].parts().0.file_path().to_owned();
    let session = edited(&lake, &table, |metadata| {
        metadata["last-column-id"] = 4.into();
        let fields = metadata["schemas"][0]["fields"].as_array_mut().unwrap();
        fields.push(json!({"id": 4, "name": "must", "required": true, "type": "long"}));
    })
    .await;
    assert_eq!(value(&session, "SELECT sum(id) FROM bronze.t").await, "3");
    let error = shown(&session, "SELECT must FROM bronze.t").await;
    assert!(error.contains(&file) && error.contains("column `must`: it is required"), "{error}");
}

/// A default that the library cannot hold would be forgotten by it, and older rows read as null.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_that_is_not_understood_is_refused() {
    for (of, default) in [("timestamp_ns", json!("2026-01-02T03:04:05.000000001")), ("int", json!("x"))] {
        let lake = TestLake::new().await;
        let table = points(&lake).await;
        let session = edited(&lake, &table, |metadata| {
            metadata["format-version"] = 3.into();
            metadata["next-row-id"] = 0.into();
            metadata["last-column-id"] = 4.into();
            let fields = metadata["schemas"][0]["fields"].as_array_mut().unwrap();
            fields.push(optional(4, "late", of, default));
        })
        .await;
        let error = shown(&session, "SELECT * FROM bronze.t").await;
        assert!(error.contains("column `late`") && error.contains("default"), "{error}");
    }
}

/// As files are that another engine imported from folders such as `word=a`: their partition alone has the value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_only_the_partition_has_is_read_from_it() {
    let lake = TestLake::new().await;
    let columns = schema(&[("id", DataType::Int64), ("word", DataType::Utf8)]);
    let by_word = PartitionBy { column: "word".into(), transform: Transform::Identity };
    lake.create("bronze.t", &columns, vec![by_word]).await;
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("a")]));
    let table = lake.append("bronze.t", batch(&columns, vec![ids, words])).await;
    for file in table.files().await.unwrap() {
        let (data, _) = file.parts();
        let id = [(FIELD_ID.to_owned(), "1".to_owned())].into();
        let only = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true).with_metadata(id)]));
        let ids: ArrayRef = match data.record_count() {
            1 => Arc::new(Int64Array::from(vec![2])),
            _ => Arc::new(Int64Array::from(vec![1, 3])),
        };
        put_in_place(&lake, data.file_path(), data.file_size_in_bytes() as usize, &only, vec![ids]).await;
    }
    let session = lake.session();
    let all = "
+----+------+
| id | word |
+----+------+
| 1  | a    |
| 2  |      |
| 3  | a    |
+----+------+";
    assert_eq!(shown(&session, "SELECT * FROM bronze.t ORDER BY id").await, all.trim());
    assert_eq!(value(&session, "SELECT sum(id) FROM bronze.t WHERE word = 'a'").await, "4");
    assert_eq!(value(&session, "SELECT sum(id) FROM bronze.t WHERE word IS NULL").await, "2");
    assert_eq!(value(&session, "SELECT count(*) FROM bronze.t WHERE word > 'a'").await, "0");
}

/// Writes the table's only file anew, without field ids and under other names.
async fn without_ids(lake: &TestLake, columns: &SchemaRef, arrays: Vec<ArrayRef>) -> (TableSnapshot, String) {
    let table = points(lake).await;
    let listed = table.files().await.unwrap()[0].parts().0.clone();
    let path = listed.file_path().to_owned();
    put_in_place(lake, &path, listed.file_size_in_bytes() as usize, columns, arrays).await;
    (table, path)
}

/// Puts a small file where one of `size` bytes was.
async fn put_in_place(lake: &TestLake, path: &str, size: usize, columns: &SchemaRef, arrays: Vec<ArrayRef>) {
    let mut file = Vec::new();
    let plain = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false)
        .set_created_by("x".into());
    let options = ArrowWriterOptions::new().with_properties(plain.build()).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(&mut file, Arc::clone(columns), options).unwrap();
    writer.write(&batch(columns, arrays)).unwrap();
    writer.close().unwrap();
    // The manifest keeps the size of the file that was there: the footer is found from that end.
    assert!(file.len() <= size, "{} bytes do not fit into {size}", file.len());
    let end = file.len() - 8;
    let start = end - u32::from_le_bytes(file[end..end + 4].try_into().unwrap()) as usize;
    file.splice(start..start, vec![0_u8; size - file.len()]);
    let place = lake.lake.object_path(path).unwrap();
    lake.lake.store().put(&place, file.into()).await.unwrap();
}

fn imported() -> (SchemaRef, Vec<ArrayRef>) {
    let arrays: Vec<ArrayRef> =
        vec![point(vec![("X", ints(&[5, 6]))]), Arc::new(Int64Array::from(vec![3, 4]))];
    (schema(&[("P", arrays[0].data_type().clone()), ("old_id", DataType::Int64)]), arrays)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_ids_is_read_by_the_name_mapping() {
    let lake = TestLake::new().await;
    let (columns, arrays) = imported();
    let (table, _) = without_ids(&lake, &columns, arrays).await;
    let mapping = json!([
        {"field-id": 1, "names": ["id", "old_id"]},
        {"field-id": 2, "names": ["P"], "fields": [{"field-id": 3, "names": ["X"]}]},
    ]);
    let session = edited(&lake, &table, |metadata| {
        metadata["properties"]["schema.name-mapping.default"] = mapping.to_string().into();
    })
    .await;
    let all = "
+----+--------+
| id | p      |
+----+--------+
| 3  | {x: 5} |
| 4  | {x: 6} |
+----+--------+";
    assert_eq!(shown(&session, "SELECT * FROM bronze.t ORDER BY id").await, all.trim());
    assert_eq!(value(&session, "SELECT id FROM bronze.t t WHERE t.p['x'] = 6").await, "4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_ids_and_without_a_mapping_is_refused_by_name() {
    for mapping in [None, Some("no mapping")] {
        let lake = TestLake::new().await;
        let (columns, arrays) = imported();
        let (table, file) = without_ids(&lake, &columns, arrays).await;
        let session = edited(&lake, &table, |metadata| {
            if let Some(mapping) = mapping {
                metadata["properties"]["schema.name-mapping.default"] = mapping.into();
            }
        })
        .await;
        let error = shown(&session, "SELECT id FROM bronze.t").await;
        assert!(error.contains(&file) && error.contains("no field ids"), "{error}");
        assert!(error.contains("schema.name-mapping.default"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_without_ids_are_mapped_by_their_element() {
    let lake = TestLake::new().await;
    let ns: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None]));
    let columns = schema(&[("words", DataType::Utf8), ("ns", ns.data_type().clone())]);
    let words: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let (table, _) = without_ids(&lake, &columns, vec![words, ns]).await;
    let mapping = json!([
        {"field-id": 9, "names": ["ns"], "fields": [{"field-id": 10, "names": ["element"]}]},
    ]);
    let session = edited(&lake, &table, |metadata| {
        metadata["properties"]["schema.name-mapping.default"] = mapping.to_string().into();
        metadata["last-column-id"] = 10.into();
        let list = json!({"type": "list", "element-id": 10, "element-required": false, "element": "long"});
        let fields = metadata["schemas"][0]["fields"].as_array_mut().unwrap();
        fields.push(json!({"id": 9, "name": "ns", "required": false, "type": list}));
    })
    .await;
    let all = "
+----+-----+
| id | ns  |
+----+-----+
|    | [1] |
|    |     |
+----+-----+";
    assert_eq!(shown(&session, "SELECT id, ns FROM bronze.t").await, all.trim());
}
