//! Compare-and-swap of pointers, alone and together.

use sqlx::Row;
use tempfile::TempDir;

use super::{Kind, SqlCatalog, Swap, SwapOutcome};
use crate::error::Error;
use crate::testing::name;

async fn catalog() -> (TempDir, SqlCatalog) {
    let dir = tempfile::tempdir().unwrap();
    let catalog = SqlCatalog::open(&dir.path().join("new/catalog.db"), "sluice").await.unwrap();
    (dir, catalog)
}

fn swap(table: &str, expected: &str, new: &str) -> Swap {
    Swap { table: name(table), expected: expected.to_owned(), new: new.to_owned() }
}

async fn pointer(catalog: &SqlCatalog, table: &str) -> Option<String> {
    catalog.pointer(&name(table)).await.unwrap()
}

#[tokio::test]
async fn a_pointer_moves_from_where_it_is_expected_only() {
    let (_dir, catalog) = catalog().await;
    assert!(catalog.insert(&name("a.t"), Kind::Table, "m0").await.unwrap());
    let first = catalog.swap(vec![swap("a.t", "m0", "m1")]).await.unwrap();
    assert!(matches!(first, SwapOutcome::Swapped));
    let stale = catalog.swap(vec![swap("a.t", "m0", "m2")]).await.unwrap();
    assert!(matches!(stale, SwapOutcome::Lost { table } if table == name("a.t")));
    assert_eq!(pointer(&catalog, "a.t").await.as_deref(), Some("m1"));
    let row = sqlx::query("SELECT previous_metadata_location, iceberg_type FROM iceberg_tables");
    let row = row.fetch_one(&catalog.pool).await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("m0", "TABLE"));
}

#[tokio::test]
async fn several_pointers_move_together_or_not_at_all() {
    let (_dir, catalog) = catalog().await;
    for table in ["a.t", "a.u", "b.v"] {
        assert!(catalog.insert(&name(table), Kind::Table, "m0").await.unwrap());
    }
    let all = vec![swap("a.t", "m0", "m1"), swap("a.u", "m0", "m1"), swap("b.v", "m0", "m1")];
    assert!(matches!(catalog.swap(all).await.unwrap(), SwapOutcome::Swapped));
    let stale_last = vec![swap("a.t", "m1", "m2"), swap("a.u", "m1", "m2"), swap("b.v", "m0", "m2")];
    let outcome = catalog.swap(stale_last).await.unwrap();
    assert!(matches!(outcome, SwapOutcome::Lost { table } if table == name("b.v")));
    let missing_last = vec![swap("a.t", "m1", "m2"), swap("c.w", "m0", "m2")];
    let outcome = catalog.swap(missing_last).await.unwrap();
    assert!(matches!(outcome, SwapOutcome::Lost { table } if table == name("c.w")));
    for table in ["a.t", "a.u", "b.v"] {
        assert_eq!(pointer(&catalog, table).await.as_deref(), Some("m1"), "{table}");
    }
}

#[tokio::test]
async fn of_many_writers_on_one_state_exactly_one_wins() {
    let (dir, catalog) = catalog().await;
    assert!(catalog.insert(&name("a.t"), Kind::Table, "m0").await.unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        // Every writer has its own connections, as another process would.
        let path = dir.path().join("new/catalog.db");
        writers.spawn(async move {
            let catalog = SqlCatalog::open(&path, "sluice").await.unwrap();
            let new = format!("m1-{writer}");
            match catalog.swap(vec![swap("a.t", "m0", &new)]).await.unwrap() {
                SwapOutcome::Swapped => Some(new),
                SwapOutcome::Lost { .. } => None,
                SwapOutcome::Unknown(error) => panic!("{error}"),
            }
        });
    }
    let winners: Vec<String> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(pointer(&catalog, "a.t").await, Some(winners[0].clone()));
}

#[tokio::test]
async fn a_rejected_commit_is_unknown_until_looked_at() {
    let (_dir, catalog) = catalog().await;
    assert!(catalog.insert(&name("a.t"), Kind::Table, "m0").await.unwrap());
    // A deferred constraint is checked at COMMIT, so that COMMIT itself fails.
    for statement in [
        "CREATE TABLE allowed (location TEXT PRIMARY KEY)",
        "INSERT INTO allowed VALUES ('m0'), ('m1')",
        "CREATE TABLE seen (location TEXT REFERENCES allowed DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER watch AFTER UPDATE ON iceberg_tables
         BEGIN INSERT INTO seen VALUES (new.metadata_location); END",
    ] {
        sqlx::query(statement).execute(&catalog.pool).await.unwrap();
    }
    let refused = catalog.swap(vec![swap("a.t", "m0", "m2")]).await.unwrap();
    assert!(matches!(refused, SwapOutcome::Unknown(Error::Catalog { .. })), "{refused:?}");
    assert_eq!(pointer(&catalog, "a.t").await.as_deref(), Some("m0"));
    let allowed = catalog.swap(vec![swap("a.t", "m0", "m1")]).await.unwrap();
    assert!(matches!(allowed, SwapOutcome::Swapped), "{allowed:?}");
}

#[tokio::test]
async fn tables_and_views_are_told_apart_and_rows_without_a_type_are_tables() {
    let (_dir, catalog) = catalog().await;
    assert!(catalog.insert(&name("a.t"), Kind::Table, "m0").await.unwrap());
    assert!(catalog.insert(&name("a.v"), Kind::View, "v0").await.unwrap());
    assert!(!catalog.insert(&name("a.v"), Kind::Table, "m0").await.unwrap(), "the name is taken");
    sqlx::query(
        "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location)
         VALUES ('sluice', 'a', 'old', 'm0'), ('other', 'a', 'elsewhere', 'm0')",
    )
    .execute(&catalog.pool)
    .await
    .unwrap();
    assert_eq!(catalog.names("a", Kind::Table).await.unwrap(), ["old", "t"]);
    assert_eq!(catalog.names("a", Kind::View).await.unwrap(), ["v"]);
    assert_eq!(pointer(&catalog, "a.v").await, None);
    assert_eq!(pointer(&catalog, "a.elsewhere").await, None);
    assert!(matches!(catalog.swap(vec![swap("a.old", "m0", "m1")]).await.unwrap(), SwapOutcome::Swapped));
    assert!(!catalog.remove(&name("a.v"), Kind::Table).await.unwrap());
    assert!(catalog.remove(&name("a.v"), Kind::View).await.unwrap());
}

#[tokio::test]
async fn namespaces_come_from_their_own_rows_and_from_tables() {
    let (_dir, catalog) = catalog().await;
    catalog.create_namespace("silver").await.unwrap();
    catalog.create_namespace("silver").await.unwrap();
    assert!(catalog.insert(&name("bronze.t"), Kind::Table, "m0").await.unwrap());
    assert_eq!(catalog.namespaces().await.unwrap(), ["bronze", "silver"]);
    let rows =
        sqlx::query("SELECT namespace, property_key, property_value FROM iceberg_namespace_properties");
    let rows = rows.fetch_all(&catalog.pool).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.get::<&str, _>(1) == "exists" && row.get::<&str, _>(2) == "true"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    std::fs::write(&path, "this is a text file and not a database at all".repeat(50)).unwrap();
    let error = SqlCatalog::open(&path, "sluice").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cannot open the catalog") && text.contains("catalog.db"), "{text}");
    assert!(text.contains("not a SQLite database"), "{text}");
    assert!(!error.is_transient());
    let folder = dir.path().join("folder.db");
    std::fs::create_dir(&folder).unwrap();
    let text = SqlCatalog::open(&folder, "sluice").await.unwrap_err().to_string();
    assert!(text.contains("folder.db") && text.contains("right to write"), "{text}");
}

#[tokio::test]
async fn the_older_layout_is_refused_with_the_statement_that_cures_it() {
    let (dir, catalog) = catalog().await;
    sqlx::query("ALTER TABLE iceberg_tables DROP COLUMN iceberg_type").execute(&catalog.pool).await.unwrap();
    let error = SqlCatalog::open(&dir.path().join("new/catalog.db"), "sluice").await.unwrap_err().to_string();
    assert!(error.contains("ALTER TABLE iceberg_tables ADD COLUMN iceberg_type"), "{error}");
}

#[tokio::test]
async fn processes_that_start_together_share_one_new_catalog() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let mut openers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let path = dir.path().join("catalog.db");
            openers.spawn(async move { SqlCatalog::open(&path, "sluice").await.map(|_| ()) });
        }
        for opened in openers.join_all().await {
            opened.unwrap();
        }
    }
}
