//! Compare-and-swap of pointers, alone and together.

use std::path::Path;

use sqlx::Row;
use tempfile::TempDir;

use super::{Catalog, Database, Kind, NamespaceDropped, Properties, Renamed, SqlCatalog, Swap, SwapOutcome};
use crate::catalogs::sqlite::{self, SqliteFile};
use crate::error::{Error, Result};
use crate::testing::name;

type SqliteCatalog = SqlCatalog<SqliteFile>;

async fn open(path: &Path) -> Result<SqliteCatalog> {
    SqlCatalog::open(sqlite::open(path).await?, "sluice", false).await
}

async fn catalog() -> (TempDir, SqliteCatalog) {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(&dir.path().join("new/catalog.db")).await.unwrap();
    (dir, catalog)
}

fn swap(table: &str, expected: &str, new: &str) -> Swap {
    crate::testing::swap(&name(table), expected, new)
}

async fn pointer(catalog: &SqliteCatalog, table: &str) -> Option<String> {
    catalog.table(&name(table)).await.unwrap().map(|entry| entry.location)
}

#[tokio::test]
async fn a_pointer_moves_from_where_it_is_expected_only() {
    let (_dir, catalog) = catalog().await;
    assert!(catalog.add(&name("a.t"), Kind::Table, "m0").await.unwrap());
    let first = catalog.swap(&[swap("a.t", "m0", "m1")]).await.unwrap();
    assert!(matches!(first, SwapOutcome::Swapped(_)));
    let stale = catalog.swap(&[swap("a.t", "m0", "m2")]).await.unwrap();
    assert!(matches!(stale, SwapOutcome::Lost { table } if table == name("a.t")));
    assert_eq!(pointer(&catalog, "a.t").await.as_deref(), Some("m1"));
    let row = sqlx::query("SELECT previous_metadata_location, iceberg_type FROM iceberg_tables");
    let row = row.fetch_one(&catalog.database.pool).await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("m0", "TABLE"));
}

#[tokio::test]
async fn several_pointers_move_together_or_not_at_all() {
    let (_dir, catalog) = catalog().await;
    for table in ["a.t", "a.u", "b.v"] {
        assert!(catalog.add(&name(table), Kind::Table, "m0").await.unwrap());
    }
    let all = vec![swap("a.t", "m0", "m1"), swap("a.u", "m0", "m1"), swap("b.v", "m0", "m1")];
    assert!(matches!(catalog.swap(&all).await.unwrap(), SwapOutcome::Swapped(_)));
    let stale_last = vec![swap("a.t", "m1", "m2"), swap("a.u", "m1", "m2"), swap("b.v", "m0", "m2")];
    let outcome = catalog.swap(&stale_last).await.unwrap();
    assert!(matches!(outcome, SwapOutcome::Lost { table } if table == name("b.v")));
    let missing_last = vec![swap("a.t", "m1", "m2"), swap("c.w", "m0", "m2")];
    let outcome = catalog.swap(&missing_last).await.unwrap();
    assert!(matches!(outcome, SwapOutcome::Lost { table } if table == name("c.w")));
    for table in ["a.t", "a.u", "b.v"] {
        assert_eq!(pointer(&catalog, table).await.as_deref(), Some("m1"), "{table}");
    }
}

#[tokio::test]
async fn of_many_writers_on_one_state_exactly_one_wins() {
    let (dir, catalog) = catalog().await;
    assert!(catalog.add(&name("a.t"), Kind::Table, "m0").await.unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        // Every writer has its own connections, as another process would.
        let path = dir.path().join("new/catalog.db");
        writers.spawn(async move {
            let catalog = open(&path).await.unwrap();
            let new = format!("m1-{writer}");
            match catalog.swap(&[swap("a.t", "m0", &new)]).await.unwrap() {
                SwapOutcome::Swapped(_) => Some(new),
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
    assert!(catalog.add(&name("a.t"), Kind::Table, "m0").await.unwrap());
    // A deferred constraint is checked at COMMIT, so that COMMIT itself fails.
    for statement in [
        "CREATE TABLE allowed (location TEXT PRIMARY KEY)",
        "INSERT INTO allowed VALUES ('m0'), ('m1')",
        "CREATE TABLE seen (location TEXT REFERENCES allowed DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER watch AFTER UPDATE ON iceberg_tables
         BEGIN INSERT INTO seen VALUES (new.metadata_location); END",
    ] {
        sqlx::query(statement).execute(&catalog.database.pool).await.unwrap();
    }
    let refused = catalog.swap(&[swap("a.t", "m0", "m2")]).await.unwrap();
    assert!(matches!(refused, SwapOutcome::Unknown(Error::Catalog { .. })), "{refused:?}");
    assert_eq!(pointer(&catalog, "a.t").await.as_deref(), Some("m0"));
    let allowed = catalog.swap(&[swap("a.t", "m0", "m1")]).await.unwrap();
    assert!(matches!(allowed, SwapOutcome::Swapped(_)), "{allowed:?}");
}

#[tokio::test]
async fn tables_and_views_are_told_apart_and_rows_without_a_type_are_tables() {
    let (_dir, catalog) = catalog().await;
    assert!(catalog.add(&name("a.t"), Kind::Table, "m0").await.unwrap());
    assert!(catalog.add(&name("a.v"), Kind::View, "v0").await.unwrap());
    assert!(!catalog.add(&name("a.v"), Kind::Table, "m0").await.unwrap(), "the name is taken");
    sqlx::query(
        "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location)
         VALUES ('sluice', 'a', 'old', 'm0'), ('other', 'a', 'elsewhere', 'm0')",
    )
    .execute(&catalog.database.pool)
    .await
    .unwrap();
    assert_eq!(catalog.names("a", Kind::Table).await.unwrap(), ["old", "t"]);
    assert_eq!(catalog.names("a", Kind::View).await.unwrap(), ["v"]);
    assert_eq!(pointer(&catalog, "a.v").await, None);
    assert_eq!(pointer(&catalog, "a.elsewhere").await, None);
    assert!(matches!(catalog.swap(&[swap("a.old", "m0", "m1")]).await.unwrap(), SwapOutcome::Swapped(_)));
    assert!(!catalog.remove(&name("a.v"), Kind::Table).await.unwrap());
    assert!(catalog.remove(&name("a.v"), Kind::View).await.unwrap());
}

#[tokio::test]
async fn namespaces_come_from_their_own_rows_and_from_tables() {
    let (_dir, catalog) = catalog().await;
    let none = Properties::new();
    assert!(catalog.create_namespace("silver", &none).await.unwrap());
    assert!(!catalog.create_namespace("silver", &none).await.unwrap());
    assert!(catalog.add(&name("bronze.t"), Kind::Table, "m0").await.unwrap());
    assert_eq!(catalog.namespaces().await.unwrap(), ["bronze", "silver"]);
    let rows =
        sqlx::query("SELECT namespace, property_key, property_value FROM iceberg_namespace_properties");
    let rows = rows.fetch_all(&catalog.database.pool).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.get::<&str, _>(1) == "exists" && row.get::<&str, _>(2) == "true"));
}

#[tokio::test]
async fn levels_are_joined_by_dots_and_a_prefix_of_a_word_is_no_parent() {
    let (_dir, catalog) = catalog().await;
    assert!(catalog.create_namespace("a.b", &Properties::new()).await.unwrap());
    assert!(catalog.create_namespace("ab", &Properties::new()).await.unwrap());
    assert_eq!(catalog.namespaces().await.unwrap(), ["a", "a.b", "ab"], "a parent is implied");
    assert_eq!(catalog.drop_namespace("a").await.unwrap(), NamespaceDropped::NotEmpty);
    assert_eq!(catalog.drop_namespace("a.b").await.unwrap(), NamespaceDropped::Dropped);
    assert_eq!(catalog.namespaces().await.unwrap(), ["ab"]);
    assert_eq!(catalog.drop_namespace("a").await.unwrap(), NamespaceDropped::Missing);
}

#[tokio::test]
async fn properties_of_a_namespace_are_kept_and_changed() {
    let (_dir, catalog) = catalog().await;
    let owner = |who: &str| Properties::from([("owner".to_owned(), who.to_owned())]);
    assert!(catalog.create_namespace("a", &owner("ann")).await.unwrap());
    assert_eq!(catalog.namespace("a").await.unwrap(), Some(owner("ann")));
    assert!(catalog.change_namespace("a", &[], &owner("bob")).await.unwrap());
    assert_eq!(catalog.namespace("a").await.unwrap(), Some(owner("bob")));
    assert!(
        catalog
            .change_namespace("a", &["owner".to_owned(), "exists".to_owned()], &Properties::new())
            .await
            .unwrap()
    );
    assert_eq!(catalog.namespace("a").await.unwrap(), Some(Properties::new()), "the namespace itself stays");
    assert!(!catalog.change_namespace("b", &[], &owner("bob")).await.unwrap());
    assert_eq!(catalog.namespace("b").await.unwrap(), None);
}

#[tokio::test]
async fn a_table_takes_another_name_unless_it_is_taken() {
    let (_dir, catalog) = catalog().await;
    for table in ["a.t", "a.u"] {
        assert!(catalog.add(&name(table), Kind::Table, table).await.unwrap());
    }
    let rename =
        async |from: &str, to: &str, kind| catalog.rename(&name(from), &name(to), kind).await.unwrap();
    assert_eq!(rename("a.t", "a.u", Kind::Table).await, Renamed::Taken);
    assert_eq!(rename("a.t", "b.v", Kind::View).await, Renamed::Missing);
    assert_eq!(rename("a.w", "b.v", Kind::Table).await, Renamed::Missing);
    assert_eq!(rename("a.t", "b.v", Kind::Table).await, Renamed::Done);
    assert_eq!(pointer(&catalog, "b.v").await.as_deref(), Some("a.t"));
    assert_eq!(catalog.drop_namespace("a").await.unwrap(), NamespaceDropped::NotEmpty);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    std::fs::write(&path, "this is a text file and not a database at all".repeat(50)).unwrap();
    let error = open(&path).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cannot open the catalog") && text.contains("catalog.db"), "{text}");
    assert!(text.contains("not a SQLite database"), "{text}");
    assert!(!error.is_transient());
    let folder = dir.path().join("folder.db");
    std::fs::create_dir(&folder).unwrap();
    let text = open(&folder).await.unwrap_err().to_string();
    assert!(text.contains("folder.db") && text.contains("right to write"), "{text}");
}

#[tokio::test]
async fn the_older_layout_is_used_as_it_is_and_upgraded_on_request_only() {
    let (dir, catalog) = catalog().await;
    let path = dir.path().join("new/catalog.db");
    sqlx::query("ALTER TABLE iceberg_tables DROP COLUMN iceberg_type")
        .execute(&catalog.database.pool)
        .await
        .unwrap();
    let old = open(&path).await.unwrap();
    assert!(old.add(&name("a.t"), Kind::Table, "m0").await.unwrap());
    assert!(matches!(old.swap(&[swap("a.t", "m0", "m1")]).await.unwrap(), SwapOutcome::Swapped(_)));
    assert_eq!(pointer(&old, "a.t").await.as_deref(), Some("m1"));
    assert_eq!(old.names("a", Kind::Table).await.unwrap(), ["t"]);
    let refused = old.add(&name("a.v"), Kind::View, "v0").await.unwrap_err().to_string();
    assert!(refused.contains("lake.catalog_upgrade"), "{refused}");
    let columns = Database::columns(&catalog.database, "iceberg_tables").await.unwrap();
    assert!(columns.iter().all(|column| column != "iceberg_type"));
    let new = SqlCatalog::open(sqlite::open(&path).await.unwrap(), "sluice", true).await.unwrap();
    assert!(new.add(&name("a.v"), Kind::View, "v0").await.unwrap());
    assert_eq!(pointer(&new, "a.t").await.as_deref(), Some("m1"), "rows without a type are tables");
}

#[tokio::test]
async fn processes_that_start_together_share_one_new_catalog() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let mut openers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let path = dir.path().join("catalog.db");
            openers.spawn(async move { open(&path).await.map(|_| ()) });
        }
        for opened in openers.join_all().await {
            opened.unwrap();
        }
    }
}
