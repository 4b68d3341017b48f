"""Time of a point over the time to draw its own random numbers: the floor of any exact sampler.

python -m tests.benchmarks.point [--points P] [--record output|layers]
"""

import argparse
import timeit
from functools import partial

import numpy as np

from pipeline.provenance import one_blas_thread
from pipeline.simulate import Points, simulate
from pipeline.sweep_file import load_sweep

SIZES = [(200, 200), (500, 500), (2000, 500)]
REPEATS = 5


def draw_only(points: int, vectors: int, width: int) -> None:
    """Draw the numbers of the points and nothing else, from streams like theirs."""
    block = np.empty(4096)
    for seed in range(points):
        stream = np.random.Generator(np.random.SFC64(seed))
        for _ in range(-(-vectors * width // block.size)):
            stream.standard_normal(out=block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=25)
    parser.add_argument("--record", choices=["output", "layers"], default="output")
    arguments = parser.parse_args()
    count = arguments.points
    experiment = load_sweep("depth", [f"record={arguments.record}"]).experiment
    products = 3 if arguments.record == "output" else 4
    print(f"{'m':>6} {'L':>6} {'point':>9} {'draw':>9} {'ratio':>6}   (median of {REPEATS} pairs)")
    for width, depth in SIZES:
        points = Points(depth, width, np.full(count, depth**-0.5), np.arange(count))
        with one_blas_thread():
            simulate(experiment, points)
            kernel = timeit.Timer(partial(simulate, experiment, points))
            floor = timeit.Timer(partial(draw_only, count, products * depth, width))
            pairs = [(kernel.timeit(1), floor.timeit(1)) for _ in range(REPEATS)]
        ratio = float(np.median([point / draw for point, draw in pairs]))
        point, draw = (float(np.median(times)) / count * 1e3 for times in zip(*pairs, strict=True))
        print(f"{width:6} {depth:6} {point:6.2f} ms {draw:6.2f} ms {ratio:6.2f}")


if __name__ == "__main__":
    main()
