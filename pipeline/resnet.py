"""A ReLU ResNet: forward pass, backward pass, and one gradient step.

The model of Chizat & Netrapalli, "The Feature Speed Formula" (arXiv:2311.18718), in the paper's
letters: depth L, width m, branch scale beta, inputs X (d, n), targets Y (k, n). Layers are numbered
1..L: an embedding, L - 2 residual layers, an output. Sequences over layers start at layer 1 for the
features A and the backward signals b, at layer 2 for what belongs to a residual layer. W_l = I
before the step, and V_l occurs with the factor beta alone.

The first axis of every array runs over the points computed together.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.weights import Array, LowRank, Matrix, gram, transpose


@dataclass(frozen=True, slots=True)
class ResNet:
    """The weights of a network.

    Parameters
    ----------
    beta
        Branch scale, shape (points, 1, 1).
    W_1
        Embedding, shape (points, m, d).
    beta_V
        The matrices beta V_l of the residual layers 2..L-1.
    W_L
        Output layer, shape (points, k, m).
    """

    beta: Array
    W_1: Array
    beta_V: Sequence[Matrix]
    W_L: Array

    @property
    def skip(self) -> Array:
        """Weight of the skip connection, sqrt(1 - beta^2), shape (points, 1, 1)."""
        return np.sqrt(1 - self.beta**2)


class Forward(NamedTuple):
    """A forward pass: features A_1..A_{L-1}, units Q_2..Q_{L-1}, output f (points, k, n)."""

    A: list[Array]
    Q: list[Array]
    f: Array


class Update(NamedTuple):
    """What the step takes from W_l = I and from beta V_l; None: nothing."""

    dW: LowRank | None
    dbeta_V: LowRank


class Backward(NamedTuple):
    """A backward pass: signals b_1..b_{L-1} of the features, BQ_l and the step of layers 2..L-1."""

    b: list[Array]
    BQ: list[Array]
    step: list[Update]


class Passes(NamedTuple):
    """A network, its targets, and its passes before the step."""

    net: ResNet
    Y: Array
    forward: Forward
    backward: Backward


class Change(NamedTuple):
    """The change of a residual layer's feature A_l and units Q_l, after minus before."""

    A: Array
    Q: Array


def initialize(
    streams: Sequence[np.random.Generator],
    beta: Array,
    *,
    dims: tuple[int, int, int, int],
    draw: Callable[[Array], Matrix],
) -> ResNet:
    """Draw a network for every point, each from its own stream.

    W_1 ~ N(0, 1/d), V_l ~ N(0, 2/m), W_L ~ N(0, 1/m^2), asked for in this order.

    Parameters
    ----------
    streams
        One stream a point.
    beta
        Branch scales, shape (points,).
    dims
        Input dimension d, width m, output dimension k, depth L.
    draw
        Draws one matrix a point, given the standard deviation of an entry.
    """
    d, m, k, L = dims
    beta = beta[:, None, None]
    W_1 = np.stack([stream.standard_normal((m, d)) for stream in streams]) / np.sqrt(d)
    beta_V = [draw(beta * np.sqrt(2 / m)) for _ in range(2, L)]
    W_L = np.stack([stream.standard_normal((k, m)) for stream in streams]) / m
    return ResNet(beta, W_1, beta_V, W_L)


def forward(net: ResNet, X: Array) -> Forward:
    """Run the forward pass.

    A_1 = W_1 X, Q_l = relu(A_{l-1}), A_l = sqrt(1 - beta^2) A_{l-1} + beta V_l Q_l,
    f = W_L A_{L-1}.
    """
    A, Q, skip = [net.W_1 @ X], [], net.skip
    for beta_V in net.beta_V:
        Q.append(np.maximum(A[-1], 0))
        A.append(skip * A[-1])
        A[-1] += beta_V.apply(Q[-1])
    return Forward(A, Q, f=net.W_L @ A[-1])


def loss(f: Array, Y: Array) -> Array:
    """Return sum((f - Y)^2) / 2 / size(Y), shape (points,)."""
    squares: Array = ((f - Y) ** 2).sum(axis=(1, 2))
    return squares / 2 / Y.size


def backward(
    net: ResNet,
    outcome: Forward,
    Y: Array,
    *,
    rate: Callable[[Array, Array], Array],
    trained: Collection[str],
) -> Backward:
    """Run the backward pass, and take the gradient step of each residual layer on the way.

    b_{L-1} = W_L' (f - Y) / size(Y), BQ_l = beta V_l' b_l, BP_l = 1[P_l > 0] BQ_l,
    b_{l-1} = BP_l + sqrt(1 - beta^2) b_l; P_l > 0 where Q_l > 0. The step takes
    dW_l = rate BP_l A_{l-1}' and dV_l = rate b_l Q_l' (no factor beta, as in the notebook);
    W_1 and W_L stay.

    Parameters
    ----------
    rate
        Gives the step size (points, 1, 1) of a gradient from its two factors (points, m, n):
        `plain_rate` or `speed_controlled_rate`.
    trained
        The matrices that move: "W", "V" or both.
    """
    b, BQ, step, skip = [transpose(net.W_L) @ ((outcome.f - Y) / Y.size)], [], [], net.skip
    for beta_V, A, Q in zip(net.beta_V[::-1], outcome.A[-2::-1], outcome.Q[::-1], strict=True):
        BQ.append(beta_V.apply_transposed(b[-1]))
        BP = (Q > 0) * BQ[-1]
        dW = LowRank(rate(BP, A), BP, A) if "W" in trained else None
        step.append(Update(dW, LowRank(net.beta * rate(b[-1], Q), b[-1], Q)))
        b.append(skip * b[-1])
        b[-1] += BP
    return Backward(b[::-1], BQ[::-1], step[::-1])


def plain_rate(left: Array, right: Array, *, eta: float) -> Array:
    """Return eta: plain gradient descent."""
    del right
    return np.full((len(left), 1, 1), eta)


def speed_controlled_rate(left: Array, right: Array, *, eta: float, depth: int) -> Array:
    """Return eta / (L ||left right'||^2): every matrix lowers the loss by an equal share.

    The norm is that of the n x n Gram matrices' product; no m x m matrix is formed.
    """
    grams = gram(left, left) * gram(right, right)
    squared_norm: Array = grams.sum(axis=(1, 2), keepdims=True)
    return eta / (depth * squared_norm)


def change_output_signal(passes: Passes, change_f: Array) -> Array:
    """Return how far b_{L-1} = W_L' (f - Y) / size(Y) moves."""
    return transpose(passes.net.W_L) @ (change_f / passes.Y.size)
