"""The whole program, killed and interrupted from outside."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline import cube
from pipeline.errors import RequestError
from pipeline.store import open_store
from tests.comparison import assert_same_cube
from tests.waiting import wait_until

BFA = str(Path(sys.executable).with_name("bfa"))
COMMAND = [BFA, "run", "depth", "--workers", "2"]
COMMAND += ["--set", "axes.depth={start=10,stop=60}", "--set", "axes.width=[150]"]
COMMAND += ["--set", "model.weights=explicit", "--store"]


def points_done(store: str) -> int:
    try:
        return int((open_store(store).status() == cube.DONE).sum())
    except RequestError:  # not created yet
        return 0


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = str(tmp_path_factory.mktemp("whole") / "depth.zarr")
    subprocess.run([*COMMAND, store], check=True, capture_output=True)
    return store


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell ignores Ctrl-C for what it starts in the background, and that is inherited."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 130)]
)
def test_stopped_run_resumes_to_the_same_bits(
    tmp_path: Path, uninterrupted: str, number: signal.Signals, code: int
) -> None:
    store = str(tmp_path / "depth.zarr")
    driver = subprocess.Popen([*COMMAND, store], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: points_done(store) > 0)
    processes = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(number)
    _, said = driver.communicate(timeout=30)
    assert driver.returncode == code
    assert "Traceback" not in said
    assert number == signal.SIGKILL or "To resume:\n  bfa run depth" in said
    wait_until(lambda: not any(process.is_running() for process in processes))

    kept = points_done(store)
    assert 0 < kept < 255
    resumed = subprocess.run([*COMMAND, store], check=True, capture_output=True, text=True)
    assert f"{255 - kept} points computed, {kept} kept, 0 recomputed" in resumed.stdout
    assert_same_cube(store, uninterrupted)
