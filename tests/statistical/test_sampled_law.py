"""Sampled and explicit matrices give observables of the same law.

Two-sample Kolmogorov-Smirnov tests, 4,000 points a side, on every observable at several layers and
on random projections of pairs of angles, for joint laws. The threshold controls the chance of one
false alarm in all tests of this file together (Bonferroni).
"""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from pipeline.provenance import one_blas_thread
from pipeline.sampled import Image, Product, Sampled, draw_noise
from pipeline.simulate import Points, simulate
from pipeline.sweep import Experiment
from pipeline.sweep_file import load_sweep
from pipeline.weights import Array

pytestmark = [pytest.mark.statistical, pytest.mark.timeout(1800)]

POINTS = 4000
FAMILY_WISE_ERROR = 0.01
TESTS = 144 * 30  # at most: configurations times statistics of each

WIDTHS, DEPTHS, INPUTS = [8, 16, 40], [4, 20], [1, 3]
BETAS = {"1/L": -1.0, "1/sqrt(L)": -0.5, "1": 0.0}
STEPS = list(itertools.product(["speed_controlled", "plain"], ["WV", "V"]))


def experiment(weights: str, rule: str, trained: str, n: int) -> Experiment:
    sets = [f"model.weights={weights}", f"model.inputs={n}", f"step.rule={rule}"]
    # both sides share the data X, Y, which the seed gives, and nothing else
    return load_sweep("smoke", [*sets, f"step.trained={list(trained)}"]).experiment


def observe(asked: Experiment, depth: int, width: int, beta: float) -> dict[str, Array]:
    first = 0 if asked.model.weights == "sampled" else POINTS
    trials = np.arange(first, first + POINTS)
    with one_blas_thread():
        return simulate(asked, Points(depth, width, np.full(POINTS, beta), trials))


def statistics(results: dict[str, Array], depth: int) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield named samples: losses, observables at three layers, projected pairs of angles."""
    layers = sorted({1, depth // 2 - 1, depth - 2})
    yield from ((name, results[name]) for name in ("loss", "loss_after"))
    for name in set(results) - {"loss", "loss_after"}:
        yield from ((f"{name}[{v + 1}]", results[name][:, v]) for v in layers)
    angles = results["bfa"]
    for first, second in itertools.combinations(layers, 2):
        for slope in (-1.3, 0.7):
            joint = angles[:, first] + slope * angles[:, second]
            yield f"bfa[{first + 1}] {slope:+} bfa[{second + 1}]", joint


def compare(asked: dict[str, Experiment], depth: int, width: int, beta: float) -> dict[str, float]:
    """Return the p-value of each statistic."""
    ours, theirs = (
        dict(statistics(observe(one, depth, width, beta), depth)) for one in asked.values()
    )
    return {name: p_value(ours[name], theirs[name]) for name in ours}


def p_value(ours: Array, theirs: Array) -> float:
    """Compare two samples; values that are not finite count as large ones, each kind alike."""
    ours, theirs = (
        np.nan_to_num(x, nan=2e300, posinf=1e300, neginf=-1e300) for x in (ours, theirs)
    )
    return float(ks_2samp(ours, theirs, method="asymp").pvalue)


@pytest.mark.parametrize(("rule", "trained"), STEPS)
@pytest.mark.parametrize("n", INPUTS)
def test_sampled_law_is_the_explicit_law(rule: str, trained: str, n: int) -> None:
    asked = {weights: experiment(weights, rule, trained, n) for weights in ("sampled", "explicit")}
    for width, depth, (label, power) in itertools.product(WIDTHS, DEPTHS, BETAS.items()):
        p_values = compare(asked, depth, width, depth**power)
        worst = min(p_values, key=lambda name: p_values[name])
        threshold = FAMILY_WISE_ERROR / TESTS
        assert p_values[worst] > threshold, (worst, width, depth, label, p_values[worst])


def unprojected_image(
    self: Sampled, direction: Array, square: Array, across: list[Product]
) -> Image:
    """Draw an image, but leave the fresh noise along the directions of the other side."""
    image = self._scale * np.sqrt(square) * next(self._noise)
    for product in across:
        image += product.weight * product.image.along(direction) * product.direction
    return Image(image)


def halve_variance(noise: Iterator[Array], layers: int) -> Iterator[Array]:
    """Halve the variance of all noise after the first forward pass."""
    for index, vector in enumerate(noise):
        yield vector if index < layers else vector * np.sqrt(0.5)


def reuse_forward_noise(noise: Iterator[Array], layers: int) -> Iterator[Array]:
    """Give each layer's backward product the noise of its forward product."""
    forward = [vector.copy() for vector in itertools.islice(noise, layers)]
    yield from forward
    yield from reversed(forward)
    yield from noise


@pytest.mark.parametrize("error", ["projection", "variance", "reuse"])
def test_planted_errors_are_caught(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    depth, width = 20, 16
    if error == "projection":
        monkeypatch.setattr(Sampled, "_image", unprojected_image)
    else:
        corrupt = {"variance": halve_variance, "reuse": reuse_forward_noise}[error]
        monkeypatch.setattr(
            "pipeline.simulate.draw_noise",
            lambda *arguments: corrupt(draw_noise(*arguments), depth - 2),
        )
    asked = {w: experiment(w, "speed_controlled", "WV", 1) for w in ("sampled", "explicit")}
    p_values = compare(asked, depth, width, beta=depth**-0.5)
    assert min(p_values.values()) < FAMILY_WISE_ERROR / TESTS
