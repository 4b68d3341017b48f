"""Batches: every point once, neighbours together, costs even."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan import NOMINAL, TASK_OVERHEAD, TASK_SECONDS, pack, plan_sweep
from pipeline.sweep_file import load_sweep


@given(seed=st.integers(0, 100), share=st.floats(0, 1), size=st.sampled_from(["auto", "1", "7"]))
def test_batches_hold_every_point_to_do_once(seed: int, share: float, size: str) -> None:
    sets = ["axes.depth={start=5,stop=9}", "axes.width=[4,8]", "axes.trial=3"]
    sweep = load_sweep("smoke", [*sets, f"execution.points_per_task={size}"])
    todo = np.random.default_rng(seed).random(sweep.axes.shape) < share
    found = np.zeros(todo.shape, dtype=int)
    for batch in pack(sweep, todo):
        np.add.at(found, tuple(batch.cells.T), 1)
        for (i, j, b, t), beta, trial in zip(
            batch.cells, batch.points.beta, batch.points.trial, strict=True
        ):
            assert batch.points.depth == sweep.axes.depths[i]
            assert batch.points.width == sweep.axes.widths[j]
            assert beta == sweep.axes.betas(batch.points.depth)[b]
            assert trial == sweep.axes.trials[t]
    assert np.array_equal(found, todo)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_points_per_task_is_kept(size: int) -> None:
    sweep = load_sweep("branch_scale", [f"execution.points_per_task={size}"])
    sizes = [len(batch.points) for batch in pack(sweep, np.ones(sweep.axes.shape, dtype=bool))]
    assert max(sizes) == size
    assert min(sizes) >= size // 2


def test_automatic_batches_have_even_costs_and_start_with_the_dearest() -> None:
    sweep = load_sweep("depth", ["axes.width=[20]", "axes.trial=200"])
    batches = list(pack(sweep, np.ones(sweep.axes.shape, dtype=bool)))
    costs = [batch.cost for batch in batches]
    assert max(costs) <= TASK_SECONDS * 1.01
    assert np.median(costs) > 0.7 * TASK_SECONDS
    depths = [batch.points.depth for batch in batches]
    assert depths == sorted(depths, reverse=True)


def test_plan_counts() -> None:
    sweep = load_sweep("depth", ["execution.points_per_task=2"])
    todo = np.ones(sweep.axes.shape, dtype=bool)
    plan = plan_sweep(sweep, todo, NOMINAL)
    assert (plan.points, plan.tasks) == (955, 191 * 3)
    assert plan.stored_bytes == 955 * (9 * 8 + 1)
    kernel = sum(batch.cost for batch in pack(sweep, todo))
    assert plan.core_seconds == pytest.approx(kernel + plan.tasks * TASK_OVERHEAD)
