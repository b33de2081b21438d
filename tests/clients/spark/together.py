"""Changes of several tables in one transaction, by the REST client of Iceberg's Java library inside Spark."""

import urllib.request


def judge(checks, session, sluice, uri):
    jvm = session._jvm
    catalog = jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergCatalog(session._jsparkSession, "lake")
    session.sql("create namespace together")
    for table in ("a", "b"):
        session.sql(f"create table together.{table} (id bigint) using iceberg")
        session.sql(f"insert into together.{table} values (1)")

    def prepared(table, column):
        """A new column and a property, made on the table as it is, not sent yet."""
        name = jvm.org.apache.iceberg.catalog.TableIdentifier.parse(f"together.{table}")
        change = catalog.loadTable(name).newTransaction()
        schema = change.updateSchema()
        schema.addColumn(column, jvm.org.apache.iceberg.types.Types.LongType.get())
        schema.commit()
        change.updateProperties().set("change", column).commit()
        return jvm.org.apache.iceberg.catalog.TableCommit.create(name, change.startMetadata(), change.currentMetadata())

    def send(*commits):
        listed = jvm.java.util.ArrayList()
        for commit in commits:
            listed.add(commit)
        catalog.commitTransaction(listed)

    def columns():
        return [list(sluice.sql(f"select * from together.{table}")[0]) for table in ("a", "b")]

    send(prepared("a", "first"), prepared("b", "first"))
    checks.check("two tables in one transaction", columns() == [["id", "first"]] * 2, columns())
    late = [prepared("a", "second"), prepared("b", "second")]
    send(prepared("b", "between"))
    try:
        send(*late)
    except Exception as error:  # noqa: BLE001
        checks.check("a transaction on an old base fails", "CommitFailedException" in str(error), str(error)[:2000])
    else:
        checks.check("a transaction on an old base fails", False, "it did not")
    checks.check("and changes no table", columns() == [["id", "first"], ["id", "first", "between"]], columns())
    # Spark tells the catalog what each of its scans and commits cost.
    with urllib.request.urlopen(f"{uri.removesuffix('/iceberg')}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    reports = [float(line.split()[-1]) for line in lines if line.startswith("sluice_iceberg_reports_total")]
    checks.check("reports of metrics", sum(reports) > 0, reports)
