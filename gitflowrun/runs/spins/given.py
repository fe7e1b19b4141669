"""The values that a spun task had in the place of those of its run: the parameters of INFO are those of the origin."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError
from gitflowrun.runs.records import parameter_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.records import RunInfo


def parameters_as_given(info: RunInfo, given: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a run as texts, with those values that its spun task was given instead."""
    options = parameter_options(info.graph) if given else {}
    instead = {options[name]: text for name, text in given.items() if name in options}
    return {name: instead.get(name, text) for name, text in info.parameters.items()}


def parameters_of(run: StoredRun) -> dict[str, str]:
    """The parameters that the tasks of a run had, as texts. Of any run but a spun task's INFO has them."""
    given: dict[str, str] = {}
    if run.info.is_spin:
        own = run.identity.uid
        with contextlib.suppress(GitflowrunError):  # where a record is damaged, nobody knows better
            for step in run.steps():
                for record in run.records(step):
                    given |= record.given if record.run.uid == own else {}
    return parameters_as_given(run.info, given)
