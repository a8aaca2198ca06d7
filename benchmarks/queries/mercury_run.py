"""A question by Mercury: ``mercury_run.py QUESTION FOLDER ANSWER NOTE``."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.queries.project import project
from benchmarks.queries.questions import QUESTIONS, ROUNDS
from benchmarks.work import arguments, work
from mercury.analytics import Planner
from mercury.config import load_settings


def main() -> None:
    """Ask once to open tables, then several times; no answer is kept, so each is computed."""
    question, folder, answer, note = arguments()
    settings = load_settings(Path(folder) / "mercury_project.py", {})
    planner = Planner(project, settings, kept_answers=0)
    text = QUESTIONS[question][0]
    found = planner.answer(text)
    with work(note):
        for _ in range(ROUNDS):
            found = planner.answer(text)
    table = found.table.replace_schema_metadata({"route": found.explain.route})
    pq.write_table(table, answer)


if __name__ == "__main__":
    main()
