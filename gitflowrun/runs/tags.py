"""The user tags of runs: one ref per tag and run, at the run's first commit, mirrored as a git tag for people.

Changing the tags of a run:

1. Take the lock `tags`: the limit of tags per run is a rule about several refs.
2. Read the run's tags; check the change as a whole; nothing is done unless all of it can be.
3. Change refs/runs/@tags and its mirror in refs/tags/runs in one transaction; without the mirror where a user's own
   tag is in its place. With `runs.gitTags=false` no mirror is made; one that is there goes with its tag.

A tag that is moved names one run of its flow, an alias: step 3 then takes it from the others as well.

Rules (Metaflow's): 1 to 500 characters; a run has at most 50 user tags, and only growing beyond is refused;
adding a tag that the system has set is ignored; removing one is an error; removing what is not there is fine;
a replacement removes first.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gitflowrun.errors import NotFound, RefConflict, RepositoryError, TaggingError
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.limits import MAX_USER_TAGS
from gitflowrun.names import RunId, SpinId, check_tag
from gitflowrun.runs import layout
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.lookup.listing import tag_refs_by_run, tags_of_run, uids_of
from gitflowrun.values import replace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from gitflowrun.git.ref_update import Refs
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun
    from gitflowrun.runs.records import RunIdentity

_TAGS_DEPTH = layout.TAG_MIRROR.count("/")


def check_tags(
    tags: Iterable[object], *, system: Collection[str] = (), present: Collection[str] = ()
) -> tuple[str, ...]:
    """The tags to add to a run that has `present` ones: each once, none that the run has.

    Raises:
        TaggingError: one of them can't be a tag, or they are too many.
    """
    wanted = dict.fromkeys(check_tag(tag) for tag in tags)
    added = tuple(tag for tag in wanted if tag not in system and tag not in present)
    for tag in added:
        layout.tag_component(tag)
    total = len(present) + len(added)
    if added and total > MAX_USER_TAGS:
        raise TaggingError(
            f"the run would have {total} user tags",
            hint=f"a run has at most {MAX_USER_TAGS}; remove some first",
        )
    return added


def tag_updates(
    repo: Repository, run: RunIdentity, *, add: Iterable[str] = (), remove: Iterable[str] = ()
) -> list[RefUpdate]:
    """What a transaction must do to add tags to a run and to remove others, mirrors included."""
    wanted: list[tuple[str, Oid | None]] = []
    for tags, new in ((add, run.uid), (remove, None)):
        for tag in tags:
            wanted.append((layout.tag_ref(run.flow, tag, run.id), new))
            if new is None or repo.settings.git_tags:
                wanted.append((layout.tag_mirror(run.flow, tag, run.id, run.uid), new))
    updates = [RefUpdate(name, new, repo.refs.get(name)) for name, new in wanted]
    return [update for update in updates if update.old != update.new]


def transact(refs: Refs, updates: Sequence[RefUpdate]) -> None:
    """As `Refs.transaction`, but git tags that can't be do not stand in the way of the rest.

    A user's own tag `runs`, or `runs/<Flow>`, takes the place of ours; then the run's tag is in refs/runs/@tags alone.

    Raises:
        RefConflict: another ref has not its expected old value.
        RepositoryError: the repository can't be written to.
    """
    try:
        refs.transaction(updates)
    except RefConflict:
        mirrors = [update for update in updates if update.name.startswith(layout.TAG_MIRROR)]
        if not mirrors:
            raise
        refs.transaction([it for it in updates if not it.name.startswith(layout.TAG_MIRROR)])
        with contextlib.suppress(RefConflict):
            refs.transaction([update for update in mirrors if not _is_blocked(refs, update.name)])


def _is_blocked(refs: Refs, name: str) -> bool:
    """Whether a ref has the name of a directory that a git tag of ours would lie in."""
    parts = name.split("/")
    parents = ("/".join(parts[:count]) for count in range(_TAGS_DEPTH, len(parts)))
    return any(refs.get(parent) is not None for parent in parents)


def _refuse_spins(run: StoredRun) -> None:
    """Raise TaggingError for a spun task."""
    if isinstance(run.id, SpinId):
        raise TaggingError(
            f"{run.pathspec} is a spun task, which has no tags",
            hint="`resume` makes a run with the code as it is now, which can be tagged",
        )


class Tags:
    """The tags of a repository's runs."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo

    def of(self, run: StoredRun) -> tuple[str, ...]:
        """The user tags of a run, sorted."""
        return self.of_all([run])[0]

    def of_all(self, runs: Sequence[StoredRun]) -> list[tuple[str, ...]]:
        """The user tags of each of some runs."""
        flows = {run.flow for run in runs}
        refs = self._refs(flows.pop() if len(flows) == 1 else None)
        found = [(run, refs.get((run.flow, run.id))) for run in runs]
        return [
            tags_of_run(tags, run.state.uid or run.commit) if tags else () for run, tags in found
        ]

    def all(self, flow: str | None = None) -> dict[tuple[str, RunId], tuple[str, ...]]:
        """The user tags of every tagged run of a flow, or of all flows, by flow and id.

        Of a run that is not there, or can't be read, those that bear its name.
        """
        found = self._refs(flow)
        uids = uids_of(self._repo, found)
        tags = {run: tags_of_run(refs, uids.get(run)) for run, refs in found.items()}
        return {run: names for run, names in tags.items() if names}

    def _refs(self, flow: str | None) -> dict[tuple[str, RunId], list[tuple[str, str]]]:
        return tag_refs_by_run(self._repo.refs.below(layout.below(layout.TAGS, flow)).items())

    def change(
        self, run: StoredRun, *, remove: Iterable[object] = (), add: Iterable[object] = ()
    ) -> tuple[str, ...]:
        """The tags that a run has after a change. As `change_all`, of one run."""
        return self.change_all([run], remove=remove, add=add)[0]

    def change_all(
        self,
        runs: Sequence[StoredRun],
        *,
        remove: Iterable[object] = (),
        add: Iterable[object] = (),
    ) -> list[tuple[str, ...]]:
        """Remove tags from runs and add others, all or nothing; the tags that each run then has.

        Raises:
            TaggingError: a tag can't be one, would be one too many, or is the system's and can't go.
            NotFound: a run that is to get tags has just been removed.
        """
        unwanted, wanted = {check_tag(tag) for tag in remove}, list(add)
        for run in runs:
            _refuse_spins(run)
            fixed = sorted(unwanted.intersection(run.info.system_tags))
            if fixed:
                raise TaggingError(
                    f"tag {fixed[0]!r} of {run.pathspec} describes the run and can't be removed"
                )
        after, updates = [], list[RefUpdate]()
        with Locks(self._repo.state_dir).tags():  # 1
            reached("tags.locked")
            for run, present in zip(runs, self.of_all(runs), strict=True):  # 2
                kept = [tag for tag in present if tag not in unwanted]
                added = check_tags(wanted, system=run.info.system_tags, present=kept)
                self._check_here(run, added)
                removed = sorted(unwanted.intersection(present).difference(added))
                updates += tag_updates(self._repo, run.identity, add=added, remove=removed)
                after.append(tuple(sorted({*kept, *added})))
            reached("tags.planned")
            transact(self._repo.refs, updates)  # 3
        return after

    def move(self, run: StoredRun, tag: str) -> tuple[str, ...]:
        """Give a run a tag and take it from all other runs of the flow, in one transaction.

        Returns:
            `Flow/id` of the runs that had it, sorted.

        Raises:
            TaggingError: it can't be a tag, would be one too many, or is one that the system gives.
            RefConflict: somebody else has just changed one of these tags; nothing is done.
            NotFound: the run has just been removed.
        """
        tag = check_tag(tag)
        _refuse_spins(run)
        system = run.info.system_tags
        if tag in system:
            raise TaggingError(f"tag {tag!r} describes the run {run.pathspec} and can't be moved")
        with Locks(self._repo.state_dir).tags():  # 1
            reached("tags.locked")
            tagged = self.all(run.flow)  # 2
            present = tagged.get((run.flow, run.id), ())
            others = [
                replace(run.identity, id=other, uid=self._tagged(flow, tag, other))
                for (flow, other), tags in tagged.items()
                if tag in tags and other != run.id
            ]
            added = check_tags([tag], system=system, present=present)
            self._check_here(run, added)
            updates = tag_updates(self._repo, run.identity, add=added)
            for other in others:
                updates += tag_updates(self._repo, other, remove=[tag])
            reached("tags.planned")
            transact(self._repo.refs, updates)  # 3
        ids = sorted((other.id.sort_key, other.id) for other in others)
        return tuple(f"{run.flow}/{other}" for _, other in ids)

    def _check_here(self, run: StoredRun, added: Collection[str]) -> None:
        """Raise NotFound where a run that is to get tags was removed while the lock was waited for."""
        if added and self._repo.refs.get(layout.run_ref(run.flow, run.id)) is None:
            raise NotFound(
                f"{run.pathspec} has just been removed",
                hint=f"`git runs restore {run.pathspec}` puts it back, if it is in the trash",
            )

    def _tagged(self, flow: str, tag: str, run: RunId) -> Oid:
        """The first commit of a run that has a tag, as its ref says: the run itself may be damaged."""
        uid = self._repo.refs.get(layout.tag_ref(flow, tag, run))
        if uid is None:
            raise RefConflict(f"the tag {tag!r} of {flow}/{run} has just been removed")
        return uid

    def mirror(self) -> int:
        """Make refs/tags/runs what refs/runs/@tags says; how many git tags had to be changed.

        With `runs.gitTags=false` none is made or moved; those of tags that no run has any more still go.

        A git tag below `runs/` that no run has stays if a user may have made it: one that does not point to
        the first commit of a tagged run.
        """
        with Locks(self._repo.state_dir).tags():
            updates = self.mirror_updates()
            try:
                transact(self._repo.refs, updates)
            except RepositoryError:
                if not self._drop_empty(updates):
                    raise
                transact(self._repo.refs, self.mirror_updates())
        return len(updates)

    def _drop_empty(self, updates: Iterable[RefUpdate]) -> int:
        """Remove the files of git tags that a power cut has emptied, at which git fails; how many there were."""
        dropped = 0
        for update in updates:
            try:
                self._repo.refs.get(update.name)
            except RepositoryError:
                self._repo.refs.drop_damaged(update.name)
                dropped += 1
        return dropped

    def mirror_updates(self) -> list[RefUpdate]:
        """What `mirror` would change."""
        truth, shown = self._below(layout.TAGS), self._below(layout.TAG_MIRROR)
        ours = set(truth.values())
        wanted: dict[str, Oid | None] = {
            name: None
            for name, oid in shown.items()
            if oid in ours and layout.is_tag_mirror(name, oid)
        }
        for name, uid in truth.items():
            if parsed := layout.parse_tag_ref(name):
                wanted[layout.tag_mirror(*parsed, uid)] = uid
        makes = self._repo.settings.git_tags
        return [
            RefUpdate(name, new, shown.get(name))
            for name, new in wanted.items()
            if new != shown.get(name) and (makes or new is None)
        ]

    def _below(self, prefix: str) -> dict[str, Oid]:
        rows = self._repo.refs.rows(prefix)
        return {name: Oid.from_hex(oid) for name, oid in rows}
