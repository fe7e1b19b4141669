"""What differs between the parameters of two runs. Code is `codediff`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.store.stored import StoredRun

__all__ = ["Difference", "compare_parameters", "differences"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A name whose value differs. A value is None where the name does not exist."""

    name: str
    old: str | None
    new: str | None


def compare_parameters(old: StoredRun, new: StoredRun) -> tuple[Difference, ...]:
    """The parameters that differ between two runs, in the order in which the newer run has them."""
    return differences(old.info.parameters, new.info.parameters)


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Difference, ...]:
    """The names whose values differ, those of `new` first."""
    names = dict.fromkeys([*new, *old])
    pairs = (Difference(name, old.get(name), new.get(name)) for name in names)
    return tuple(pair for pair in pairs if pair.old != pair.new)
