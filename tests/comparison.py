"""Compare cubes to the bit."""

import numpy as np
import xarray as xr


def assert_same_cube(found: str, expected: str) -> None:
    """Check that two cubes hold the same bits in all but the time it took to compute them."""
    ours, theirs = (xr.open_zarr(store, chunks=None).load() for store in (found, expected))
    assert set(ours.variables) == set(theirs.variables)
    assert ours.attrs["sweep_digest"] == theirs.attrs["sweep_digest"]
    for name in set(ours.variables) - {"seconds"}:
        a, b = ours[name], theirs[name]
        assert a.dims == b.dims, name
        if a.dtype.kind == "f":  # NaN equals NaN only as bits
            assert np.array_equal(a.values.view(np.int64), b.values.view(np.int64)), name
        else:
            assert np.array_equal(a.values, b.values), name
