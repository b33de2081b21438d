"""Statements of Spark on tables of one format version, each followed by both engines reading the same rows.

With version 2 Spark deletes rows by position delete files, with version 3 by deletion vectors. Sluice writes
tables of version 2 only, so it takes its turn on those.
"""

import datetime
import decimal

from engines import append
from pyspark.sql import Row

COLUMNS = "id bigint, name string, amount decimal(10, 2), day date, at timestamp_ntz, tags array<string>"
ROWS = """select id, concat('n', id % 7) as name, cast(id * 1.25 as decimal(10, 2)) as amount,
    date_add(date '2026-01-01', cast(id % 5 as int)) as day,
    timestamp_ntz '2026-01-01 00:00:00' + make_dt_interval(0, 0, 0, id) as at,
    array('a', concat('t', id)) as tags from range({first}, {end})"""
MERGE_ON_READ = ", ".join(f"'write.{kind}.mode' = 'merge-on-read'" for kind in ("delete", "update", "merge"))


def plain(value):
    """A value as both engines can be compared."""
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return f"{value:.2f}"
    if isinstance(value, Row):
        return {key: plain(item) for key, item in value.asDict().items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


class Judge:
    """Runs statements in one engine and compares what both read."""

    def __init__(self, checks, session, sluice, version):
        self.checks, self.session, self.sluice, self.version = checks, session, sluice, version
        self.space = f"v{version}"
        self.catalog = "lake"

    def spark(self, statement):
        return self.session.sql(statement).collect()

    def rows(self, table, columns, of=""):
        """What Spark reads of a table."""
        return [[plain(value) for value in row] for row in self.spark(f"select {columns} from {table}{of} order by id")]

    def same(self, step, table, columns="*", of="", at=""):
        """Both engines read the same rows, some at least; `of` names an older state for Spark, `at` for Sluice."""
        try:
            theirs = self.rows(table, columns, of)
            ours = self.sluice.sql(f"select {columns} from {table}{at} order by id")
            ours = [[text(key, value) for key, value in row.items()] for row in ours]
        except Exception as error:  # noqa: BLE001
            self.checks.check(f"v{self.version} {step}", False, str(error)[:2000])
            return
        detail = f"Spark {len(theirs)}: {theirs[:3]}, Sluice {len(ours)}: {ours[:3]}"
        self.checks.check(f"v{self.version} {step}: {len(theirs)} rows", theirs == ours and theirs, detail)

    def refused(self, step, statement, words):
        """Spark's statement fails, and the message holds these words."""
        try:
            self.spark(statement)
        except Exception as error:  # noqa: BLE001
            self.checks.check(f"v{self.version} {step}", words in str(error), str(error)[:2000])
        else:
            self.checks.check(f"v{self.version} {step}", False, "nothing was refused")

    def step(self, step, table, statement, **more):
        """Spark runs the statement, then both read."""
        try:
            self.spark(statement)
        except Exception as error:  # noqa: BLE001
            self.checks.check(f"v{self.version} {step}", False, str(error)[:3000])
            return
        self.same(step, table, **more)


def text(key, value):
    """A value of Sluice's JSON as both engines can be compared."""
    if key in ("amount", "price") and value is not None:
        return f"{decimal.Decimal(str(value)):.2f}"
    return value


def table(it, name, partitioned=""):
    """A table of two files that Spark made and filled; deletes of rows do not rewrite them."""
    name = f"{it.space}.{name}"
    it.spark(
        f"create table {name} ({COLUMNS}) using iceberg {partitioned}"
        f" tblproperties ('format-version' = '{it.version}', {MERGE_ON_READ})"
    )
    it.step(f"append to {name}", name, f"insert into {name} {ROWS.format(first=0, end=60)}")
    it.step(f"append again to {name}", name, f"insert into {name} {ROWS.format(first=60, end=100)}")
    return name


def deleted(it, name, files=0, vectors=0):
    """The table holds deletes of this form, so the rows were not simply written anew."""
    query = f"select content, count(*) as n from {name}.delete_files group by content"
    found = sum(row.n for row in it.spark(query))
    kinds = {row.file_format for row in it.spark(f"select distinct file_format from {name}.delete_files")}
    wanted = "PUFFIN" if it.version == 3 else "PARQUET"
    it.checks.check(f"v{it.version} deletes of {name} are {wanted}", found > 0 and kinds == {wanted}, (found, kinds))


def rows(it):
    """Appends, deletes, updates, merges and overwrites, on tables with and without partitions."""
    for partitioned in ("", "partitioned by (bucket(4, id))", "partitioned by (day, truncate(1, name))"):
        name = table(it, f"rows_{len(partitioned)}", partitioned)
        it.step("delete", name, f"delete from {name} where id % 10 = 3")
        deleted(it, name)
        it.step("delete once more in the same files", name, f"delete from {name} where id in (4, 64)")
        it.step("update", name, f"update {name} set name = 'changed', amount = amount + 1 where id between 20 and 29")
        it.step(
            "merge",
            name,
            f"""merge into {name} t using (select id * 3 as id, 'merged' as name from range(40)) s on t.id = s.id
                when matched and t.id < 30 then update set t.name = s.name
                when matched and t.id < 60 then delete
                when not matched then insert (id, name) values (s.id, s.name)""",
        )
        it.step("append after deletes", name, f"insert into {name} {ROWS.format(first=200, end=210)}")
        it.session.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
        it.step("overwrite by partition", name, f"insert overwrite {name} {ROWS.format(first=300, end=303)}")
        it.session.conf.set("spark.sql.sources.partitionOverwriteMode", "static")
        if it.version == 2:
            ours(it, name)
    name = table(it, "whole")
    it.step("delete whole files", name, f"delete from {name} where id >= 60")
    it.step("overwrite all", name, f"insert overwrite {name} {ROWS.format(first=0, end=5)}")
    it.spark(f"truncate table {name}")
    found = it.sluice.sql(f"select count(*) as n from {name}")
    it.checks.check(f"v{it.version} truncate", found == [{"n": 0}], found)
    name = f"{it.space}.copied"
    it.step("create as select", name, f"create table {name} using iceberg as {ROWS.format(first=0, end=5)}")
    # the new table takes the place of the old one in a single commit
    replace = f"create or replace table {name} using iceberg tblproperties ('format-version' = '{it.version}')"
    it.step("replace as select", name, f"{replace} as select id, name as label from {it.space}.rows_0")


def ours(it, name):
    """Sluice goes on where Spark stopped, with deletes of its own beside Spark's."""
    it.sluice.sql(f"delete from {name} where id in (1, 301)")
    it.same("Sluice deletes", name)
    it.sluice.sql(f"update {name} set name = 'ours' where id > 200")
    it.same("Sluice updates", name)
    it.sluice.sql(f"insert into {name} (id, name) values (900, 'ours')")
    it.same("Sluice inserts", name)
    it.step("Spark deletes again", name, f"delete from {name} where id in (2, 900)")


def shape(it):
    """Columns and partitions change under rows of several ages."""
    name = table(it, "shape", "partitioned by (name)")
    it.spark(f"delete from {name} where id = 7")
    it.spark(f"alter table {name} add columns (extra int after id, s struct<x: int, y: string>)")
    append(it.session, name, {"id": 500, "extra": 5, "s": "named_struct('x', 1, 'y', 'y')"})
    it.same("add columns", name, columns="id, extra")
    it.step("rename", name, f"alter table {name} rename column amount to price", columns="id, price as amount, extra")
    it.step("widen", name, f"alter table {name} alter column extra type bigint", columns="id, extra")
    it.step("add a nested column", name, f"alter table {name} add column s.z double", columns="id, s.x as x, s.z as z")
    it.step("drop", name, f"alter table {name} drop column tags")
    for change in ("add partition field day", "drop partition field name", "replace partition field day with month(day)"):
        it.spark(f"alter table {name} {change}")
        append(it.session, name, {"id": 600 + len(change), "name": "'p'", "day": "date '2026-03-01'"})
        it.same(change, name, columns="id, name, day")
    it.step("delete under three specs", name, f"delete from {name} where id in (0, 61, 500, 623)", columns="id, name")
    it.spark(f"alter table {name} set tblproperties ('kept.by' = 'spark')")
    it.spark(f"alter table {name} write ordered by id")
    append(it.session, name, {"id": 700}, {"id": 699})
    it.same("append in order", name, columns="id, name")


def history(it):
    """Branches, tags, older states, and main moved by procedures."""
    # Spark first looks for the table "history" of a table named like the namespace: there is none.
    name = table(it, "history")
    first = it.spark(f"select snapshot_id from {name}.snapshots order by committed_at")[0].snapshot_id
    it.spark(f"alter table {name} create tag start as of version {first}")
    it.spark(f"alter table {name} create branch side as of version {first}")
    it.spark(f"insert into {name}.branch_side {ROWS.format(first=400, end=405)}")
    it.spark(f"delete from {name}.branch_side where id < 10")
    it.same("a branch", name, of=" version as of 'side'", at=" version as of 'side'")
    it.same("a tag", name, of=" version as of 'start'", at=" version as of 'start'")
    it.same("a snapshot", name, of=f" version as of {first}", at=f" version as of {first}")
    it.same("main beside a branch", name)
    call = f"call {it.catalog}.system"
    it.step("roll back", name, f"{call}.rollback_to_snapshot('{name}', {first})")
    it.step("fast-forward", name, f"{call}.fast_forward('{name}', 'main', 'side')")
    it.step("set the current snapshot", name, f"{call}.set_current_snapshot(table => '{name}', ref => 'start')")
    it.step("append after that", name, f"insert into {name} {ROWS.format(first=410, end=412)}")
    it.step("drop branch", name, f"alter table {name} drop branch side")


def upkeep(it):
    """Spark's maintenance of a table, and the rows after each step."""
    name = table(it, "upkeep", "partitioned by (bucket(2, id))")
    # With a list among the columns of a partitioned table Iceberg 1.10 cannot rewrite position deletes.
    it.spark(f"alter table {name} drop column tags")
    for id in (5, 6, 65):
        it.spark(f"delete from {name} where id = {id}")
    call = f"call {it.catalog}.system"
    it.step("rewrite position deletes", name,
            f"{call}.rewrite_position_delete_files(table => '{name}', options => map('rewrite-all', 'true'))")
    it.step("rewrite manifests", name, f"{call}.rewrite_manifests('{name}')")
    rewrite = "options => map('rewrite-all', 'true', 'remove-dangling-deletes', 'true')"
    it.step("rewrite data files", name, f"{call}.rewrite_data_files(table => '{name}', {rewrite})")
    order = "strategy => 'sort', sort_order => 'id desc', options => map('rewrite-all', 'true')"
    it.step("rewrite in order", name, f"{call}.rewrite_data_files(table => '{name}', {order})")
    it.step("expire snapshots", name,
            f"{call}.expire_snapshots(table => '{name}', older_than => now(), retain_last => 1)")
    append(it.session, name, *({"id": id, "name": "'late'"} for id in (500, 501, 502)))
    it.same("append after expiry", name)
    it.step("delete after expiry", name, f"delete from {name} where id = 501")


def names(it):
    """Renaming, registering, dropping, views."""
    name, other = f"{it.space}.copied", f"{it.space}.renamed"
    it.step("rename a table", other, f"alter table {name} rename to {other}")
    where = it.spark(f"select file from {other}.metadata_log_entries order by timestamp")[-1].file
    it.spark(f"drop table {other}")
    it.refused("a dropped table", f"select * from {other}", "TABLE_OR_VIEW_NOT_FOUND")
    it.step("register", name, f"call {it.catalog}.system.register_table('{name}', '{where}')")
    view = f"{it.space}.labels"
    it.spark(f"create view {view} as select id, label from {name} where id > 100")
    found = [row.id for row in it.spark(f"select id from {view} order by id")]
    direct = [row.id for row in it.spark(f"select id from {name} where id > 100 order by id")]
    it.checks.check(f"v{it.version} view", found == direct and found, found)
    it.spark(f"create or replace view {view} as select id from {name}")
    views = [row.viewName for row in it.spark(f"show views in {it.space}")]
    it.checks.check(f"v{it.version} views are listed", views == ["labels"], views)
    it.spark(f"drop view {view}")
    # Spark deletes the files of a purged table itself, once the catalog has dropped it.
    it.spark(f"drop table {name} purge")
    it.refused("a purged table", f"select * from {name}", "TABLE_OR_VIEW_NOT_FOUND")
    for (_, left, _) in it.spark(f"show tables in {it.space}"):
        it.spark(f"drop table {it.space}.{left}")
    it.spark(f"drop namespace {it.space}")
    spaces = [row.namespace for row in it.spark("show namespaces")]
    it.checks.check(f"v{it.version} namespaces", it.space not in spaces, spaces)


def judge(checks, session, sluice, version):
    it = Judge(checks, session, sluice, version)
    it.spark(f"create namespace if not exists {it.space}")
    rows(it)
    shape(it)
    history(it)
    upkeep(it)
    names(it)
