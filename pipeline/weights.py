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


class Identity:
    """The identity, never stored."""

    def apply(self, x: Array) -> Array:
        """Return x itself."""
        return x

    def apply_transposed(self, y: Array) -> Array:
        """Return y itself."""
        return y


@dataclass(frozen=True, slots=True)
class Explicit:
    """A matrix whose entries are stored, shape (points, m, m), times a scale."""

    entries: Array
    scale: float = 1.0

    def apply(self, x: Array) -> Array:
        """Return M x."""
        return self.scale * (self.entries @ x)

    def apply_transposed(self, y: Array) -> Array:
        """Return M' y."""
        return self.scale * (transpose(self.entries) @ y)


@dataclass(frozen=True, slots=True)
class Updated:
    """A matrix after a gradient step, base - rate * left right', kept as its factors.

    Parameters
    ----------
    base
        The matrix before the step.
    rate
        Step size, shape (points, 1, 1).
    left, right
        Factors of the update, shape (points, m, n).
    """

    base: Matrix
    rate: Array
    left: Array
    right: Array

    def apply(self, x: Array) -> Array:
        """Return M x at the cost of a product with `base` and O(m n^2)."""
        return self.base.apply(x) - self.left @ (self.rate * (transpose(self.right) @ x))

    def apply_transposed(self, y: Array) -> Array:
        """Return M' y at the cost of a product with `base` and O(m n^2)."""
        return self.base.apply_transposed(y) - self.right @ (self.rate * (transpose(self.left) @ y))


def draw_explicit(streams: Sequence[np.random.Generator], width: int) -> Explicit:
    """Draw V ~ N(0, 2/m) for every point, each from its own stream, entry by entry."""
    entries = np.empty((len(streams), width, width))
    for matrix, stream in zip(entries, streams, strict=True):
        stream.standard_normal(out=matrix)
    return Explicit(entries, scale=float(np.sqrt(2 / width)))


def transpose(x: Array) -> Array:
    """Transpose the matrix of every point."""
    return x.swapaxes(-1, -2)
