"""A ReLU ResNet of residual branches V relu(W .): forward pass, backward pass, one gradient step.

The model of Chizat & Netrapalli, "The Feature Speed Formula" (arXiv:2311.18718), in the paper's
letters: depth L, width m, branch scale beta, inputs X (d, n), targets Y (k, n). Layers are numbered
1..L: an embedding, L - 2 residual layers, an output. Sequences over layers start at layer 1 for the
features A and the backward signals b, at layer 2 for what belongs to a residual layer.

The first axis of every array runs over the points computed together.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pipeline.weights import Array, Identity, Matrix, Updated, transpose


class Residual(NamedTuple):
    """The two matrices of a residual layer."""

    W: Matrix
    V: Matrix


@dataclass(frozen=True, slots=True)
class ResNet:
    """The weights of a network.

    Parameters
    ----------
    beta
        Branch scale, shape (points, 1, 1).
    W_1
        Embedding, shape (points, m, d).
    residuals
        Layers 2..L-1.
    W_L
        Output layer, shape (points, k, m).
    """

    beta: Array
    W_1: Array
    residuals: Sequence[Residual]
    W_L: Array

    @property
    def skip(self) -> Array:
        """Weight of the skip connection, sqrt(1 - beta^2), shape (points, 1, 1)."""
        return np.sqrt(1 - self.beta**2)

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return len(self.residuals) + 2


class Forward(NamedTuple):
    """A forward pass: features A_1..A_{L-1}, units Q_2..Q_{L-1}, output f, loss (points,)."""

    A: list[Array]
    Q: list[Array]
    f: Array
    loss: Array


class Backward(NamedTuple):
    """A backward pass: signals b_v of the features, BP_l of the pre-activations, deepest last."""

    b: list[Array]
    BP: list[Array]


def initialize(
    streams: Sequence[np.random.Generator],
    beta: Array,
    *,
    dims: tuple[int, int, int, int],
    draw: Callable[[Sequence[np.random.Generator], int], Matrix],
) -> ResNet:
    """Draw a network for every point, each from its own stream.

    W_1 ~ N(0, 1/d), W_l = I, V_l ~ N(0, 2/m), W_L ~ N(0, 1/m^2), drawn in this order.

    Parameters
    ----------
    streams
        One stream a point.
    beta
        Branch scales, shape (points,).
    dims
        Input dimension d, width m, output dimension k, depth L.
    draw
        Draws one matrix V a point, given the streams and m.
    """
    d, m, k, L = dims
    W_1 = np.stack([stream.standard_normal((m, d)) for stream in streams]) / np.sqrt(d)
    residuals = [Residual(W=Identity(), V=draw(streams, m)) for _ in range(2, L)]
    W_L = np.stack([stream.standard_normal((k, m)) for stream in streams]) / m
    return ResNet(beta=beta[:, None, None], W_1=W_1, residuals=residuals, W_L=W_L)


def forward(net: ResNet, X: Array, Y: Array) -> Forward:
    """Run the forward pass.

    A_1 = W_1 X, Q_l = relu(W_l A_{l-1}), A_l = sqrt(1 - beta^2) A_{l-1} + beta V_l Q_l,
    f = W_L A_{L-1}, loss = sum((f - Y)^2) / 2 / size(Y).
    """
    A, Q = [net.W_1 @ X], []
    for W, V in net.residuals:
        Q.append(np.maximum(W.apply(A[-1]), 0))
        A.append(net.skip * A[-1] + net.beta * V.apply(Q[-1]))
    f = net.W_L @ A[-1]
    return Forward(A, Q, f, loss=((f - Y) ** 2).sum(axis=(1, 2)) / 2 / Y.size)


def backward(net: ResNet, outcome: Forward, Y: Array, *, down_to: int = 1) -> Backward:
    """Run the backward pass from the output down to one layer.

    b_{L-1} = W_L' (f - Y) / size(Y), BP_l = 1[P_l > 0] beta V_l' b_l,
    b_{l-1} = W_l' BP_l + sqrt(1 - beta^2) b_l; P_l > 0 where Q_l > 0.

    Parameters
    ----------
    down_to
        The lowest layer v whose b_v is wanted.
    """
    b, BP = [transpose(net.W_L) @ ((outcome.f - Y) / Y.size)], []
    for layer in range(net.depth - 1, down_to, -1):
        (W, V), Q = net.residuals[layer - 2], outcome.Q[layer - 2]
        BP.append(np.where(Q > 0, net.beta * V.apply_transposed(b[-1]), 0))
        b.append(W.apply_transposed(BP[-1]) + net.skip * b[-1])
    return Backward(b[::-1], BP[::-1])


def descend(
    net: ResNet,
    before: Forward,
    gradient: Backward,
    *,
    rate: Callable[[Array, Array], Array],
    trained: Collection[str],
) -> ResNet:
    """Take one gradient step on the residual layers.

    dW_l = BP_l A_{l-1}', dV_l = b_l Q_l' (no factor beta, as in the notebook); W_1 and W_L stay.

    Parameters
    ----------
    rate
        Gives the step size (points, 1, 1) of an update from its two factors (points, m, n):
        `plain_rate` or `speed_controlled_rate`.
    trained
        The matrices that move: "W", "V" or both.
    """
    residuals = []
    for (W, V), A, b, Q, BP in zip(
        net.residuals, before.A[:-1], gradient.b[1:], before.Q, gradient.BP, strict=True
    ):
        moved_W = Updated(W, rate(BP, A), BP, A) if "W" in trained else W
        moved_V = Updated(V, rate(b, Q), b, Q) if "V" in trained else V
        residuals.append(Residual(moved_W, moved_V))
    return replace(net, residuals=residuals)


def plain_rate(left: Array, right: Array, *, eta: float) -> Array:
    """Return eta: plain gradient descent."""
    del right
    return np.full((len(left), 1, 1), eta)


def speed_controlled_rate(left: Array, right: Array, *, eta: float, depth: int) -> Array:
    """Return eta / (L ||left right'||^2): every matrix lowers the loss by an equal share.

    The norm is that of the n x n Gram matrices' product; no m x m matrix is formed.
    """
    grams = (transpose(left) @ left) * (transpose(right) @ right)
    squared_norm: Array = grams.sum(axis=(1, 2), keepdims=True)
    return eta / (depth * squared_norm)
