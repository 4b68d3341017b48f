"""How the passes change by a step of finite size: after minus before, without cancellation."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.resnet import (
    Change,
    Passes,
    change_output_signal,
    loss,
)
from pipeline.weights import Array


def forward_change(passes: Passes) -> Iterator[Change]:
    """Yield how far the features and units of layers 2..L-1 move, in place of a second pass.

    With D = A+ - A and P+ = (I - dW)(A + D), the change of the units is
    relu(P+) - Q = max(P+ - Q, -Q), and
    D_l = sqrt(1 - beta^2) D_{l-1} + beta V (Q+ - Q) - beta dV Q+.
    No difference of two nearly equal features is taken, so nothing cancels in a small step.
    """
    net, _, before, gradient = passes
    D, skip = np.zeros_like(before.A[0]), net.skip
    for beta_V, (dW, dbeta_V), A, Q in zip(
        net.beta_V, gradient.step, before.A[:-1], before.Q, strict=True
    ):
        moved = A - Q
        moved += D
        if dW is not None:
            moved -= dW.apply(A + D)
        change_Q = np.maximum(moved, -Q, out=moved)
        D = skip * D
        D += beta_V.apply(change_Q)
        D -= dbeta_V.apply(Q + change_Q)
        yield Change(D, change_Q)


def backward_change(passes: Passes, change_Q: Sequence[Array], change_f: Array) -> list[Array]:
    """Return how far the backward signals b_1..b_{L-1} move, in place of a second pass.

    With e = b+ - b: BQ+ = BQ + beta V' e - beta dV' b+, BP+ = 1[P+ > 0] BQ+ and
    e_{l-1} = BP+ - BP + sqrt(1 - beta^2) e_l - dW' BP+.

    Parameters
    ----------
    change_Q, change_f
        Change of the units of each residual layer and of the output.
    """
    net, _, before, gradient = passes
    e, skip = [change_output_signal(passes, change_f)], net.skip
    layers = zip(
        net.beta_V, gradient.step, before.Q, change_Q, gradient.b[1:], gradient.BQ, strict=True
    )
    for beta_V, (dW, dbeta_V), Q, moved_Q, b, BQ in reversed(list(layers)):
        BP_after = BQ + beta_V.apply_transposed(e[-1])
        BP_after -= dbeta_V.apply_transposed(b + e[-1])
        BP_after *= moved_Q > -Q
        e.append(skip * e[-1])
        e[-1] += BP_after - (Q > 0) * BQ
        if dW is not None:
            e[-1] -= dW.apply_transposed(BP_after)
    return e[::-1]


def loss_after(f: Array, change_f: Array, Y: Array, *, eta: float) -> Array:
    """Return the loss after the step, shape (points,); eta is in the change already."""
    del eta
    return loss(f + change_f, Y)
