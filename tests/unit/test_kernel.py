"""The kernel against the literal notebook, against finite differences, and against calculus."""

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from pipeline import finite
from pipeline.observables import observe
from pipeline.resnet import (
    Passes,
    ResNet,
    backward,
    forward,
    loss,
    plain_rate,
    speed_controlled_rate,
)
from pipeline.simulate import move_layers
from pipeline.weights import Array, Explicit
from tests import notebook

D, M, L = 5, 24, 8
BETAS = {"1/L": 1 / L, "1/sqrt(L)": L**-0.5, "0.999": 0.999, "1": 1.0}


def draw_points(k: int, n: int, betas: list[float], eta: float) -> list[notebook.Point]:
    """One point of the notebook for each beta, on shared data, each with its own matrices."""
    stream = np.random.default_rng(11)
    X = stream.standard_normal((D, n)) / np.sqrt(D)
    Y = stream.standard_normal((k, n)) / np.sqrt(k)
    points = []
    for beta in betas:
        Ws, Vs = notebook.init_resnet(stream, D, M, k, L)
        points.append(notebook.Point(X, Y, Ws, Vs, beta, eta))
    return points


def stack(points: list[notebook.Point]) -> ResNet:
    """The same matrices as one network of the kernel."""
    beta = np.array([p.beta for p in points])[:, None, None]
    return ResNet(
        beta,
        W_1=np.stack([p.Ws[1] for p in points]),
        beta_V=[Explicit(np.stack([p.Vs[l] for p in points]), beta) for l in range(2, L)],
        W_L=np.stack([p.Ws[L] for p in points]),
    )


def run_kernel(
    points: list[notebook.Point], rate: Callable[[Array, Array], Array], trained: list[str]
) -> dict[str, Array]:
    X, Y, eta = points[0].X, points[0].Y, points[0].eta
    net = stack(points)
    with np.errstate(invalid="ignore"):
        before = forward(net, X)
        gradient = backward(net, before, Y, rate=rate, trained=trained)
        layers = move_layers(finite, Passes(net, Y, before, gradient))
        measured = observe(layers, eta=eta)
    f_after = before.f + net.W_L @ layers[-1].change_A
    return {**measured, "loss": loss(before.f, Y), "loss_after": loss(f_after, Y)}


@pytest.mark.parametrize(
    ("rule", "trained", "n", "k"),
    list(itertools.product(["speed_controlled", "plain"], [["W", "V"], ["V"]], [1, 3], [1, 2])),
)
def test_agrees_with_the_literal_notebook(rule: str, trained: list[str], n: int, k: int) -> None:
    eta = {"speed_controlled": 1e-3, "plain": 0.1}[rule]
    points = draw_points(k, n, list(BETAS.values()), eta)
    rate = {
        "speed_controlled": partial(speed_controlled_rate, eta=eta, depth=L),
        "plain": partial(plain_rate, eta=eta),
    }[rule]
    computed = run_kernel(points, rate, trained)
    for index, point in enumerate(points):
        point.speed_controlled = rule == "speed_controlled"
        point.train_W = "W" in trained
        for name, literal in notebook.observables(point).items():
            found, expected = computed[name][index], literal
            if name == "bfa" and not point.train_W and n == 1:
                # here layer 2 moves along b exactly: arccos turns a rounded 1 into 0 or 1.5e-8
                np.testing.assert_allclose([found[1], expected[1]], 0, atol=3e-8)
                found, expected = np.delete(found, 1), np.delete(expected, 1)
            np.testing.assert_allclose(
                found, expected, rtol=1e-10, err_msg=f"{name}, beta={point.beta}"
            )


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 2)])
def test_backward_pass_is_the_gradient_of_the_loss(n: int, k: int) -> None:
    (point,) = draw_points(k, n, [0.6], eta=1.0)
    X, Y, net = point.X, point.Y, stack([point])
    direction = np.random.default_rng(3).standard_normal((1, M, n))
    before = forward(net, X)
    b = backward(net, before, Y, rate=partial(plain_rate, eta=1.0), trained="V").b
    h = 1e-6
    for v in range(1, L):

        def loss_after_moving(shift: float, v: int = v) -> float:
            """The loss when the feature of layer v is moved along `direction`."""
            A = before.A[v - 1] + shift * direction
            for V in net.beta_V[v - 1 :]:
                A = net.skip * A + V.apply(np.maximum(A, 0))
            return float(loss(net.W_L @ A, Y)[0])

        expected = (loss_after_moving(h) - loss_after_moving(-h)) / (2 * h)
        assert np.vdot(b[v - 1], direction) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("beta", [0.35, 0.999, 1.0])
@pytest.mark.parametrize("trained", [["W", "V"], ["V"]])
def test_loss_decays_at_the_rate_of_gradient_times_update(beta: float, trained: list[str]) -> None:
    """The true gradient of V_l is beta b_l Q_l'; the notebook's dV_l lacks the beta."""
    (point,) = draw_points(2, 3, [beta], eta=1e-7)
    net, Y = stack([point]), point.Y
    before = forward(net, point.X)
    rate = partial(plain_rate, eta=point.eta)
    gradient = backward(net, before, Y, rate=rate, trained=trained)
    *_, last = finite.forward_change(Passes(net, Y, before, gradient))
    expected = 0.0
    for index in range(L - 2):
        BP = (before.Q[index] > 0) * gradient.BQ[index]
        dW = BP[0] @ before.A[index][0].T
        dV = gradient.b[index + 1][0] @ before.Q[index][0].T
        expected += beta * (dV**2).sum()
        expected += (dW**2).sum() if "W" in trained else 0
    decay = (loss(before.f, Y) - loss(before.f + net.W_L @ last.A, Y))[0] / point.eta
    assert decay == pytest.approx(expected, rel=1e-5)


def test_speed_controlled_updates_share_the_loss_decay_equally() -> None:
    (point,) = draw_points(1, 3, [0.5], eta=1.0)
    net = stack([point])
    before = forward(net, point.X)
    rate = partial(speed_controlled_rate, eta=0.1, depth=L)
    for update in backward(net, before, point.Y, rate=rate, trained="WV").step:
        for matrix in filter(None, update):
            dM = matrix.left[0] @ matrix.right[0].T
            is_V = matrix is update.dbeta_V
            moved = matrix.rate[0, 0, 0] / (point.beta if is_V else 1)
            assert moved * (dM**2).sum() == pytest.approx(0.1 / L, rel=1e-12)


def test_small_steps_do_not_cancel() -> None:
    """The angle at a step of 1e-13 is that of the derivative, not of rounding."""
    angles = []
    for eta in (1e-7, 1e-13):
        points = draw_points(1, 1, [0.5], eta)
        rate = partial(speed_controlled_rate, eta=eta, depth=L)
        angles.append(run_kernel(points, rate, ["W", "V"])["bfa"][0, 1:])
    np.testing.assert_allclose(angles[1], angles[0], rtol=1e-5)
