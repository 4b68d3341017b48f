"""What every figure shares: the style, names of branch scales, line-end labels, small print."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cube import count_done

house_style = style.context("analysis.figures.bfa", after_reset=True)

BETA_FORMULAS = {
    "1/L": r"\frac{1}{L}",
    "1/(2*sqrt(L))": r"\frac{1}{2\sqrt{L}}",
    "1/sqrt(L)": r"\frac{1}{\sqrt{L}}",
    "2/sqrt(L)": r"\frac{2}{\sqrt{L}}",
    "1": "1",
}

LEADER = {"arrowstyle": "-", "linewidth": 1, "relpos": (0, 0.5), "patchA": None, "shrinkA": 4}
"""A line to the middle of a label's left edge; Matplotlib would end it at the label's frame."""


class Curve(NamedTuple):
    """A one-dimensional curve, NaN where it has no value, with its label and colour."""

    values: xr.DataArray
    label: str
    color: str


def name_branch_scale(beta: str | float) -> str:
    r"""Write β = `beta` as mathtext: a formula for a known rule in L, else the text or number."""
    if not isinstance(beta, str):
        return rf"$\beta = {beta:.3g}$"
    if beta in BETA_FORMULAS:
        return rf"$\beta = {BETA_FORMULAS[beta]}$"
    return r"$\beta$ = " + beta.replace("$", r"\$")


def label_ends(axes: Axes, curves: Iterable[Curve], *, gap: float) -> None:
    """Write every curve's label right of the axes, level with the curve's last value.

    Labels that would overlap are moved apart; a line leads from each to its curve's height.

    Parameters
    ----------
    axes
        Axes whose limits are final.
    curves
        The curves; one without any finite value gets no label.
    gap
        Smallest distance between two labels, as a fraction of the axes' height.
    """
    bottom, top = axes.get_ylim()
    ends = sorted(
        ((end - bottom) / (top - bottom), label, color)
        for values, label, color in curves
        for end in values.values[np.isfinite(values)][-1:]
    )
    heights = spread_apart([end for end, *_ in ends], gap)
    for (end, label, color), height in zip(ends, heights, strict=True):
        axes.annotate(
            label,
            xy=(1, end),
            xycoords="axes fraction",
            xytext=(1.06, height),
            textcoords="axes fraction",
            fontsize=11,
            verticalalignment="center",
            annotation_clip=False,
            arrowprops={**LEADER, "color": color},
        )


def spread_apart(heights: Sequence[float], gap: float) -> list[float]:
    """Move ascending heights of 0..1 apart, as little as needed, to at least `gap`.

    The mean of pushing upwards and pushing downwards keeps a crowd where it is.
    """
    count = len(heights)
    gap = min(gap, 1 / max(count, 1))
    steps = gap * np.arange(count)
    free = np.array(heights) - steps
    raised = np.maximum.accumulate(free)
    lowered = np.minimum.accumulate(free[::-1])[::-1]
    spread = np.clip((raised + lowered) / 2, 0, 1 - gap * (count - 1)) + steps
    return [float(height) for height in spread]


def write_small_print(figure: Figure, drawn: xr.Dataset, *remarks: str) -> None:
    """Write beneath the axes which sweep and how many of its points the figure shows.

    Parameters
    ----------
    figure
        The figure; its text is read back by `Figure.get_supxlabel`.
    drawn
        The selection of the cube that the figure draws.
    remarks
        What else a reader has to know.
    """
    trials = drawn.sizes["trial"]
    text = " \N{MIDDLE DOT} ".join(
        [
            f"{drawn.attrs['sweep_name']} {drawn.attrs['sweep_digest'][:8]}",
            f"{count_done(drawn)} of {drawn['status'].size} points",
            f"{trials} trial{'s' if trials > 1 else ''}",
            *remarks,
        ]
    )
    figure.supxlabel(text, x=1, ha="right", fontsize=6, color="0.5", parse_math=False)


def name_largest(cube: xr.Dataset, dim: str, symbol: str) -> str:
    """Name the largest value of a dimension, and say so where it is one of several."""
    choice = f" (largest of {cube.sizes[dim]})" if cube.sizes[dim] > 1 else ""
    return f"{symbol} = {int(cube[dim].max())}{choice}"
