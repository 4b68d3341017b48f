"""Predicted against measured: what `bfa plan` says of a sweep, and what `bfa run` then takes.

python -m tests.benchmarks.prediction [SWEEP] [--set KEY=VALUE ...]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.cluster import workers_on_demand
from pipeline.plan import measure_costs, plan_sweep
from pipeline.provenance import one_blas_thread
from pipeline.run import run_sweep
from pipeline.sweep_file import load_sweep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sweep", nargs="?", default="depth")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    sweep = load_sweep(arguments.sweep, arguments.settings)
    with one_blas_thread():
        costs = measure_costs(sweep)
    plan = plan_sweep(sweep, np.ones(sweep.axes.shape, dtype=bool), costs)
    with tempfile.TemporaryDirectory() as folder, workers_on_demand() as client:
        workers = len(client().nthreads())
        started = time.perf_counter()
        run_sweep(sweep, f"{folder}/cube.zarr", client)
        wall = time.perf_counter() - started
        kernel = float(xr.open_zarr(Path(folder) / "cube.zarr").seconds.sum())
    rows = {
        "core-seconds predicted": plan.core_seconds,
        "core-seconds in the kernel": kernel,
        "wall seconds x workers": wall * workers,
        "predicted / kernel": plan.core_seconds / kernel,
        "predicted / wall x workers": plan.core_seconds / (wall * workers),
    }
    for name, value in rows.items():
        print(f"{name:28} {value:8.2f}")


if __name__ == "__main__":
    main()
