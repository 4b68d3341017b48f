"""Where the tasks run: processes of this machine, or a Dask scheduler that is already there."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import dask
from distributed import Client, LocalCluster

from pipeline.errors import RequestError, WorkError

CONNECT_SECONDS = 30

KEEP_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
}
"""Matrices of one size come and go: given back to the system, each costs its page faults anew."""


@contextmanager
def workers_on_demand(
    cluster: str | None = None, *, workers: int | None = None
) -> Iterator[Callable[[], Client]]:
    """Yield a function that connects when it is first called: no points to do, no workers.

    Takes the parameters of `connect`, and raises its errors on that first call.
    """
    with ExitStack() as connections:

        @cache
        def client() -> Client:
            return connections.enter_context(connect(cluster, workers=workers))

        yield client


@contextmanager
def connect(cluster: str | None = None, *, workers: int | None = None) -> Iterator[Client]:
    """Connect to the workers of a sweep, and leave nothing behind.

    Parameters
    ----------
    cluster
        None for a cluster of processes on this machine, the address of a scheduler
        (``tcp://host:port``), or the path of a scheduler file.
    workers
        Processes to start on this machine; by default one a core, and at least two.

    Raises
    ------
    RequestError
        If `cluster` is none of these, or `workers` is given for a cluster that runs already.
    WorkError
        If the scheduler does not answer, or has no worker.
    """
    if cluster is None:
        with _local_cluster(workers or max(2, _cores())) as local, Client(local) as client:
            yield client
        return
    if workers is not None:
        raise RequestError(
            f"--workers {workers}: the workers of {cluster!r} are started with its scheduler; "
            "leave --workers out"
        )
    with _existing(cluster) as client:
        yield client


def _local_cluster(workers: int) -> LocalCluster:
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    environment = {"distributed.nanny.pre-spawn-environ": threads | KEEP_FREED_MEMORY}
    with dask.config.set(environment), _ignored_by_children(signal.SIGINT):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        )


@contextmanager
def _ignored_by_children(number: signal.Signals) -> Iterator[None]:
    """Start processes that ignore a signal.

    A terminal sends Ctrl-C to all processes, and the driver alone is to act on it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it is interrupted
        return
    handler = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, handler)


def _existing(cluster: str) -> Client:
    try:
        client = Client(**_where(cluster), timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise WorkError(f"no Dask scheduler answers at {cluster!r}: {error}") from error
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError as error:
        client.close()
        raise WorkError(
            f"the scheduler at {cluster!r} got no worker within {CONNECT_SECONDS} s: "
            "start some with dask worker"
        ) from error
    return client


def _where(cluster: str) -> dict[str, str]:
    if "://" in cluster:
        return {"address": cluster}
    if Path(cluster).is_file():
        return {"scheduler_file": cluster}
    raise RequestError(
        f"--cluster {cluster!r}: expected a scheduler's address such as tcp://127.0.0.1:8786, "
        "or the path of a scheduler file"
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
