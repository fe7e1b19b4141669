"""The copies of runs that remotes have, as far as this clone knows, and how these are removed there.

Our copies of a remote's refs tell what it had when we last looked. To remove runs there:

1. List the remote's refs. What is gone there is gone; what is not as our copy says stays, for somebody went on with it,
   and so does a run with tags there that we have not seen: nobody could bring these back. Of what we have no copy, a
   run is told by its holding a commit of the run's line, for others may have sent any state, and a tag by its holding
   the first one. A ref that is named as the run may be there, and holds what is not here, may be a later state of it,
   or somebody else's run: it stays, and is told, until a fetch has brought what it holds.
2. Delete the refs of the runs, expecting each to be as seen. A server may refuse that: its rule counts.
3. Delete the refs of tags that we have seen, and all git tags, of those runs that are gone there.
4. List the refs again: `git push` may go elsewhere than where they were listed (`pushInsteadOf`), and what it says is
   of there; others may have sent some meanwhile. Whatever is there of the runs is told. Forget our copies of what is
   gone.

A copy lies under the place that it is of, and a remote may have several: one that is fetched from, others that are
pushed to. Each is asked by itself, while no push or fetch of this clone merges tags with it: one that had begun would
make tags there of runs that are gone. Who is killed between 2 and 3 leaves copies of tags, and does 3 the next time.
"""

from __future__ import annotations

import contextlib
import shlex
from functools import cached_property
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Oid
from gitflowrun.git.odb import History
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.transport.remote import STALE, Remote
from gitflowrun.porcelain.transfer.sending import Sending
from gitflowrun.porcelain.transfer.sync import Tracking
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.records import RunIdentity

_TAGGED = (
    "it has tags there that this clone has not seen, which would be lost: put it back with git runs restore, "
    "then git runs fetch, and try again"
)
_TAG = (
    "this clone has not seen it, and its run is gone there: put that back with git runs restore, then git runs fetch, "
    "and try again"
)
_STILL = (
    "it is still there after git push: see `git remote --verbose`, it may push to another place"
)
_AGAIN = "it was sent there meanwhile: try again"
_CHANGED = "it has changed there since this clone last looked: git runs fetch, then try again"
_UNCLEAR = (
    "it may be that run in a state that this clone has not seen, or another one: "
    "git runs fetch {}, then try again"
)


@frozen
class RemoteCopy:
    """A ref of a remote that had a run, or a tag of it, when we last looked.

    Attributes:
        uid: The run.
        remote: The remote's name, or its URL where it is one of several places; the digest of that where it is not
            configured any more.
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
        was_there: Whether the remote had listed it, and lists it no more; else it has not listed it at all.
    """

    copy: RemoteCopy
    reason: str
    was_there: bool = True


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
                place = self.places.get(label)
                title = place.title if place else label
                command = shlex.join(("git", "push", title, "--delete", ref)) if place else ""
                found.append(RemoteCopy(uid, title, ref, name, oid, command))
        return found

    @property
    def places(self) -> dict[str, Remote]:
        """The places that configured remotes are fetched from or pushed to, by what their copies lie under."""
        return self._configured[0]

    @property
    def barred(self) -> dict[str, str]:
        """Those of them where nothing may be removed, and why: a URL that can't be one keeps people from pushing."""
        return self._configured[1]

    @property
    def unusable(self) -> list[str]:
        """The configured remotes that can't be asked."""
        return self._configured[2]

    @cached_property
    def _configured(self) -> tuple[dict[str, Remote], dict[str, str], list[str]]:
        found: dict[str, Remote] = {}
        barred: dict[str, Remote] = {}
        reasons: dict[str, str] = {}
        unusable = []
        for name in self._repo.remotes():
            try:
                places, urls = Remote(self._repo, name).places()
            except GitflowrunError:
                unusable.append(name)
                continue
            for place in places:
                (barred if urls else found).setdefault(place.label, place)
                reasons[place.label] = f"{name} has the URL {', '.join(urls)}, which can't be one"
            unusable += [] if places else [name]
        barred = {label: place for label, place in barred.items() if label not in found}
        return found | barred, {label: reasons[label] for label in barred}, unusable


def uids_of_states(repo: Repository, commits: Iterable[str]) -> dict[str, Oid]:
    """The uids of the runs that commits are states of: of those that are here, and whose history is, and tells."""
    here = repo.objects.homes(map(Oid.from_hex, commits))
    return {str(commit): uid for commit, uid in _uids(repo, [*here])}


def _uids(repo: Repository, commits: Sequence[Oid]) -> Iterator[tuple[Oid, Oid]]:
    """Commits, and where their lines begin, unless what they say, or a merge, speaks against it."""
    try:
        history = History(repo.git, commits)
    except GitflowrunError:  # one of them is damaged, and the others are asked for apart
        middle = len(commits) // 2
        for part in (commits[:middle], commits[middle:]) if middle else ():
            yield from _uids(repo, part)
        return
    for commit in commits:
        with contextlib.suppress(GitflowrunError):
            root, message = history.root(commit), repo.objects.commit(commit).message
            state = parse_message(message.decode(errors="replace"))
            said = (state.uid or commit) if state else root
            if root is not None and root == said and not history.has_merge(commit):
                yield commit, root


def remove_there(
    repo: Repository, copies: Iterable[RemoteCopy], tips: Mapping[Oid, RunIdentity]
) -> tuple[list[RemoteRemoval], list[str]]:
    """Remove runs from all configured remotes. What can't be removed says why, and the others go.

    Args:
        repo: The repository.
        copies: What we know remotes to have of the runs and of their tags. Nothing is done about a copy whose remote is
            not configured any more: that may be an old URL of another one.
        tips: All commits of the runs, each with its run: a ref of that run there that holds one of these goes as well.

    Returns:
        What became of each copy and of what was found besides; and the remotes that can't be reached, and of which
        there is no copy.
    """
    known, by_place = Copies(repo), dict[str, list[RemoteCopy]]()
    places = known.places
    for copy in copies:
        label = copy.tracking.removeprefix(layout.REMOTES).partition("/")[0]
        if label in places:
            by_place.setdefault(label, []).append(copy)
    done: list[RemoteRemoval] = []
    unreached = list(known.unusable)
    for label, place in places.items():
        there = by_place.get(label, [])
        try:
            with Sending(repo, label).alone(place.title, None):
                runs = _RemoteRuns(repo, place)
                why = known.barred.get(label)
                done += runs.remove(there, tips) if why is None else runs.tell(there, tips, why)
        except RepositoryError as error:  # it can't be reached, or only in part
            done += [RemoteRemoval(copy, error.message) for copy in there]
            unreached += [] if there else [place.title]
    return done, unreached


class _RemoteRuns:
    """The refs of runs and of their tags on a remote."""

    def __init__(self, repo: Repository, remote: Remote) -> None:
        self._repo = repo
        self._remote = remote
        self._there = self._listed()

    def _listed(self) -> dict[str, str]:
        return self._remote.refs(f"{layout.RUNS}*", f"{layout.TAG_MIRROR}*")

    def remove(
        self, copies: Sequence[RemoteCopy], tips: Mapping[Oid, RunIdentity]
    ) -> list[RemoteRemoval]:
        """Remove runs. Raises RepositoryError: the remote can't be reached any more."""
        copies = [*copies, *self._unknown(self._there, tips, {copy.ref for copy in copies})]
        uids = {run.uid for run in tips.values()} | {copy.uid for copy in copies}
        why: dict[str, str] = {}
        runs = [copy for copy in copies if layout.is_run_ref(copy.ref)]
        tags = {copy.ref: copy.oid for copy in copies if not layout.is_run_ref(copy.ref)}
        unseen = {uid for ref, uid in self._tags_of(self._there, uids).items() if ref not in tags}
        unclear = self._unclear(self._there, tips, {copy.ref for copy in copies})
        if not (copies or unseen or unclear or self._mirrors_of(self._there, uids)):
            return []
        why |= {copy.ref: _TAGGED for copy in runs if copy.uid in unseen}
        why |= self._delete({copy.ref: copy.oid for copy in runs if copy.uid not in unseen})
        reached("rm.remote")
        kept = {copy.uid for copy in runs if why[copy.ref]}
        # Tags go with the run that is known, where there is one: it is there once, under one name.
        known = {copy.uid for copy in runs if copy.ref in self._there}
        kept |= {run.uid for found, _ in unclear.values() for run in found} - known
        tags = {ref: uid for ref, uid in tags.items() if uid not in kept}
        mirrors = self._mirrors_of(self._there, uids - kept - unseen)
        try:
            why |= self._delete(tags | mirrors)
        except RepositoryError as error:  # the runs are gone by now
            why |= dict.fromkeys(tags | mirrors, error.message)
        still = self._listed()
        self._judge(why, still)
        with_run = "it goes with its run, which stays there"
        found = [
            RemoteRemoval(copy, why.get(copy.ref, with_run), copy.ref in self._there)
            for copy in copies
        ]
        gone: dict[str, Oid | None] = {it.copy.ref: None for it in found if not it.reason}
        Tracking(self._repo.refs, self._remote).note(gone)
        others = [self._as_copy(ref, uid, uid) for ref, uid in mirrors.items()]
        found += [RemoteRemoval(copy, why[copy.ref]) for copy in others]
        told = {it.copy.ref for it in found}
        return [*found, *self._left(still, tips, uids - kept, told)]

    def tell(
        self, copies: Sequence[RemoteCopy], tips: Mapping[Oid, RunIdentity], reason: str
    ) -> list[RemoteRemoval]:
        """As `remove`, where nothing may be removed: what is there of the runs stays for this reason."""
        copies = [*copies, *self._unknown(self._there, tips, {copy.ref for copy in copies})]
        uids = {run.uid for run in tips.values()} | {copy.uid for copy in copies}
        rest = self._tags_of(self._there, uids) | self._mirrors_of(self._there, uids)
        told = {copy.ref for copy in copies}
        unclear = self._unclear(self._there, tips, told)
        rest |= {ref: runs[0].uid for ref, (runs, _) in unclear.items()}
        others = [self._as_copy(ref, uid, uid) for ref, uid in rest.items() if ref not in told]
        found = [
            RemoteRemoval(copy, reason if is_there else "", is_there)
            for copy in (*copies, *others)
            for is_there in [copy.ref in self._there]
        ]
        gone: dict[str, Oid | None] = {it.copy.ref: None for it in found if not it.reason}
        Tracking(self._repo.refs, self._remote).note(gone)
        return found

    def _judge(self, why: dict[str, str], still: Mapping[str, str]) -> None:
        """Have it from a second list what became of refs: none is gone that is there."""
        for ref, reason in why.items():
            if ref not in still:
                why[ref] = ""
            elif self._there.get(ref) == still[ref]:
                why[ref] = _STILL if reason in {"", STALE} else reason
            else:
                why[ref] = reason or _AGAIN

    def _left(
        self,
        still: Mapping[str, str],
        tips: Mapping[Oid, RunIdentity],
        uids: Collection[Oid],
        told: Collection[str],
    ) -> Iterator[RemoteRemoval]:
        """What else is there of runs that do not stay: tags that we have not seen, and what was sent meanwhile."""
        for copy in self._unknown(still, tips, told):
            if copy.uid in uids:
                yield RemoteRemoval(copy, _AGAIN)
        for ref, uid in (self._tags_of(still, uids) | self._mirrors_of(still, uids)).items():
            if ref not in told:
                reason = _AGAIN if ref.startswith(layout.TAG_MIRROR) else _TAG
                yield RemoteRemoval(self._as_copy(ref, uid, uid), reason)
        for ref, (runs, reason) in self._unclear(still, tips, told).items():
            yield RemoteRemoval(self._as_copy(ref, runs[0].uid, Oid.from_hex(still[ref])), reason)

    def _unclear(
        self, refs: Mapping[str, str], tips: Mapping[Oid, RunIdentity], known: Collection[str]
    ) -> dict[str, tuple[list[RunIdentity], str]]:
        """The refs that may be runs there in states that are not known here, which runs each may be, and why it stays.

        A run is further there than here where somebody else has sent it, from a clone in which it went on.
        """
        numbered: dict[tuple[str, int], set[RunIdentity]] = {}
        for run in tips.values():
            numbered.setdefault((run.flow, run.id.number), set()).add(run)
        wanted, named = {*map(str, tips)}, {}
        for ref, oid in refs.items():
            name = None if oid in wanted or ref in known else layout.parse_run_ref(ref)
            # A longer id is of another hash, by which no run here goes.
            if name and len(oid) == 2 * Oid.SIZE:
                digits = name[1].partition("-")[2]
                runs = numbered.get((name[0], name[1].number), ())
                if some := [run for run in runs if str(run.uid).startswith(digits)]:
                    named[ref] = sorted(some, key=lambda run: run.uid)
        uids = uids_of_states(self._repo, {refs[ref] for ref in named})
        unclear = _UNCLEAR.format(shlex.quote(self._remote.title))
        found = {}
        for ref, some in named.items():
            uid = uids.get(refs[ref])
            if uid is None:
                found[ref] = (some, unclear)
            elif same := [run for run in some if run.uid == uid]:
                found[ref] = (same, _CHANGED)
        return found

    def _unknown(
        self, refs: Mapping[str, str], tips: Mapping[Oid, RunIdentity], known: Collection[str]
    ) -> Iterator[RemoteCopy]:
        """What the remote has of runs, and we have no copy of: others sent it there, or it stays away from here."""
        wanted = {str(tip): run for tip, run in tips.items()}
        for ref, oid in refs.items():
            if oid in wanted and ref not in known and (name := layout.parse_run_ref(ref)):
                run = wanted[oid]
                if (name[0], name[1].number) == (run.flow, run.id.number):
                    yield self._as_copy(ref, run.uid, Oid.from_hex(oid))

    def _as_copy(self, ref: str, uid: Oid, oid: Oid) -> RemoteCopy:
        """A ref there, of which there is no copy."""
        title = self._remote.title
        command = shlex.join(("git", "push", title, "--delete", ref))
        return RemoteCopy(
            uid, title, ref, layout.tracking_ref(self._remote.label, ref), oid, command
        )

    def _tags_of(self, refs: Mapping[str, str], uids: Collection[Oid]) -> dict[str, Oid]:
        """The refs of all tags that runs have there."""
        wanted = {str(uid): uid for uid in uids}
        return {
            ref: wanted[oid]
            for ref, oid in refs.items()
            if oid in wanted and layout.parse_tag_ref(ref)
        }

    def _mirrors_of(self, refs: Mapping[str, str], uids: Collection[Oid]) -> dict[str, Oid]:
        """The git tags of runs there: also of tags that are not, as anybody's `git push --tags` sends them."""
        wanted = {str(uid): uid for uid in uids}
        return {
            ref: wanted[oid]
            for ref, oid in refs.items()
            if oid in wanted and layout.is_tag_mirror(ref, wanted[oid])
        }

    def _delete(self, refs: Mapping[str, Oid]) -> dict[str, str]:
        """Why refs may still be there; nothing of those that were deleted, or were not there."""
        why = {ref: _CHANGED if ref in self._there else "" for ref in refs}
        updates = [
            RefUpdate(ref, None, oid)
            for ref, oid in refs.items()
            if self._there.get(ref) == str(oid)
        ]
        for result in self._remote.push(updates) if updates else ():
            why[result.name] = "" if result.ok else result.reason or _CHANGED
        return why
