"""A sweep: which points to compute and by which law, validated once at the border.

The value of a key that may be written in several forms is told apart by a tag in angle brackets.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    Strict,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

MAX_POINTS = 10**9

MIN_DEPTH = 3
"""An embedding, one residual layer and an output: with fewer, nothing is trained."""


class _Table(BaseModel):
    """A TOML table: no unknown keys, no silent conversion of types, never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class IntegerRange(_Table):
    """Integers from `start` to `stop`, both included."""

    start: Annotated[int, Field(ge=1, le=MAX_POINTS)]
    stop: Annotated[int, Field(ge=1, le=MAX_POINTS)]
    step: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.stop < self.start:
            raise PydanticCustomError("empty_range", "expected stop >= start")
        return self

    def values(self) -> range:
        """Return the integers of the range."""
        return range(self.start, self.stop + 1, self.step)


def _check_printable(label: str) -> str:
    if not label.isprintable():
        raise PydanticCustomError("printable", "expected printable characters")
    return label


class BetaRule(_Table):
    """A branch scale that follows the depth: coefficient * L**power."""

    label: Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_check_printable)]
    coefficient: FiniteFloat
    power: FiniteFloat

    def at(self, depth: int) -> float:
        """Return the branch scale at one depth."""
        try:
            return self.coefficient * math.pow(depth, self.power)
        except OverflowError:
            return math.inf


Exponent = Annotated[FiniteFloat, Field(ge=-300, le=0)]


class BetaLogspace(_Table):
    """Branch scales 10**x at evenly spaced exponents x: the first, the last and how many."""

    logspace: Annotated[
        tuple[Exponent, Exponent, Annotated[int, Field(ge=1, le=10**6)]], Strict(strict=False)
    ]

    def values(self) -> list[float]:
        """Return the branch scales."""
        first, last, count = self.logspace
        return [float(scale) for scale in np.logspace(first, last, count)]


def _unique(values: Sequence[Hashable]) -> None:
    repeated = [str(value) for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise PydanticCustomError(
            "repeated", "expected each once; given again: {values}", {"values": ", ".join(repeated)}
        )


def _check_integers(axis: list[int] | IntegerRange) -> list[int] | IntegerRange:
    if isinstance(axis, list):
        _unique(axis)
    return axis


def _check_depths(axis: list[int] | IntegerRange) -> list[int] | IntegerRange:
    shallowest = axis.start if isinstance(axis, IntegerRange) else min(axis)
    if shallowest < MIN_DEPTH:
        raise PydanticCustomError(
            "depth",
            "expected depths of {least} or more (embedding, residual, output); {depth} given",
            {"least": MIN_DEPTH, "depth": shallowest},
        )
    return axis


def _check_betas(
    axis: list[float] | list[BetaRule] | BetaLogspace,
) -> list[float] | list[BetaRule] | BetaLogspace:
    betas = axis.values() if isinstance(axis, BetaLogspace) else axis
    _unique([beta.label if isinstance(beta, BetaRule) else beta for beta in betas])
    return axis


def _integers_or_range(value: object) -> str:
    return "<range>" if isinstance(value, dict | IntegerRange) else "<integers>"


def _values_or_rules(value: object) -> str:
    if isinstance(value, dict | BetaLogspace):
        return "<logspace>"
    is_rules = isinstance(value, list) and any(isinstance(v, dict | BetaRule) for v in value)
    return "<rules>" if is_rules else "<values>"


def _word_or_count(value: object) -> str:
    return "<word>" if isinstance(value, str) else "<count>"


Positive = Annotated[int, Field(ge=1, le=MAX_POINTS)]
Integers = Annotated[
    Annotated[list[Positive], Field(min_length=1), Tag("<integers>")]
    | Annotated[IntegerRange, Tag("<range>")],
    Discriminator(_integers_or_range),
    AfterValidator(_check_integers),
]
BranchScale = Annotated[FiniteFloat, Field(gt=0, le=1)]
Betas = Annotated[
    Annotated[list[BranchScale], Field(min_length=1), Tag("<values>")]
    | Annotated[list[BetaRule], Field(min_length=1), Tag("<rules>")]
    | Annotated[BetaLogspace, Tag("<logspace>")],
    Discriminator(_values_or_rules),
    AfterValidator(_check_betas),
]


class Axes(_Table):
    """The four axes of a sweep; its points are their product."""

    depth: Annotated[Integers, AfterValidator(_check_depths)]
    width: Integers
    beta: Betas
    trial: Positive

    @property
    def depths(self) -> Sequence[int]:
        """Depths L, ascending."""
        return _ascending(self.depth)

    @property
    def widths(self) -> Sequence[int]:
        """Widths m, ascending."""
        return _ascending(self.width)

    @property
    def trials(self) -> range:
        """Trial numbers, from 0."""
        return range(self.trial)

    @property
    def beta_labels(self) -> list[str] | list[float]:
        """The rules' labels in the order given, or the fixed branch scales, ascending."""
        if isinstance(self.beta, BetaLogspace):
            return sorted(self.beta.values())
        labels = [beta.label for beta in self.beta if isinstance(beta, BetaRule)]
        return labels or sorted(beta for beta in self.beta if isinstance(beta, float))

    def betas(self, depth: int) -> list[float]:
        """Return the branch scales at one depth, in the order of `beta_labels`."""
        if isinstance(self.beta, list):
            rules = [beta for beta in self.beta if isinstance(beta, BetaRule)]
            if rules:
                return [rule.at(depth) for rule in rules]
        return [float(beta) for beta in self.beta_labels]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of depths, widths, branch scales and trials."""
        return len(self.depths), len(self.widths), len(self.beta_labels), self.trial

    @model_validator(mode="after")
    def _is_computable(self) -> Self:
        points = math.prod(self.shape)
        if points > MAX_POINTS:
            raise PydanticCustomError(
                "points",
                "expected at most {most} points; the axes span {points}",
                {"most": MAX_POINTS, "points": points},
            )
        self._check_rules()
        return self

    def _check_rules(self) -> None:
        """Refuse rules that leave (0, 1], where sqrt(1 - beta**2) or the update has no meaning."""
        rules = self.beta if isinstance(self.beta, list) else []
        outside = [
            f"{rule.label!r} gives {rule.at(depth):g} at depth {depth}"
            for rule in rules
            if isinstance(rule, BetaRule)
            for depth in (self.depths[0], self.depths[-1])  # a power of L is monotone
            if not 0 < rule.at(depth) <= 1
        ]
        if outside:
            raise PydanticCustomError(
                "beta_rule",
                "expected every beta in (0, 1]; {outside}",
                {"outside": "; ".join(dict.fromkeys(outside))},
            )


def _ascending(axis: list[int] | IntegerRange) -> Sequence[int]:
    return axis.values() if isinstance(axis, IntegerRange) else sorted(axis)


class Model(_Table):
    """The network: input dimension d, output dimension k, number of inputs n, sampling law."""

    input_dim: Positive
    output_dim: Positive
    inputs: Positive
    weights: Literal["sampled", "explicit"] = "sampled"


class Step(_Table):
    """The one gradient step: its rule, its size eta, the matrices it moves, how it is evaluated."""

    rule: Literal["speed_controlled", "plain"] = "speed_controlled"
    learning_rate: Annotated[FiniteFloat, Field(gt=0)]
    trained: list[Literal["W", "V"]] = ["W", "V"]
    evaluate: Literal["finite", "derivative"] = "finite"

    @field_validator("trained")
    @classmethod
    def _is_known(cls, trained: list[str]) -> list[str]:
        if sorted(trained) not in (["V", "W"], ["V"]):
            raise PydanticCustomError("trained", 'expected ["W", "V"] or ["V"]')
        return sorted(trained, reverse=True)


class Execution(_Table):
    """How a sweep is run; no part of what it computes."""

    points_per_task: Annotated[
        Annotated[Literal["auto"], Tag("<word>")] | Annotated[Positive, Tag("<count>")],
        Discriminator(_word_or_count),
    ] = "auto"


class Experiment(_Table):
    """What is computed at every point alike: all that a point's result depends on but the point."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    record: Literal["layers", "output"]
    model: Model
    step: Step


class Sweep(Experiment):
    """A named set of points of one experiment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    title: str = ""
    axes: Axes
    execution: Execution = Execution()

    @property
    def experiment(self) -> Experiment:
        """The part of the sweep that is the same at every point."""
        return Experiment(seed=self.seed, record=self.record, model=self.model, step=self.step)

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines the numbers, with the axes spelled out."""
        axes = self.axes
        spelled_out = {
            "depth": list(axes.depths),
            "width": list(axes.widths),
            "trial": axes.trial,
            "beta": axes.beta_labels,
            "beta_value": [axes.betas(depth) for depth in axes.depths],
        }
        return {**self.experiment.model_dump(), "axes": spelled_out}

    @property
    def digest(self) -> str:
        """SHA-256 of the identity, hexadecimal."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def to_toml(self) -> str:
        """Return the sweep as a sweep file."""
        return tomli_w.dumps(self.model_dump())
