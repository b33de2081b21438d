//! Views are stored, replaced and told apart from tables.

use chrono::{DateTime, Utc};

use super::View;
use crate::error::Error;
use crate::lake::Lake;
use crate::testing::{TestLake, memory_lake, name, new_table, two_columns};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn view(text: &str) -> View {
    View { name: name("silver.v"), sql: text.to_owned(), schema: two_columns() }
}

async fn location(lake: &Lake) -> String {
    lake.inner().catalog.entry(&name("silver.v")).await.unwrap().unwrap().location
}

#[tokio::test]
async fn a_view_is_found_as_it_was_put_and_keeps_its_versions() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    assert!(lake.find_view(&name("silver.v")).await.unwrap().is_none());
    lake.put_view(view("select 1"), at(0)).await.unwrap();
    lake.put_view(view("select 2"), at(1)).await.unwrap();
    let found = lake.find_view(&name("silver.v")).await.unwrap().unwrap();
    assert_eq!(found.sql, "select 2");
    assert_eq!(found.schema.field(0).name(), "id");
    assert_eq!(lake.views("silver").await.unwrap(), [name("silver.v")]);
    let location = location(&lake).await;
    let metadata = lake.view_metadata(&location).await.unwrap();
    assert_eq!(metadata.versions().len(), 2);
    assert_eq!(metadata.current_version().timestamp_ms(), at(1).timestamp_millis());
}

#[tokio::test]
async fn the_same_view_again_changes_nothing() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    lake.put_view(view("select 1"), at(0)).await.unwrap();
    let before = location(&lake).await;
    lake.put_view(view("select 1"), at(1)).await.unwrap();
    assert_eq!(location(&lake).await, before);
}

#[tokio::test]
async fn many_writers_of_one_view_end_with_one_of_their_queries() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    let puts = (0..4).map(|n| {
        let lake = lake.clone();
        async move { lake.put_view(view(&format!("select {n}")), at(n)).await }
    });
    for put in futures::future::join_all(puts).await {
        put.unwrap();
    }
    let found = lake.find_view(&name("silver.v")).await.unwrap().unwrap();
    assert!((0..4).any(|n| found.sql == format!("select {n}")), "{}", found.sql);
}

#[tokio::test]
async fn tables_and_views_share_names_but_not_lists() {
    let TestLake { lake, dir: _dir } = memory_lake().await;
    lake.put_view(view("select 1"), at(0)).await.unwrap();
    new_table(&lake, "silver.t").await;
    assert_eq!(lake.tables("silver").await.unwrap(), [name("silver.t")]);
    assert!(lake.find(&name("silver.v")).await.unwrap().is_none());
    let spec = crate::spec::TableSpec::new(two_columns());
    let error = lake.create(&name("silver.v"), spec).await.unwrap_err();
    assert!(matches!(error, Error::NameTaken { by: "a view", .. }), "{error}");
    let taken = View { name: name("silver.t"), ..view("select 1") };
    let error = lake.put_view(taken, at(0)).await.unwrap_err();
    assert!(matches!(error, Error::NameTaken { by: "a table", .. }), "{error}");
    lake.drop_view(&name("silver.t")).await.unwrap();
    assert!(lake.find(&name("silver.t")).await.unwrap().is_some(), "dropping a view drops no table");
    lake.drop_view(&name("silver.v")).await.unwrap();
    lake.drop_view(&name("silver.v")).await.unwrap();
    assert!(lake.views("silver").await.unwrap().is_empty());
}
