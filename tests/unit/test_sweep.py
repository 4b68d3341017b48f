"""Sweep files: what they mean, and what is said about a wrong one."""

import contextlib
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RequestError
from pipeline.sweep_file import load_sweep, parse_sweep, shipped_sweeps


@pytest.mark.parametrize(
    ("name", "record", "depths", "widths", "trials", "betas"),
    [
        ("layers", "layers", [200], [200], 5, 5),
        ("depth", "output", list(range(10, 201)), [200], 1, 5),
        ("branch_scale", "output", [30, 100, 500], [500], 5, 20),
    ],
)
def test_shipped_sweeps_are_the_notebooks(
    name: str, record: str, depths: list[int], widths: list[int], trials: int, betas: int
) -> None:
    sweep = load_sweep(name)
    assert (sweep.name, sweep.record, sweep.axes.trial) == (name, record, trials)
    assert (list(sweep.axes.depths), list(sweep.axes.widths)) == (depths, widths)
    assert len(sweep.axes.beta_labels) == betas
    model, step = sweep.model, sweep.step
    assert (model.input_dim, model.output_dim, model.inputs) == (10, 1, 1)
    assert (step.rule, step.learning_rate) == ("speed_controlled", 1e-3)
    assert step.trained == ["W", "V"]


def test_beta_rules_follow_the_depth() -> None:
    L = 100
    expected = [1 / L, 0.5 / math.sqrt(L), 1 / math.sqrt(L), 2 / math.sqrt(L)]
    assert load_sweep("layers").axes.betas(L) == pytest.approx([*expected, 1.0], rel=1e-15)
    assert load_sweep("depth").axes.betas(L) == pytest.approx([*expected, 0.999], rel=1e-15)


def test_logspace_spans_its_ends() -> None:
    betas = load_sweep("branch_scale").axes.betas(30)
    assert (betas[0], betas[-1]) == (1e-3, 1.0)
    ratios = [b / a for a, b in itertools.pairwise(betas)]
    assert ratios == pytest.approx([10 ** (3 / 19)] * 19)


@pytest.mark.parametrize("name", shipped_sweeps())
def test_sweep_survives_its_own_text(name: str) -> None:
    sweep = load_sweep(name)
    again = parse_sweep(sweep.to_toml(), "copy")
    assert again == sweep
    assert again.digest == sweep.digest


def test_digest_knows_what_changes_numbers_and_nothing_else() -> None:
    digest = load_sweep("depth").digest
    same = ["title=other", "execution.points_per_task=3", 'step.trained=["V", "W"]']
    assert {load_sweep("depth", [override]).digest for override in same} == {digest}
    other = ["seed=1", "axes.trial=2", "step.rule=plain", "record=layers", "model.inputs=2"]
    assert len({digest, *(load_sweep("depth", [o]).digest for o in other)}) == 1 + len(other)


def test_overrides_take_dotted_keys_and_toml_values() -> None:
    sweep = load_sweep(
        "depth",
        [
            "axes.trial=5",
            'step.trained=["V"]',
            "step.rule=plain",
            "axes.depth={start=20,stop=30,step=5}",
        ],
    )
    assert (sweep.axes.trial, sweep.step.trained, sweep.step.rule) == (5, ["V"], "plain")
    assert list(sweep.axes.depths) == [20, 25, 30]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("axes.trial=0", "axes.trial = 0: expected 1 or more"),
        ("axes.trial=2.0", "axes.trial = 2.0: expected an integer"),
        ("axes.depth=[2]", "depths of 3 or more"),
        ("axes.depth=[3]", "'2/sqrt(L)' gives 1.1547 at depth 3"),
        ("axes.depth={start=9,stop=5}", "expected stop >= start"),
        ("axes.depth={start=5,stop=9,stp=2}", "axes.depth.stp is not a key"),
        ("axes.width=[20,20]", "given again: 20"),
        ("axes.beta=[0.5,2.0]", "axes.beta.1 = 2.0: expected 1 or less"),
        ("axes.beta=[0.0]", "axes.beta.0 = 0.0: expected greater than 0"),
        ("axes.beta={logspace=[-3,1,5]}", "axes.beta.logspace.1 = 1"),
        ('axes.beta=[{label="x",coefficient=1.0}]', "axes.beta.0.power is missing"),
        ("axes.beta={logspace=[0,0,3]}", "given again: 1.0"),
        ("axes.beta=0.5", "axes.beta = 0.5: expected a list [ ... ] or a table { ... }"),
        ("trials=3", "expected one of"),
        ("trial=3", "did you mean 'axes.trial'?"),
        ("seed=" + "9" * 5000, "is not a TOML value"),
        ("step.rule=quick", "step.rule = 'quick': expected 'speed_controlled' or 'plain'"),
        ('step.trained=["W"]', 'expected ["W", "V"] or ["V"]'),
        ("step.learning_rate=nan", "step.learning_rate = nan"),
        ("record=all", "record = 'all': expected 'layers' or 'output'"),
        ("seed=-1", "seed = -1"),
        ("name='../x'", "name = '../x'"),
        ("execution.points_per_task=0", "execution.points_per_task = 0"),
        ("model.widht=3", "did you mean 'weights'?"),
        ("axes.depth={start=3,stop=900000000}", "at most 1000000000"),
        ("axes.trial", "expected KEY=VALUE"),
        ("axes.trial=[1", "not a TOML value"),
        ("seed.x=1", "is not a table"),
    ],
)
def test_wrong_settings_are_named_with_what_was_expected(override: str, complaint: str) -> None:
    with pytest.raises(RequestError) as refused:
        load_sweep("depth", [override])
    assert complaint in str(refused.value)
    assert refused.value.exit_code == 2


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = ["axes.trial=0", "step.rule=quick", "model.input_dim=ten", "sed=1"]
    with pytest.raises(RequestError) as refused:
        load_sweep("depth", wrong)
    for key in ("axes.trial", "step.rule", "model.input_dim", "sed"):
        assert f"  {key} " in str(refused.value)


def test_unknown_sweep_and_unreadable_file_are_refused(tmp_path: pytest.TempPathFactory) -> None:
    with pytest.raises(RequestError, match="did you mean 'depth'"):
        load_sweep("dept")
    with pytest.raises(RequestError, match="No such file"):
        load_sweep(f"{tmp_path}/absent.toml")


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_a_sweep_or_an_error_for_the_user(text: str, override: str) -> None:
    for source, overrides in ((text, []), (shipped_sweeps()["smoke"], [override])):
        with contextlib.suppress(RequestError):
            parse_sweep(source, "fuzzed", overrides)
