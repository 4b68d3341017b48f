"""What is measured at a layer: how far its features move in one step, and at what angle."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.weights import Array, inner


class Layer(NamedTuple):
    """Feature A_v and signal b_v before the step, and their changes; shape (points, m, n) each."""

    A: Array
    b: Array
    change_A: Array
    change_b: Array


def observe(layers: Sequence[Layer], *, eta: float) -> dict[str, Array]:
    """Measure every layer given; each result has shape (points, layers).

    Norms and inner products are Frobenius over the whole m x n matrix. Where the feature does not
    move, as at layer 1, the angle is 0/0: NaN.
    """
    measured = [_observe_layer(layer, eta) for layer in layers]
    return {name: np.stack([m[name] for m in measured], axis=1) for name in measured[0]}


def _observe_layer(layer: Layer, eta: float) -> dict[str, Array]:
    A, b, change_A, change_b = layer
    root_m = np.sqrt(A.shape[1])
    aligned_speed = -_frobenius(change_A, b) / (_norm(b) * root_m * eta)
    feature_speed = _norm(change_A) / (root_m * eta)
    return {
        "feature_norm": _norm(A) / root_m,
        "sensitivity": 1 / (_norm(b) * root_m),
        "aligned_speed": aligned_speed,
        "feature_speed": feature_speed,
        "backward_speed": _norm(change_b) / eta,
        "bfa": np.arccos(np.clip(aligned_speed / feature_speed, -1, 1)),
    }


def _frobenius(x: Array, y: Array) -> Array:
    return inner(x.reshape(len(x), -1), y.reshape(len(y), -1))[:, 0]


def _norm(x: Array) -> Array:
    return np.sqrt(_frobenius(x, x))
