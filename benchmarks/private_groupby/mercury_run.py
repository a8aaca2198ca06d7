"""Mercury's contender: bounded and noisy counts and sums by shop: ``mercury_run.py DATA ANSWER NOTE``.

What a process does once (imports, compiled kernels) is done before the work, on a handful of rows.
"""

from __future__ import annotations

import secrets

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.private_groupby.data import MAX_GROUPS, MAX_ROWS, MOST_CENTS
from benchmarks.work import arguments, work
from mercury.definitions import BatchTable, Bounds, Budget, Count, PrivacyPolicy, Sum
from mercury.privacy.aggregate import bounded
from mercury.privacy.answer import Noise, finished
from mercury.privacy.plan import make_plan

PAYMENTS = BatchTable(
    "payments", schema={"user": "string", "shop": "string", "cents": "int64", "ts": "timestamp"}, event_time="ts"
)
POLICY = PrivacyPolicy(
    "payments",
    source=PAYMENTS,
    unit="user",
    budget=Budget(1.0, 1e-6),
    epsilon=1.0,
    max_groups=MAX_GROUPS,
    max_rows=MAX_ROWS,
    bounds={"cents": Bounds(0, MOST_CENTS)},
)


def main() -> None:
    """Compute and write ``shop``, ``n``, ``cents`` with their errors; the ledger's few milliseconds are left out."""
    data, answer, note = arguments()
    plan = make_plan(POLICY, {"n": Count(), "cents": Sum("cents")}, ["shop"])
    noise = Noise(plan)
    few = pa.table({"user": ["u0", "u1"], "shop": ["s000", "s001"], "cents": [1, 2]})
    noise.draw(bounded(plan, few, secrets.token_bytes(32)))
    with work(note):
        table = finished(plan, noise, noise.draw(bounded(plan, [data], secrets.token_bytes(32))))
    pq.write_table(table, answer)


if __name__ == "__main__":
    main()
