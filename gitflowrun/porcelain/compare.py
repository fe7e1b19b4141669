"""What differs between the parameters of two runs. Code is `codediff`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitflowrun.names import PARAMETERS_STEP
from gitflowrun.runs.records import TaskName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.records import ArtifactRef

__all__ = ["Difference", "compare_parameters", "differences"]

_SHORT = 7


@dataclass(frozen=True, slots=True)
class Difference:
    """A name whose value differs. A value is None where the name does not exist."""

    name: str
    old: str | None
    new: str | None


def compare_parameters(old: StoredRun, new: StoredRun) -> tuple[Difference, ...]:
    """The parameters that differ between two runs, in the order in which the newer run has them.

    A run's INFO has them as texts, and different values may have one text: `2` and `"2"`, a file whose content
    has changed, a long value that begins as before. So those of one text are told apart by what was stored,
    and that is added to their texts. (An attribute that is called otherwise than its option is not found.)
    """
    before, after = dict(old.info.parameters), dict(new.info.parameters)
    stored_before, stored_after = _stored(old), _stored(new)
    for name in [name for name, text in after.items() if before.get(name) == text]:
        one, two = _of_option(stored_before, name), _of_option(stored_after, name)
        if one is not None and two is not None and one.identity != two.identity:
            before[name] += _facts(one)
            after[name] += _facts(two)
    return differences(before, after)


def _stored(run: StoredRun) -> Mapping[str, ArtifactRef]:
    """The parameters and constants of a run by attribute; none of a run that ended before they were stored."""
    if PARAMETERS_STEP not in run.steps():
        return {}
    first, *_ = run.tasks(PARAMETERS_STEP)
    return run.task(TaskName(PARAMETERS_STEP, first)).record.artifacts


def _of_option(stored: Mapping[str, ArtifactRef], name: str) -> ArtifactRef | None:
    return stored.get(name) or stored.get(name.replace("-", "_"))


def _facts(ref: ArtifactRef) -> str:
    kind = ref.type.removeprefix("builtins.")
    return f" <{kind}, {ref.size} B, {str(ref.digest)[:_SHORT]}, {ref.codec}>"


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Difference, ...]:
    """The names whose values differ, those of `new` first."""
    names = dict.fromkeys([*new, *old])
    pairs = (Difference(name, old.get(name), new.get(name)) for name in names)
    return tuple(pair for pair in pairs if pair.old != pair.new)
