"""Random matrices as the kernel meets them: by their products alone.

The first axis of every array runs over the points computed together. A matrix stands for one m x m
matrix a point; it is applied to n columns a point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Matrix(Protocol):
    """One m x m matrix a point."""

    def apply(self, x: Array) -> Array:
        """Return M x; `x` and the result have shape (points, m, n)."""
        ...

    def apply_transposed(self, y: Array) -> Array:
        """Return M' y; `y` and the result have shape (points, m, n)."""
        ...


@dataclass(frozen=True, slots=True)
class Explicit:
    """A matrix whose entries are stored.

    Parameters
    ----------
    entries
        Shape (points, m, m).
    scale
        A factor of all entries, shape (points, 1, 1).
    """

    entries: Array
    scale: Array

    def apply(self, x: Array) -> Array:
        """Return M x."""
        return self.scale * (self.entries @ x)

    def apply_transposed(self, y: Array) -> Array:
        """Return M' y."""
        return self.scale * (transpose(self.entries) @ y)


@dataclass(frozen=True, slots=True)
class LowRank:
    """A matrix of rank n, rate * left right', of which only the factors are kept.

    Parameters
    ----------
    rate
        Shape (points, 1, 1).
    left, right
        Shape (points, m, n).
    """

    rate: Array
    left: Array
    right: Array

    def apply(self, x: Array) -> Array:
        """Return M x, in O(m n^2)."""
        return combine(self.left, self.rate * gram(self.right, x))

    def apply_transposed(self, y: Array) -> Array:
        """Return M' y, in O(m n^2)."""
        return combine(self.right, self.rate * gram(self.left, y))


def draw_explicit(streams: Sequence[np.random.Generator], width: int, scale: Array) -> Explicit:
    """Draw matrices with independent entries N(0, scale^2), each from its own stream.

    Parameters
    ----------
    scale
        Standard deviation, shape (points, 1, 1).
    """
    entries = np.empty((len(streams), width, width))
    for matrix, stream in zip(entries, streams, strict=True):
        stream.standard_normal(out=matrix)
    return Explicit(entries, scale)


def inner(x: Array, y: Array) -> Array:
    """Return the inner products of the points' vectors, shape (points, 1)."""
    products: Array = np.vecdot(x, y)
    return products[:, None]


def gram(x: Array, y: Array) -> Array:
    """Return x' y, shape (points, n, n), for x and y of shape (points, m, n)."""
    if x.shape[-1] == 1 == y.shape[-1]:
        return inner(x[..., 0], y[..., 0])[..., None]
    return transpose(x) @ y


def combine(x: Array, coefficients: Array) -> Array:
    """Return x c, shape (points, m, n), for coefficients c of shape (points, n, n)."""
    return x * coefficients if x.shape[-1] == 1 else x @ coefficients


def transpose(x: Array) -> Array:
    """Transpose the matrix of every point."""
    return x.swapaxes(-1, -2)
