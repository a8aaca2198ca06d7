"""Mercury's contender: bounded and noisy counts and sums by shop: ``mercury_run.py DATA ANSWER NOTE``."""

from __future__ import annotations

import secrets

import pyarrow.parquet as pq

from benchmarks.private_groupby.data import MAX_GROUPS, MAX_ROWS, MOST_CENTS
from benchmarks.work import arguments, work
from mercury.definitions import BatchTable, Bounds, Budget, Count, PrivacyPolicy, Sum
from mercury.privacy.aggregate import bounded
from mercury.privacy.gate import Noise
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
    with work(note):
        table = noise.answer(bounded(plan, [data], secrets.token_bytes(32)))
    pq.write_table(table, answer)


if __name__ == "__main__":
    main()
