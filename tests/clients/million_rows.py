"""Fills the table that the client checks read: million_rows.py DATA makes `bronze.numbers` with a million rows.

Every value follows from the id, so that a client can check any row: name `n` and the id, amount id cents, at
2026-01-01T00:00:00Z and id times 1.000001 s, flag whether the id is even. PyIceberg writes it into the lake's own
catalog, so the clients read through Sluice what Sluice did not write.
"""

import os
import sys

import lake
import numpy
import pyarrow

ROWS = 1_000_000
FIRST_AT = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z in microseconds


def cents(ids):
    """A decimal(12,2) whose unscaled value is the id: 128 bits, of which the low half is enough."""
    words = numpy.zeros((len(ids), 2), dtype=numpy.int64)
    words[:, 0] = ids
    return pyarrow.Array.from_buffers(pyarrow.decimal128(12, 2), len(ids), [None, pyarrow.py_buffer(words)])


folder = os.path.abspath(sys.argv[1])
ids = numpy.arange(ROWS, dtype=numpy.int64)
rows = pyarrow.table({
    "id": ids,
    "name": [f"n{number}" for number in range(ROWS)],
    "amount": cents(ids),
    "at": pyarrow.array(FIRST_AT + ids * 1_000_001).cast(pyarrow.timestamp("us", "UTC")),
    "flag": pyarrow.array(ids % 2 == 0),
})
catalog = lake.open_catalog(folder)
catalog.create_namespace_if_not_exists("bronze")
table = catalog.create_table("bronze.numbers", rows.schema, location=f"file://{folder}/warehouse/bronze/numbers")
table.append(rows)
print(f"bronze.numbers: {table.scan().count()} rows")
