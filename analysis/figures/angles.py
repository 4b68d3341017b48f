"""The angle axis, and the angles of every branch scale against one dimension."""

from math import pi

import xarray as xr
from matplotlib.axes import Axes

from analysis.figures.canvas import Curve, label_ends, name_branch_scale


def scale_angle_axis(axes: Axes) -> None:
    """Let the vertical axis run from 0 to π/2 radians, with ticks at 0, π/4 and π/2."""
    axes.set_ylim(0, pi / 2)
    axes.set_yticks([0, pi / 4, pi / 2], ["0", r"$\pi/4$", r"$\pi/2$"])


def plot_branch_scales(axes: Axes, bfa: xr.DataArray, dim: str, line_format: str) -> None:
    """Draw the angles of every branch scale and trial against `dim`, colours C0, C1, ... by β.

    Angles above π/2 are drawn too, beyond the end of the axis.

    Parameters
    ----------
    axes
        Where to draw; its limits are set, except for the right end of the horizontal axis.
    bfa
        Angles in radians, dimensions `beta`, `trial` and `dim` in any order.
    dim
        The dimension of the horizontal axis.
    line_format
        Matplotlib's short form of line and marker, without a colour.
    """
    scale_angle_axis(axes)
    curves = []
    for index, beta in enumerate(bfa["beta"].values.tolist()):
        angles, label, color = bfa.isel(beta=index), name_branch_scale(beta), f"C{index}"
        by_trial = angles.transpose(dim, "trial")
        axes.plot(angles[dim], by_trial, line_format, color=color, label=label, lw=1, clip_on=False)
        curves.append(Curve(angles.mean("trial"), label, color))
    label_ends(axes, curves, gap=0.11)
