"""The cube on disk: create it, open it, fill it chunk by chunk, keep its history."""

import fcntl
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline import cube
from pipeline.errors import RequestError, WorkError
from pipeline.sweep import Sweep
from pipeline.sweep_file import parse_sweep

FLUSH_SECONDS = 2.0
FLUSH_CHUNKS = 256

BEING_CREATED = "being_created"
"""Attribute of a group that is not a cube yet, and ours."""

Chunk = tuple[int, ...]


class Store:
    """The cube of one sweep, with one writer.

    Results are kept in buffers, a chunk each, until they are flushed: values first, `status` last,
    each chunk an atomic replace. What a killed writer leaves is therefore a consistent cube that
    lacks at most the points since its last flush.
    """

    def __init__(self, address: str, group: zarr.Group, folder: int | None = None) -> None:
        self.address = address
        self._folder = folder
        self.sweep: Sweep = parse_sweep(str(group.attrs["sweep"]), address)
        self._group = group
        self._chunk_shape = cube.chunk_shape(self.sweep)
        self._buffers: dict[tuple[str, Chunk], NDArray[Any]] = {}
        self._run: dict[str, Any] | None = None
        self._flushed = time.monotonic()

    def status(self) -> NDArray[np.int8]:
        """Return the status of every point, shape (depth, width, beta, trial)."""
        return np.asarray(self._array("status")[...], dtype=np.int8)

    @property
    def history(self) -> list[dict[str, Any]]:
        """One entry for each run that wrote to the cube, oldest first."""
        return list(cast("list[dict[str, Any]]", self._group.attrs["history"]))

    def begin(self, provenance: Mapping[str, Any]) -> None:
        """Open the history entry of this run."""
        self._run = {**provenance, "points_added": 0, "points_failed": 0}
        with self._writing():
            self._write_history([*self.history, self._run])

    def put(self, cells: NDArray[np.int64], values: Mapping[str, NDArray[Any]]) -> None:
        """Buffer the results of computed points.

        Parameters
        ----------
        cells
            Position of each point along depth, width, beta and trial, shape (points, 4).
        values
            Data variables, shape (points,) or (points, layers); further layers stay NaN.
        """
        count = len(cells)
        success = {"error": np.full(count, ""), "status": np.full(count, cube.DONE)}
        self._buffer(cells, {**values, **success})
        self._count("points_added", count)

    def put_failure(self, cells: NDArray[np.int64], error: str) -> None:
        """Buffer the failure of points."""
        count = len(cells)
        failure = {"error": np.full(count, error), "status": np.full(count, cube.FAILED)}
        self._buffer(cells, failure)
        self._count("points_failed", count)

    def flush_if_due(self) -> None:
        """Flush if the last flush was a while ago or the buffers have grown large."""
        overdue = time.monotonic() - self._flushed > FLUSH_SECONDS
        if overdue or len(self._buffers) > FLUSH_CHUNKS:
            self.flush()

    def flush(self) -> None:
        """Write all buffered results and the history.

        Raises
        ------
        WorkError
            If they cannot be written; what was written before is kept.
        """
        if self._buffers:
            with self._writing():
                for name in cube.VARIABLES:
                    self._write(name)
                if self._run:
                    self._write_history([*self.history[:-1], self._run])
        self._buffers.clear()
        self._flushed = time.monotonic()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Refuse to write to a folder that is no longer there; say what the system says."""
        try:
            if self._folder and not os.path.samestat(
                Path(self.address).stat(), os.fstat(self._folder)
            ):
                raise FileNotFoundError(ENOENT, "the folder was replaced by another")
            yield
        except OSError as error:
            raise WorkError(
                f"cannot write to {self.address}: {error.strerror or error}. What was written "
                "before is kept; mend the cause and run the same command to resume"
            ) from error

    def _write(self, name: str) -> None:
        for (variable, chunk), values in self._buffers.items():
            if variable == name:
                self._array(name).blocks[self._block(name, chunk)] = values

    def _buffer(self, cells: NDArray[np.int64], values: Mapping[str, NDArray[Any]]) -> None:
        chunks = cells // self._chunk_shape
        for chunk in np.unique(chunks, axis=0):
            inside = (chunks == chunk).all(axis=1)
            within = tuple((cells[inside] - chunk * self._chunk_shape).T)
            for name, column in values.items():
                buffer = self._chunk(name, tuple(chunk.tolist()))
                layers = () if column.ndim == 1 else (slice(column.shape[1]),)
                buffer[(*within, *layers)] = column[inside]

    def _chunk(self, name: str, chunk: Chunk) -> NDArray[Any]:
        """Return the buffer of a chunk, read from the store on its first use since a flush."""
        if (name, chunk) not in self._buffers:
            stored = self._array(name).blocks[self._block(name, chunk)]
            self._buffers[name, chunk] = np.array(stored)
        return self._buffers[name, chunk]

    def _block(self, name: str, chunk: Chunk) -> Chunk:
        return (*chunk, 0) if cube.has_layers(name, self.sweep) else chunk

    def _array(self, name: str) -> zarr.Array[Any]:
        return cast("zarr.Array[Any]", self._group[name])

    def _count(self, what: str, points: int) -> None:
        if self._run:
            self._run[what] += points

    def _write_history(self, history: list[dict[str, Any]]) -> None:
        self._group.update_attributes({"history": history})


@contextmanager
def write_store(address: str, sweep: Sweep) -> Iterator[Store]:
    """Open the cube of a sweep for writing, and create it where there is none.

    The store is locked meanwhile, by a lock that ends with its process, whatever ends that.

    Raises
    ------
    RequestError
        If the address holds something else or the cube of another sweep, or another run writes to
        it.
    WorkError
        If the cube cannot be created.
    """
    _holds_cube(address)  # refuses what is not ours before a lock touches it
    with _locked(address) as lock:
        if not _holds_cube(address):
            _create(address, sweep)
        store = Store(address, zarr.open_group(address, mode="r+"), lock)
        _refuse_other(store, sweep)
        yield store


def open_store(address: str) -> Store:
    """Open an existing cube for reading.

    Raises
    ------
    RequestError
        If there is no cube at the address.
    """
    if not _holds_cube(address):
        raise RequestError(
            f"no cube at {address!r}: expected the path of a store that bfa run made"
        )
    return Store(address, zarr.open_group(address, mode="r"))


def _holds_cube(address: str) -> bool:
    """Tell a cube from an empty place; refuse anything else, for it is not ours to write to."""
    if "://" in address:
        raise RequestError(f"store {address!r}: expected a path on a file system")
    try:
        path = Path(address)
        if not path.exists() or (path.is_dir() and all(map(_is_leftover, path.iterdir()))):
            return False
        group = zarr.open_group(address, mode="r")
    except (OSError, ValueError) as error:
        raise RequestError(
            f"{address!r} is not a cube: expected a cube or a new path ({error})"
        ) from error
    if "sweep_digest" in group.attrs:
        return True
    if BEING_CREATED in group.attrs:
        return False
    raise RequestError(f"{address!r} is a Zarr group but not a cube: give another --store")


def _is_leftover(path: Path) -> bool:
    """Tell what a writer leaves that was killed before it had written its first file."""
    return path.name.startswith("zarr.") and path.name.endswith(".partial")


@contextmanager
def _locked(address: str) -> Iterator[int]:
    """Hold the lock of a store's folder; yield the folder's file descriptor."""
    try:
        Path(address).mkdir(parents=True, exist_ok=True)
        folder = os.open(address, os.O_RDONLY)
    except OSError as error:
        raise WorkError(f"cannot create a store at {address!r}: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    except BlockingIOError as error:
        raise RequestError(
            f"{address} is being written by another run: wait for its end, or give another --store"
        ) from error
    finally:
        os.close(folder)


def _create(address: str, sweep: Sweep) -> None:
    """Create an empty cube; its attributes, written last, make it one."""
    try:
        mark: dict[str, Any] = {BEING_CREATED: True}
        group = zarr.open_group(address, mode="a", attributes=mark)
        for name in (*cube.VARIABLES, *cube.COORDINATES):
            # from a creation that was cut short, maybe before it was an array
            shutil.rmtree(Path(address, name), ignore_errors=True)
        coordinates = cube.coordinates(sweep).assign_attrs(mark)
        coordinates.to_zarr(address, mode="a", zarr_format=3, consolidated=False)
        for name, variable in cube.VARIABLES.items():
            _create_array(group, name, variable, sweep)
        with warnings.catch_warnings():
            # a plain xr.open_zarr warns about a store without it, zarr about one with it
            warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
            group = zarr.consolidate_metadata(group.store)
        attributes = {name: group.attrs[name] for name in group.attrs if name != BEING_CREATED}
        group.attrs.put({**attributes, **cube.attributes(sweep), "history": []})
    except OSError as error:
        raise WorkError(
            f"cannot create a cube at {address!r}: {error.strerror or error}"
        ) from error


def _refuse_other(store: Store, sweep: Sweep) -> None:
    difference = _difference(store.sweep.identity, sweep.identity)
    if difference:
        lines = "\n".join(f"  {line}" for line in difference)
        raise RequestError(
            f"{store.address} holds another sweep; what differs:\n{lines}\n"
            "give another --store, or ask for the sweep it holds"
        )


def _create_array(group: zarr.Group, name: str, variable: cube.Variable, sweep: Sweep) -> None:
    layers = (cube.layer_count(sweep),) if cube.has_layers(name, sweep) else ()
    group.create_array(
        name,
        shape=(*sweep.axes.shape, *layers),
        chunks=(*cube.chunk_shape(sweep), *layers),
        dtype=variable.dtype,
        fill_value=variable.fill,
        dimension_names=cube.variable_dims(name, sweep),
        attributes=variable.attributes,
    )


def _difference(stored: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Say where two identities differ, key by key."""
    lines = []
    for key in stored:
        old, new = stored[key], asked[key]
        if isinstance(old, dict):
            lines += _difference(old, new, prefix=f"{prefix}{key}.")
        elif old != new:
            lines.append(f"{prefix}{key}: stored {_shorten(old)}, asked {_shorten(new)}")
    return lines


def _shorten(value: object) -> str:
    most = 60
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}..."
