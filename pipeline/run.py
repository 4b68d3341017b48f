"""The run loop: points still missing go out as tasks, results come back into the cube."""

import queue
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from distributed import Client, Future
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from numpy.typing import NDArray

from pipeline import cube
from pipeline.errors import WorkError
from pipeline.plan import Batch, pack
from pipeline.provenance import describe_run, describe_worker, one_blas_thread, source_digest
from pipeline.simulate import Points, simulate
from pipeline.store import Store, write_store
from pipeline.sweep import Experiment, Sweep

if TYPE_CHECKING:
    from dask.typing import Key

WINDOW = 4
"""Tasks in flight for each worker thread: enough to keep it busy, too few to fill any memory."""

TICK_SECONDS = 0.5

Results = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Parameters
    ----------
    kept
        Points the cube held before.
    total, done, failed
        Points of this run: in all, computed, failed.
    cost, cost_done
        Predicted seconds of all points of this run, and of those that are through.
    """

    kept: int
    total: int
    cost: float
    done: int = 0
    failed: int = 0
    cost_done: float = 0.0


def run_sweep(
    sweep: Sweep,
    address: str,
    client: Callable[[], Client],
    *,
    retry_failed: bool = False,
    report: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Compute the points of a sweep that its cube does not hold yet.

    Parameters
    ----------
    sweep
        What to compute.
    address
        Where the cube is, or shall be.
    client
        Connects to the workers; called only if there is something to compute.
    retry_failed
        Compute failed points once more.
    report
        Called with the progress so far, at the start and whenever there is something new.

    Raises
    ------
    RequestError
        If the address holds something other than the cube of this sweep, or another run writes it.
    WorkError
        If the cube cannot be written, or the workers cannot be reached or have other code.
    """
    with write_store(address, sweep) as store:
        status = store.status()
        todo = points_to_do(status, retry_failed=retry_failed)
        progress = Progress(
            kept=int((status == cube.DONE).sum()),
            total=int(todo.sum()),
            cost=sum(batch.cost for batch in pack(sweep, todo)),
        )
        report(progress)
        if todo.any():
            progress = _fill(store, todo, client(), progress, report)
    return progress


def _fill(
    store: Store,
    todo: NDArray[np.bool_],
    client: Client,
    progress: Progress,
    report: Callable[[Progress], None],
) -> Progress:
    """Compute the points to do and put them into the store."""
    sweep = store.sweep
    try:
        store.begin(describe_run(_describe_workers(client)))
        for outcomes in stream(client, sweep.experiment, pack(sweep, todo)):
            for batch, outcome in outcomes:
                progress = _record(store, batch, outcome, progress)
            store.flush_if_due()
            report(progress)
    except (FutureCancelledError, CommClosedError) as error:
        raise WorkError(
            "the connection to the Dask scheduler was lost; what was computed is kept: "
            "run the same command to resume"
        ) from error
    finally:
        store.flush()
    return progress


def _describe_workers(client: Client) -> list[dict[str, Any]]:
    """Describe every worker, and refuse those that would compute with other code."""
    described = client.run(describe_worker, on_error="return")
    for address, worker in described.items():
        if isinstance(worker, Exception):
            raise WorkError(
                f"the worker {address} cannot run bfa ({worker}): install the same bfa-sweep on "
                "every worker"
            )
        if worker["source_digest"] != source_digest():
            raise WorkError(
                f"the worker {address} has another source of bfa-sweep "
                f"({worker['source_digest'][:12]}) than this process ({source_digest()[:12]}): "
                "install the same on every worker"
            )
    return list(described.values())


def points_to_do(status: NDArray[np.int8], *, retry_failed: bool) -> NDArray[np.bool_]:
    """Return which points to compute, shape (depth, width, beta, trial)."""
    wanted = [cube.MISSING, cube.FAILED] if retry_failed else [cube.MISSING]
    return np.isin(status, wanted)


def compute(experiment: Experiment, points: Points) -> Results:
    """Simulate points on a worker, with the seconds each of them took."""
    started = time.perf_counter()
    with one_blas_thread():
        results = simulate(experiment, points)
    seconds = (time.perf_counter() - started) / len(points)
    return {**results, "seconds": np.full(len(points), seconds)}


def stream(
    client: Client, experiment: Experiment, batches: Iterator[Batch]
) -> Iterator[list[tuple[Batch, Results | BaseException]]]:
    """Run batches through a rolling window of tasks and yield their outcomes as they come.

    A batch that fails is run again point by point, so that an error stays with the point it belongs
    to. What is yielded now and then is empty: time to look at the clock.
    """
    finished: queue.SimpleQueue[Future[Results]] = queue.SimpleQueue()
    in_flight: dict[Key, Batch] = {}

    def submit(batch: Batch) -> None:
        future = client.submit(compute, experiment, batch.points, pure=False)
        in_flight[future.key] = batch
        future.add_done_callback(finished.put)

    window = WINDOW * sum(client.nthreads().values())
    for batch in islice(batches, window):
        submit(batch)
    while in_flight:
        outcomes = []
        for future in _drain(finished):
            batch = in_flight.pop(future.key)
            outcome = future.exception() or future.result()
            if isinstance(outcome, BaseException) and len(batch.points) > 1:
                for point in batch.split():
                    submit(point)
            else:
                outcomes.append((batch, outcome))
        for batch in islice(batches, max(0, window - len(in_flight))):
            submit(batch)
        yield outcomes


def _drain(finished: "queue.SimpleQueue[Future[Results]]") -> Iterator["Future[Results]"]:
    """Yield what has finished, after waiting a moment for the first."""
    try:
        yield finished.get(timeout=TICK_SECONDS)
        while True:
            yield finished.get_nowait()
    except queue.Empty:
        return


def _record(
    store: Store, batch: Batch, outcome: Results | BaseException, progress: Progress
) -> Progress:
    count = len(batch.points)
    progress = replace(progress, cost_done=progress.cost_done + batch.cost)
    if isinstance(outcome, BaseException):
        store.put_failure(batch.cells, "".join(traceback.format_exception(outcome)))
        return replace(progress, failed=progress.failed + count)
    store.put(batch.cells, outcome)
    return replace(progress, done=progress.done + count)
