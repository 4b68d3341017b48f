"""A Gaussian matrix that is never formed: only its products are drawn, from their exact joint law.

Let V have independent entries N(0, s^2), and let products V u = z and V' t = g be known for
orthogonal directions u and for orthogonal directions t. Given these, V x for an x orthogonal to all
u is Gaussian: its part along each t is known, <x, g> / ||t||^2 t, and the rest is s ||x|| times
fresh standard noise, projected off the t. The part of an x inside the span of the u is a
combination of the z. The transposed product is the mirror image. This is exact at every width m and
costs O(m) time and random numbers a vector, in place of O(m^2).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.weights import Array, inner

NOISE_BLOCK = 4096
"""Numbers drawn in one go for a point: many beside the cost of a call, few beside a cache."""

NEARLY_INSIDE = 1e-8
"""Share of its squared norm below which what a projection leaves is projected once more."""

TINY = 1e-300
"""Stands for the squared norm of an empty direction, whose products are all zero."""

EMPTY = 1e-26
"""Share of its squared norm below which what a projection leaves is rounding, no direction."""


class Image(NamedTuple):
    """The vector gain * vector; a gain of None is 1."""

    vector: Array
    gain: Array | None = None

    def along(self, x: Array) -> Array:
        """Return its inner products with x, shape (points, 1)."""
        along = inner(self.vector, x)
        return along if self.gain is None else self.gain * along

    def times(self, factor: Array) -> Array:
        """Return it times a factor, shape (points, m)."""
        return self.vector * (factor if self.gain is None else factor * self.gain)

    def evaluate(self) -> Array:
        """Return it as one vector, which is not to be changed."""
        return self.vector if self.gain is None else self.gain * self.vector


class Product(NamedTuple):
    """A direction met, its image, and 1 / ||direction||^2.

    An empty direction is zero, and its weight finite.
    """

    direction: Array
    image: Image
    weight: Array


class Sampled:
    """A matrix a point with entries N(0, scale^2), known by the products asked for so far.

    Parameters
    ----------
    scale
        Standard deviation of an entry, shape (points, 1, 1).
    noise
        Yields fresh standard normal vectors, shape (points, m), which are kept.
    """

    def __init__(self, scale: Array, noise: Iterator[Array]) -> None:
        self._scale = scale[:, 0]
        self._noise = noise
        self._products: list[Product] = []
        self._transposed_products: list[Product] = []

    def apply(self, x: Array) -> Array:
        """Return V x for x of shape (points, m, n), column by column."""
        return self._multiply(x, self._products, self._transposed_products)

    def apply_transposed(self, y: Array) -> Array:
        """Return V' y for y of shape (points, m, n), column by column."""
        return self._multiply(y, self._transposed_products, self._products)

    def _multiply(self, x: Array, known: list[Product], across: list[Product]) -> Array:
        columns = [self._multiply_vector(x[..., j], known, across) for j in range(x.shape[-1])]
        return columns[0][..., None] if len(columns) == 1 else np.stack(columns, axis=-1)

    def _multiply_vector(self, x: Array, known: list[Product], across: list[Product]) -> Array:
        """Return the image of x, shape (points, m), and remember that of its new direction."""
        direction, square, inside = _split(x, known)
        image = self._image(direction, square, across)
        known.append(Product(direction, image, weight=1 / np.maximum(square, TINY)))
        return image.evaluate() if inside is None else image.evaluate() + inside

    def _image(self, direction: Array, square: Array, across: list[Product]) -> Image:
        """Draw the image of a direction orthogonal to all that were met on its side."""
        size = self._scale * np.sqrt(square)
        fresh = next(self._noise)
        if not across:
            return Image(fresh, size)
        image = size * fresh
        for product in across:
            excess = size * inner(product.direction, fresh)
            lacking = product.image.along(direction) - excess
            image += (product.weight * lacking) * product.direction
        return Image(image)


def _split(x: Array, known: Sequence[Product]) -> tuple[Array, Array, Array | None]:
    """Split x along the known directions.

    Returns
    -------
    rest
        The part of x orthogonal to all of them, zero where that is rounding.
    square
        Its squared norm, shape (points, 1).
    inside
        The image of the other part; None if nothing is known.
    """
    rest, inside = x, None
    for product in known:
        share = inner(product.direction, rest) * product.weight
        rest = rest - share * product.direction
        part = product.image.times(share)
        inside = part if inside is None else inside + part
    square = inner(rest, rest)
    if known:
        _clean(rest, square, inner(x, x), known)
    return rest, square, inside


def _clean(rest: Array, square: Array, whole: Array, known: Sequence[Product]) -> None:
    """Project once more, in place, what is small beside the whole; drop what is only rounding."""
    small = np.flatnonzero(square < NEARLY_INSIDE * whole)
    if len(small):
        again = rest[small]
        for product in known:
            direction, weight = product.direction[small], product.weight[small]
            again -= inner(direction, again) * weight * direction
        rest[small], square[small] = again, inner(again, again)
        empty = np.flatnonzero(square <= EMPTY * whole)
        rest[empty], square[empty] = 0, 0


def draw_noise(streams: Sequence[np.random.Generator], width: int, vectors: int) -> Iterator[Array]:
    """Yield standard normal vectors, shape (points, m), each point's from its own stream."""
    rows = max(1, NOISE_BLOCK // width)
    for start in range(0, vectors, rows):
        block = np.empty((len(streams), min(rows, vectors - start), width))
        for numbers, stream in zip(block, streams, strict=True):
            stream.standard_normal(out=numbers)
        yield from block.swapaxes(0, 1)
