//! The grammar of statements that write.

use sluice_catalog::{PartitionBy, Transform};

use super::{Written, written};
use crate::Error;
use crate::text::Text;

fn parse(sql: &str) -> Result<Option<Written>, Error> {
    written(&Text::read(sql).unwrap())
}

#[test]
fn a_table_is_created_as_spark_writes_it() {
    let sql = "create table if not exists s.t (id bigint not null, at timestamp comment 'when') using iceberg
        partitioned by (days(at), bucket(16, id), truncate(at, 4), \"Id\") comment 'c'
        tblproperties ('write.delete.mode' = 'merge-on-read');";
    let Some(Written::CreateTable(create)) = parse(sql).unwrap() else { panic!("no table") };
    let by = |column: &str, transform| PartitionBy { column: column.into(), transform };
    assert!(create.if_not_exists && create.query.is_none());
    assert_eq!(create.columns.len(), 2);
    assert_eq!(
        create.partition_by,
        [
            by("at", Transform::Day),
            by("id", Transform::Bucket(16)),
            by("at", Transform::Truncate(4)),
            by("Id", Transform::Identity)
        ]
    );
    assert_eq!(create.properties["comment"], "c");
    assert_eq!(create.properties["write.delete.mode"], "merge-on-read");
}

#[test]
fn what_is_not_understood_is_no_change_or_an_error() {
    for other in
        ["SELECT 1", "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 'x'", "COPY t TO 'x'", "SET a = 1"]
    {
        assert!(parse(other).unwrap().is_none(), "{other}");
    }
    for wrong in [
        "CREATE TABLE t",
        "CREATE TABLE t (a int) PARTITIONED BY (a + 1)",
        "CREATE TABLE t (a int) PARTITIONED BY (bucket(0, a))",
        "CREATE TABLE t (a int) USING delta",
        "CREATE OR REPLACE TABLE t (a int)",
        "CREATE TABLE t (a int) nonsense",
        "DROP TABLE t u",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES (1) RETURNING a",
        "INSERT INTO t PARTITION (a = 1) SELECT 1",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
