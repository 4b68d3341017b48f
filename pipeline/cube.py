"""The cube: names, dimensions, units and formulas of the labelled dataset that a sweep fills."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from pipeline.streams import draw_data
from pipeline.sweep import Sweep

MISSING, DONE, FAILED = range(3)
STATUS_NAMES = ("missing", "done", "failed")

POINT_DIMS = ("depth", "width", "beta", "trial")
LAYER_DIM = "layer"

CHUNK_BYTES = 2**20
"""Size aimed at for a chunk of a float variable."""


@dataclass(frozen=True)
class Variable:
    """How a data variable is stored and described."""

    long_name: str
    units: str
    formula: str
    dtype: str = "float64"
    fill: Any = math.nan
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the variable in the cube."""
        described = {
            "long_name": self.long_name,
            "units": self.units,
            "formula": self.formula,
        }
        return {**described, **self.extra}


OBSERVABLES = {
    "feature_norm": Variable("feature norm", "1", "||A_v|| / sqrt(m)"),
    "sensitivity": Variable("sensitivity S_v", "1", "1 / (||b_v|| sqrt(m))"),
    "aligned_speed": Variable(
        "aligned feature speed", "1", "<A_v - A+_v, b_v> / (||b_v|| sqrt(m) eta)"
    ),
    "feature_speed": Variable("feature speed", "1", "||A_v - A+_v|| / (sqrt(m) eta)"),
    "backward_speed": Variable("backward signal speed", "1", "||b+_v - b_v|| / eta"),
    "bfa": Variable(
        "backward-feature angle",
        "rad",
        "arccos(aligned_speed / feature_speed)",
        extra={"comment": "NaN at layer 1, which does not move: 0/0. NaN never means missing."},
    ),
}
"""Variables of a feature layer v: along the layer dimension, or of layer L - 1 alone."""

SCALARS = {
    "loss": Variable("loss before the step", "1", "sum((f - Y)^2) / (2 size(Y))"),
    "loss_after": Variable("loss after the step", "1", "sum((f+ - Y)^2) / (2 size(Y))"),
    "seconds": Variable("computing time", "s", "time of the batch / points of the batch"),
}

RECORD = {
    "error": Variable(
        "error of a failed point", "", "traceback where status is failed, else empty", "string", ""
    ),
    "status": Variable(
        "state of the point",
        "",
        "missing until computed; only this says what is missing",
        "int8",
        MISSING,
        extra={"flag_values": [0, 1, 2], "flag_meanings": " ".join(STATUS_NAMES)},
    ),
}

VARIABLES = {**OBSERVABLES, **SCALARS, **RECORD}
"""Every data variable, in the order in which a chunk of the cube is written: status last."""


COORDINATES = (*POINT_DIMS, LAYER_DIM, "beta_value", "beta_scaled")


def has_layers(name: str, sweep: Sweep) -> bool:
    """Tell whether a data variable has the layer dimension in the cube of a sweep."""
    return name in OBSERVABLES and sweep.record == "layers"


def variable_dims(name: str, sweep: Sweep) -> tuple[str, ...]:
    """Return the dimensions of a data variable in the cube of a sweep."""
    return (*POINT_DIMS, LAYER_DIM) if has_layers(name, sweep) else POINT_DIMS


def layer_count(sweep: Sweep) -> int:
    """Return the length of the layer dimension: feature layers of the deepest network."""
    return sweep.axes.depths[-1] - 1


def chunk_shape(sweep: Sweep) -> tuple[int, ...]:
    """Return the chunk shape over the point dimensions, the same for every variable.

    The longest axis is halved until a chunk of the largest variable fits `CHUNK_BYTES`.
    """
    shape = list(sweep.axes.shape)
    per_point = 8 * (layer_count(sweep) if sweep.record == "layers" else 1)
    while math.prod(shape) * per_point > CHUNK_BYTES and max(shape) > 1:
        longest = shape.index(max(shape))
        shape[longest] = math.ceil(shape[longest] / 2)
    return tuple(shape)


def coordinates(sweep: Sweep) -> xr.Dataset:
    """Return the labelled coordinates of the cube of a sweep, without data variables."""
    axes = sweep.axes
    beta = np.array([axes.betas(depth) for depth in axes.depths])
    scaled = beta * np.sqrt(np.array(axes.depths))[:, None]
    coords: dict[str, Any] = {
        "depth": ("depth", _integers(axes.depths), _label("depth L")),
        "width": ("width", _integers(axes.widths), _label("width m")),
        "beta": ("beta", _beta_axis(sweep), _label("branch scale beta, or its rule in L")),
        "trial": ("trial", _integers(axes.trials), _label("trial, an independent draw")),
        "beta_value": (("depth", "beta"), beta, _label("branch scale beta")),
        "beta_scaled": (
            ("depth", "beta"),
            scaled,
            {**_label("normalized branch scale"), "formula": "sqrt(L) beta"},
        ),
    }
    if sweep.record == "layers":
        layers = range(1, layer_count(sweep) + 1)
        coords[LAYER_DIM] = (LAYER_DIM, _integers(layers), _label("layer v, from the embedding"))
    return xr.Dataset(coords=coords)


def attributes(sweep: Sweep) -> dict[str, Any]:
    """Return the attributes that say where the numbers of the cube come from."""
    X, Y = draw_data(sweep)
    return {
        "title": sweep.title,
        "sweep_name": sweep.name,
        "sweep_title": sweep.title,
        "sweep": sweep.to_toml(),
        "sweep_digest": sweep.digest,
        "seed": sweep.seed,
        "record": sweep.record,
        "data_X": X.tolist(),
        "data_Y": Y.tolist(),
        "references": "Chizat & Netrapalli, The Feature Speed Formula, arXiv:2311.18718",
    }


def _integers(values: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def _beta_axis(sweep: Sweep) -> np.ndarray[Any, Any]:
    labels = sweep.axes.beta_labels
    return np.array(labels, dtype=object if isinstance(labels[0], str) else np.float64)


def _label(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
