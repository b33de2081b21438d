//! Columns of files that older tables and other engines wrote, and delete files that are not what they should be.

use std::collections::HashMap;

use arrow::array::{AsArray, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Int32Type, Int64Type};
use object_store::{ObjectStoreExt, PutPayload};

use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::*;

fn field(name: &str, id: Option<i32>) -> Field {
    let id = id.map(|id| (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string()));
    Field::new(name, DataType::Int32, true).with_metadata(HashMap::from_iter(id))
}

#[test]
fn columns_are_found_by_field_id_and_where_a_file_has_none_by_name() {
    let wanted = [
        ("b", Some(1), &DataType::Int64),
        ("a", Some(2), &DataType::Int32),
        ("a", Some(2), &DataType::Int32),
        ("young", Some(3), &DataType::Int64),
    ];
    let values = || Arc::new(Int32Array::from(vec![7])) as ArrayRef;
    for (ids, places) in [
        ([Some(9), Some(1), Some(2)], [Some(1), Some(2), Some(2), None]),
        ([None, None, None], [Some(2), Some(1), Some(1), None]),
        ([None, Some(8), None], [None, None, None, None]),
    ] {
        let names = ["other", "a", "b"].iter().zip(ids);
        let file = Schema::new(names.map(|(name, id)| field(name, id)).collect::<Vec<_>>());
        let columns = Columns::find(&file, wanted);
        assert_eq!(columns.places, places, "{ids:?}");
        // What the mask leaves of the file.
        let read = file.project(&columns.roots).unwrap();
        let arrays = read.fields().iter().map(|_| values()).collect();
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(1));
        let rows = RecordBatch::try_new_with_options(Arc::new(read), arrays, &options).unwrap();
        let of = columns.of(&rows).unwrap();
        let (first, last) = (of[0].as_primitive::<Int64Type>(), of[3].as_primitive::<Int64Type>());
        let second = of[1].as_primitive::<Int32Type>();
        let there = places[0].map(|_| 7);
        assert_eq!((first.iter().next(), last.iter().next()), (Some(there), Some(None)), "{ids:?}");
        assert_eq!(second.iter().next(), Some(there.map(|it| it as i32)), "{ids:?}");
    }
}

#[test]
fn a_delete_file_that_is_not_understood_whole_is_damaged() {
    let paths = |paths: &[Option<&str>]| Arc::new(StringArray::from(paths.to_vec())) as ArrayRef;
    let at = |at: &[Option<i64>]| Arc::new(Int64Array::from(at.to_vec())) as ArrayRef;
    let (a, one) = (Some("a"), Some(1));
    for (columns, told) in [
        (vec![("file_path", paths(&[a]))], "`pos` is not there"),
        (vec![("pos", at(&[one]))], "`file_path` is not there"),
        (vec![("file_path", paths(&[a, None])), ("pos", at(&[one, one]))], "`file_path` is null"),
        (vec![("file_path", paths(&[a, a])), ("pos", at(&[one, None]))], "`pos` is null"),
        (vec![("file_path", paths(&[a, a])), ("pos", at(&[one, Some(-1)]))], "below zero"),
    ] {
        let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)));
        let fact = deleted::add(&mut HashMap::new(), &rows.unwrap()).unwrap_err();
        assert!(fact.contains(told), "{fact}");
    }
    let mut found = HashMap::new();
    let columns = [("file_path", paths(&[a, a, Some("b"), a])), ("pos", at(&[one, Some(3), one, one]))];
    deleted::add(&mut found, &RecordBatch::try_from_iter(columns).unwrap()).unwrap();
    let found = ["a", "b", "c"].map(|path| found.get(path).map(|it| it.iter().collect::<Vec<_>>()));
    assert_eq!(found, [Some(vec![1, 3]), Some(vec![1]), None]);
}

#[tokio::test]
async fn a_file_that_is_not_there_may_come_back_and_one_that_is_no_parquet_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let lake = crate::fixtures::lake(dir.path()).await;
    let at = |name: &str| format!("memory:///warehouse/{name}.parquet");
    let path = lake.object_path(&at("noise")).unwrap();
    lake.store().put(&path, PutPayload::from_static(&[7; 64])).await.unwrap();
    let error = open(&lake, &at("noise"), 64).await.err().unwrap();
    let told = error.to_string();
    assert!(told.contains("noise.parquet: its columns cannot be read") && !error.is_transient(), "{told}");
    let error = open(&lake, &at("gone"), 64).await.err().unwrap();
    assert!(error.to_string().contains("cannot read") && error.is_transient(), "{error}");
}
