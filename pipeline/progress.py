"""Show how far a run has come: a bar on a terminal, plain lines now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pipeline.run import Progress

PLAIN_SECONDS = 10.0


@contextmanager
def show_progress(name: str, console: Console) -> Iterator[Callable[[Progress], None]]:
    """Yield a function to report the progress of a run to."""
    if console.is_terminal:
        with _bar(console) as bar:
            yield _on_bar(bar, name)
    else:
        yield _in_lines(name, console)


def _bar(console: Console) -> Bar:
    """Build a bar whose length, percentage and time left go by predicted cost, not by points."""
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[points]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        expand=True,
    )


def _on_bar(bar: Bar, name: str) -> Callable[[Progress], None]:
    task = bar.add_task(name, total=None, points="")
    started = time.monotonic()

    def report(progress: Progress) -> None:
        points = _count(progress, time.monotonic() - started)
        bar.update(task, total=progress.cost, completed=progress.cost_done, points=points)

    return report


def _in_lines(name: str, console: Console) -> Callable[[Progress], None]:
    started = last = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > PLAIN_SECONDS:
            last = now
            elapsed = now - started
            left = elapsed * (progress.cost / progress.cost_done - 1) if progress.cost_done else 0
            estimate = f", about {left:.0f} s left" if left else ""
            console.print(f"{name}: {_count(progress, elapsed)}{estimate}", highlight=False)

    return report


def _count(progress: Progress, elapsed: float) -> str:
    through = progress.done + progress.failed
    failed = f", {progress.failed} failed" if progress.failed else ""
    rate = f", {through / elapsed:.3g}/s" if through and elapsed > 0 else ""
    return f"{progress.done} of {progress.total} points{failed}{rate}"
