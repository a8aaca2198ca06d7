"""What a person sees while the story runs: one line per step, with what it did and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


@dataclass
class Step:
    """One step: its title, what there is to say of it, and when it ran."""

    title: str
    notes: list[str] = field(default_factory=list)
    now: str = ""
    began: float | None = None
    ended: float | None = None
    failed: bool = False

    @property
    def seconds(self) -> float:
        """Wall seconds so far, or in all."""
        if self.began is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.began

    def say(self, text: str) -> None:
        """Replace the line that says what is going on."""
        self.now = text

    def note(self, text: str) -> None:
        """Add a line that stays."""
        self.notes.append(text)


class Board:
    """A live list of steps on a terminal; on anything else each step is printed when it ends."""

    def __init__(self, titles: list[str], console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.steps = [Step(title) for title in titles]
        self._live = Live(self, console=self.console, refresh_per_second=8, transient=False)

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run one step; an error marks it as failed and goes on to the caller."""
        step = next(step for step in self.steps if step.title == title)
        step.began = time.monotonic()
        try:
            yield step
        except BaseException:
            step.failed = True
            raise
        finally:
            step.ended, step.now = time.monotonic(), ""
            if not self.console.is_terminal:
                self.console.print(_line(step))
                for note in step.notes:
                    self.console.print(f"      {note}", soft_wrap=True)

    def __rich__(self) -> RenderableType:
        rows: list[RenderableType] = []
        for step in self.steps:
            rows.append(_line(step))
            rows.extend(Text(f"      {note}", style="dim") for note in step.notes)
            if step.now:
                rows.append(Text(f"      {step.now}", style="cyan"))
        return Group(*rows)


def summary(console: Console, title: str, lines: list[tuple[str, str]]) -> None:
    """A closing table of what was done and where things are."""
    table = Table.grid(padding=(0, 2))
    for name, value in lines:
        table.add_row(Text(name, style="bold"), value)
    console.print(Panel(table, title=title, expand=False))


def _line(step: Step) -> RenderableType:
    if step.began is None:
        return Text(f"    · {step.title}", style="dim")
    took = f"{step.seconds:.1f} s"
    if step.ended is None:
        return Spinner("dots", Text(f"  {step.title}  {took}"))
    mark, style = ("✗", "red") if step.failed else ("✓", "green")
    return Text.assemble((f"    {mark} ", style), f"{step.title}  ", (took, "dim"))
