"""How the passes change at the start of a step: the exact derivative at a step of size zero.

The same as the change by a finite step, but to first order: masks stay, and what an update is
applied to is the pass before. Off the boundaries of the ReLU this is the limit of change / eta.
"""

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
    """Yield the derivatives of the features and units of layers 2..L-1.

    dQ = 1[P > 0] (D_{l-1} - dW A_{l-1}), D_l = sqrt(1 - beta^2) D_{l-1} + beta V dQ - beta dV Q.
    """
    net, _, before, gradient = passes
    D, skip = np.zeros_like(before.A[0]), net.skip
    for beta_V, (dW, dbeta_V), A, Q in zip(
        net.beta_V, gradient.step, before.A[:-1], before.Q, strict=True
    ):
        moved = D if dW is None else D - dW.apply(A)
        change_Q = (Q > 0) * moved
        D = skip * D + beta_V.apply(change_Q) - dbeta_V.apply(Q)
        yield Change(D, change_Q)


def backward_change(passes: Passes, change_Q: Sequence[Array], change_f: Array) -> list[Array]:
    """Return the derivatives of the backward signals b_1..b_{L-1}.

    With e = db: dBP = 1[P > 0] (beta V' e - beta dV' b) and
    e_{l-1} = dBP + sqrt(1 - beta^2) e_l - dW' BP.

    Parameters
    ----------
    change_Q, change_f
        Derivatives of the units of each residual layer, which do not enter, and of the output.
    """
    del change_Q
    net, _, before, gradient = passes
    e, skip = [change_output_signal(passes, change_f)], net.skip
    layers = zip(net.beta_V, gradient.step, before.Q, gradient.b[1:], strict=True)
    for beta_V, (dW, dbeta_V), Q, b in reversed(list(layers)):
        change_BQ = beta_V.apply_transposed(e[-1]) - dbeta_V.apply_transposed(b)
        change_b = (Q > 0) * change_BQ + skip * e[-1]
        e.append(change_b if dW is None else change_b - dW.apply_transposed(dW.left))
    return e[::-1]


def loss_after(f: Array, change_f: Array, Y: Array, *, eta: float) -> Array:
    """Return the loss after a step of size eta to first order, shape (points,)."""
    slope: Array = ((f - Y) * change_f).sum(axis=(1, 2)) / Y.size
    return loss(f, Y) + eta * slope
