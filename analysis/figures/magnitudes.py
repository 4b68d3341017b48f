"""Speeds and sensitivity at every layer, for β = 1 (an MLP) and for β = 1/√L (a ResNet)."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cube import count_done, take_largest
from analysis.figures.canvas import (
    Curve,
    house_style,
    label_ends,
    name_branch_scale,
    name_largest,
    write_small_print,
)
from pipeline.cube import DONE

MLP = "beta_value"
RESNET = "beta_scaled"

SPEEDS = {
    "aligned_speed": ("C0", r"$\Vert \delta^a f_v\Vert$"),
    "feature_speed": ("C1", r"$\Vert \delta f_v\Vert$"),
}
SENSITIVITY = {"sensitivity": ("C2", "$S_v$")}


def applies(cube: xr.Dataset, unit: str) -> bool:
    """Say whether the cube has a computed point with `unit` = 1 and every layer kept.

    Parameters
    ----------
    cube
        A cube.
    unit
        Which measure of the branch scale is 1: `beta_value` (β) or `beta_scaled` (√L·β).
    """
    return "layer" in cube.dims and count_done(select_unit(cube, unit)) > 0


@house_style
def draw(cube: xr.Dataset, unit: str) -> Figure:
    """Draw the magnitudes of the deepest and widest network, speeds above sensitivity.

    One trial is drawn: the second of those computed, or the only one.

    Parameters
    ----------
    cube
        A cube for which `applies` holds.
    unit
        Which measure of the branch scale is 1: `beta_value` (β) or `beta_scaled` (√L·β).

    Returns
    -------
    matplotlib.figure.Figure
        Layer v = 1..L-1 against RMS feature change per unit step, and against S_v.
    """
    point = select_unit(cube, unit).isel(beta=0)
    trial = choose_trial(point)
    figure = Figure(figsize=(4.6, 3.9))
    speeds, sensitivity = figure.subplots(2, sharex=True)
    plot_magnitudes(speeds, trial, SPEEDS)
    plot_magnitudes(sensitivity, trial, SENSITIVITY)
    speeds.set_title(name_branch_scale(point["beta"].item()))
    speeds.set_ylabel("Feature speed")
    sensitivity.set_ylabel("Sensitivity")
    sensitivity.set_xlim(0, int(point["depth"]))
    sensitivity.set_xlabel("Layer index $v$")
    figure.align_ylabels()
    sizes = name_largest(cube, "depth", "L"), name_largest(cube, "width", "m")
    write_small_print(figure, point, *sizes, f"shown: trial {int(trial['trial'])}")
    return figure


def select_unit(cube: xr.Dataset, unit: str) -> xr.Dataset:
    """Select the deepest and widest network at the branch scales where `unit` is 1."""
    network = take_largest(cube, "depth", "width")
    return network.isel(beta=np.isclose(network[unit], 1))


def choose_trial(point: xr.Dataset) -> xr.Dataset:
    """Select the second of the computed trials, or the only one."""
    computed = np.flatnonzero(point["status"] == DONE)
    return point.isel(trial=computed[:2][-1])


def plot_magnitudes(axes: Axes, trial: xr.Dataset, magnitudes: dict[str, tuple[str, str]]) -> None:
    """Draw magnitudes against the layer index on an axis that includes zero.

    Parameters
    ----------
    axes
        Where to draw.
    trial
        A computed point, dimension `layer`.
    magnitudes
        Colour and label by variable.
    """
    curves = [Curve(trial[name], label, color) for name, (color, label) in magnitudes.items()]
    for values, label, color in curves:
        axes.plot(values["layer"], values, color=color, label=label)
    if axes.dataLim.y0 < 0:  # the aligned speed has a sign
        axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    else:
        axes.set_ylim(bottom=0)
    label_ends(axes, curves, gap=0.2)
