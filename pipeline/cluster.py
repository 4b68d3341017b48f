"""Where the tasks run: processes of this machine, or a Dask scheduler that is already there."""

import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path

import dask
from distributed import Client, LocalCluster
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.registry import backends

from pipeline.errors import RequestError, WorkError

CONNECT_SECONDS = 30

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
KEEP_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
}
"""Matrices of one size come and go: given back to the system, each costs its page faults anew."""


@contextmanager
def workers_on_demand(
    cluster: str | None = None, *, workers: int | None = None
) -> Iterator[Callable[[], Client]]:
    """Yield a function that connects to the workers when it is first called.

    No points to do, no workers; and none is left behind.

    Parameters
    ----------
    cluster
        None for processes of this machine, the address of a scheduler (``tcp://host:port``), or
        the path of a scheduler file.
    workers
        Processes to start on this machine; by default one a core, and at least two.

    Raises
    ------
    RequestError
        If `cluster` is none of these, or `workers` is given for a cluster that runs already.
    WorkError
        By the function, if the scheduler does not answer or has no worker.
    """
    if cluster is None:
        connect = partial(_start_locally, workers or max(2, _cores()))
    elif workers is None:
        connect = partial(_find_scheduler, _locate(cluster))
    else:
        raise RequestError(
            f"--workers {workers}: the workers of {cluster!r} are started with its scheduler; "
            "leave --workers out"
        )
    with ExitStack() as connections:
        yield cache(lambda: connections.enter_context(connect()))


@contextmanager
def _start_locally(workers: int) -> Iterator[Client]:
    environment = {"distributed.nanny.pre-spawn-environ": ONE_THREAD | KEEP_FREED_MEMORY}
    with dask.config.set(environment), _held_back(signal.SIGINT):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    client = Client(cluster, set_as_default=False)
    try:
        yield client
    finally:
        with _unlogged("distributed", "tornado.application"):
            client.close()
            cluster.close()


@contextmanager
def _unlogged(*names: str) -> Iterator[None]:
    """Keep loggers silent: what a closed connection cuts short is no error, but logged as one."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _held_back(number: signal.Signals) -> Iterator[None]:
    """Hold back a signal for a while, and from the processes started meanwhile for good.

    A terminal sends Ctrl-C to all processes, and the driver alone is to act on it: children inherit
    what is blocked.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})


@contextmanager
def _find_scheduler(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise WorkError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise WorkError(
                f"the scheduler at {address} got no worker within {CONNECT_SECONDS} s: "
                "start some with dask worker"
            ) from error
        yield client


def _locate(cluster: str) -> str:
    """Return the address of the scheduler, given itself or in a scheduler file."""
    try:
        if Path(cluster).is_file():
            return str(json.loads(Path(cluster).read_text(encoding="utf-8"))["address"])
        scheme, location = parse_address(cluster, strict=True)
        parse_host_port(location)
        backends[scheme]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RequestError(
            f"--cluster {cluster!r}: expected a scheduler's address such as tcp://127.0.0.1:8786, "
            "or the path of the file that dask scheduler --scheduler-file writes"
        ) from error
    return cluster


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
