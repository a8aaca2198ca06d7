"""Data quality: contracts, checks of tables, files and streams against them, quarantine and reports.

    contract = load_contract("contracts/flights.odcs.yaml")
    report = check("lake/streams/flights/rows", contract)       # one pass; a Delta table, Parquet, CSV or Arrow
    Path("report.html").write_text(render(report, "html"))
    verdicts = contract.validate(batch)                         # the rows of a stream, by the same rules

What a check means where formats and tools differ:

* A null breaks only checks of nulls; every other row check leaves it out, as SQL's CHECK does. NaN is a value: no
  null, in no range, equal to NaN as a key, and in no mean, extreme or quantile.
* Percentages are of all rows; of no rows they are 0. Bounds are inclusive unless their name says "exclusive".
* A pattern is RE2 and is searched for: anchor it with ^ and $. Lengths are in Unicode code points.
* Of equal keys the first is good and every later one a duplicate. Keys with a null part are left out.
* Order skips nulls and NaN, and is that of rows in files, and of files by name.
* The clock of freshness, and times without a zone, are UTC.
* Columns that the contract does not list are allowed, named in the report, and visible to SQL conditions.
"""

from mercury.quality.contract import Contract, ContractColumn
from mercury.quality.loading import load_contract
from mercury.quality.opening import open_source
from mercury.quality.report import render
from mercury.quality.results import Report, Result, Verdict, exit_code
from mercury.quality.rows import RowVerdicts
from mercury.quality.run import check
from mercury.quality.source import Source
from mercury.quality.streams import stream_check

__all__ = [
    "Contract",
    "ContractColumn",
    "Report",
    "Result",
    "RowVerdicts",
    "Source",
    "Verdict",
    "check",
    "exit_code",
    "load_contract",
    "open_source",
    "render",
    "stream_check",
]
