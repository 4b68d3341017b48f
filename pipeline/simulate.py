"""Simulate points: draw networks, take one gradient step, measure how far the features moved."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline import derivative, finite
from pipeline.observables import Layer, observe
from pipeline.resnet import (
    Change,
    Passes,
    ResNet,
    backward,
    change_output_signal,
    forward,
    initialize,
    loss,
    plain_rate,
    speed_controlled_rate,
)
from pipeline.sampled import Sampled, draw_noise
from pipeline.streams import draw_data, point_stream
from pipeline.sweep import Experiment, Step
from pipeline.weights import Array, Matrix, draw_explicit

WORKING_SET = 512 * 2**20
"""Bytes that the points computed together may take, unless a single one takes more."""

VECTOR_NUMBERS = 20_000
"""Numbers aimed at in a vector of the points computed together."""


@dataclass(frozen=True)
class Points:
    """Points of one depth and width: branch scales and trial numbers, shape (points,) each."""

    depth: int
    width: int
    beta: NDArray[np.float64]
    trial: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.beta)

    def __getitem__(self, index: slice) -> "Points":
        return Points(self.depth, self.width, self.beta[index], self.trial[index])


def simulate(experiment: Experiment, points: Points) -> dict[str, Array]:
    """Compute the observables of points of one depth and width.

    A point's numbers depend on nothing but the experiment and the point, to the bit, as long as
    BLAS runs on one thread.

    Returns
    -------
    dict
        `loss` and `loss_after`, shape (points,), and the observables of `observe`: shape
        (points, L - 1) if the experiment records layers, else (points,), of layer L - 1.
    """
    size = points_together(experiment, points.depth, points.width)
    parts = [_simulate_together(experiment, part) for part in _split(points, size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def bytes_per_point(experiment: Experiment, depth: int, width: int) -> int:
    """Return the memory that one point takes while it is computed."""
    model = experiment.model
    matrix = width * width if model.weights == "explicit" else 0
    vectors = 12 * width * model.inputs
    ends = width * (model.input_dim + model.output_dim)
    return 8 * (depth * (matrix + vectors) + ends)


def points_together(experiment: Experiment, depth: int, width: int) -> int:
    """Return how many points are computed in one go: few calls, but vectors that fit the cache."""
    by_cache = VECTOR_NUMBERS // width
    by_memory = WORKING_SET // bytes_per_point(experiment, depth, width)
    return max(1, min(by_cache, by_memory))


def _split(points: Points, size: int) -> Iterator[Points]:
    for start in range(0, len(points), size):
        yield points[start : start + size]


class Calculus(Protocol):
    """How the passes change by the step: `pipeline.finite` or `pipeline.derivative`."""

    def forward_change(self, passes: Passes) -> Iterator[Change]:
        """Yield the changes of the residual layers' features and units."""
        ...

    def backward_change(
        self, passes: Passes, change_Q: Sequence[Array], change_f: Array
    ) -> list[Array]:
        """Return the changes of the backward signals b_1..b_{L-1}."""
        ...

    def loss_after(self, f: Array, change_f: Array, Y: Array, *, eta: float) -> Array:
        """Return the loss after the step."""
        ...


def _simulate_together(experiment: Experiment, points: Points) -> dict[str, Array]:
    X, Y = draw_data(experiment)
    step = experiment.step
    calculus: Calculus = finite if step.evaluate == "finite" else derivative
    unit = step.learning_rate if step.evaluate == "finite" else 1.0
    move = move_layers if experiment.record == "layers" else move_output
    # where nothing moves the angle is 0/0, and a step without a gradient has no bound: both stay
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        net = _draw(experiment, points)
        before = forward(net, X)
        rate = _rate(step, points.depth, unit)
        gradient = backward(net, before, Y, rate=rate, trained=step.trained)
        layers = move(calculus, Passes(net, Y, before, gradient))
        measured = observe(layers, eta=unit)
        change_f = net.W_L @ layers[-1].change_A
        after = calculus.loss_after(before.f, change_f, Y, eta=step.learning_rate)
    if experiment.record == "output":
        measured = {name: values[:, 0] for name, values in measured.items()}
    return {"loss": loss(before.f, Y), "loss_after": after, **measured}


def move_layers(calculus: Calculus, passes: Passes) -> list[Layer]:
    """Take the step and return layers 1..L-1."""
    changes = list(calculus.forward_change(passes))
    A = passes.forward.A
    change_A = [np.zeros_like(A[0]), *(change.A for change in changes)]
    change_Q = [change.Q for change in changes]
    change_b = calculus.backward_change(passes, change_Q, passes.net.W_L @ change_A[-1])
    return list(map(Layer, A, passes.backward.b, change_A, change_b))


def move_output(calculus: Calculus, passes: Passes) -> list[Layer]:
    """Take the step and return layer L-1 alone, which needs no second backward pass."""
    (last,) = deque(calculus.forward_change(passes), maxlen=1)
    change_b = change_output_signal(passes, passes.net.W_L @ last.A)
    return [Layer(passes.forward.A[-1], passes.backward.b[-1], last.A, change_b)]


def _draw(experiment: Experiment, points: Points) -> ResNet:
    streams = [
        point_stream(
            experiment.seed, depth=points.depth, width=points.width, beta=beta, trial=trial
        )
        for beta, trial in zip(points.beta.tolist(), points.trial.tolist(), strict=True)
    ]
    model = experiment.model
    dims = model.input_dim, points.width, model.output_dim, points.depth
    return initialize(streams, points.beta, dims=dims, draw=_law(experiment, streams, points))


def _law(
    experiment: Experiment, streams: Sequence[np.random.Generator], points: Points
) -> Callable[[Array], Matrix]:
    """Return what draws a matrix a point, given the standard deviation of an entry."""
    if experiment.model.weights == "explicit":
        return partial(draw_explicit, streams, points.width)
    products = 4 if experiment.record == "layers" else 3
    vectors = products * (points.depth - 2) * experiment.model.inputs
    return partial(Sampled, noise=draw_noise(streams, points.width, vectors))


def _rate(step: Step, depth: int, eta: float) -> Callable[[Array, Array], Array]:
    if step.rule == "plain":
        return partial(plain_rate, eta=eta)
    return partial(speed_controlled_rate, eta=eta, depth=depth)
