"""Spark reads every kind of commit that Sluice's SQL makes, and goes on from each."""

from engines import append

TABLE = "create table {name} (id bigint not null, status varchar, amount bigint) {partitioned}"
FIRST = "insert into {name} values (0, 'new', 0), (1, 'paid', 10), (2, 'paid', 20)"
SECOND = "insert into {name} values (3, 'new', 30), (4, 'paid', 40), (5, null, 50)"
MERGE_ON_READ = "alter table {name} set tblproperties ('write.%s.mode' = 'merge-on-read')"
MERGE = """merge into {name} t using (values (1, 'merged'), (9, 'merged')) as s (id, status) on t.id = s.id
    when matched then update set status = s.status when not matched then insert (id, status) values (s.id, s.status)"""

# What follows the two inserts, and the ids that are left, without and with partitions by status where they differ.
KINDS = {
    "append": (["insert into {name} (id) values (6)"], [0, 1, 2, 3, 4, 5, 6]),
    "overwritten": (["insert overwrite {name} values (7, 'new', 0)"], [7], [1, 2, 4, 5, 7]),
    "files_removed": (["delete from {name} where id < 3"], [3, 4, 5]),
    "files_replaced": (["delete from {name} where id in (1, 4)"], [0, 2, 3, 5]),
    "updated": (["update {name} set status = 'lost' where id = 2"], [0, 1, 2, 3, 4, 5]),
    "merged": ([MERGE], [0, 1, 2, 3, 4, 5, 9]),
    "positions": ([MERGE_ON_READ % "delete", "delete from {name} where id in (1, 3)"], [0, 2, 4, 5]),
    "positions_twice": (
        [MERGE_ON_READ % "delete", "delete from {name} where id = 1", "delete from {name} where id = 2"],
        [0, 3, 4, 5],
    ),
    "updated_by_position": (
        [MERGE_ON_READ % "update", "update {name} set amount = amount + 1 where status = 'paid'"],
        [0, 1, 2, 3, 4, 5],
    ),
    "merged_by_position": ([MERGE_ON_READ % "merge", MERGE], [0, 1, 2, 3, 4, 5, 9]),
    "altered": (
        [
            "alter table {name} add column extra int first",
            "alter table {name} rename column amount to cents",
            "alter table {name} alter column extra type bigint",
            "insert into {name} (id, extra) values (6, 7)",
        ],
        [0, 1, 2, 3, 4, 5, 6],
    ),
    "split_anew": (
        ["alter table {name} add partition field bucket(2, id)", "insert into {name} (id) values (6)"],
        [0, 1, 2, 3, 4, 5, 6],
    ),
    "branched": (
        ["alter table {name} create branch side", "alter table {name} create tag mark", "delete from {name} where id = 1"],
        [0, 2, 3, 4, 5],
    ),
    "emptied": (["delete from {name}"], []),
    "compacted": ([], [0, 1, 2, 3, 4, 5]),
}


def judge(checks, session, sluice):
    sluice.sql("create schema kinds")
    for kind, (statements, plain, *split) in KINDS.items():
        for partitioned in ("", "partitioned by (status)"):
            name = f"kinds.{kind}_{'split' if partitioned else 'plain'}"
            for statement in [TABLE, FIRST, SECOND, *statements]:
                sluice.sql(statement.format(name=name, partitioned=partitioned))
            if kind == "compacted":
                run = sluice.command("maintain", name, "--json")
                checks.check(f"{name} is maintained", run.returncode == 0, run.stderr)
            expected = split[0] if partitioned and split else plain
            both(checks, session, sluice, name, expected)
            append(session, name, {"id": 1000, "status": "'paid'"}, {"id": 1001})
            both(checks, session, sluice, name, [*expected, 1000, 1001])
            session.sql(f"delete from {name} where id = 1000 or status = 'lost'")
            lost = [2] if kind == "updated" else []
            both(checks, session, sluice, name, [id for id in [*expected, 1001] if id not in lost])
    side = [row.id for row in session.sql("select id from kinds.branched_plain version as of 'side' order by id").collect()]
    checks.check("Spark reads a branch", side == [0, 1, 2, 3, 4, 5], side)


def both(checks, session, sluice, name, expected):
    """Both engines read these ids, and the same rows."""
    select = f"select * from {name} order by id"
    theirs = [list(row) for row in session.sql(select).collect()]
    ours = [list(row.values()) for row in sluice.sql(select)]
    ids = [row.id for row in session.sql(f"select id from {name} order by id").collect()]
    checks.check(f"{name}: {len(expected)} rows", ids == expected and theirs == ours, f"{theirs}, Sluice {ours}")
