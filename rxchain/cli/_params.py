"""Calling the function that makes a chain, with ``--param key=value`` converted by its annotations."""

import inspect
import json
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rxchain import CompositionError
from rxchain.cli._errors import Refusal, describe, did_you_mean, one_line, place_of

_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def call_factory(factory: Callable[..., object], target: str, params: Sequence[str]) -> object:
    """Call *factory* with *params*, each ``key=value``.

    Raises:
        Refusal: a parameter is unknown, missing, or its value is not what the annotation asks for.
    """
    if inspect.iscoroutinefunction(factory) or inspect.isgeneratorfunction(factory):
        raise Refusal(
            f"{target} is an async function or a generator, and a chain is made by a plain one: put it into a Chain"
        )
    given = _split(params)
    try:
        known = inspect.signature(factory).parameters
    except ValueError:
        raise Refusal(f"{target} cannot say which parameters it has: write a function that makes the chain") from None
    _check(target, known, given)
    hints = _hints(factory)
    values = {key: _converted(target, key, text, hints.get(key, Any)) for key, text in given.items()}
    positional = [values.pop(n) for n, p in known.items() if p.kind is p.POSITIONAL_ONLY and n in values]
    try:
        return factory(*positional, **values)
    except CompositionError as error:
        raise Refusal(f"{place_of(error)}: {error}") from error
    except Exception as error:
        raise Refusal(f"{place_of(error)}: {describe(error)} (while calling {target})") from error


def _split(params: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for param in params:
        key, equals, text = param.partition("=")
        if not equals or not key:
            raise Refusal(f"--param {param}: say --param key=value")
        if key in given:
            raise Refusal(f"--param {key} is given twice: {given[key]!r} and {text!r}")
        given[key] = text
    return given


def _check(target: str, known: typing.Mapping[str, inspect.Parameter], given: dict[str, str]) -> None:
    named = {n: p for n, p in known.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    takes = f"it takes {', '.join(map(_declared, named.values()))}" if named else "it takes no parameters"
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        for key in given:
            if key not in named:
                raise Refusal(f"{target} has no parameter {key!r}{did_you_mean(key, named)}; {takes}")
    missing = [n for n, p in named.items() if p.default is p.empty and n not in given]
    if missing:
        wanted = " ".join(f"--param {n}=..." for n in missing)
        step = f"; if it is a step and makes no chain, put it into one: chain = Chain({target.rpartition(':')[2]})"
        raise Refusal(f"{target} needs {wanted}; {takes}{step if len(named) == 1 and not given else ''}")


def _declared(parameter: inspect.Parameter) -> str:
    kind = "" if parameter.annotation is parameter.empty else f": {_type_name(parameter.annotation)}"
    default = "" if parameter.default is parameter.empty else f" = {one_line(repr(parameter.default), 30)}"
    return f"{parameter.name}{kind}{default}"


def _type_name(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _hints(factory: Callable[..., object]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(factory)
    except Exception:  # a name only known to type checkers: values are then JSON or text
        return {}


def _converted(target: str, key: str, text: str, wanted: Any) -> object:
    try:
        if wanted is bool:
            return _TRUTHS[text.lower()]
        if wanted in (int, float, str, Path):
            return wanted(text)
    except (ValueError, KeyError):
        needed = "true or false" if wanted is bool else f"{'an' if wanted is int else 'a'} {wanted.__name__}"
        raise Refusal(f"--param {key}={text}: {target} needs {needed} there") from None
    try:
        return json.loads(text)
    except ValueError:
        return text
