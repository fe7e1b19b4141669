"""Pushing runs: each is found on the remote, or gets a name there, and is sent.

A remote may have several push URLs. Each is a repository of its own, with its own names for our runs, and gets all of
them.

Where no runs are named, those go that were made here or that the user trusts, as `git push` sends what is one's own:
who fetches from one remote and pushes to another does not spread what anybody has put there.

1. List the remote's refs below refs/runs, and for the search for secrets its branches.
2. What is there under its own name, in the same state, is up to date, and nothing else is asked about it. Find every
   other run there. Only runs of the same flow and number can be it; those whose newest state is not here are fetched
   into their tracking copies, for only their history says whether it is the same run.
3. It is there: up to date, or to be moved forward, or ahead of us. It is not: it gets a free name. So does one that
   was made here and that somebody else went on with there. Where one that may be it could not be fetched, for reasons
   that are not the remote's own, it is refused.
4. Push, expecting every ref to be as seen. Where somebody was faster, begin again at 1.
5. Note in the tracking copies what the remote now has.
6. Merge the tags of these runs, one push or fetch of this clone at a time (`sending`); begin again there, too, where
   somebody was faster. What is left then is told, and counts as failed.
"""

from __future__ import annotations

import contextlib
import shlex
from collections import Counter
from typing import TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError
from gitflowrun.failpoints import reached
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.transport.remote import STALE, Remote, default_remote
from gitflowrun.limits import LISTED_COMMIT, PUSH_ROUNDS
from gitflowrun.porcelain.secrets.secret_scan import (
    SecretSearch,
    is_secret_tag,
    reason_of,
    told_secrets,
)
from gitflowrun.porcelain.transfer.sync import (
    Outcome,
    RemoteView,
    RunTip,
    SyncedRun,
    SyncReport,
    TagKey,
    Transfer,
    some,
    tags_of,
    told_lost_tag,
)
from gitflowrun.porcelain.transfer.tags_in_trash import tags_in_trash
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.locks import Locks
from gitflowrun.runs.lookup.listing import damaged_runs, told_damaged, uids_of
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitflowrun.git.odb import History
    from gitflowrun.git.repository import Repository
    from gitflowrun.git.transport.remote import PushResult
    from gitflowrun.names import RunId
    from gitflowrun.porcelain.secrets.secret_scan import Finding
    from gitflowrun.runs.read import StoredRun


_LOCKED = ".lock': File exists"
"""What git says of a lock that somebody holds, or left."""


def push(
    repo: Repository,
    remote: str | None = None,
    runs: Sequence[StoredRun] | None = None,
    *,
    of_all: bool = False,
    allow_secrets: bool = False,
    on_wait: Callable[[str], object] | None = None,
) -> list[SyncReport]:
    """Send runs and their tags to a remote, to each of its push URLs.

    Args:
        repo: The repository.
        remote: A configured remote, a URL or a path; what git would push to when None.
        runs: Which runs; those made here or trusted when None.
        of_all: Whether None means all runs, whoever made them.
        allow_secrets: Whether runs go that may hold secrets.
        on_wait: Is told of another push or fetch that is waited for, if that takes long.

    Returns:
        A report for each place.

    Raises:
        RepositoryError: a place can't be reached; the others have got the runs. What was sent before stays, and is
            not sent again.
    """
    reports: list[SyncReport] = []
    failures: list[RepositoryError] = []
    for place in Remote(repo, remote or default_remote(repo, push=True)).for_push():
        try:
            pushed = push_to(
                repo, place, runs, of_all=of_all, allow_secrets=allow_secrets, on_wait=on_wait
            )
            reports.append(pushed)
        except RepositoryError as error:
            failures.append(error)
    if failures:
        raise _some_failed(failures, reports)
    return reports


def push_to(
    repo: Repository,
    place: Remote,
    runs: Sequence[StoredRun] | None = None,
    *,
    of_all: bool = False,
    verify: bool = True,
    allow_secrets: bool = False,
    on_wait: Callable[[str], object] | None = None,
) -> SyncReport:
    """Send runs and their tags to one place; see `push`.

    Args:
        repo: The repository.
        place: Where to.
        runs: Which runs; those made here or trusted when None.
        of_all: Whether None means all runs, whoever made them.
        verify: Whether the user's pre-push hook is asked.
        allow_secrets: Whether runs go that may hold secrets.
        on_wait: Is told of another push or fetch that is waited for, if that takes long.
    """
    if runs is None:
        refs = repo.refs.below(layout.RUNS)
        tips = {ref: oid for ref, oid in refs.items() if layout.is_run_ref(ref)}
    else:
        tips = {layout.run_ref(run.flow, run.id): str(run.commit) for run in runs}
    search = repo.settings.push_scan and not allow_secrets
    chooses = runs is None and not of_all
    pushing = _Push(repo, place, on_wait, verify=verify, search=search, chooses=chooses)
    return pushing.send(tips, is_all=runs is None)


def _some_failed(
    failures: Sequence[RepositoryError], reports: Sequence[SyncReport]
) -> RepositoryError:
    if len(failures) == 1 and not reports:
        return failures[0]
    message = "; ".join(error.message for error in failures)
    there = f"; {', '.join(report.remote for report in reports)} got the runs" if reports else ""
    return RepositoryError(f"{message}{there}", hint=failures[0].hint)


@frozen
class _Plan:
    """What is to become of a run on the remote, what to push for it, and whether it would go if more were known."""

    run: RunTip
    result: SyncedRun
    change: RefUpdate | None = None
    is_unclear: bool = False

    @property
    def before(self) -> Oid | None:
        """The run's state on the remote, if that is to be moved."""
        return self.change.old if self.change else None

    def refused(self, reason: str) -> SyncedRun:
        return replace(self.result, target=None, outcome=Outcome.REFUSED, reason=reason)


@frozen
class _TagPlan:
    """What is to become of tags on the remote.

    Attributes:
        added: Those to be made.
        removed: Those to be removed.
        squatted: Those that something there is in the way of, and what.
        common: What both sides have or have dropped: our copies shall say so.
    """

    added: Sequence[RefUpdate]
    removed: Sequence[RefUpdate]
    squatted: Mapping[str, str]
    common: Mapping[str, Oid | None]


class _Push(Transfer):
    def __init__(
        self,
        repo: Repository,
        remote: Remote,
        on_wait: Callable[[str], object] | None,
        *,
        verify: bool,
        search: bool,
        chooses: bool,
    ) -> None:
        super().__init__(repo, remote, on_wait)
        self._verify = verify
        self._search = search
        self._chooses = chooses
        self._notices: dict[str, None] = {}
        self._damaged: set[str] = set()
        self._uids: dict[Oid, Oid] = {}
        self._unclear: dict[Oid, str] = {}
        """Runs of ours, by tip, of which it can't be told whether one that is there is the same, and why."""
        self._failed: Counter[str] = Counter()
        self._held_back: set[object] = set()
        self._gone_there: set[str] = set()
        self._tags_added = self._tags_removed = 0

    def send(self, tips: Mapping[str, str], *, is_all: bool) -> SyncReport:
        """Push runs, in the order of their numbers, and their tags.

        Args:
            tips: The runs: ref to commit. There may be very many, of which few are not there yet.
            is_all: Whether these are all that are here, so that a damaged one is one that was to be sent.
        """
        view = self._look()
        self._damaged = {*damaged_runs(self.repo)}
        waiting = self._unsent(view, tips)
        for attempt in range(PUSH_ROUNDS):
            slower = self._round(view, waiting)
            if not slower:
                break
            if attempt == PUSH_ROUNDS - 1:
                self.done += slower.values()
            else:
                view = self._look()
            waiting = list(slower)
        with self.merging(view) as now:  # 6
            if now is not view:
                self._gone_there = self._places() - now.refs.keys()
            view = now
            for attempt in range(PUSH_ROUNDS):
                plan = self._plan_tags(view)
                failed = self._push_tags(plan, atomic=attempt < PUSH_ROUNDS // 2)
                if not any(result.stale for result in failed):
                    break
                view = RemoteView.of(self.remote)
        self._held_back.update(self._not_sent(view, None if is_all else tips))
        return self._full_report(view, plan, failed)

    def _places(self) -> set[str]:
        """The refs there of the runs that are there, as far as this push has seen or sent them."""
        sent = {layout.run_ref(run.flow, run.target) for run in self.done if run.target}
        return self.up_to_date | sent

    def _not_sent(self, view: RemoteView, tips: Mapping[str, str] | None) -> list[str]:
        """The damaged runs among some or all, but for those that the remote has as they were here."""
        lost = []
        for run in self._damaged:
            ref = f"{layout.RUNS}{run}"
            held = None
            with contextlib.suppress(RepositoryError):  # it holds no id
                held = self.repo.refs.get(ref)
            if (tips is None or ref in tips) and not (held and _holds(view, ref, held)):
                lost.append(run)
        return lost

    def _look(self) -> RemoteView:
        look = RemoteView.with_branches if self._search else RemoteView.of
        view = look(self.remote)  # 1
        self.forget_lost_tags(view)
        return view

    def _unsent(self, view: RemoteView, tips: Mapping[str, str]) -> list[RunTip]:
        """The runs that the remote has not under their own names as they are here; the others are up to date."""
        self.up_to_date = {ref for ref, _ in tips.items() & view.refs.items()}
        unsent = [
            RunTip(*name, Oid.from_hex(tips[ref]))
            for ref in tips.keys() - self.up_to_date
            if (name := layout.parse_run_ref(ref))
        ]
        return sorted(filter(self._is_run, unsent), key=lambda run: (*run.id.sort_key, run.flow))

    def _is_run(self, run: RunTip) -> bool:
        """Whether what our own ref of a run holds is one, for anybody can make a ref."""
        try:
            message = self.repo.objects.commit(run.tip, LISTED_COMMIT).message
        except GitflowrunError:
            self._damaged.add(f"{run.flow}/{run.id}")
            return False
        state = parse_message(message.decode(errors="replace"))
        if state is not None:
            self._uids[run.tip] = state.uid or run.tip
        return state is not None

    def _round(self, view: RemoteView, runs: Sequence[RunTip]) -> dict[RunTip, SyncedRun]:
        """Push once; returns the runs with which somebody else was faster, as refused."""
        history = self._history(view, runs)  # 2
        whole = [run for run in runs if self._is_all_here(run, history)]
        plans = [self._plan(run, view, history) for run in whole]  # 3
        if self._chooses:
            plans = self._own(plans)
        plans = self._without_secrets(plans, view, history)
        changes = [plan.change for plan in plans if plan.change]
        new = {plan.result.uid for plan in plans if plan.result.outcome is Outcome.NEW}
        self.forget_tags_of(new)  # before the runs are there, lest we be killed
        reached("push.planned")
        pushed = self.remote.push(changes, verify=self._verify)  # 4
        reached("push.sent")
        results = {result.name: result for result in pushed}
        done = {change.name: change.new for change in changes if results[change.name].ok}
        self.tracking.note(done)  # 5
        reached("push.noted")
        slower = {}
        for plan in plans:
            result = results[plan.change.name] if plan.change else None
            if result is None or result.ok:
                self.done.append(plan.result)
            elif result.stale:
                slower[plan.run] = plan.refused(result.reason)
                self._failed[result.name] += 1
            else:
                self.done.append(plan.refused(result.reason))
        return slower

    def _is_all_here(self, run: RunTip, history: History) -> bool:
        """Whether no commit of a run of ours is lost."""
        is_whole = history.root(run.tip) is not None
        if not is_whole:
            self._damaged.add(f"{run.flow}/{run.id}")
        return is_whole

    def _own(self, plans: Sequence[_Plan]) -> list[_Plan]:
        """The plans but those to send what was not made here and is not trusted; it is said that there are such."""
        chosen, left = list[_Plan](), list[RunTip]()
        for plan in plans:
            stays = plan.change is None and not plan.is_unclear
            if stays or self.trust.trusts(plan.run.tip):
                chosen.append(plan)
            else:
                left.append(plan.run)
        if left:
            self._notices[_told_left(left, self.remote)] = None
        return chosen

    def _without_secrets(
        self, plans: Sequence[_Plan], view: RemoteView, history: History
    ) -> list[_Plan]:
        """The plans, those of runs that may hold secrets as refusals."""
        search = SecretSearch(self.repo, view.refs, view.branches)
        found: dict[Oid, Sequence[Finding]] = {}
        changed = [plan for plan in plans if plan.change and self._search]
        for plan in changed:
            line = history.line(plan.run.tip)
            found[plan.run.tip] = search.findings(plan.run, line, plan.before)
        clean = [plan for plan in changed if not found[plan.run.tip]]
        if search.is_more_before([(plan.run.tip, plan.before) for plan in clean]):
            for plan in clean:
                found[plan.run.tip] = search.findings_before(plan.run, plan.before)
        checked = []
        for plan in plans:
            secrets = found.get(plan.run.tip, ()) if plan.change else ()
            self._notices |= dict.fromkeys(told_secrets(plan.run, secrets))
            refused = _Plan(plan.run, plan.refused(reason_of(secrets))) if secrets else plan
            checked.append(refused)
        self._notices |= dict.fromkeys(search.notices())
        return checked

    def _history(self, view: RemoteView, runs: Sequence[RunTip]) -> History:
        """The history of every run of the remote that may be one of `runs`, and of these."""
        ours = {run.tip for run in runs}
        theirs = [mate for run in runs for mate in view.namesakes(run, self._uids[run.tip])]
        seen = set(self.tracking.seen.values())
        # What can't be read, because it is malformed or was just deleted, is not ours: its name is taken,
        # that is all. Where the line broke, or we failed, nobody knows whose it is.
        apart = [mate for mate in theirs if mate.tip not in ours and str(mate.tip) not in seen]
        lost = self.fetch_copies([mate for mate in apart if not self.repo.objects.exists(mate.tip)])
        missing = {mate.tip for mate in lost}
        history = self.history_of({*ours, *(mate.tip for mate in theirs)} - missing)
        unread = {mate: loss.reason for mate, loss in lost.items() if not self.is_theirs(loss)}
        parts = {
            mate
            for mate in theirs
            if mate.tip not in missing and not history.root(mate.tip) and self.is_lost(mate.tip)
        }
        # git's gc would fail at such a copy.
        self.tracking.note({mate.ref: None for mate in parts.intersection(apart)})
        why = f"commits of it are lost here, or {self.remote.title} is shallow and lacks them"
        unread |= dict.fromkeys(parts, why)
        unread |= {
            mate: self.told_shallow(mate)
            for mate in theirs
            if str(history.root(mate.tip)) in self.shallow
        }
        self._unclear = {
            run.tip: f"whether {mate.flow}/{mate.id} there is this run can't be told: {unread[mate]}"
            for run in runs
            for mate in (view.namesakes(run, self._uids[run.tip]) if unread else ())
            if mate in unread
        }
        cut = [run for run in runs if str(history.root(run.tip)) in self.shallow]
        self._unclear |= {run.tip: self.told_shallow(run) for run in cut}
        return history

    def _plan_tags(self, view: RemoteView) -> _TagPlan:
        """Our changes to the tags of the runs that are there, on the remote as it is."""
        base = tags_of(self.tracking.seen.items())
        have = tags_of(view.refs.items())
        ours = self.our_tags()
        done = [
            run
            for run in self.done
            if run.target and layout.run_ref(run.flow, run.target) not in self._gone_there
        ]
        there = {(run.flow, run.source): run.target for run in done if run.target}
        targets = {(run.flow, run.target) for run in done}
        if base.keys() != ours.keys() or base.keys() != have.keys():
            self.leave_meanwhile(base, have, ours)
        for key in self.tags_of_lost(ours.keys() - base.keys()):
            run = ours.pop(key)
            if key not in have:
                self._held_back.add(key)
                self._notices[told_lost_tag(key, run, "sent")] = None

        def is_same(flow: str, run: RunId) -> bool:
            ref = layout.run_ref(flow, run)
            return ref in self.up_to_date and ref not in self._gone_there

        new = sorted(ours.keys() - have.keys() - base.keys())
        uids = uids_of(self.repo, {(key.flow, ours[key]) for key in new})
        wanted = [
            RefUpdate(key.ref(there.get((key.flow, run), run)), key.uid, None)
            for key in new
            if ((key.flow, run := ours[key]) in there or is_same(key.flow, run))
            and uids.get((key.flow, run)) == key.uid  # else it is another run's, see `tags_of_run`
            and self._may_go(key)
        ]
        squatted = {
            change.name: found for change in wanted if (found := view.in_the_way(change.name))
        }
        gone = {
            key: have[key]
            for key in sorted((base.keys() - ours.keys()) & have.keys())
            if (key.flow, have[key]) in targets or is_same(key.flow, have[key])
        }
        # Which tag one that can't be read is, nobody knows: none counts as removed.
        gone = {} if self._unread_tags(len(gone)) else gone
        # What both sides have, or both have dropped, is common ground from now on.
        common: dict[str, Oid | None] = {
            key.ref(have[key]): key.uid for key in ours.keys() & have.keys()
        }
        dropped = base.keys() - ours.keys() - have.keys()
        dropped -= tags_in_trash(self.repo, dropped, self._uids_here)
        common |= {key.ref(base[key]): None for key in dropped}
        return _TagPlan(
            added=[change for change in wanted if change.name not in squatted],
            removed=[RefUpdate(key.ref(have[key]), None, key.uid) for key in self._dropped(gone)],
            squatted=squatted,
            common=common,
        )

    def _uids_here(self) -> set[Oid]:
        names = map(layout.parse_run_ref, self.repo.refs.below(layout.RUNS))
        return {*uids_of(self.repo, {name for name in names if name}).values()}

    def _push_tags(self, plan: _TagPlan, *, atomic: bool) -> list[PushResult]:
        """Bring our changes to tags to the remote.

        Args:
            plan: The changes.
            atomic: Whether all change or none does; else one that can't be made costs itself alone.

        Returns:
            Those that were not made.
        """
        changes = [*plan.removed, *plan.added]
        with self.sending.of(changes):
            results = self.remote.push(changes, atomic=atomic, verify=self._verify)
            reached("push.tagged")
            fine = {result.name for result in results if result.ok}
            taken = {change.name: change.new for change in changes if change.name in fine}
            self.tracking.note({**taken, **plan.common})
        self._tags_added += sum(change.name in fine for change in plan.added)
        self._tags_removed += sum(change.name in fine for change in plan.removed)
        return [result for result in results if not result.ok]

    def _full_report(
        self, view: RemoteView, plan: _TagPlan, failed: Sequence[PushResult]
    ) -> SyncReport:
        """The report of all; `view` is the remote after the last changes that were not made as it was."""
        seen = {change.name: change.old for change in [*plan.removed, *plan.added]}
        tags = [
            *(_tag_notice(it, is_as_seen=_holds(view, it.name, seen[it.name])) for it in failed),
            *(_told_squat(*names, self.remote) for names in plan.squatted.items()),
        ]
        left = len(tags) + len(self._held_back)
        return self.report(
            self._tags_added, self._tags_removed, self._told(tags, left), failed=left
        )

    def _dropped(self, gone: Mapping[TagKey, RunId]) -> list[TagKey]:
        """Those of the tags that are gone here, and the ids of their runs there, that somebody has taken off a run.

        The others went with their run, which may be in the trash by now, and remotes keep what they have; or are back.
        """
        if not gone:
            return []
        sources = {(run.flow, run.target): run.source for run in self.done}
        refs = {
            key: layout.run_ref(key.flow, sources.get((key.flow, run), run))
            for key, run in gone.items()
        }
        with Locks(self.repo.state_dir).tags():  # which whoever removes a run holds
            runs, ours = self.repo.refs.many(refs.values()), self.our_tags()
        return [key for key in gone if runs[refs[key]] and key not in ours]

    def _told(self, tags: Sequence[str], left: int) -> list[str]:
        """What is said besides: of damaged runs, what was noticed, and the changes to tags that were not made.

        Args:
            tags: What is said of these.
            left: How much was not sent, of whatever kind.
        """
        damaged = sorted(self._damaged)
        title = shlex.quote(self.remote.title)
        again = f"once the causes are mended, `git runs push {title}` sends what was not sent"
        return [
            *([told_damaged(damaged, "damaged and not sent")] if damaged else []),
            *self._notices,
            *some(tags, "changes to tags were not sent"),
            *([again] if left else []),
        ]

    def _unread_tags(self, gone: int) -> bool:
        """Whether tags of ours are damaged or can't be read; where others seem to be gone, that is said.

        Args:
            gone: How many tags are not among those that can be read.
        """
        unread = sorted(it for it in self.repo.refs.damaged if it.startswith(layout.TAGS))
        if unread:
            self._notices[
                f"no tag was removed there, for {unread[0]} can't be read; "
                "`git runs doctor --fix` mends it if it is empty"
            ] = None
        if gone > len(unread) > 0:
            self._held_back.add(layout.TAGS)
        return bool(unread)

    def _may_go(self, key: TagKey) -> bool:
        """Whether a tag is no secret."""
        found = self._search and is_secret_tag(key.tag)
        if found:
            self._held_back.add(key)
            self._notices[
                f"a tag of {key.flow} was not sent, for it may be a secret: {key.tag[:4]}****; "
                "`git runs push --allow-secrets` sends it"
            ] = None
        return not found

    def _plan(self, run: RunTip, view: RemoteView, history: History) -> _Plan:
        uid = history.root(run.tip) or run.tip
        result = SyncedRun(run.flow, run.id, None, uid, Outcome.REFUSED)
        apart = ""
        for mate in view.namesakes(run, uid):
            if history.root(mate.tip) != uid:
                continue
            if mate.tip == run.tip:
                return _Plan(run, replace(result, target=mate.id, outcome=Outcome.CURRENT))
            if history.leads_to(mate.tip, run.tip):
                there = replace(result, target=mate.id, outcome=Outcome.AHEAD)
                if self._is_mine(run, uid) and not self.trust.made(mate.tip):
                    reason = f"the remote has it as {mate.tip.short}, which was not made here"
                    there = replace(there, outcome=Outcome.KEPT, reason=reason)
                return _Plan(run, there)
            if history.leads_to(run.tip, mate.tip):
                change = RefUpdate(mate.ref, run.tip, mate.tip)
                return _Plan(run, replace(result, target=mate.id, outcome=Outcome.UPDATED), change)
            apart = f"the remote has another continuation of it ({mate.tip.short})"
        if apart and not self._is_mine(run, uid):
            return _Plan(run, replace(result, reason=apart))
        unclear = self._unclear.get(run.tip, "")
        # Where a name is free, and still can't be made: something is in its way that the remote does not show.
        avoided = [name for name, times in self._failed.items() if times > 1]
        target = None if unclear else view.give_id(run, uid, avoided)
        if target is None:
            reason = unclear or _told_taken(view, run, self.remote)
            return _Plan(run, replace(result, reason=reason), is_unclear=bool(unclear))
        change = RefUpdate(layout.run_ref(run.flow, target), run.tip, None)
        return _Plan(run, replace(result, target=target, outcome=Outcome.NEW, reason=apart), change)

    def _is_mine(self, run: RunTip, uid: Oid) -> bool:
        return self.trust.made(run.tip) or self.trust.made(uid)


def _told_left(runs: Sequence[RunTip], remote: Remote) -> str:
    """That runs were not sent because they are somebody else's, and what sends them."""
    command, name = f"git runs push {shlex.quote(remote.title)}", f"{runs[0].flow}/{runs[0].id}"
    if len(runs) == 1:
        return f"{name}, which was not made here, was not sent; `{command} {name}` sends it"
    return (
        f"{len(runs):,} runs that were not made here were not sent, such as {name}; `{command} RUN...` sends some, "
        f"`{command} --all` all"
    )


def _told_taken(view: RemoteView, run: RunTip, remote: Remote) -> str:
    """Why there is no name for a run on a remote."""
    found = view.in_the_way(run.ref)
    return _told_way(found, remote) if found else "all its names are taken there"


def _holds(view: RemoteView, name: str, oid: Oid | None) -> bool:
    """Whether a remote has a ref as it was seen before; None for none."""
    return view.refs.get(name) == (None if oid is None else str(oid))


def _tag_notice(result: PushResult, *, is_as_seen: bool) -> str:
    """What is said of a change that was not made; `is_as_seen`, nobody else has changed it."""
    reason = result.reason
    if result.stale and not is_as_seen:
        reason = f"somebody else changed it each time ({reason})"
    elif reason == STALE:
        reason = f"the remote does not take it, though nobody has changed it ({reason})"
    busy = "; if no git is at work there, remove that file" if _LOCKED in reason else ""
    return f"tag ref {result.name} was not sent: {reason}{busy}"


def _told_squat(name: str, found: str, remote: Remote) -> str:
    return f"tag ref {name} was not sent: {_told_way(found, remote)}"


def _told_way(found: str, remote: Remote) -> str:
    words = f"git push {shlex.quote(remote.name)} {shlex.quote(f':{found}')}"
    return f"the remote has {found} in its place; `{words}` removes that"
