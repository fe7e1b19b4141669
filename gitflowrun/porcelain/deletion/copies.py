"""The copies of runs that remotes have, as far as this clone knows, and how these are removed there.

Our copies of a remote's refs tell what it had when we last looked. To remove runs there:

1. List the remote's refs. What is gone there is gone; what is not as our copy says stays, for somebody went on with it.
2. Delete the refs of the runs, expecting each to be as seen. A server may refuse that: its rule counts.
3. Delete the refs of tags, and the git tags of them, of those runs that are gone there.
4. Forget our copies of what is gone.

Who is killed between 2 and 3 leaves copies of tags, and does 3 the next time.
"""

from __future__ import annotations

import contextlib
import shlex
from functools import cached_property
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.transport import Remote
from gitflowrun.porcelain.transfer.sync import Tracking
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gitflowrun.git.repository import Repository

_CHANGED = "it has changed there since this clone last looked: git runs fetch, then try again"


@frozen
class RemoteCopy:
    """A ref of a remote that had a run, or a tag of it, when we last looked.

    Attributes:
        uid: The run.
        remote: The remote's name, or the digest of its URL where it is not configured any more.
        ref: The ref there.
        tracking: Our copy of that ref.
        oid: What that holds.
        command: What removes it there; empty where that place is not known.
    """

    uid: Oid
    remote: str
    ref: str
    tracking: str
    oid: Oid
    command: str


@frozen
class RemoteRemoval:
    """What became of a copy that was to be removed from its remote.

    Attributes:
        copy: The copy.
        reason: Why it is still there; empty where it is gone.
    """

    copy: RemoteCopy
    reason: str


class Copies:
    """Our copies of remotes' refs, which tell what they had when we last looked."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo

    def of(self, uids: set[Oid]) -> list[RemoteCopy]:
        """The copies of runs, and of their tags."""
        if not uids:
            return []
        rows = self._repo.refs.rows(layout.REMOTES, fields=("refname", "objectname", "contents"))
        found = []
        for name, text, message in rows:
            label, _, rest = name.removeprefix(layout.REMOTES).partition("/")
            ref, oid = f"{layout.RUNS}{rest}", Oid.from_hex(text)
            uid: Oid | None = oid
            if layout.parse_run_ref(ref):
                state = parse_message(message)
                uid = (state.uid if state else None) or oid
            if uid in uids:
                remote = self._remotes.get(label)
                command = shlex.join(("git", "push", remote, "--delete", ref)) if remote else ""
                found.append(RemoteCopy(uid, remote or label, ref, name, oid, command))
        return found

    @cached_property
    def _remotes(self) -> dict[str, str]:
        """The configured remotes by what their copies lie under."""
        found: dict[str, str] = {}
        for name in self._repo.remotes():
            with contextlib.suppress(GitflowrunError):  # one that can't be used
                remote = Remote(self._repo, name)
                for place in (remote, *remote.for_push()):
                    found.setdefault(place.label, place.name)
        return found


def remove_there(repo: Repository, copies: Iterable[RemoteCopy]) -> list[RemoteRemoval]:
    """Remove copies from their remotes. What can't be removed says why, and the others go.

    Args:
        repo: The repository.
        copies: The copies, of runs and of their tags. Nothing is done about one whose remote is not configured any
            more: that may be an old URL of another one.
    """
    by_remote: dict[str, list[RemoteCopy]] = {}
    done = []
    for copy in copies:
        if copy.command:
            by_remote.setdefault(copy.remote, []).append(copy)
    for name, there in by_remote.items():
        try:
            done += _RemoteRuns(repo, name).remove(there)
        except RepositoryError as error:  # it can't be reached, or only in part
            done += [RemoteRemoval(copy, error.message) for copy in there]
    return done


class _RemoteRuns:
    """The refs of runs and of their tags on a remote."""

    def __init__(self, repo: Repository, name: str) -> None:
        self._repo = repo
        self._remote = Remote(repo, name)
        self._there = self._remote.refs(f"{layout.RUNS}*", f"{layout.TAG_MIRROR}*")

    def remove(self, copies: Sequence[RemoteCopy]) -> list[RemoteRemoval]:
        """Remove copies. Raises RepositoryError: the remote can't be reached any more."""
        is_run = {copy.ref: layout.is_run_ref(copy.ref) for copy in copies}
        runs = [copy for copy in copies if is_run[copy.ref]]
        why = self._delete({copy.ref: copy.oid for copy in runs})
        reached("rm.remote")
        kept = {copy.uid for copy in runs if why[copy.ref]}
        uids = {copy.uid for copy in copies} - kept
        tags = {copy.ref: copy.oid for copy in copies if not is_run[copy.ref] and copy.uid in uids}
        tags |= self._tags_of(uids)
        why |= self._delete(tags)
        with_run = "it goes with its run, which stays there"
        found = [RemoteRemoval(copy, why.get(copy.ref, with_run)) for copy in copies]
        gone: dict[str, Oid | None] = {ref: None for ref, reason in why.items() if not reason}
        Tracking(self._repo.refs, self._remote).note(gone)
        return found

    def _tags_of(self, uids: Collection[Oid]) -> dict[str, Oid]:
        """The refs of all tags of runs there, also of those that were made since, and the git tags of these."""
        found: dict[str, Oid] = {}
        wanted = {str(uid): uid for uid in uids}
        for ref, oid in self._there.items():
            if oid in wanted and (tag := layout.parse_tag_ref(ref)):
                found[ref] = uid = wanted[oid]
                mirror = layout.tag_mirror(*tag, uid)
                if self._there.get(mirror) == oid:
                    found[mirror] = uid
        return found

    def _delete(self, refs: Mapping[str, Oid]) -> dict[str, str]:
        """Why refs are still there; nothing of those that are gone."""
        why = {ref: _CHANGED if ref in self._there else "" for ref in refs}
        updates = [
            RefUpdate(ref, None, oid)
            for ref, oid in refs.items()
            if self._there.get(ref) == str(oid)
        ]
        for result in self._remote.push(updates) if updates else ():
            why[result.name] = "" if result.ok else result.reason or _CHANGED
        return why
