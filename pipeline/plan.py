"""What a sweep will cost, and its points packed into tasks of equal cost."""

import math
import timeit
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from pipeline import cube
from pipeline.simulate import Points, bytes_per_point, points_together, simulate
from pipeline.sweep import Experiment, Sweep

TASK_SECONDS = 0.5
"""Duration aimed at for a task: long beside Dask's millisecond, short beside a flush."""

TASK_OVERHEAD = 2e-3
"""Seconds a worker spends on a task beside the kernel."""

LEAST_TASKS = 16
"""A sweep too short for tasks of that duration is cut into this many, for all workers to share."""

WIDEST_PROBE = 1000

PROCESS_BYTES = 200 * 2**20
"""Memory of a worker before its first point: interpreter, NumPy, Dask."""

FLOPS_PER_NORMAL = 32
"""Cost of drawing a normal number, in multiply-adds of a matrix product."""


@dataclass(frozen=True)
class Batch:
    """Points that travel as one task.

    Parameters
    ----------
    points
        What to compute.
    cells
        Where the results go: positions along depth, width, beta and trial, shape (points, 4).
    cost
        Predicted seconds.
    """

    points: Points
    cells: NDArray[np.int64]
    cost: float

    def split(self) -> Iterator["Batch"]:
        """Yield the points one by one."""
        count = len(self.points)
        for index in range(count):
            one = slice(index, index + 1)
            yield Batch(self.points[one], self.cells[one], self.cost / count)


@dataclass(frozen=True)
class CostModel:
    """Seconds of a point: layers times (a constant, and a share of the kernel's operations)."""

    per_layer: float
    per_operation: float

    def seconds(self, experiment: Experiment, depth: int, width: int) -> float:
        """Return the predicted seconds of one point on one core."""
        work = operations_per_layer(experiment, width)
        return depth * (self.per_layer + self.per_operation * work)


NOMINAL = CostModel(per_layer=5e-5, per_operation=2.5e-10)
"""A fixed machine: the packing of points into tasks depends on the sweep alone."""


@dataclass(frozen=True)
class Plan:
    """What a sweep will take: counts, bytes, and seconds on one core."""

    points: int
    tasks: int
    chunks: int
    stored_bytes: int
    core_seconds: float
    worker_bytes: int


def operations_per_layer(experiment: Experiment, width: int) -> int:
    """Count the multiply-adds of a residual layer: what is drawn, and its products in each pass."""
    n = experiment.model.inputs
    passes = 4 if experiment.record == "layers" else 3
    vectors = passes * width * n * (FLOPS_PER_NORMAL + 20 * n)
    if experiment.model.weights == "sampled":
        return vectors
    return vectors + width * width * (FLOPS_PER_NORMAL + passes * n)


def measure_costs(sweep: Sweep) -> CostModel:
    """Calibrate the cost model by short runs of the kernel, at a tiny and at the largest width.

    A width too large to try in a moment is extrapolated to, by the count of operations.
    """
    widths = 8, min(max(sweep.axes.widths[-1], 64), WIDEST_PROBE)
    work = [operations_per_layer(sweep, w) for w in widths]
    tiny, wide = (_seconds_per_layer(sweep, w) for w in widths)
    per_operation = max(wide - tiny, 0) / (work[1] - work[0])
    return CostModel(max(tiny - per_operation * work[0], 0), per_operation)


def plan_sweep(sweep: Sweep, todo: NDArray[np.bool_], costs: CostModel) -> Plan:
    """Predict what the points still to do will take.

    Parameters
    ----------
    todo
        Which points to compute, shape (depth, width, beta, trial).
    """
    groups = [(L, m) for L in sweep.axes.depths for m in sweep.axes.widths]
    seconds = [costs.seconds(sweep, L, m) for L, m in groups]
    counts = todo.sum(axis=(2, 3)).ravel()
    values = sum(math.prod(shape) * itemsize for shape, itemsize in _arrays(sweep))
    chunks = math.prod(map(math.ceil, np.divide(sweep.axes.shape, cube.chunk_shape(sweep))))
    tasks = sum(1 for _ in pack(sweep, todo))
    return Plan(
        points=int(todo.sum()),
        tasks=tasks,
        chunks=chunks * len(_arrays(sweep)),
        stored_bytes=values,
        core_seconds=float(np.dot(counts, seconds)) + tasks * TASK_OVERHEAD,
        worker_bytes=PROCESS_BYTES + max(_bytes_together(sweep, L, m) for L, m in groups),
    )


def pack(sweep: Sweep, todo: NDArray[np.bool_]) -> Iterator[Batch]:
    """Pack the points to do into batches, the dearest points first.

    A batch holds neighbours of one depth and width: as many as `points_per_task` says, or by
    default as fit a fixed predicted duration.
    """
    seconds = {
        (i, j): NOMINAL.seconds(sweep, L, m)
        for (i, L), (j, m) in product(enumerate(sweep.axes.depths), enumerate(sweep.axes.widths))
    }
    total = float(sum(todo[group].sum() * cost for group, cost in seconds.items()))
    duration = min(TASK_SECONDS, total / LEAST_TASKS)
    for group in sorted(seconds, key=lambda group: -seconds[group]):
        asked = sweep.execution.points_per_task
        size = max(1, int(duration / seconds[group])) if asked == "auto" else asked
        yield from _pack_group(sweep, group, np.argwhere(todo[group]), size, seconds[group])


def _pack_group(
    sweep: Sweep, group: tuple[int, int], inner: NDArray[np.int64], size: int, seconds: float
) -> Iterator[Batch]:
    """Cut the points of one depth and width, given by beta and trial index, into even batches."""
    depth, width = sweep.axes.depths[group[0]], sweep.axes.widths[group[1]]
    betas = np.array(sweep.axes.betas(depth))
    for part in np.array_split(inner, math.ceil(len(inner) / size)) if len(inner) else []:
        cells = np.hstack([np.tile(np.array(group), (len(part), 1)), part])
        points = Points(depth, width, beta=betas[part[:, 0]], trial=part[:, 1])
        yield Batch(points, cells, cost=seconds * len(part))


def _seconds_per_layer(sweep: Sweep, width: int) -> float:
    """Time the kernel, warmed up, on as many points and layers as a moment allows."""
    moment = 0.1
    *_, betas, trials = sweep.axes.shape
    together = points_together(sweep, sweep.axes.depths[-1], width)
    affordable = moment / NOMINAL.seconds(sweep, 1, width)
    depth = int(np.clip(affordable, 4, max(4, sweep.axes.depths[-1])))
    count = int(np.clip(affordable / depth, 1, min(together, betas * trials)))
    points = Points(depth, width, np.full(count, depth**-0.5), np.arange(count))
    seconds = timeit.repeat(lambda: simulate(sweep, points), number=1, repeat=4)
    return min(seconds[1:]) / (depth * count)


def _arrays(sweep: Sweep) -> list[tuple[tuple[int, ...], int]]:
    """Return shape and item size of every data variable of numbers."""
    layers = (cube.layer_count(sweep),)
    return [
        (sweep.axes.shape + layers * cube.has_layers(name, sweep), np.dtype(v.dtype).itemsize)
        for name, v in cube.VARIABLES.items()
        if v.dtype != "string"
    ]


def _bytes_together(sweep: Sweep, depth: int, width: int) -> int:
    return points_together(sweep, depth, width) * bytes_per_point(sweep, depth, width)
