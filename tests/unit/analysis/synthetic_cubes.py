"""Cubes of the shape the pipeline writes, filled with random numbers in place of physics."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

RULES = {"1/L": -1.0, "1/(2*sqrt(L))": -0.5, "1/sqrt(L)": -0.5, "2/sqrt(L)": -0.5, "1": 0.0}
FACTORS = {"1/(2*sqrt(L))": 0.5, "2/sqrt(L)": 2.0}
OBSERVABLES = ("feature_norm", "sensitivity", "aligned_speed", "feature_speed", "bfa")
DIGEST = "0123456789abcdef" * 4


def scale(beta: str | float, depth: int) -> float:
    """Return the β of a rule's label or of a fixed value."""
    if isinstance(beta, str):
        return float(FACTORS.get(beta, 1.0) * depth ** RULES.get(beta, -0.25))
    return beta


def build_cube(
    *,
    depths: Sequence[int],
    betas: Sequence[str] | Sequence[float],
    widths: Sequence[int] = (8,),
    trials: int = 1,
    layers: bool = False,
) -> xr.Dataset:
    """Build a full cube: every point done, angles within 0.1..1.4, NaN where no layer is."""
    rng = np.random.default_rng(5)
    shape = (len(depths), len(widths), len(betas), trials)
    dims = ("depth", "width", "beta", "trial")
    value = np.array([[scale(beta, depth) for beta in betas] for depth in depths])
    cube = xr.Dataset(
        {"status": (dims, np.ones(shape, np.int8)), "loss": (dims, rng.random(shape))},
        {
            "depth": list(depths),
            "width": list(widths),
            "trial": np.arange(trials),
            "beta": np.array(
                betas, np.dtypes.StringDType() if isinstance(betas[0], str) else np.float64
            ),
            "beta_value": (("depth", "beta"), value),
            "beta_scaled": (("depth", "beta"), value * np.sqrt(depths)[:, None]),
        },
        {
            "sweep_name": "synthetic",
            "sweep_title": "Synthetic",
            "sweep": "",
            "sweep_digest": DIGEST,
        },
    )
    layer = {"layer": np.arange(1, max(depths))} if layers else {}
    cube = cube.assign_coords(layer)
    for name in OBSERVABLES:
        cube[name] = (*dims, *layer), rng.uniform(0.1, 1.4, (*shape, *map(len, layer.values())))
    if layers:
        cube["bfa"] = cube["bfa"].where(cube["layer"] > 1)
        cube = cube.map(
            lambda v: v.where(cube["layer"] < cube["depth"]) if "layer" in v.dims else v
        )
    return cube


def layers_cube(*, trials: int = 3) -> xr.Dataset:
    """Build a cube of every layer; two depths and two widths, of which figures show the largest."""
    return build_cube(
        depths=(6, 12), widths=(8, 16), betas=tuple(RULES), trials=trials, layers=True
    )


def depth_cube(*, trials: int = 1) -> xr.Dataset:
    """Build a cube of output layers with branch scales by rules in the depth."""
    return build_cube(depths=tuple(range(10, 31)), betas=tuple(RULES), trials=trials)


def branch_scale_cube() -> xr.Dataset:
    """Build a cube of output layers with the fixed branch scales of the shipped sweep."""
    betas = tuple(np.logspace(-3, 0, 20).tolist())
    return build_cube(depths=(30, 100, 500), betas=betas, trials=5)
