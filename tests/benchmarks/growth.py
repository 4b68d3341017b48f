"""How time and peak memory of a point grow with the width and with the depth.

    python -m tests.benchmarks.growth

Every row is a process of its own, with the environment of a worker, which computes one point after
another, as many together as the kernel takes at that width.
"""

import os
import resource
import subprocess
import sys
import time

import numpy as np

from pipeline.cluster import KEEP_FREED_MEMORY, ONE_THREAD
from pipeline.provenance import one_blas_thread
from pipeline.simulate import Points, simulate
from pipeline.sweep_file import load_sweep

WORKER = os.environ | ONE_THREAD | KEEP_FREED_MEMORY
BY_WIDTH = [(50, 10**power) for power in (3, 4, 5, 6)]
BY_DEPTH = [(depth, 10_000) for depth in (10, 100, 1000)]


def measure(depth: int, width: int) -> None:
    """Compute points, half of them to warm up; print the seconds of one and the peak memory."""
    experiment = load_sweep("depth").experiment
    count = max(2, 10**6 // width)
    points = Points(depth, width, np.full(count, depth**-0.5), np.arange(count))
    with one_blas_thread():
        simulate(experiment, points[: count // 2])
        started = time.perf_counter()
        simulate(experiment, points[count // 2 :])
        seconds = (time.perf_counter() - started) / (count - count // 2)
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def main() -> None:
    print(f"{'m':>9} {'L':>6} {'point':>10} {'ns / (m L)':>11} {'peak memory':>12}")
    for depth, width in [*BY_WIDTH, *BY_DEPTH]:
        command = [sys.executable, "-m", "tests.benchmarks.growth", str(depth), str(width)]
        printed = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=WORKER
        ).stdout
        seconds, gibibytes = map(float, printed.split())
        share = seconds / (depth * width) * 1e9
        print(f"{width:9,} {depth:6,} {seconds:8.4f} s {share:11.1f} {gibibytes:8.2f} GiB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
