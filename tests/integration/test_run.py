"""The run loop on real workers: same bits however it runs, and nothing lost when it fails."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from numpy.typing import NDArray

from pipeline import cube, run
from pipeline.cluster import workers_on_demand
from pipeline.errors import RequestError, WorkError
from pipeline.run import Progress, run_sweep
from pipeline.simulate import Points, simulate
from pipeline.sweep import Experiment, Sweep
from pipeline.sweep_file import load_sweep
from tests.comparison import assert_same_cube
from tests.waiting import wait_until

SETS = ["axes.depth={start=5,stop=24}", "axes.width=[20]", "record=output"]


def sweep(*sets: str) -> Sweep:
    return load_sweep("smoke", [*SETS, *sets])


@pytest.fixture
def client() -> Iterator[Client]:
    """Workers that are threads of this process: what is patched here is patched there."""
    with (
        LocalCluster(
            processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0"
        ) as c,
        Client(c) as client,
    ):
        yield client


def test_bits_do_not_depend_on_workers_or_batches(tmp_path: Path) -> None:
    stores = []
    for workers, points_per_task in [(1, "auto"), (2, "1"), (3, "7")]:
        stores.append(str(tmp_path / f"{workers}.zarr"))
        with workers_on_demand(workers=workers) as started:
            asked = sweep(f"execution.points_per_task={points_per_task}")
            outcome = run_sweep(asked, stores[-1], started)
        assert (outcome.done, outcome.failed, outcome.total) == (80, 0, 80)
    for store in stores[1:]:
        assert_same_cube(store, stores[0])


def test_stored_values_are_the_kernels(tmp_path: Path, client: Client) -> None:
    asked, store = sweep(), str(tmp_path / "a.zarr")
    run_sweep(asked, store, lambda: client)
    ds = xr.open_zarr(store)
    beta = asked.axes.betas(17)[0]
    points = Points(17, 20, beta=np.array([beta]), trial=np.array([1]))
    stored = ds.sel(depth=17, width=20, beta="1/sqrt(L)", trial=1)
    for name, values in simulate(asked.experiment, points).items():
        assert float(stored[name]) == values[0], name


def test_second_run_computes_nothing_and_starts_no_workers(tmp_path: Path, client: Client) -> None:
    store = str(tmp_path / "a.zarr")
    run_sweep(sweep(), store, lambda: client)
    before = xr.open_zarr(store).load()

    def unexpected() -> Client:
        raise AssertionError

    outcome = run_sweep(sweep(), store, unexpected)
    assert (outcome.kept, outcome.total) == (80, 0)
    assert xr.open_zarr(store).load().identical(before)


def test_progress_reaches_the_whole(tmp_path: Path, client: Client) -> None:
    seen: list[Progress] = []
    run_sweep(sweep(), str(tmp_path / "a.zarr"), lambda: client, report=seen.append)
    assert (seen[0].done, seen[0].total, seen[-1].done) == (0, 80, 80)
    assert seen[-1].cost_done == pytest.approx(seen[-1].cost)
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def refuse(depth: int) -> object:
    """A kernel that fails at one depth, for trial 1."""

    def simulate_or_fail(experiment: Experiment, points: Points) -> dict[str, NDArray[np.float64]]:
        if points.depth == depth and 1 in points.trial:
            raise ArithmeticError(f"no luck at depth {points.depth}")
        return simulate(experiment, points)

    return simulate_or_fail


def test_failed_points_are_recorded_and_retried_alone(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asked = str(tmp_path / "a.zarr"), sweep("execution.points_per_task=4")
    monkeypatch.setattr(run, "simulate", refuse(depth=9))
    outcome = run_sweep(asked, store, lambda: client)
    assert (outcome.done, outcome.failed) == (78, 2)
    ds = xr.open_zarr(store).load()
    failed = ds.status == cube.FAILED
    assert failed.sum() == failed.sel(depth=9, trial=1).sum() == 2
    error = str(ds.error.sel(depth=9, trial=1, width=20, beta="1").values)
    assert "ArithmeticError: no luck at depth 9" in error

    assert run_sweep(asked, store, lambda: client).total == 0
    monkeypatch.undo()
    mended = run_sweep(asked, store, lambda: client, retry_failed=True)
    assert (mended.kept, mended.done, mended.failed) == (78, 2, 0)
    run_sweep(asked, str(tmp_path / "b.zarr"), lambda: client)
    assert_same_cube(store, str(tmp_path / "b.zarr"))


def test_interrupt_keeps_what_was_computed(tmp_path: Path, client: Client) -> None:
    store, asked = str(tmp_path / "a.zarr"), sweep("execution.points_per_task=1")

    def interrupt(progress: Progress) -> None:
        if progress.done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(asked, store, lambda: client, report=interrupt)
    kept = int((xr.open_zarr(store).status == cube.DONE).sum())
    assert 20 < kept < 80
    assert run_sweep(asked, store, lambda: client).kept == kept


@pytest.fixture
def scheduler_file(tmp_path: Path) -> Iterator[Path]:
    """A scheduler and a worker without nanny, as somebody else would have started them."""
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-P", "-m", "dask"]
    shared = ["--scheduler-file", str(file), "--dashboard-address", "127.0.0.1:0"]
    commands = [
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *shared],
        [*dask, "worker", "--host", "127.0.0.1", "--nthreads", "2", "--no-nanny", *shared],
    ]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) for command in commands
    ]
    yield file
    for process in reversed(processes):
        process.terminate()
        process.wait()


def test_existing_scheduler_by_file_and_by_address(tmp_path: Path, scheduler_file: Path) -> None:
    wait_until(lambda: scheduler_file.exists() and scheduler_file.read_text() != "")
    stores = [str(tmp_path / name) for name in ("file.zarr", "address.zarr", "local.zarr")]
    with workers_on_demand(str(scheduler_file)) as by_file:
        run_sweep(sweep(), stores[0], by_file)
    address = json.loads(scheduler_file.read_text())["address"]
    with workers_on_demand(address) as by_address:
        run_sweep(sweep(), stores[1], by_address)
    with workers_on_demand() as local:
        run_sweep(sweep(), stores[2], local)
    assert_same_cube(stores[0], stores[2])
    assert_same_cube(stores[1], stores[2])
    (worker,) = xr.open_zarr(stores[0]).attrs["history"][0]["workers"]
    assert (worker["blas_threads"], worker["count"]) == (1, 1)


@pytest.mark.parametrize("cluster", ["nowhere", "foo://x:1", "tcp://x:port", "wrong.json"])
def test_wrong_clusters_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.json").write_text('{"a": 1}')
    with pytest.raises(RequestError, match="scheduler's address"), workers_on_demand(cluster):
        pass


def test_workers_of_an_existing_scheduler_are_not_ours_to_start() -> None:
    refused = workers_on_demand("tcp://127.0.0.1:9", workers=2)
    with pytest.raises(RequestError, match="leave --workers out"), refused:
        pass


def test_silent_scheduler_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cluster.CONNECT_SECONDS", 1)
    nobody = workers_on_demand("tcp://127.0.0.1:9")
    with nobody as client, pytest.raises(WorkError, match="no Dask scheduler answers"):
        client()
