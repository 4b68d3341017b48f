"""Random streams: a point's stream is found from what the point is, never from where it stands.

Hence any subset of a sweep, in any order, batch or later extension, draws the same numbers at the
same point.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from pipeline.sweep import Experiment


def point_stream(
    seed: int, *, depth: int, width: int, beta: float, trial: int
) -> np.random.Generator:
    """Return the stream of one point, keyed by its own coordinate values.

    The branch scale enters by the two 32-bit halves of its double, so that every key has the same
    number of words and no two points share one.
    """
    low, high = struct.unpack("<2I", struct.pack("<d", beta))
    return _generator(np.random.SeedSequence(seed, spawn_key=(depth, width, trial, low, high)))


def draw_data(experiment: Experiment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the data of an experiment, shared by all of its points.

    Returns
    -------
    X
        Inputs, N(0, 1/d), shape (d, n).
    Y
        Targets, N(0, 1/k), shape (k, n).
    """
    d, k, n = experiment.model.input_dim, experiment.model.output_dim, experiment.model.inputs
    stream = _generator(np.random.SeedSequence(experiment.seed))
    X = stream.standard_normal((d, n)) / np.sqrt(d)
    Y = stream.standard_normal((k, n)) / np.sqrt(k)
    return X, Y


def _generator(sequence: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(sequence))
