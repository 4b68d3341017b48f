"""A point's bits depend on the point alone."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import simulate as module
from pipeline.provenance import one_blas_thread
from pipeline.resnet import initialize
from pipeline.simulate import Points, simulate
from pipeline.streams import draw_data, point_stream
from pipeline.sweep import Experiment
from pipeline.sweep_file import load_sweep
from pipeline.weights import Array, draw_explicit
from tests import notebook

GRID = [(beta, trial) for beta in (0.05, 0.3, 0.999, 1.0) for trial in range(3)]


def experiment(record: str = "layers", **model: object) -> Experiment:
    sets = [f"record={record}", *(f"model.{key}={value}" for key, value in model.items())]
    return load_sweep("smoke", sets).experiment


def points(cells: list[tuple[float, int]], depth: int = 6, width: int = 13) -> Points:
    betas, trials = zip(*cells, strict=True)
    return Points(depth, width, beta=np.array(betas), trial=np.array(trials))


def same_bits(found: dict[str, Array], expected: dict[str, Array]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].tobytes() == expected[name].tobytes() for name in expected
    )


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_blas_thread():
        yield


@given(
    order=st.lists(st.sampled_from(range(len(GRID))), min_size=1, unique=True),
    size=st.integers(1, 5),
    inputs=st.sampled_from([1, 3]),
    record=st.sampled_from(["layers", "output"]),
    weights=st.sampled_from(["sampled", "explicit"]),
)
@settings(deadline=None, max_examples=40)
def test_bits_do_not_depend_on_order_batch_or_subset(
    order: list[int], size: int, inputs: int, record: str, weights: str
) -> None:
    asked = experiment(record, inputs=inputs, weights=weights)
    whole = simulate(asked, points(GRID))
    cells = [GRID[index] for index in order]
    for start in range(0, len(order), size):
        part = simulate(asked, points(cells[start : start + size]))
        expected = {name: values[order[start : start + size]] for name, values in whole.items()}
        assert same_bits(part, expected)


def test_bits_do_not_depend_on_how_memory_splits_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    together = simulate(experiment(), points(GRID))
    monkeypatch.setattr(module, "points_together", lambda *_: 5)
    assert same_bits(simulate(experiment(), points(GRID)), together)


def test_every_coordinate_and_the_seed_choose_another_stream() -> None:
    reference = simulate(experiment(), points([(0.3, 0)]))["loss"]
    others = [
        simulate(experiment(), points([(0.3, 1)])),
        simulate(experiment(), points([(np.nextafter(0.3, 1), 0)])),
        simulate(experiment(), points([(0.3, 0)], depth=7)),
        simulate(experiment(), points([(0.3, 0)], width=14)),
        simulate(experiment().model_copy(update={"seed": 1}), points([(0.3, 0)])),
    ]
    losses = {float(reference[0]), *(float(other["loss"][0]) for other in others)}
    assert len(losses) == 1 + len(others)


def test_output_record_is_the_last_layer() -> None:
    layers = simulate(experiment("layers"), points(GRID))
    output = simulate(experiment("output"), points(GRID))
    for name, values in output.items():
        assert np.array_equal(values, layers[name] if "loss" in name else layers[name][:, -1])


def test_layer_one_has_no_angle_and_every_other_layer_has() -> None:
    bfa = simulate(experiment(), points(GRID))["bfa"]
    assert np.isnan(bfa[:, 0]).all()
    assert np.isfinite(bfa[:, 1:]).all()


def test_drawn_network_is_the_notebooks_with_the_same_stream() -> None:
    """The whole path, stream to observables, against the literal notebook."""
    asked, (beta, trial) = experiment(weights="explicit"), GRID[1]
    L, m, d, k = 6, 13, asked.model.input_dim, asked.model.output_dim
    stream = point_stream(asked.seed, depth=L, width=m, beta=beta, trial=trial)
    Ws, Vs = notebook.init_resnet(stream, d, m, k, L)
    X, Y = draw_data(asked)
    point = notebook.Point(X, Y, Ws, Vs, beta, eta=asked.step.learning_rate)
    computed = simulate(asked, points([(beta, trial)], depth=L, width=m))
    for name, expected in notebook.observables(point).items():
        np.testing.assert_allclose(computed[name][0], expected, rtol=1e-9, err_msg=name)


def test_initial_laws() -> None:
    """Entries have the variances of the model: 1/d, 2/m and 1/m^2; data 1/d and 1/k."""
    stream = np.random.Generator(np.random.SFC64(5))
    beta = 0.5
    net = initialize(
        [stream],
        np.array([beta]),
        dims=(50, 300, 40, 3),
        draw=partial(draw_explicit, [stream], 300),
    )
    V = net.beta_V[0].apply(np.eye(300)[None]) / beta
    X, Y = draw_data(experiment(input_dim=50, output_dim=20, inputs=400))
    for entries, variance in [
        (net.W_1, 1 / 50),
        (V, 2 / 300),
        (net.W_L, 1 / 300**2),
        (X, 1 / 50),
        (Y, 1 / 20),
    ]:
        error = np.sqrt(2 / entries.size)
        assert entries.var() / variance == pytest.approx(1, abs=4 * error)
        assert entries.mean() == pytest.approx(0, abs=4 * np.sqrt(variance / entries.size))
