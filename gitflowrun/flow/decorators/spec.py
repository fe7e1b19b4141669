"""Decorators as text: `retry`, `retry:times=2,minutes_between_retries=0`, as `--with` takes them."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.registry import step_decorator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitflowrun.flow.decorators.base import StepDecorator

_SPEC = re.compile(r"\s*(\w+(?:\.\w+)*)\s*(?::(.*))?\Z", re.DOTALL)
_KEY = re.compile(r"\s*(\w+)\s*=\s*")
_NEXT = re.compile(r",(?=\s*\w+\s*=)")


def parse_spec(text: str) -> StepDecorator:
    """The decorator that a text describes.

    Raises:
        DecoratorError: there is no such decorator, it has no such attribute, or the text is no description.
    """
    name, attributes = split_spec(text)
    return step_decorator(name)(attributes)


def split_spec(text: str) -> tuple[str, dict[str, Any]]:
    """Name and attributes of a decorator that a text describes; values are JSON, or else text as it stands.

    Raises:
        DecoratorError: the text is no description.
    """
    match = _SPEC.match(text)
    if match is None:
        raise DecoratorError(
            f"{text!r} describes no decorator", hint="write NAME or NAME:ATTRIBUTE=VALUE,..."
        )
    name, rest = match.groups()
    return name, dict(_attributes(text, name, rest or ""))


def _attributes(text: str, name: str, rest: str) -> Iterator[tuple[str, Any]]:
    """Names and values in `a=1,b=x`."""
    while rest.strip():
        match = _KEY.match(rest)
        if match is None:
            raise DecoratorError(
                f"{rest.strip()!r} in {text!r} gives no attribute a value",
                hint=f"write {name}:ATTRIBUTE=VALUE",
            )
        value, rest = _value(rest[match.end() :])
        yield match[1], value


def _value(rest: str) -> tuple[Any, str]:
    """The value that a text begins with, and what comes behind it: a comma within JSON is part of that."""
    with suppress(ValueError):
        value, end = json.JSONDecoder().raw_decode(rest)
        behind = rest[end:].lstrip()
        if not behind or behind.startswith(","):
            return value, behind[1:]
    cut = _NEXT.search(rest)
    end = cut.start() if cut else len(rest)
    return rest[:end].strip(), rest[end + 1 :]
