"""Simulate points: draw networks, take one gradient step, measure how far the features moved."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.observables import Layer, observe
from pipeline.resnet import (
    Backward,
    Forward,
    ResNet,
    Update,
    backward,
    backward_change,
    change_output_signal,
    forward,
    forward_change,
    gradient_step,
    initialize,
    loss,
    plain_rate,
    speed_controlled_rate,
)
from pipeline.streams import draw_data, point_stream
from pipeline.sweep import Experiment, Step
from pipeline.weights import Array, draw_explicit

WORKING_SET = 64 * 2**20
"""Bytes that the points computed together may take, unless a single one takes more."""


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
    matrices = width * width
    passes_kept = 6 * width * model.inputs
    ends = width * (model.input_dim + model.output_dim)
    return 8 * (depth * (matrices + passes_kept) + ends)


def points_together(experiment: Experiment, depth: int, width: int) -> int:
    """Return how many points are computed in one go."""
    return max(1, WORKING_SET // bytes_per_point(experiment, depth, width))


def _split(points: Points, size: int) -> Iterator[Points]:
    for start in range(0, len(points), size):
        yield points[start : start + size]


def _simulate_together(experiment: Experiment, points: Points) -> dict[str, Array]:
    X, Y = draw_data(experiment)
    move = move_layers if experiment.record == "layers" else move_output
    # where nothing moves the angle is 0/0, and a step without a gradient has no bound: both stay
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        net = _draw(experiment, points)
        before = forward(net, X)
        gradient = backward(net, before, Y)
        step = _step(before, gradient, experiment.step, points.depth)
        layers = move(net, before, gradient, step, Y)
        measured = observe(layers, eta=experiment.step.learning_rate)
        f_after = before.f + net.W_L @ layers[-1].change_A
    if experiment.record == "output":
        measured = {name: values[:, 0] for name, values in measured.items()}
    return {"loss": loss(before.f, Y), "loss_after": loss(f_after, Y), **measured}


def move_layers(
    net: ResNet, before: Forward, gradient: Backward, step: Sequence[Update], Y: Array
) -> list[Layer]:
    """Take the step and return layers 1..L-1."""
    changes = list(forward_change(net, before, step))
    change_A = [np.zeros_like(before.A[0]), *(change.A for change in changes)]
    change_Q = [change.Q for change in changes]
    change_b = backward_change(net, before, gradient, step, change_Q, net.W_L @ change_A[-1], Y)
    return list(map(Layer, before.A, gradient.b, change_A, change_b))


def move_output(
    net: ResNet, before: Forward, gradient: Backward, step: Sequence[Update], Y: Array
) -> list[Layer]:
    """Take the step and return layer L-1 alone, which needs no second backward pass."""
    (last,) = deque(forward_change(net, before, step), maxlen=1)
    change_b = change_output_signal(net, net.W_L @ last.A, Y)
    return [Layer(before.A[-1], gradient.b[-1], last.A, change_b)]


def _draw(experiment: Experiment, points: Points) -> ResNet:
    streams = [
        point_stream(
            experiment.seed, depth=points.depth, width=points.width, beta=beta, trial=trial
        )
        for beta, trial in zip(points.beta.tolist(), points.trial.tolist(), strict=True)
    ]
    model = experiment.model
    dims = model.input_dim, points.width, model.output_dim, points.depth
    return initialize(streams, points.beta, dims=dims, draw=draw_explicit)


def _step(before: Forward, gradient: Backward, step: Step, depth: int) -> list[Update]:
    eta = step.learning_rate
    rate = {
        "plain": partial(plain_rate, eta=eta),
        "speed_controlled": partial(speed_controlled_rate, eta=eta, depth=depth),
    }[step.rule]
    return gradient_step(before, gradient, rate=rate, trained=step.trained)
