"""How the passes change by a step of finite size: after minus before, without cancellation."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.resnet import (
    Backward,
    Change,
    Forward,
    ResNet,
    Update,
    change_output_signal,
    loss,
)
from pipeline.weights import Array


def forward_change(net: ResNet, before: Forward, step: Sequence[Update]) -> Iterator[Change]:
    """Yield how far the features and units of layers 2..L-1 move, in place of a second pass.

    With D = A+ - A and P+ = (I - dW)(A + D), the change of the units is
    relu(P+) - Q = max(P+ - Q, -Q), and
    D_l = sqrt(1 - beta^2) D_{l-1} + beta V (Q+ - Q) - beta dV Q+.
    No difference of two nearly equal features is taken, so nothing cancels in a small step.
    """
    D = np.zeros_like(before.A[0])
    for beta_V, (dW, dV), A, Q in zip(net.beta_V, step, before.A[:-1], before.Q, strict=True):
        moved = D if dW is None else D - dW.apply(A + D)
        change_Q = np.maximum(moved + (A - Q), -Q)
        D = net.skip * D + beta_V.apply(change_Q) - net.beta * dV.apply(Q + change_Q)
        yield Change(D, change_Q)


def backward_change(
    net: ResNet,
    before: Forward,
    gradient: Backward,
    step: Sequence[Update],
    change_Q: Sequence[Array],
    change_f: Array,
    Y: Array,
) -> list[Array]:
    """Return how far the backward signals b_1..b_{L-1} move, in place of a second pass.

    With e = b+ - b: BQ+ = BQ + beta V' e - beta dV' b+, BP+ = 1[P+ > 0] BQ+ and
    e_{l-1} = BP+ - BP + sqrt(1 - beta^2) e_l - dW' BP+.

    Parameters
    ----------
    change_Q, change_f
        Change of the units of each residual layer and of the output.
    """
    e = [change_output_signal(net, change_f, Y)]
    layers = zip(
        net.beta_V, step, before.Q, change_Q, gradient.b[1:], gradient.BQ, gradient.BP, strict=True
    )
    for beta_V, (dW, dV), Q, moved_Q, b, BQ, BP in reversed(list(layers)):
        change_BQ = beta_V.apply_transposed(e[-1]) - net.beta * dV.apply_transposed(b + e[-1])
        BP_after = (moved_Q > -Q) * (BQ + change_BQ)
        change_b = BP_after - BP + net.skip * e[-1]
        e.append(change_b if dW is None else change_b - dW.apply_transposed(BP_after))
    return e[::-1]


def loss_after(f: Array, change_f: Array, Y: Array, *, eta: float) -> Array:
    """Return the loss after the step, shape (points,); eta is in the change already."""
    del eta
    return loss(f + change_f, Y)
