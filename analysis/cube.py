"""A stored cube, opened for reading, and the points of it that were computed."""

from pathlib import Path

import xarray as xr

from pipeline.cube import DONE
from pipeline.errors import RequestError


def open_cube(store: str | Path) -> xr.Dataset:
    """Open a cube for reading; values are read when they are first used.

    Parameters
    ----------
    store
        A path or an address of the cube.

    Returns
    -------
    xarray.Dataset
        Dimensions `depth, width, beta, trial` and, where every layer was kept, `layer`.

    Raises
    ------
    RequestError
        If nothing is stored there, or what is stored is not a cube.
    """
    if "://" in str(store):
        raise RequestError(f"store {str(store)!r}: expected a path on a file system")
    try:
        # Metadata consolidated before the last extension would hide the points added by it.
        cube: xr.Dataset = xr.open_zarr(store, chunks=None, consolidated=False)
    except (OSError, ValueError) as error:
        raise RequestError(
            f"No cube can be read at {str(store)!r} ({error}). Expected a Zarr store "
            "written by `bfa run`: check the path, or run the sweep first."
        ) from error
    if "sweep_digest" not in cube.attrs:
        raise RequestError(
            f"{str(store)!r} is not a cube: it has no attribute 'sweep_digest'. Expected a "
            "Zarr store written by `bfa run`: name that store, not a group inside or above it."
        )
    return cube


def done_values(cube: xr.Dataset, name: str) -> xr.DataArray:
    """Read one variable, with NaN at every point that was not computed.

    A NaN of a computed point is kept as well: the angle at layer 1 has no other value.

    Parameters
    ----------
    cube
        A cube or a selection of one.
    name
        The data variable.

    Returns
    -------
    xarray.DataArray
        Shape and units of `cube[name]`.
    """
    return cube[name].where(cube["status"] == DONE)


def average_trials(cube: xr.Dataset, name: str) -> xr.DataArray:
    """Average one variable over the computed trials; NaN where there is none.

    A computed NaN (an angle after the numbers have overflowed) makes the average NaN.

    Parameters
    ----------
    cube
        A cube or a selection of one.
    name
        The data variable.

    Returns
    -------
    xarray.DataArray
        Shape of `cube[name]` without `trial`, and its units.
    """
    done = cube["status"] == DONE
    count = done.sum("trial")
    return cube[name].where(done, 0).sum("trial", skipna=False) / count.where(count > 0)


def take_largest(cube: xr.Dataset, *dims: str) -> xr.Dataset:
    """Select the largest value of each dimension: the deepest, the widest."""
    return cube.sel({dim: cube[dim].max().item() for dim in dims})


def count_done(cube: xr.Dataset) -> int:
    """Count the computed points of a cube or of a selection of one."""
    return int((cube["status"] == DONE).sum())


def is_labelled(cube: xr.Dataset) -> bool:
    """Say whether β follows rules in the depth, named by labels, rather than fixed values."""
    return cube["beta"].dtype.kind not in "fiu"
