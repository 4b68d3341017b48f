"""Show how far a run has come: a bar on a terminal, plain lines now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pipeline.run import Progress

PLAIN_SECONDS = 10.0

TOO_EARLY = 0.02
"""Share of the work below which a time left would be a guess."""


@contextmanager
def show_progress(name: str, console: Console) -> Iterator[Callable[[Progress], None]]:
    """Yield a function to report the progress of a run to."""
    if console.is_terminal:
        with _bar(console) as bar:
            yield _on_bar(bar, name)
    else:
        yield _in_lines(name, console)


def _bar(console: Console) -> Bar:
    """Build a bar whose length and time left go by predicted cost, not by points."""
    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[points]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        expand=True,
        transient=True,
    )


def _on_bar(bar: Bar, name: str) -> Callable[[Progress], None]:
    started = time.monotonic()
    task = None

    def report(progress: Progress) -> None:
        nonlocal task
        if progress.total == 0:
            return
        if task is None:
            task = bar.add_task(name, total=progress.cost, points="")
        points = _count(progress, time.monotonic() - started)
        bar.update(task, completed=progress.cost_done, points=points)

    return report


def _in_lines(name: str, console: Console) -> Callable[[Progress], None]:
    started = last = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > PLAIN_SECONDS:
            last = now
            share = progress.cost_done / progress.cost
            left = (now - started) * (1 / share - 1) if share > TOO_EARLY else None
            estimate = "" if left is None else f", about {left:.0f} s left"
            console.print(f"{name}: {_count(progress, now - started)}{estimate}")

    return report


def _count(progress: Progress, elapsed: float) -> str:
    """Say how many of all the points of the cube are there, and how fast they come."""
    through = progress.done + progress.failed
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    rate = f", {through / elapsed:.3g}/s" if through and elapsed > 0 else ""
    done, total = progress.kept + progress.done, progress.kept + progress.total
    return f"{done:,} of {total:,} points{failed}{rate}"
