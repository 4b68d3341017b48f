"""The whole notebook: `bfa reproduce`, from process start to last figure, against its loops.

    python -m tests.benchmarks.notebook_time

The loops are the literal transcription in `tests/notebook.py`, with all cores for its BLAS. They
are timed on one point for each depth below and extrapolated: a layer costs the same whatever the
depth, so a sweep costs its number of layers times the seconds of a layer at its width.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.sweep import Sweep
from pipeline.sweep_file import load_sweep
from tests import notebook

TIMED = {"layers": [200], "depth": [10, 50, 100, 200], "branch_scale": [30, 100, 200]}


def time_reproduce() -> float:
    """Return the seconds of `bfa reproduce` in an empty folder."""
    command = str(Path(sys.executable).with_name("bfa"))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run([command, "reproduce", "--out", folder], check=True, capture_output=True)
        return time.perf_counter() - started


def time_literal_point(depth: int, width: int) -> float:
    """Return the seconds of one point of the notebook, matrices drawn."""
    stream = np.random.default_rng(depth)
    X, Y = stream.standard_normal((10, 1)) / np.sqrt(10), stream.standard_normal((1, 1))
    started = time.perf_counter()
    Ws, Vs = notebook.init_resnet(stream, 10, width, 1, depth)
    notebook.observables(notebook.Point(X, Y, Ws, Vs, beta=depth**-0.5, eta=1e-3))
    return time.perf_counter() - started


def count_layers(sweep: Sweep) -> int:
    """Return the layers of all points of a sweep together."""
    _, widths, betas, trials = sweep.axes.shape
    return sum(sweep.axes.depths) * widths * betas * trials


def main() -> None:
    time_literal_point(20, 200)
    print(f"{'sweep':14} {'timed at L =':20} {'s/layer':>9} {'layers':>9} {'literal':>10}")
    literal = 0.0
    for name, depths in TIMED.items():
        sweep = load_sweep(name)
        seconds = sum(time_literal_point(depth, sweep.axes.widths[0]) for depth in depths)
        layers = count_layers(sweep)
        whole = seconds / sum(depths) * layers
        literal += whole
        timed = ", ".join(map(str, depths))
        print(f"{name:14} {timed:20} {seconds / sum(depths):9.5f} {layers:9,} {whole:8.0f} s")
    reproduce = min(time_reproduce() for _ in range(3))
    print(f"literal notebook, extrapolated   {literal:8.0f} s")
    print(f"bfa reproduce, best of 3         {reproduce:8.1f} s")
    print(f"ratio                            {literal / reproduce:8.0f}")


if __name__ == "__main__":
    main()
