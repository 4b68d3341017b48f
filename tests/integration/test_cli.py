"""The command line as a user meets it."""

from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from pipeline.cli import app
from pipeline.run import Progress
from pipeline.store import write_store
from pipeline.sweep_file import load_sweep, shipped_sweeps


@pytest.fixture
def bfa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Bfa":
    monkeypatch.chdir(tmp_path)
    return Bfa()


class Bfa:
    """Calls the command line in an empty folder."""

    def __call__(self, *arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert "Traceback" not in result.output
        return result


def test_run_status_figures_from_a_shipped_sweep(bfa: "Bfa", tmp_path: Path) -> None:
    first = bfa("run", "smoke", "--workers", "1")
    assert first.exit_code == 0
    assert "8 points computed, 0 kept, 0 recomputed -> results/smoke.zarr" in first.stdout
    assert "nothing to compute, 8 kept, 0 recomputed" in bfa("run", "smoke").stdout
    status = bfa("status", "results/smoke.zarr")
    assert status.exit_code == 0
    assert "8 of 8" in status.stdout
    drawn = bfa("figures", "results/smoke.zarr", "--out", "pictures", "--format", "svg")
    assert drawn.exit_code == 0
    assert (tmp_path / "pictures" / "bfa_vs_layer.svg").stat().st_size > 0


def test_a_sweep_file_of_ones_own(bfa: "Bfa", tmp_path: Path) -> None:
    text = shipped_sweeps()["smoke"].replace('name = "smoke"', 'name = "mine"')
    (tmp_path / "mine.toml").write_text(text)
    own = bfa("run", "mine.toml", "--set", "axes.trial=1", "--points-per-task", "2")
    assert "4 points computed" in own.stdout
    assert xr.open_zarr(tmp_path / "results" / "mine.zarr").sizes["trial"] == 1


def test_status_of_an_incomplete_cube_exits_with_one(bfa: "Bfa") -> None:
    with write_store("half.zarr", load_sweep("smoke")):
        pass
    status = bfa("status", "half.zarr")
    assert status.exit_code == 1
    assert "8 of 8" in status.stdout


def test_failed_points_make_the_run_exit_with_one(
    bfa: "Bfa", monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Progress(kept=0, total=8, cost=1.0, done=6, failed=2)
    monkeypatch.setattr("pipeline.run.run_sweep", lambda *_, **__: outcome)
    failed = bfa("run", "smoke")
    assert failed.exit_code == 1
    assert "6 points computed, 2 failed" in failed.stdout
    assert "--retry-failed" in failed.stderr


def test_names_are_not_taken_for_markup(bfa: "Bfa") -> None:
    sets = ["--set", 'title="odd [/title]"', "--workers", "1"]
    ran = bfa("run", "smoke", "--store", "odd [red][/b].zarr", *sets)
    assert ran.exit_code == 0
    assert "-> odd [red][/b].zarr" in ran.stdout
    assert "odd [/title]" in bfa("status", "odd [red][/b].zarr").stdout


def test_sweeps_and_plan(bfa: "Bfa") -> None:
    listed = bfa("sweeps").stdout
    assert all(name in listed for name in shipped_sweeps())
    planned = bfa("plan", "depth").stdout
    rows = ("points", "tasks", "chunks", "bytes", "core-seconds", "peak memory a worker")
    assert all(row in planned for row in rows)
    assert "955" in planned


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "smok"], "did you mean 'smoke'"),
        (["run", "smoke", "--set", "axes.trial=0"], "axes.trial = 0: expected"),
        (["run", "smoke", "--points-per-task", "few"], "execution.points_per_task = 'few'"),
        (["run", "smoke", "--store", "s3://bucket/x"], "expected a path"),
        (["run", "smoke", "--cluster", "nowhere"], "scheduler's address"),
        (["run", "smoke", "--workers", "0"], "--workers"),
        (["status", "nothing.zarr"], "no cube at 'nothing.zarr'"),
        (["figures", "nothing.zarr"], "nothing.zarr"),
        (["figures", "nothing.zarr", "--format", "gif"], "--format"),
        (["plan", "absent.toml"], "No such file"),
    ],
)
def test_wrong_requests_exit_with_two_and_say_why(
    bfa: "Bfa", arguments: list[str], complaint: str
) -> None:
    refused = bfa(*arguments)
    assert refused.exit_code == 2
    assert complaint in refused.output


def test_every_command_has_an_example(bfa: "Bfa") -> None:
    for command in ("reproduce", "sweeps", "plan", "run", "status", "figures"):
        assert f"Example: bfa {command}" in bfa(command, "--help").stdout
