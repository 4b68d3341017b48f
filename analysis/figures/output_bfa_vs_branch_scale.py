"""The angle at the output against the normalised branch scale √L·β: a line for every depth."""

from itertools import cycle
from math import pi

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cube import average_trials, count_done, is_labelled, take_largest
from analysis.figures.angles import scale_angle_axis
from analysis.figures.canvas import (
    house_style,
    name_branch_scale,
    name_largest,
    write_small_print,
)

MARKERS = "os^Dv<>P"


def applies(cube: xr.Dataset) -> bool:
    """Say whether the cube has a computed output angle and several fixed values of β."""
    return (
        "layer" not in cube.dims
        and not is_labelled(cube)
        and cube.sizes["beta"] > 1
        and count_done(take_largest(cube, "width")) > 0
    )


@house_style
def draw(cube: xr.Dataset) -> Figure:
    """Draw the output angle, averaged over the computed trials, of the widest networks.

    Parameters
    ----------
    cube
        A cube for which `applies` holds.

    Returns
    -------
    matplotlib.figure.Figure
        √L·β, on a logarithmic axis, against the mean angle at layer L-1 in radians.
    """
    networks = take_largest(cube, "width")
    figure = Figure()
    axes = figure.subplots()
    scale_angle_axis(axes)
    plot_depths(axes, average_trials(networks, "bfa"))
    axes.vlines(1, 0, pi / 2, "k", ":", label=name_branch_scale("1/sqrt(L)"))
    axes.set_xlabel(r"Normalized branch scale $\sqrt{L}\cdot\beta$")
    axes.set_ylabel("Output BFA")
    figure.legend(loc="outside upper center", ncols=4)
    write_small_print(figure, networks, name_largest(cube, "width", "m"), "mean over trials")
    return figure


def plot_depths(axes: Axes, bfa: xr.DataArray) -> None:
    """Draw a line for every depth, the deepest first, from their common start on.

    Parameters
    ----------
    axes
        Where to draw.
    bfa
        Angles in radians, dimensions `depth` and `beta`, with the coordinate `beta_scaled`.
    """
    start = find_common_start(bfa["beta_scaled"])
    by_depth = bfa.sortby("depth", ascending=False)
    for index, (line, marker) in enumerate(zip(by_depth, cycle(MARKERS), strict=False)):
        shown = line[(line["beta_scaled"] >= start).values]
        axes.semilogx(
            shown["beta_scaled"],
            shown,
            color=f"C{index}",
            marker=marker,
            linewidth=2.25,
            label=f"$L={int(line['depth'])}$",
            clip_on=False,
        )


def find_common_start(scaled: xr.DataArray) -> float:
    """Find the smallest √L·β at or above which every depth has points.

    With the same β at every depth it is the first point of the deepest network. The original
    analysis leaves out the first 3 points of L=100 and the first 5 of L=30 to the same end; by
    this rule L=30 starts one point earlier. Where the depths have no range in common, nothing
    is left out.

    Parameters
    ----------
    scaled
        √L·β, dimensions `depth` and `beta`.

    Returns
    -------
    float
        The start; every point at or above it is drawn.
    """
    start = scaled.min("beta").max()
    shared = start <= scaled.max("beta").min()
    return float(start if shared else scaled.min())
