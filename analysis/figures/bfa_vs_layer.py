"""The angle at every layer of the deepest and widest network: all branch scales, all trials."""

import xarray as xr
from matplotlib.figure import Figure

from analysis.cube import count_done, done_values, take_largest
from analysis.figures.angles import plot_branch_scales
from analysis.figures.canvas import house_style, name_largest, write_small_print


def applies(cube: xr.Dataset) -> bool:
    """Say whether the cube has a computed point of this figure, with every layer kept."""
    return "layer" in cube.dims and count_done(take_largest(cube, "depth", "width")) > 0


@house_style
def draw(cube: xr.Dataset) -> Figure:
    """Draw the backward-feature angle against the layer index, dashed, a line a trial.

    Parameters
    ----------
    cube
        A cube for which `applies` holds.

    Returns
    -------
    matplotlib.figure.Figure
        Layer v = 2..L-1 against the angle in radians; at layer 1 the angle is undefined.
    """
    network = take_largest(cube, "depth", "width")
    figure = Figure()
    axes = figure.subplots()
    axes.set_xlim(0, int(network["depth"]))
    plot_branch_scales(axes, done_values(network, "bfa"), "layer", "--")
    axes.set_xlabel("Layer index $v$")
    axes.set_ylabel("BFA")
    remarks = name_largest(cube, "depth", "L"), name_largest(cube, "width", "m")
    write_small_print(figure, network, *remarks)
    return figure
