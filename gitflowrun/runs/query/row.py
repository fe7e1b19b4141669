"""A run as queries and lists see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.values import frozen

if TYPE_CHECKING:
    from gitflowrun.runs.lookup.facts_cache import RunFacts
    from gitflowrun.runs.lookup.summary import DamagedRun, RunSummary


@frozen
class Row:
    """A run as queries see it."""

    run: RunSummary | DamagedRun
    facts: RunFacts


@frozen
class TextValue:
    """A value that is known as a text alone."""

    text: str
