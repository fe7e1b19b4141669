"""The runs and tags that a remote has, and our tracking copies of them, by name and by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.names import RunId, check_flow_name
from gitflowrun.runs import layout
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from gitflowrun.git.ref_update import Refs
    from gitflowrun.git.transport import Remote

__all__ = ["RemoteRun", "RemoteView", "TagKey", "Tracking", "free_id", "tags_of"]

TagKey = tuple[str, str, Oid]
"""A tag of a run, whatever its id on either side: flow, tag, uid."""

_UID_DIGITS = 7


@frozen
class RemoteRun:
    """A run's ref on the remote."""

    flow: str
    id: RunId
    tip: Oid

    @property
    def ref(self) -> str:
        """Its name there."""
        return layout.run_ref(self.flow, self.id)


class RemoteView:
    """What a remote has below refs/runs, as it was at one time.

    Attributes:
        runs: Its runs, in the order of their numbers.
        refs: All its refs below refs/runs.
        foreign: The names of refs that are no run's, no tag's, and not for ourselves (`@...`).
    """

    def __init__(self, refs: Mapping[str, Oid]) -> None:
        self.refs = refs
        self.runs: list[RemoteRun] = []
        self.foreign: list[str] = []
        self.taken: set[RunId] = set()
        self._by_number: dict[int, list[RemoteRun]] = {}
        for name, oid in refs.items():
            run = _parse(name)
            if run:
                self._add(RemoteRun(*run, oid))
            elif not name.startswith(f"{layout.RUNS}@"):
                self.foreign.append(name)
        self.runs.sort(key=lambda run: (*run.id.sort_key, run.flow))

    @classmethod
    def of(cls, remote: Remote) -> RemoteView:
        """Look at a remote. Raises RepositoryError: it can't be reached."""
        return cls(remote.refs(f"{layout.RUNS}*"))

    def namesakes(self, flow: str, number: int) -> list[RemoteRun]:
        """The runs of a flow whose ids begin with a number."""
        return [run for run in self._by_number.get(number, ()) if run.flow == flow]

    def _add(self, run: RemoteRun) -> None:
        self.runs.append(run)
        self.taken.add(run.id)
        self._by_number.setdefault(run.id.number, []).append(run)


def _parse(name: str) -> tuple[str, RunId] | None:
    run = layout.parse_run_ref(name)
    try:
        return run if run and check_flow_name(run[0]) == run[0] else None
    except UsageError:
        return None


def free_id(run: RunId, uid: Oid, taken: Collection[RunId]) -> RunId:
    """The id for a run where `taken` ones are: its own, or its number with as much of its uid as it takes."""
    digits = _UID_DIGITS
    wanted = run
    while wanted in taken:
        wanted = RunId(f"{run.number}-{str(uid)[:digits]}")
        digits += 1
        if digits > 2 * Oid.SIZE + 1:
            return wanted
    return wanted


def tags_of(refs: Iterable[tuple[str, Oid]]) -> dict[TagKey, str]:
    """The tags among refs below refs/runs, and their names. Refs that we would not write are passed over."""
    found: dict[TagKey, str] = {}
    for name, oid in refs:
        parsed = layout.parse_tag_ref(name) if name.startswith(layout.TAGS) else None
        try:
            if parsed and layout.tag_ref(*parsed) == name:
                found[parsed[0], parsed[1], oid] = name
        except GitflowrunError:
            continue
    return found


class Tracking:
    """Our copies of a remote's refs, below refs/runs-remotes/<remote>/: what we last knew of it."""

    def __init__(self, refs: Refs, remote: Remote) -> None:
        self._refs = refs
        self._label = remote.label
        prefix = layout.tracking_prefix(self._label)
        self.known = {
            layout.RUNS + name.removeprefix(prefix): Oid.from_hex(oid)
            for name, oid in refs.rows(prefix)
        }

    def ref(self, name: str) -> str:
        """Where the copy of a remote's ref lies."""
        return layout.tracking_ref(self._label, name)

    def refspec(self, name: str) -> str:
        """What fetches a remote's ref into its copy, whatever that was before."""
        return f"+{name}:{self.ref(name)}"

    def note(self, changes: Mapping[str, Oid | None]) -> None:
        """Note what the remote has (None: no longer)."""
        changes = {name: new for name, new in changes.items() if self.known.get(name) != new}
        updates = [
            RefUpdate(self.ref(name), new, self._refs.get(self.ref(name)))
            for name, new in changes.items()
        ]
        self._refs.transaction([update for update in updates if update.new != update.old])
        for name, new in changes.items():
            if new is None:
                self.known.pop(name, None)
            else:
                self.known[name] = new
