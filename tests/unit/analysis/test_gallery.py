"""Figures as files: from stored cubes, the same bytes every time, or a clear refusal."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest
import xarray as xr
import zarr
from PIL import Image

from analysis.cube import open_cube
from analysis.figures.gallery import FORMATS, PLATES, draw_figures
from pipeline.errors import RequestError
from tests.unit.analysis.synthetic_cubes import branch_scale_cube, depth_cube, layers_cube


def store(cube: xr.Dataset, path: Path) -> Path:
    cube.to_zarr(path, zarr_format=3, consolidated=False)
    return path


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("cubes")
    partial = branch_scale_cube()
    partial["status"][0, 0, 0, 0] = 0
    cubes = {"layers": layers_cube(), "depth": depth_cube(), "branch_scale": partial}
    return [store(cube, folder / f"{name}.zarr") for name, cube in cubes.items()]


def test_every_figure_is_written_in_every_format(stores: list[Path], tmp_path: Path) -> None:
    paths = draw_figures(stores, out=tmp_path / "new" / "folder", formats=FORMATS)
    names = [f"{plate.name}.{suffix}" for plate in PLATES for suffix in FORMATS]
    assert [path.name for path in paths] == names
    assert sorted(paths) == sorted((tmp_path / "new" / "folder").iterdir())


def test_the_bytes_depend_on_the_cubes_alone(
    stores: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    first = draw_figures(stores, out=tmp_path / "first", formats=FORMATS)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": None, "axes.grid": True}):
        settings = dict(mpl.rcParams)
        second = draw_figures(reversed(stores), out=tmp_path / "second", formats=FORMATS[::-1])
        assert dict(mpl.rcParams) == settings
    assert {path.name: path.read_bytes() for path in first} == {
        path.name: path.read_bytes() for path in second
    }


def test_files_name_their_source(stores: list[Path], tmp_path: Path) -> None:
    png, svg, pdf = draw_figures(stores[2:], out=tmp_path, formats=FORMATS)
    note = "synthetic 01234567 · 299 of 300 points · 5 trials · m = 8 · mean over trials"
    with Image.open(png) as image:
        assert image.info["Description"] == note
    assert note in svg.read_text(encoding="utf-8")
    subject = re.search(rb"/Subject \((.*?)\)", pdf.read_bytes(), re.DOTALL)
    assert subject is not None
    assert "299 of 300 points".encode("utf-16-be") in subject[1] or b"299 of 300" in subject[1]


def test_two_stores_with_the_same_figure_are_refused(stores: list[Path], tmp_path: Path) -> None:
    twin = store(depth_cube(), tmp_path / "twin.zarr")
    with pytest.raises(RequestError, match=r"twin.zarr' would draw 'output_bfa_vs_depth'.*--out"):
        draw_figures([*stores, twin], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_cube_without_a_figure_is_told_what_each_needs(tmp_path: Path) -> None:
    path = store(depth_cube().isel(depth=[3]), tmp_path / "cube.zarr")
    with pytest.raises(RequestError) as refusal:
        draw_figures([path], out=tmp_path / "out")
    assert all(f"{plate.name}: {plate.needs}" in str(refusal.value) for plate in PLATES)


def test_wrong_requests_are_refused(stores: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"Unknown format \['jpg'\].*png, svg, pdf"):
        draw_figures(stores, out=tmp_path, formats=["png", "jpg"])
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RequestError, match="file' cannot be a folder"):
        draw_figures(stores, out=file)


def test_only_a_cube_opens(stores: list[Path], tmp_path: Path) -> None:
    assert open_cube(str(stores[0])).attrs["sweep_name"] == "synthetic"
    with pytest.raises(RequestError, match=r"No cube can be read at .*absent.*`bfa run`"):
        open_cube(tmp_path / "absent")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(RequestError, match=r"other.zarr' is not a cube.*sweep_digest"):
        open_cube(tmp_path / "other.zarr")
    (tmp_path / "text").write_text("not Zarr")
    with pytest.raises(RequestError, match="No cube can be read"):
        open_cube(tmp_path / "text")
