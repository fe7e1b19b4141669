"""A value of a run that is known as a text alone: a parameter."""

from __future__ import annotations

from gitflowrun.values import frozen


@frozen
class TextValue:
    """A value that is known as a text alone."""

    text: str
