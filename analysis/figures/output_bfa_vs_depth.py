"""The angle at the output against depth: a dot for every branch scale, depth and trial."""

import xarray as xr
from matplotlib.figure import Figure

from analysis.cube import count_done, done_values, is_labelled, take_largest
from analysis.figures.angles import plot_branch_scales
from analysis.figures.canvas import house_style, name_largest, write_small_print


def applies(cube: xr.Dataset) -> bool:
    """Say whether the cube has a computed output angle, β by rules in L and several depths."""
    return (
        "layer" not in cube.dims
        and is_labelled(cube)
        and cube.sizes["depth"] > 1
        and count_done(take_largest(cube, "width")) > 0
    )


@house_style
def draw(cube: xr.Dataset) -> Figure:
    """Draw the output angle of the widest networks against depth.

    Parameters
    ----------
    cube
        A cube for which `applies` holds.

    Returns
    -------
    matplotlib.figure.Figure
        Depth L against the angle at layer L-1 in radians.
    """
    networks = take_largest(cube, "width")
    figure = Figure()
    axes = figure.subplots()
    axes.set_xlim(0, int(networks["depth"].max()))
    plot_branch_scales(axes, done_values(networks, "bfa"), "depth", ".")
    axes.set_xlabel("Depth $L$")
    axes.set_ylabel("Output BFA")
    write_small_print(figure, networks, name_largest(cube, "width", "m"))
    return figure
