"""Delta Lake tables: exactly-once commits, time travel, change feed, and erasure that is proven.

    table = Table.create("lake/tables/flights", schema, exist_ok=True)
    table.append(rows, transaction=Transaction("ingest", epoch), provenance={"offsets": {"0": [0, 500]}})
    table.read(["carrier", "dep_delay"], where="dep_delay > 15")

Anything that reads Delta reads them: there is nothing of ours in the format but a key in the commit's metadata.
"""

from mercury.tables.commits import Commit, TableVersion, Transaction
from mercury.tables.erasure import ErasureCertificate
from mercury.tables.table import Table

__all__ = ["Commit", "ErasureCertificate", "Table", "TableVersion", "Transaction"]
