"""The `depth` sweep against numbers read off the figure of the published paper.

The paper trains V only; its figure shows the output BFA against depth at m = 200. Each entry is the
mean angle, in radians, over the dots of a range of depths, read off with an error of about 0.01.
"""

from pathlib import Path

import pytest
import xarray as xr

from pipeline.cluster import workers_on_demand
from pipeline.run import run_sweep
from pipeline.sweep_file import load_sweep

RANGES = [(10, 20), (20, 40), (40, 100), (100, 150), (150, 200)]
READ_OFF = {
    "1/L": [0.18, 0.13, 0.095, 0.069, 0.059],
    "1/(2*sqrt(L))": [0.34, 0.37, 0.386, 0.391, 0.388],
    "1/sqrt(L)": [0.62, 0.66, 0.693, 0.705, 0.706],
    "2/sqrt(L)": [1.01, 1.04, 1.064, 1.077, 1.073],
    "1": [1.22, 1.34, 1.412, 1.454, 1.467],
}


@pytest.mark.statistical
@pytest.mark.timeout(1200)
def test_output_bfa_against_depth(tmp_path: Path) -> None:
    sweep = load_sweep("depth", ['step.trained=["V"]', "axes.trial=5"])
    store = str(tmp_path / "depth.zarr")
    with workers_on_demand() as client:
        run_sweep(sweep, store, client)
    bfa = xr.open_zarr(store).bfa.load()
    for label, expected in READ_OFF.items():
        found = [
            float(bfa.sel(beta=label, depth=slice(first, last)).mean()) for first, last in RANGES
        ]
        assert found == pytest.approx(expected, abs=0.03), label
