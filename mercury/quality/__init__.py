"""Data quality: contracts, checks of tables, files and streams against them, quarantine and reports."""

from mercury.quality.contract import Contract, ContractColumn, load_contract
from mercury.quality.results import Report, Result, Verdict, exit_code
from mercury.quality.rows import RowVerdicts, stream_check

__all__ = [
    "Contract",
    "ContractColumn",
    "Report",
    "Result",
    "RowVerdicts",
    "Verdict",
    "exit_code",
    "load_contract",
    "stream_check",
]
