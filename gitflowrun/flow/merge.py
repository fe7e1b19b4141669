"""`merge_artifacts`: the artifacts on which a join's inputs agree become the join's.

They are compared and passed on by reference, neither loaded nor stored again; pickles and plain values alone are
loaded where they differ, because two that are equal may. All are taken over or none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gitflowrun.artifacts.same_value import are_same, may_be_equal
from gitflowrun.errors import (
    FlowError,
    GitflowrunError,
    MissingInMergeArtifactsException,
    UnhandledInMergeArtifactsException,
)
from gitflowrun.flow.foreach import brief, is_items_artifact
from gitflowrun.flow.task_state import ArtifactSource, state_of

if TYPE_CHECKING:
    from gitflowrun.names import PayloadIdentity


def merge(
    flow: object,
    inputs: Iterable[object],
    exclude: Iterable[str] | None,
    include: Iterable[str] | None,
) -> None:
    """See `FlowSpec.merge_artifacts`."""
    state = state_of(flow)
    step = state.step if state is not None else None
    if state is None or not state.is_join:
        raise FlowError(
            f"merge_artifacts works in joins only, and step {step!r} is none",
            hint="a join takes a second argument: def join(self, inputs)",
        )
    left_out, wanted = _names("exclude", exclude), _names("include", include)
    if left_out and wanted:
        raise FlowError(
            f"merge_artifacts in step {step!r} is given both exclude and include",
            hint="name either the artifacts to take or those to leave out",
        )
    try:
        sources = [_source_of(entry) for entry in inputs]
    except TypeError:  # it can't be iterated
        raise _no_input(inputs) from None
    fixed = state.parameters.names() if state.parameters is not None else ()
    # With what an earlier call has taken over: the join has it.
    assigned = {*vars(flow), *(state.merged.keys() - state.deleted), *fixed}
    given, differing = _given(sources, assigned | left_out, wanted)
    merged, disputed = _agreed(sources, assigned | left_out | {*given, *differing}, wanted)
    disputed |= differing
    missing = sorted(wanted - assigned - merged.keys() - disputed - given.keys())
    if disputed:
        names = sorted(disputed)
        raise UnhandledInMergeArtifactsException(
            f"step {step!r} can't merge {_listed(names)}: the inputs have different values",
            names,
            hint="assign them in the join before merge_artifacts, or name them in `exclude`",
        )
    if missing:
        raise MissingInMergeArtifactsException(
            f"step {step!r} can't merge {_listed(missing)}: no input has such an artifact",
            missing,
            hint="take the names out of `include`, or set them before the join",
        )
    vars(flow).update(given)
    state.merged.update(merged)
    state.deleted.difference_update(merged)


def _given(
    sources: list[ArtifactSource], left_out: set[str], wanted: set[str]
) -> tuple[dict[str, object], set[str]]:
    """The values that a spun join takes over where some were given in the place of its inputs', and what differs."""
    names = {name for source in sources for name in source.given} - left_out
    agreed: dict[str, object] = {}
    differing = set()
    for name in names & wanted if wanted else names:
        having = [it for it in sources if name in it.given or name in it.names()]
        values = [it.given[name] if name in it.given else it.load(name) for it in having]
        if all(value is values[0] or are_same(value, values[0]) for value in values):
            agreed[name] = values[0]
        else:
            differing.add(name)
    return agreed, differing


def _agreed(
    sources: list[ArtifactSource], left_out: set[str], wanted: set[str]
) -> tuple[dict[str, ArtifactSource], set[str]]:
    """Where to take each artifact from that all inputs agree on, and the names they disagree about."""
    first: dict[str, ArtifactSource] = {}
    agreeing: dict[str, set[PayloadIdentity]] = {}
    disputed: set[str] = set()
    for source in sources:
        for name in source.names():
            if name in left_out or (wanted and name not in wanted) or is_items_artifact(name):
                continue
            identity = source.ref(name).identity
            origin = first.setdefault(name, source)
            agrees = agreeing.setdefault(name, {identity})
            if identity in agrees or name in disputed:
                continue
            if _have_same_value(name, origin, source):
                agrees.add(identity)
            else:
                disputed.add(name)
    return {name: source for name, source in first.items() if name not in disputed}, disputed


def _have_same_value(name: str, first: ArtifactSource, second: ArtifactSource) -> bool:
    """Whether two inputs agree about an artifact of which their payloads differ, as those of equal values may."""
    if not may_be_equal(first.ref(name), second.ref(name)):
        return False
    try:
        return are_same(first.load(name), second.load(name))
    except GitflowrunError:  # not trusted, or its class is gone
        return False


def _source_of(entry: object) -> ArtifactSource:
    state = state_of(entry)
    if state is None or not state.sources:
        raise _no_input(entry)
    return state.sources[0]


def _no_input(entry: object) -> FlowError:
    return FlowError(
        f"merge_artifacts got {brief(entry)!r}, which is no input of a join",
        hint="pass the inputs of the join, or a selection of them",
    )


def _names(which: str, names: Iterable[str] | None) -> set[str]:
    if isinstance(names, str):
        raise FlowError(
            f"merge_artifacts: `{which}` is text", hint=f"pass a list: {which}=[{names!r}]"
        )
    if names is not None and not isinstance(names, Iterable):
        raise FlowError(
            f"merge_artifacts: `{which}` is {type(names).__name__}",
            hint=f"pass a list of names: {which}=['model']",
        )
    found = list(names or ())
    for name in found:
        if not isinstance(name, str):
            raise FlowError(
                f"merge_artifacts: `{which}` has {brief(name)!r} in it, which is no text",
                hint=f"pass a list of names: {which}=['model']",
            )
    return set(found)


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
