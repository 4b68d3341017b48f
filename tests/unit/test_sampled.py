"""The sampler: around a given matrix it is that matrix; alone it never contradicts itself."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline import derivative, finite
from pipeline.observables import observe
from pipeline.resnet import Passes, backward, forward, initialize, loss
from pipeline.sampled import Image, Product, Sampled, draw_noise
from pipeline.simulate import Calculus, Points, move_layers, simulate
from pipeline.simulate import _rate as rate_of
from pipeline.streams import draw_data
from pipeline.sweep import Experiment
from pipeline.sweep_file import load_sweep
from pipeline.weights import Array, Explicit

M, L = 30, 9


class Given(Sampled):
    """A sampled matrix whose fresh images are the products of a given matrix."""

    def __init__(self, matrix: Explicit) -> None:
        super().__init__(matrix.scale, iter(()))
        self._matrix = matrix

    def _image(self, direction: Array, square: Array, across: list[Product]) -> Image:
        del square
        is_transposed = across is self._products
        product = self._matrix.apply_transposed if is_transposed else self._matrix.apply
        return Image(product(direction[..., None])[..., 0])


def observe_with(asked: Experiment, betas: Array, *, sampled: bool) -> dict[str, Array]:
    """The observables with explicit matrices, met directly or through the sampler."""
    stream = np.random.default_rng(5)
    X, Y = draw_data(asked)

    def draw(scale: Array) -> Explicit | Given:
        matrix = Explicit(stream.standard_normal((len(betas), M, M)), scale)
        return Given(matrix) if sampled else matrix

    calculus: Calculus = finite if asked.step.evaluate == "finite" else derivative
    with np.errstate(invalid="ignore"):
        dims = asked.model.input_dim, M, asked.model.output_dim, L
        streams = [np.random.default_rng(i) for i in range(len(betas))]
        net = initialize(streams, betas, dims=dims, draw=draw)
        before = forward(net, X)
        rate = rate_of(asked.step, L, asked.step.learning_rate)
        gradient = backward(net, before, Y, rate=rate, trained=asked.step.trained)
        layers = move_layers(calculus, Passes(net, Y, before, gradient))
        measured = observe(layers, eta=asked.step.learning_rate)
    f = before.f + net.W_L @ layers[-1].change_A
    return {**measured, "loss": loss(before.f, Y), "loss_after": loss(f, Y)}


@pytest.mark.parametrize(
    ("rule", "trained", "n", "evaluate"),
    list(
        itertools.product(
            ["speed_controlled", "plain"], ["WV", "V"], [1, 3], ["finite", "derivative"]
        )
    ),
)
def test_sampler_around_a_given_matrix_is_that_matrix(
    rule: str, trained: str, n: int, evaluate: str
) -> None:
    sets = [f"step.rule={rule}", f"step.trained={list(trained)}", f"step.evaluate={evaluate}"]
    asked = load_sweep("smoke", [*sets, f"model.inputs={n}"]).experiment
    betas = np.array([1 / L, L**-0.5, 0.999, 1.0])
    found = observe_with(asked, betas, sampled=True)
    expected = observe_with(asked, betas, sampled=False)
    for name, values in expected.items():
        # where the feature moves along b exactly, arccos turns a rounded 1 into 0 or 1.5e-8
        atol = 3e-8 if name == "bfa" and trained == "V" and n == 1 else 0
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=atol, err_msg=name)


def test_products_of_dependent_vectors_are_consistent() -> None:
    """A vector seen before, a multiple, a sum, zero: no new randomness, and V'y meets V x."""
    stream = np.random.Generator(np.random.SFC64(3))
    matrix = Sampled(np.full((1, 1, 1), 0.3), draw_noise([stream], 20, vectors=100))
    x, y, z = (np.random.default_rng(i).standard_normal((1, 20, 1)) for i in range(3))
    Vx, Vz = matrix.apply(x), matrix.apply(z)
    np.testing.assert_allclose(matrix.apply(-2 * x), -2 * Vx, rtol=1e-12)
    np.testing.assert_allclose(matrix.apply(x + 3 * z), Vx + 3 * Vz, rtol=1e-11)
    np.testing.assert_allclose(matrix.apply(x + 1e-9 * z) - Vx, 1e-9 * Vz, atol=1e-14)
    assert not matrix.apply(0 * x).any()
    Vty = matrix.apply_transposed(y)
    assert np.vdot(Vty, x) == pytest.approx(np.vdot(y, Vx), rel=1e-12)
    assert np.vdot(Vty, z) == pytest.approx(np.vdot(y, Vz), rel=1e-12)
    assert np.vdot(y, matrix.apply(y)) == pytest.approx(np.vdot(Vty, y), rel=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_tiny_widths_have_fewer_directions_than_products(width: int) -> None:
    asked = load_sweep("smoke", ["model.inputs=3"]).experiment
    points = Points(6, width, beta=np.full(50, 0.5), trial=np.arange(50))
    alive = np.isfinite(simulate(asked, points)["feature_speed"][:, -1])
    assert alive.any()


def test_derivative_is_the_limit_of_the_finite_step() -> None:
    points = Points(12, 40, beta=np.array([0.1, 0.3, 1.0]), trial=np.arange(3))
    results = {
        (evaluate, eta): simulate(
            load_sweep(
                "smoke", [f"step.evaluate={evaluate}", f"step.learning_rate={eta}"]
            ).experiment,
            points,
        )
        for evaluate, eta in [("derivative", 1e-3), ("finite", 1e-9)]
    }
    derivatives, differences = results.values()
    for name in set(derivatives) - {"loss_after"}:
        np.testing.assert_allclose(derivatives[name], differences[name], rtol=1e-5, err_msg=name)


def noise_of(block: int, streams: int) -> Iterator[Array]:
    return draw_noise(
        [np.random.Generator(np.random.SFC64(i)) for i in range(streams)], block, vectors=7
    )


def test_noise_is_each_streams_own_sequence() -> None:
    vectors = [vector.copy() for vector in noise_of(1500, streams=2)]
    assert len(vectors) == 7
    alone = np.random.Generator(np.random.SFC64(1)).standard_normal((7, 1500))
    assert np.array_equal(np.array(vectors)[:, 1], alone)
