"""The sweep file: find it, apply the overrides, and say all that is wrong with it at once."""

import difflib
import re
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import RequestError
from pipeline.sweep import Axes, BetaLogspace, BetaRule, Execution, IntegerRange, Model, Step, Sweep

TABLES: dict[str, type[BaseModel]] = {
    "axes": Axes,
    "model": Model,
    "step": Step,
    "execution": Execution,
    "<range>": IntegerRange,
    "<rules>": BetaRule,
    "<logspace>": BetaLogspace,
}
"""The tables of a sweep file, by their name or by the tag of their form."""


WORDS = {
    "Input should be ": "expected ",
    r"String should match pattern .*": "expected letters, digits, '.', '_' or '-'",
    r"a valid dictionary or instance of \w+": "a table { ... }",
    "a valid list": "a list [ ... ] or a table { ... }",
    "a valid integer": "an integer",
    "a valid ": "a ",
    r"greater than or equal to (\d+)": r"\1 or more",
    r"less than or equal to (\d+)": r"\1 or less",
}
"""What pydantic says, in the words of somebody who writes TOML."""


def shipped_sweeps() -> dict[str, str]:
    """Return the text of every shipped sweep file by name."""
    folder = resources.files("sweeps")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {file.name.removesuffix(".toml"): file.read_text(encoding="utf-8") for file in files}


def load_sweep(source: str, overrides: Sequence[str] = ()) -> Sweep:
    """Load a shipped sweep by name, or a sweep file by path, and apply overrides.

    Parameters
    ----------
    source
        Name of a shipped sweep, or path of a TOML file.
    overrides
        Settings ``KEY=VALUE``: a dotted key and a TOML value (a bare word is a string).

    Raises
    ------
    RequestError
        If there is no such sweep, or anything in it or in the overrides is wrong.
    """
    return parse_sweep(_read(source), source, overrides)


def parse_sweep(text: str, source: str, overrides: Sequence[str] = ()) -> Sweep:
    """Parse the text of a sweep file; `source` names it in errors, which come all at once."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{source} is not valid TOML: {error}") from error
    for override in overrides:
        _apply(table, override)
    try:
        return Sweep.model_validate(table)
    except ValidationError as error:
        problems = "\n".join(f"  {_describe(detail)}" for detail in error.errors())
        raise RequestError(f"{source} is not a valid sweep:\n{problems}") from error


def _read(source: str) -> str:
    shipped = shipped_sweeps()
    if source in shipped:
        return shipped[source]
    path = Path(source)
    if path.suffix != ".toml":
        near = difflib.get_close_matches(source, shipped, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RequestError(
            f"no sweep {_shorten(source)}: {hint}expected one of {', '.join(shipped)}, "
            "or the path of a .toml file"
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(f"cannot read the sweep file {source!r}: {reason}") from error


def _apply(table: dict[str, Any], override: str) -> None:
    """Set one dotted key of a TOML table."""
    key, equals, text = override.partition("=")
    *parents, last = [part.strip() for part in key.split(".")]
    if not equals or not all([*parents, last]):
        raise RequestError(
            f"--set {override!r}: expected KEY=VALUE, for example --set axes.trial=5"
        )
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise RequestError(f"--set {override!r}: {parent!r} is not a table")
    table[last] = _parse_value(text.strip(), override)


def _parse_value(text: str, override: str) -> object:
    if re.fullmatch(r"[A-Za-z_][\w-]*", text) and text not in {"true", "false", "inf", "nan"}:
        return text
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        table = {}
    if table.keys() != {"value"}:
        raise RequestError(
            f"--set {_shorten(override)}: {_shorten(text)} is not a TOML value; expected a number, "
            'a bare word, a "string", a [list] or a {table}'
        )
    return table["value"]


def _describe(detail: ErrorDetails) -> str:
    """Say one thing that is wrong: key, value, what was expected."""
    key = ".".join(_keys(detail["loc"])) or "the sweep"
    match detail["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is not a key of a sweep file: {_suggest(detail['loc'])}"
    value = detail["input"]
    shown = key if isinstance(value, dict) else f"{key} = {_shorten(value)}"
    return f"{shown}: {_in_terms_of_toml(detail['msg'])}"


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """Drop what pydantic adds to a location: the form of a value that may have several."""
    return [str(part) for part in location if not str(part).startswith("<")]


def _in_terms_of_toml(message: str) -> str:
    for pydantic, ours in WORDS.items():
        message = re.sub(pydantic, ours, message)
    return message


def _shorten(value: object) -> str:
    most = 80
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _suggest(location: tuple[int | str, ...]) -> str:
    asked, known = str(location[-1]), _known_keys(location[:-1])
    elsewhere = [f"{name}.{asked}" for name, table in TABLES.items() if asked in table.model_fields]
    near = [*elsewhere[:1], *difflib.get_close_matches(asked, known, n=1)]
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    found = [TABLES[part] for part in location if part in TABLES]
    return list((found[-1] if found else Sweep).model_fields)
