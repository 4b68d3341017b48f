"""The cube on disk, as plain xarray sees it."""

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from pipeline import cube
from pipeline.errors import RequestError, WorkError
from pipeline.store import Store, write_store
from pipeline.streams import draw_data
from pipeline.sweep import Sweep
from pipeline.sweep_file import load_sweep

SMOKE = load_sweep("smoke")


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "folder" / "smoke.zarr")


def create(address: str, sweep: Sweep = SMOKE) -> None:
    with write_store(address, sweep):
        pass


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    with write_store(address, SMOKE) as store:
        yield store


def everything_but(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: cube.variable_dims(name, SMOKE) for name in cube.VARIABLES if name not in names}


def test_empty_cube_explains_itself_to_plain_xarray(address: str) -> None:
    create(address)
    ds = xr.open_zarr(address)
    assert dict(ds.sizes) == {"depth": 2, "width": 1, "beta": 2, "trial": 2, "layer": 9}
    assert {name: ds[name].dims for name in ds.data_vars} == everything_but()
    assert ds.beta.values.tolist() == ["1/sqrt(L)", "1"]
    assert ds.layer.values.tolist() == list(range(1, 10))
    assert ds.beta_value.sel(depth=10, beta="1/sqrt(L)") == pytest.approx(10**-0.5)
    assert ds.beta_scaled.sel(depth=10, beta="1/sqrt(L)") == pytest.approx(1)
    assert all({"long_name", "units", "formula"} <= ds[name].attrs.keys() for name in ds.data_vars)
    assert ds.attrs["sweep"] == SMOKE.to_toml()
    assert (ds.attrs["sweep_digest"], ds.attrs["seed"]) == (SMOKE.digest, SMOKE.seed)
    assert np.array_equal(ds.attrs["data_X"], draw_data(SMOKE)[0])
    assert (ds.status == cube.MISSING).all()


def test_output_sweep_has_no_layer_dimension(address: str) -> None:
    create(address, load_sweep("smoke", ["record=output"]))
    assert set(xr.open_zarr(address).dims) == set(cube.POINT_DIMS)


def test_values_land_at_their_labels(address: str, store: Store) -> None:
    cells = np.array([[0, 0, 1, 0], [1, 0, 0, 1]])
    store.put(cells[:1], {"bfa": np.arange(4.0)[None], "loss": np.array([7.0])})
    store.put(cells[1:], {"bfa": np.arange(9.0)[None], "loss": np.array([8.0])})
    store.flush()
    ds = xr.open_zarr(address)
    shallow = ds.sel(depth=5, width=20, beta="1", trial=0)
    assert shallow.bfa.values[:4].tolist() == [0, 1, 2, 3]
    assert np.isnan(shallow.bfa.values[4:]).all()
    assert ds.loss.sel(depth=10, width=20, beta="1/sqrt(L)", trial=1) == 8
    assert int((ds.status == cube.DONE).sum()) == 2


def test_chunks_beyond_the_first_are_filled_too(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cube, "CHUNK_BYTES", 8 * 3)
    sweep = load_sweep("smoke", ["record=output", "axes.depth={start=5,stop=9}", "axes.trial=3"])
    with write_store(address, sweep) as store:
        store.put(np.argwhere(np.ones(sweep.axes.shape)), {"loss": np.arange(30.0)})
        store.flush()
    ds = xr.open_zarr(address)
    assert ds.loss.values.ravel().tolist() == list(range(30))
    assert ds.loss.data.npartitions > 1


def test_nan_is_a_value_and_only_status_says_missing(address: str) -> None:
    with write_store(address, load_sweep("smoke", ["record=output"])) as store:
        store.put(np.zeros((1, 4), dtype=int), {"bfa": np.array([np.nan])})
        store.flush()
        assert (store.status().ravel() == [1, 0, 0, 0, 0, 0, 0, 0]).all()


def test_failure_is_kept_with_its_error_and_cleared_by_success(address: str, store: Store) -> None:
    cell = np.array([[1, 0, 1, 1]])
    store.put_failure(cell, "ValueError: no luck")
    store.flush()
    failed = xr.open_zarr(address).isel(depth=1, width=0, beta=1, trial=1)
    assert int(failed.status) == cube.FAILED
    assert str(failed.error.values) == "ValueError: no luck"
    store.put(cell, {"loss": np.array([1.0])})
    store.flush()
    mended = xr.open_zarr(address).isel(depth=1, width=0, beta=1, trial=1)
    assert (int(mended.status), str(mended.error.values)) == (cube.DONE, "")


def test_status_is_written_after_the_values(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that dies between any two chunks leaves no point done without its values."""
    written: list[str] = []
    blocks = zarr.core.indexing.BlockIndex.__setitem__

    def note(self: zarr.core.indexing.BlockIndex, *args: Any) -> None:  # noqa: ANN401
        written.append(self.array.name)
        blocks(self, *args)

    monkeypatch.setattr(zarr.core.indexing.BlockIndex, "__setitem__", note)
    store.put(np.zeros((1, 4), dtype=int), {"loss": np.array([1.0])})
    store.flush()
    assert written[-1] == "/status"
    assert "/loss" in written[:-1]


def test_same_sweep_resumes_and_another_is_refused_with_the_difference(address: str) -> None:
    create(address)
    create(address, load_sweep("smoke", ["title=renamed"]))
    with pytest.raises(RequestError) as refused:
        create(address, load_sweep("smoke", ["seed=4", "step.learning_rate=0.5"]))
    assert "seed: stored 0, asked 4" in str(refused.value)
    assert "step.learning_rate: stored 0.001, asked 0.5" in str(refused.value)


class Killed(Exception):  # noqa: N818 - no error, an end
    """Stands for SIGKILL inside a test."""


@pytest.mark.parametrize("written", range(1, 40, 3))
def test_creation_cut_short_is_taken_up_again(
    address: str, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """The creation dies at its n-th file; the next run, of another shape, starts over."""
    rename, count = os.replace, itertools.count(1)

    def die(source: str, target: str) -> None:
        if next(count) == written:
            raise Killed
        rename(source, target)

    monkeypatch.setattr(os, "replace", die)
    monkeypatch.setattr(Path, "replace", lambda self, target: die(str(self), str(target)))
    with contextlib.suppress(Killed):
        create(address, load_sweep("smoke", ["axes.depth=[7]", "axes.width=[3,4,5]"]))
    monkeypatch.undo()
    if next(count) > written:
        create(address)
        whole = str(Path(address).with_name("whole.zarr"))
        create(whole)
        assert xr.open_zarr(address).identical(xr.open_zarr(whole))


def test_nothing_but_a_cube_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    xr.Dataset({"mine": ("x", [1.0])}).to_zarr(
        tmp_path / "other.zarr", zarr_format=3, consolidated=False
    )
    (tmp_path / "file.zarr").write_text("mine")
    zarr.create_group(tmp_path / "group.zarr")
    (tmp_path / "group.zarr" / "thesis.tex").write_text("mine")
    ours = xr.Dataset({"loss": ("depth", [1.0])}, coords={"depth": [1]})
    ours.to_zarr(tmp_path / "names.zarr", zarr_format=3, consolidated=False)
    before = sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file())
    for name in ("notes", "other.zarr", "file.zarr", "group.zarr", "names.zarr"):
        with pytest.raises(RequestError, match="not a cube"):
            create(str(tmp_path / name))
    assert sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()) == before


def test_unwritable_store_is_one_clear_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(np.zeros((1, 4), dtype=int), {"loss": np.array([1.0])})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr.core.indexing.BlockIndex, "__setitem__", full)
    with pytest.raises(WorkError, match=r"No space left on device.*resume"):
        store.flush()


def test_store_that_vanished_is_not_written_to(address: str, store: Store) -> None:
    store.put(np.zeros((1, 4), dtype=int), {"loss": np.array([1.0])})
    shutil.rmtree(address)
    with pytest.raises(WorkError, match="cannot write"):
        store.flush()
    assert not Path(address).exists()


def test_second_writer_is_refused_until_the_first_has_ended(address: str) -> None:
    with write_store(address, SMOKE), pytest.raises(RequestError, match="another run"):
        create(address)
    create(address)


def test_history_has_an_entry_for_each_run(address: str) -> None:
    for count in (1, 2):
        with write_store(address, SMOKE) as store:
            store.begin({"code_version": str(count)})
            store.put(np.zeros((count, 4), dtype=int), {"loss": np.ones(count)})
            store.flush()
    history = xr.open_zarr(address).attrs["history"]
    assert [(run["code_version"], run["points_added"]) for run in history] == [("1", 1), ("2", 2)]
