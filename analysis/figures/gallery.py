"""The figures by name, and the files they are written to."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from analysis.cube import count_done, open_cube
from analysis.figures import (
    bfa_vs_layer,
    magnitudes,
    output_bfa_vs_branch_scale,
    output_bfa_vs_depth,
)
from analysis.figures.canvas import house_style
from pipeline.errors import RequestError, WorkError

FORMATS = ("png", "svg", "pdf")


class Plate(NamedTuple):
    """A figure the package can draw: its file name, what it needs, and the two functions."""

    name: str
    needs: str
    applies: Callable[[xr.Dataset], bool]
    draw: Callable[[xr.Dataset], Figure]


PLATES = (
    Plate(
        "magnitudes_mlp",
        "every layer kept and a branch scale β = 1",
        partial(magnitudes.applies, unit=magnitudes.MLP),
        partial(magnitudes.draw, unit=magnitudes.MLP),
    ),
    Plate(
        "magnitudes_resnet",
        "every layer kept and a branch scale β = 1/√L",
        partial(magnitudes.applies, unit=magnitudes.RESNET),
        partial(magnitudes.draw, unit=magnitudes.RESNET),
    ),
    Plate("bfa_vs_layer", "every layer kept", bfa_vs_layer.applies, bfa_vs_layer.draw),
    Plate(
        "output_bfa_vs_depth",
        "the output layer alone, β by rules in L, more than one depth",
        output_bfa_vs_depth.applies,
        output_bfa_vs_depth.draw,
    ),
    Plate(
        "output_bfa_vs_branch_scale",
        "the output layer alone, more than one fixed value of β",
        output_bfa_vs_branch_scale.applies,
        output_bfa_vs_branch_scale.draw,
    ),
)


def draw_figures(
    stores: Iterable[str | Path], *, out: Path, formats: Iterable[str] = ("png",)
) -> list[Path]:
    """Draw every figure that the stored cubes carry, and write one file for each format.

    The same cubes give the same bytes on every run.

    Parameters
    ----------
    stores
        Paths or addresses of cubes.
    out
        Folder of the files, made if it is missing.
    formats
        Any of "png", "svg" and "pdf".

    Returns
    -------
    list of Path
        The files written, in the order of `PLATES`.

    Raises
    ------
    RequestError
        If a store is not a cube, carries no figure, or carries one that another store carries
        as well; if a format is unknown; if `out` is not a folder. No file is written then.
    """
    formats = check_formats(formats)
    cubes = assign_cubes(stores)
    make_folder(out)
    return [
        save_figure(plate, cubes[plate.name], out / f"{plate.name}.{file_format}")
        for plate in PLATES
        if plate.name in cubes
        for file_format in formats
    ]


def check_formats(formats: Iterable[str]) -> list[str]:
    """Return the formats as a list, or raise RequestError naming the unknown ones."""
    formats = list(formats)
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise RequestError(f"Unknown format {unknown}. Expected some of {', '.join(FORMATS)}.")
    return formats


def assign_cubes(stores: Iterable[str | Path]) -> dict[str, xr.Dataset]:
    """Open the stores and map the name of every figure they carry to its cube."""
    cubes: dict[str, xr.Dataset] = {}
    origin: dict[str, str] = {}
    for store in map(str, stores):
        cube = open_cube(store)
        for name in list_figures(cube, store):
            if name in cubes:
                raise RequestError(
                    f"Both {origin[name]!r} and {store!r} would draw {name!r}. Expected one "
                    "store for each figure: draw them one by one, each with its own --out."
                )
            cubes[name], origin[name] = cube, store
    return cubes


def list_figures(cube: xr.Dataset, store: str) -> list[str]:
    """Name the figures a cube carries, or raise RequestError telling what each would need."""
    names = [plate.name for plate in PLATES if plate.applies(cube)]
    if not names:
        needs = "\n".join(f"  {plate.name}: {plate.needs}" for plate in PLATES)
        raise RequestError(
            f"No figure can be drawn from {store!r}, which has dimensions {dict(cube.sizes)} "
            f"and {count_done(cube)} of {cube['status'].size} points. Expected at least one "
            f"computed point of the largest width (and depth, where layers are kept) and:\n{needs}"
        )
    return names


def make_folder(out: Path) -> None:
    """Make the folder of the figures unless it exists."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"{str(out)!r} cannot be a folder of figures ({error.strerror}): choose another --out."
        ) from error


@house_style
def save_figure(plate: Plate, cube: xr.Dataset, path: Path) -> Path:
    """Draw a figure and move the finished file to `path`; its suffix names the format."""
    figure = plate.draw(cube)
    file_format = path.suffix.removeprefix(".")
    partial_path = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(
            partial_path, format=file_format, metadata=describe(figure, plate.name, file_format)
        )
        partial_path.replace(path)
    except OSError as error:
        raise WorkError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from error
    return path


def describe(figure: Figure, title: str, file_format: str) -> dict[str, Any]:
    """Return the file's metadata: the title, the small print, and no date."""
    if file_format == "pdf":
        return {"Title": title, "Subject": figure.get_supxlabel(), "CreationDate": None}
    undated = {"Date": None} if file_format == "svg" else {}
    return {"Title": title, "Description": figure.get_supxlabel()} | undated
