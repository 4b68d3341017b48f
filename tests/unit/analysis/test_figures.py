"""The figures show the cube's numbers, in the notebook's dress, and nothing that is missing."""

from itertools import combinations
from math import pi

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.text import Text
from numpy.testing import assert_allclose, assert_array_equal

from analysis.figures import bfa_vs_layer, magnitudes, output_bfa_vs_branch_scale
from analysis.figures import output_bfa_vs_depth as against_depth
from analysis.figures.canvas import name_branch_scale, spread_apart
from analysis.figures.gallery import PLATES, Plate
from tests.unit.analysis.synthetic_cubes import (
    branch_scale_cube,
    build_cube,
    depth_cube,
    layers_cube,
)

MISSING, FAILED = 0, 2
CUBES = {
    "magnitudes_mlp": layers_cube,
    "magnitudes_resnet": layers_cube,
    "bfa_vs_layer": layers_cube,
    "output_bfa_vs_depth": depth_cube,
    "output_bfa_vs_branch_scale": branch_scale_cube,
}


def list_drawable(cube: xr.Dataset) -> list[str]:
    return [plate.name for plate in PLATES if plate.applies(cube)]


def get_plate(name: str) -> Plate:
    return next(plate for plate in PLATES if plate.name == name)


def assert_angle_axis(axes: Axes) -> None:
    assert axes.get_ylim() == (0, pi / 2)
    assert axes.get_yticks().tolist() == [0, pi / 4, pi / 2]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0", r"$\pi/4$", r"$\pi/2$"]


@pytest.mark.parametrize(
    ("unit", "beta", "title"),
    [
        (magnitudes.MLP, "1", r"$\beta = 1$"),
        (magnitudes.RESNET, "1/sqrt(L)", r"$\beta = \frac{1}{\sqrt{L}}$"),
    ],
)
def test_magnitudes_show_the_second_trial_on_axes_from_zero(
    unit: str, beta: str, title: str
) -> None:
    cube = layers_cube()
    speeds, sensitivity = magnitudes.draw(cube, unit).axes
    point = cube.sel(depth=12, width=16, beta=beta, trial=1)
    lines = [*speeds.get_lines(), *sensitivity.get_lines()]
    names = ["aligned_speed", "feature_speed", "sensitivity"]
    for line, name, color in zip(lines, names, ["C0", "C1", "C2"], strict=True):
        assert_array_equal(line.get_xdata(), np.arange(1, 12))
        assert_array_equal(line.get_ydata(), point[name])
        assert line.get_color() == color
    assert speeds.get_ylim()[0] == sensitivity.get_ylim()[0] == 0
    assert speeds.get_title("left") == title
    assert sensitivity.get_xlabel() == "Layer index $v$"


def test_magnitudes_fall_back_to_the_only_computed_trial() -> None:
    cube = layers_cube()
    cube["status"][..., 1:] = FAILED
    speeds, _ = magnitudes.draw(cube, magnitudes.MLP).axes
    expected = cube["aligned_speed"].sel(depth=12, width=16, beta="1", trial=0)
    assert_array_equal(speeds.get_lines()[0].get_ydata(), expected)


def test_a_negative_magnitude_stays_in_sight() -> None:
    cube = layers_cube()
    cube["aligned_speed"] = -cube["aligned_speed"]
    speeds, _ = magnitudes.draw(cube, magnitudes.MLP).axes
    assert speeds.get_ylim()[0] <= cube["aligned_speed"].sel(depth=12, width=16, beta="1")[1].min()


def test_bfa_vs_layer_dashes_every_trial_of_the_largest_network() -> None:
    cube = layers_cube()
    figure = bfa_vs_layer.draw(cube)
    (axes,) = figure.axes
    lines = axes.get_lines()
    shown = cube["bfa"].sel(depth=12, width=16).stack(line=("beta", "trial"))
    assert_array_equal(np.array([line.get_ydata() for line in lines]).T, shown)
    assert np.isnan(np.asarray(lines[0].get_ydata())[0])
    assert [line.get_color() for line in lines[::3]] == ["C0", "C1", "C2", "C3", "C4"]
    assert {line.get_linestyle() for line in lines} == {"--"}
    assert axes.get_xlim() == (0, 12)
    assert_angle_axis(axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Layer index $v$", "BFA")
    assert "L = 12 (largest of 2)" in figure.get_supxlabel()
    assert "m = 16 (largest of 2)" in figure.get_supxlabel()


def test_output_bfa_vs_depth_dots_every_point() -> None:
    cube = depth_cube(trials=2)
    (axes,) = against_depth.draw(cube).axes
    lines = axes.get_lines()
    shown = cube["bfa"].isel(width=0).stack(line=("beta", "trial"))
    assert_array_equal(lines[0].get_xdata(), cube["depth"])
    assert_array_equal(np.array([line.get_ydata() for line in lines]).T, shown)
    assert [line.get_color() for line in lines[::2]] == ["C0", "C1", "C2", "C3", "C4"]
    assert {(line.get_marker(), line.get_linestyle()) for line in lines} == {(".", "None")}
    assert axes.get_xlim() == (0, 30)
    assert_angle_axis(axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Depth $L$", "Output BFA")


def test_output_bfa_vs_branch_scale_averages_trials_from_a_common_start() -> None:
    cube = branch_scale_cube()
    cube["status"][1, 0, 7, :2] = MISSING
    cube["status"][1, 0, 8] = FAILED
    figure = output_bfa_vs_branch_scale.draw(cube)
    (axes,) = figure.axes
    lines = axes.get_lines()
    for line, depth, dropped in zip(lines, [500, 100, 30], [0, 3, 4], strict=True):
        shown = cube.sel(depth=depth).isel(width=0, beta=slice(dropped, None))
        assert_array_equal(line.get_xdata(), shown["beta_scaled"])
        expected = shown["bfa"].where(shown["status"] == 1).mean("trial")
        assert_allclose(np.asarray(line.get_ydata()), expected, rtol=1e-14)
    assert [line.get_color() for line in lines] == ["C0", "C1", "C2"]
    assert len({line.get_marker() for line in lines}) == 3
    assert axes.get_xscale() == "log"
    assert_angle_axis(axes)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["$L=500$", "$L=100$", "$L=30$", r"$\beta = \frac{1}{\sqrt{L}}$"]
    (vertical,) = axes.collections
    assert_array_equal(vertical.get_paths()[0].vertices, [[1, 0], [1, pi / 2]])
    assert_array_equal(np.asarray(vertical.get_edgecolor()), [[0, 0, 0, 1]])


def test_a_computed_nan_is_not_averaged_away() -> None:
    cube = branch_scale_cube()
    cube["bfa"][2, 0, 19, 3] = np.nan
    (axes,) = output_bfa_vs_branch_scale.draw(cube).axes
    assert np.isnan(np.asarray(axes.get_lines()[0].get_ydata())).tolist() == [False] * 19 + [True]


def test_numbers_that_overflowed_do_not_stop_a_figure() -> None:
    cube = layers_cube()
    cube["feature_speed"][..., -1] = np.inf
    cube["sensitivity"][:] = np.nan
    figure = magnitudes.draw(cube, magnitudes.MLP)
    figure.draw_without_rendering()
    speeds, sensitivity = figure.axes
    assert [len(speeds.texts), len(sensitivity.texts)] == [2, 0]


def test_branch_scales_without_a_common_range_are_drawn_whole() -> None:
    cube = build_cube(depths=(4, 400), betas=(0.5, 1.0))
    (axes,) = output_bfa_vs_branch_scale.draw(cube).axes
    assert [len(np.asarray(line.get_xdata())) for line in axes.get_lines()] == [2, 2]


@pytest.mark.parametrize("state", [MISSING, FAILED])
@pytest.mark.parametrize("name", ["bfa_vs_layer", "output_bfa_vs_depth"])
def test_a_missing_point_is_not_drawn_but_counted(name: str, state: int) -> None:
    cube = CUBES[name]()
    cube["status"][-1, -1, 2, 0] = state
    full, partial = get_plate(name).draw(CUBES[name]()), get_plate(name).draw(cube)
    gaps = [
        np.isnan(np.asarray(after.get_ydata())).sum()
        - np.isnan(np.asarray(before.get_ydata())).sum()
        for before, after in zip(full.axes[0].get_lines(), partial.axes[0].get_lines(), strict=True)
    ]
    trials = cube.sizes["trial"]
    points = 5 * trials * (21 if name == "output_bfa_vs_depth" else 1)
    values = 1 if name == "output_bfa_vs_depth" else 10
    assert gaps == [values if line == 2 * trials else 0 for line in range(5 * trials)]
    assert f"synthetic 01234567 · {points - 1} of {points} points" in partial.get_supxlabel()


@pytest.mark.parametrize("name", CUBES)
def test_labels_cover_neither_data_nor_each_other(name: str) -> None:
    figure = get_plate(name).draw(CUBES[name]())
    figure.draw_without_rendering()
    panels = [axes.get_window_extent() for axes in figure.axes]
    labels = [Text.get_window_extent(text) for axes in figure.axes for text in axes.texts]
    legends = [legend.get_window_extent() for legend in figure.legends]
    assert labels or legends
    for one, other in combinations([*panels, *labels, *legends], 2):
        assert not one.overlaps(other)
    for box in [*labels, *legends]:
        assert figure.bbox.containsx(box.x0)
        assert figure.bbox.containsx(box.x1)


def test_predicates_look_at_contents() -> None:
    layers = layers_cube()
    assert list_drawable(layers) == ["magnitudes_mlp", "magnitudes_resnet", "bfa_vs_layer"]
    assert list_drawable(layers.isel(beta=slice(0, 2))) == ["bfa_vs_layer"]
    assert list_drawable(depth_cube()) == ["output_bfa_vs_depth"]
    assert list_drawable(depth_cube().isel(depth=[0])) == []
    assert list_drawable(branch_scale_cube()) == ["output_bfa_vs_branch_scale"]
    assert list_drawable(branch_scale_cube().isel(beta=[0])) == []


def test_fixed_branch_scales_draw_every_layer() -> None:
    cube = build_cube(depths=(16,), betas=(0.1, 0.25, 1.0), layers=True)
    assert list_drawable(cube) == ["magnitudes_mlp", "magnitudes_resnet", "bfa_vs_layer"]
    speeds, _ = magnitudes.draw(cube, magnitudes.RESNET).axes
    assert speeds.get_title("left") == r"$\beta = 0.25$"


def test_a_figure_without_a_computed_point_does_not_apply() -> None:
    for build in CUBES.values():
        cube = build()
        cube["status"][:] = MISSING
        assert list_drawable(cube) == []


def test_branch_scale_names() -> None:
    assert name_branch_scale("1/(2*sqrt(L))") == r"$\beta = \frac{1}{2\sqrt{L}}$"
    assert name_branch_scale("3$ a_b $x") == r"$\beta$ = 3\$ a_b \$x"
    assert name_branch_scale(0.012345) == r"$\beta = 0.0123$"


def test_spread_apart_keeps_order_and_distance() -> None:
    assert np.allclose(spread_apart([0.2, 0.8], 0.1), [0.2, 0.8])
    assert np.allclose(spread_apart([0.5, 0.5, 0.97, 0.99], 0.1), [0.45, 0.55, 0.9, 1.0])
    assert np.allclose(spread_apart([-0.2, 1.3], 0.1), [0, 1])
    assert np.diff(spread_apart([0.3] * 40, 0.1)).min() == pytest.approx(1 / 40)
    assert spread_apart([], 0.1) == []
