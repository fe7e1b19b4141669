"""Decorators as text: `retry`, `retry:times=2,minutes_between_retries=0`, as `--with` takes them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.decorators.registry import step_decorator

if TYPE_CHECKING:
    from gitflowrun.flow.decorators.base import StepDecorator

_SPEC = re.compile(r"\s*(\w+)\s*(?::(.*))?\Z", re.DOTALL)
_NEXT = re.compile(r",(?=\s*\w+\s*=)")  # a comma within a value is part of it


def parse_spec(text: str) -> StepDecorator:
    """The decorator that a text describes; values are JSON, or else text as it stands.

    Raises:
        DecoratorError: there is no such decorator, it has no such attribute, or the text is no description.
    """
    match = _SPEC.match(text)
    if match is None:
        raise DecoratorError(
            f"{text!r} describes no decorator", hint="write NAME or NAME:ATTRIBUTE=VALUE,..."
        )
    name, rest = match.groups()
    attributes: dict[str, Any] = {}
    for part in _NEXT.split(rest) if rest and rest.strip() else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise DecoratorError(
                f"{part.strip()!r} in {text!r} gives no attribute a value",
                hint=f"write {name}:ATTRIBUTE=VALUE",
            )
        attributes[key.strip()] = _value(value.strip())
    return step_decorator(name)(attributes)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
