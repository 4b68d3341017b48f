"""Simulate points: draw networks, take one gradient step, measure how far the features moved."""

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
    backward,
    descend,
    forward,
    initialize,
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
    # where nothing moves the angle is 0/0, and a step without a gradient has no bound: both stay
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        net = _draw(experiment, points)
        before = forward(net, X, Y)
        gradient = backward(net, before, Y)
        stepped = _step(net, before, gradient, experiment.step)
        after = forward(stepped, X, Y)
        layers = _recorded_layers(experiment, points.depth)
        gradient_after = backward(stepped, after, Y, down_to=layers[0])
        moved = [
            Layer(before.A[v - 1], gradient.b[v - 1], after.A[v - 1], b_after)
            for v, b_after in zip(layers, gradient_after.b, strict=True)
        ]
        measured = observe(moved, eta=experiment.step.learning_rate)
    if experiment.record == "output":
        measured = {name: values[:, 0] for name, values in measured.items()}
    return {"loss": before.loss, "loss_after": after.loss, **measured}


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


def _step(net: ResNet, before: Forward, gradient: Backward, step: Step) -> ResNet:
    rate = {
        "plain": partial(plain_rate, eta=step.learning_rate),
        "speed_controlled": partial(speed_controlled_rate, eta=step.learning_rate, depth=net.depth),
    }[step.rule]
    return descend(net, before, gradient, rate=rate, trained=step.trained)


def _recorded_layers(experiment: Experiment, depth: int) -> Sequence[int]:
    return range(1, depth) if experiment.record == "layers" else [depth - 1]
