"""The command line: every command parses, calls the library, and prints.

The library is imported inside the commands, for `bfa --help` to answer at once.
"""

import math
import shlex
import signal
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from pipeline.errors import BfaError, WorkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

    from pipeline.sweep import Sweep

NOTEBOOK = ("layers", "depth", "branch_scale")
INTERRUPTED = 130

out = Console(highlight=False, markup=False, soft_wrap=True)
err = Console(highlight=False, markup=False, soft_wrap=True, stderr=True)


class Commands(TyperGroup):
    """The commands, with the one place where an error becomes a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the signature of the base class
        """Run a command; print what the user can mend, without a traceback."""
        try:
            return super().invoke(ctx)
        except BfaError as error:
            err.print("error:", style="bold red", end=" ")
            err.print(str(error))
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            command = shlex.join(["bfa", *sys.argv[1:]])
            err.print(f"interrupted: what was computed is kept. To resume:\n  {command}")
            ctx.exit(INTERRUPTED)


class Format(StrEnum):
    """File formats of figures."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Feature speed and backward-feature angle in deep random ReLU ResNets: "
    "sweep files in, a labelled Zarr cube and figures out.",
)

SweepName = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP", help="A shipped sweep's name (see bfa sweeps), or a TOML file."
    ),
]
StorePath = Annotated[str, typer.Argument(metavar="STORE", help="The path of a cube.")]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the sweep file, such as axes.trial=5; may be repeated.",
    ),
]


@app.command(epilog="Example: bfa reproduce --out results")
def reproduce(
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to put it all.")] = (
        Path("results")
    ),
) -> None:
    """Compute the notebook's three sweeps and draw its five figures."""
    from pipeline.cluster import workers_on_demand
    from pipeline.sweep_file import load_sweep

    stores = [str(out_dir / f"{name}.zarr") for name in NOTEBOOK]
    with workers_on_demand() as client:
        failed = sum(
            _run(load_sweep(name), store, client)
            for name, store in zip(NOTEBOOK, stores, strict=True)
        )
    _draw(stores, out_dir / "figures", [Format.png])
    _refuse_failures(failed)


@app.command(epilog="Example: bfa sweeps")
def sweeps() -> None:
    """List the shipped sweeps."""
    from pipeline.sweep_file import parse_sweep, shipped_sweeps

    table = _table("sweep", "points", "what it shows")
    for name, text in shipped_sweeps().items():
        sweep = parse_sweep(text, name)
        table.add_row(name, _points(sweep), escape(sweep.title))
    out.print(table)


@app.command(epilog="Example: bfa plan depth --set axes.trial=5")
def plan(sweep: SweepName, settings: Settings = []) -> None:  # noqa: B006 - typer copies it
    """Predict what a sweep takes, before anything runs."""
    import numpy as np

    from pipeline.plan import measure_costs, plan_sweep
    from pipeline.provenance import one_blas_thread
    from pipeline.sweep_file import load_sweep

    asked = load_sweep(sweep, settings)
    with one_blas_thread():
        costs = measure_costs(asked)
    expected = plan_sweep(asked, np.ones(asked.axes.shape, dtype=bool), costs)
    table = _table("plan", escape(asked.name))
    for label, value in [
        ("points", _points(asked)),
        ("tasks", f"{expected.tasks:,}"),
        ("chunks", f"{expected.chunks:,}"),
        ("bytes, uncompressed", decimal(expected.stored_bytes)),
        ("core-seconds", f"about {expected.core_seconds:,.{_digits(expected.core_seconds)}f}"),
        ("peak memory a worker", decimal(expected.worker_bytes)),
    ]:
        table.add_row(label, value)
    out.print(table)


@app.command(epilog="Example: bfa run depth --set axes.trial=5 --store results/five.zarr")
def run(
    sweep: SweepName,
    *,
    store: Annotated[
        str | None,
        typer.Option(metavar="STORE", help="The cube's path.  [default: results/NAME.zarr]"),
    ] = None,
    settings: Settings = [],  # noqa: B006 - typer copies it
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="C",
            help="A Dask scheduler's address or scheduler file.  [default: processes here]",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes to start here.  [default: one a core]"),
    ] = None,
    points_per_task: Annotated[
        str | None,
        typer.Option(metavar="P", help='Points that travel as one task: "auto" or a number.'),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Compute failed points once more.")
    ] = False,
) -> None:
    """Compute the points of a sweep that its cube does not hold yet.

    Run the same command again to resume after whatever cut it short.
    """
    from pipeline.cluster import workers_on_demand
    from pipeline.sweep_file import load_sweep

    if points_per_task is not None:
        settings = [*settings, f"execution.points_per_task={points_per_task}"]
    asked = load_sweep(sweep, settings)
    address = f"results/{asked.name}.zarr" if store is None else store
    with workers_on_demand(cluster, workers=workers) as client:
        failed = _run(asked, address, client, retry_failed=retry_failed)
    _refuse_failures(failed)


@app.command(epilog="Example: bfa status results/depth.zarr")
def status(store: StorePath) -> None:
    """Say how much of its sweep a cube holds; exit code 1 unless it holds all."""
    from pipeline import cube
    from pipeline.store import open_store

    opened = open_store(store)
    states = opened.status()
    table = _table("state", "points")
    for state, name in enumerate(cube.STATUS_NAMES):
        table.add_row(name, f"{(states == state).sum():,} of {states.size:,}")
    out.print(f"{opened.sweep.name}: {opened.sweep.title} ({store})")
    out.print(table)
    for entry in opened.history:
        out.print(
            f"{entry['started']}  version {entry['code_version']}: "
            f"{entry['points_added']:,} points added, {entry['points_failed']:,} failed"
        )
    if not (states == cube.DONE).all():
        raise typer.Exit(WorkError.exit_code)


@app.command(epilog="Example: bfa figures results/layers.zarr results/depth.zarr --format pdf")
def figures(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", help="Paths of cubes.")],
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where to put the figures.")
    ] = Path("results/figures"),
    formats: Annotated[
        list[Format], typer.Option("--format", help="File format; may be given several times.")
    ] = [Format.png],  # noqa: B006 - typer copies it
) -> None:
    """Draw the figures that the cubes hold the data of."""
    _draw(stores, out_dir, formats)


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # the end of a batch job, of a terminal
        signal.signal(number, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()


def _run(
    sweep: "Sweep", store: str, client: "Callable[[], Client]", *, retry_failed: bool = False
) -> int:
    """Run one sweep, say what came of it, and return how many points failed."""
    from pipeline.progress import show_progress
    from pipeline.run import run_sweep

    with show_progress(sweep.name, err) as report:
        outcome = run_sweep(sweep, store, client, retry_failed=retry_failed, report=report)
    failed = f", {outcome.failed:,} failed" if outcome.failed else ""
    computed = f"{outcome.done:,} points computed" if outcome.total else "nothing to compute"
    out.print(f"{sweep.name}: {computed}{failed}, {outcome.kept:,} kept, 0 recomputed -> {store}")
    return outcome.failed


def _refuse_failures(failed: int) -> None:
    if failed:
        raise WorkError(
            f"{failed:,} points failed; their errors are in the cube's variable 'error'. "
            "Mend the cause and run the same command with --retry-failed"
        )


def _draw(stores: Sequence[str], out_dir: Path, formats: Iterable[Format]) -> None:
    from analysis.figures.gallery import draw_figures

    for path in draw_figures(stores, out=out_dir, formats=formats):
        out.print(str(path))


def _table(*headers: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in headers:
        table.add_column(header)
    return table


def _points(sweep: "Sweep") -> str:
    axes = zip(("depth", "width", "beta", "trial"), sweep.axes.shape, strict=True)
    factors = " x ".join(f"{name} {length:,}" for name, length in axes)
    return f"{math.prod(sweep.axes.shape):,} = {factors}"


def _digits(value: float) -> int:
    return 0 if value >= 10 else 2  # noqa: PLR2004 - two digits of a small number say enough
