"""The notebook, transcribed literally: one point, lists of full matrices, plain loops.

Kept apart from the package on purpose. It shares no code, no layout and no algebra with the kernel:
W is stored as an identity matrix, every update as a full m x m matrix. Lists are padded so that
index l is the notebook's index l.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Matrices = list[Any]


def init_resnet(
    stream: np.random.Generator, d: int, m: int, k: int, L: int
) -> tuple[Matrices, Matrices]:
    Ws: Matrices = [None] * (L + 1)
    Vs: Matrices = [None] * (L + 1)
    Ws[1] = stream.standard_normal((m, d)) / np.sqrt(d)
    for l in range(2, L):
        Ws[l] = np.diag(np.ones(m))
        Vs[l] = stream.standard_normal((m, m)) * np.sqrt(2 / m)
    Ws[L] = stream.standard_normal((k, m)) * 1 / m
    return Ws, Vs


def forward_resnet(
    X: Array, Y: Array, Ws: Matrices, Vs: Matrices, beta: float
) -> tuple[Matrices, Matrices, Matrices]:
    L = len(Ws) - 1
    As: Matrices = [None] * (L + 1)
    Ps: Matrices = [None] * (L + 1)
    Qs: Matrices = [None] * (L + 1)
    Ps[1] = X
    As[1] = Ws[1] @ X
    for l in range(2, L):
        Ps[l] = Ws[l] @ As[l - 1]
        Qs[l] = np.maximum(0.0, Ps[l])
        As[l] = np.sqrt(1 - beta**2) * As[l - 1] + beta * Vs[l] @ Qs[l]
    Ps[L] = Ws[L] @ As[L - 1]
    As[L] = np.sum((1 / 2) * (Ps[L] - Y) ** 2) / Y.size
    return As, Ps, Qs


def backward_resnet(
    Ps: Matrices, Y: Array, Ws: Matrices, Vs: Matrices, beta: float
) -> tuple[Matrices, Matrices]:
    L = len(Ws) - 1
    BAs: Matrices = [None] * (L + 1)
    BPs: Matrices = [None] * (L + 1)
    BPs[L] = (Ps[L] - Y) / Y.size
    BAs[L - 1] = Ws[L].T @ BPs[L]
    for l in range(L - 1, 1, -1):
        BQ = beta * Vs[l].T @ BAs[l]
        BPs[l] = (Ps[l] > 0.0) * BQ
        BAs[l - 1] = Ws[l].T @ BPs[l] + np.sqrt(1 - beta**2) * BAs[l]
    return BAs, BPs


def update_resnet(
    Ws: Matrices,
    Vs: Matrices,
    As: Matrices,
    Qs: Matrices,
    BAs: Matrices,
    BPs: Matrices,
    eta: float,
    *,
    speed_controlled: bool,
    train_W: bool,
) -> tuple[Matrices, Matrices]:
    L = len(Ws) - 1
    Ws, Vs = list(Ws), list(Vs)
    for l in range(2, L):
        dW = BPs[l] @ As[l - 1].T
        dV = BAs[l] @ Qs[l].T
        if speed_controlled:
            dW = dW / (np.sum(dW**2) * L)
            dV = dV / (np.sum(dV**2) * L)
        if train_W:
            Ws[l] = Ws[l] - eta * dW
        Vs[l] = Vs[l] - eta * dV
    return Ws, Vs


@dataclass
class Point:
    """A point of the notebook: data, matrices and settings."""

    X: Array
    Y: Array
    Ws: Matrices
    Vs: Matrices
    beta: float
    eta: float
    speed_controlled: bool = True
    train_W: bool = True


def observables(point: Point) -> dict[str, Array]:
    """Take the step; return every observable, shape (L - 1,), and the two losses."""
    X, Y, beta, eta = point.X, point.Y, point.beta, point.eta
    L, m = len(point.Ws) - 1, len(point.Ws[1])
    A1, P1, Q1 = forward_resnet(X, Y, point.Ws, point.Vs, beta)
    B1, BP1 = backward_resnet(P1, Y, point.Ws, point.Vs, beta)
    Ws, Vs = update_resnet(
        point.Ws,
        point.Vs,
        A1,
        Q1,
        B1,
        BP1,
        eta,
        speed_controlled=point.speed_controlled,
        train_W=point.train_W,
    )
    A2, P2, _ = forward_resnet(X, Y, Ws, Vs, beta)
    B2, _ = backward_resnet(P2, Y, Ws, Vs, beta)
    norm = np.linalg.norm
    layers = range(1, L)
    dfa = [np.sum((A1[v] - A2[v]) * B1[v]) / norm(B1[v]) / (np.sqrt(m) * eta) for v in layers]
    df = [norm(A1[v] - A2[v]) / (np.sqrt(m) * eta) for v in layers]
    with np.errstate(invalid="ignore"):
        cosine = np.array(dfa) / np.array(df)
    return {
        "feature_norm": np.array([norm(A1[v]) / np.sqrt(m) for v in layers]),
        "sensitivity": np.array([1 / (norm(B1[v]) * np.sqrt(m)) for v in layers]),
        "aligned_speed": np.array(dfa),
        "feature_speed": np.array(df),
        "backward_speed": np.array([norm(B2[v] - B1[v]) / eta for v in layers]),
        "bfa": np.arccos(np.maximum(-1.0, np.minimum(1.0, cosine))),
        "loss": np.array(A1[L]),
        "loss_after": np.array(A2[L]),
    }
