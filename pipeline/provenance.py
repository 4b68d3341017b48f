"""What made the numbers: code, packages, processors and BLAS threads."""

import hashlib
import platform
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController

PACKAGES = ("numpy", "dask", "distributed", "xarray", "zarr")


def describe_run(workers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the history entry of a run that starts now.

    Parameters
    ----------
    workers
        What `describe_worker` returned on each worker.
    """
    kinds = Counter(tuple(sorted(worker.items())) for worker in workers)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": metadata.version("bfa-sweep"),
        "source_digest": source_digest(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "workers": [{**dict(kind), "count": count} for kind, count in kinds.items()],
    }


def describe_worker() -> dict[str, Any]:
    """Return processor and BLAS of the calling process, and the threads a task computes with."""
    with one_blas_thread():
        blas = ThreadpoolController().select(user_api="blas").info()
    return {
        "cpu": _processor(),
        "source_digest": source_digest(),
        "blas": ", ".join(f"{b['internal_api']} {b['version']} {b['architecture']}" for b in blas),
        "blas_threads": max((b["num_threads"] for b in blas), default=1),
    }


def one_blas_thread() -> AbstractContextManager[object]:
    """Hold BLAS to one thread: the sums of several come in another order, hence other bits."""
    limited: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limited


@cache
def source_digest() -> str:
    """Return the SHA-256 of the source of the pipeline, hexadecimal."""
    files = [f for f in resources.files("pipeline").iterdir() if f.name.endswith(".py")]
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
