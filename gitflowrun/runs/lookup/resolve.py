"""The addresses of runs and of their parts, and which run an address names.

    12                     the run with that number
    12-3fa29c1             the run of that number that was created in another clone
    MyFlow/12              the same, when the flow is worth saying
    production             the run with that tag
    tag:production         the same, whatever else is called so: `tag:12` is a tag, and `tag:log` never a command
    3fa29c1                the run whose first commit, or newest commit, begins so (4 digits or more)
    spin-3                 the spun task of that id, where one may be named (`spins.find`)
    @latest                the newest run; MyFlow/@latest, or @latest:MyFlow, the newest of a flow
    @{1}                   the run before that one, @{2} the one before it; @{-1} and @{-2} are the same

Each may be followed by /step, /step/task or /step/task/artifact, which are not looked up here, and a tag may have
slashes itself. `a/b` may so be the tag `b` of the flow `a`, the step `b` of what is tagged `a`, and the tag `a/b`: if
it is more than one run, it is ambiguous, for a flow is called, and a tag given, by whoever can push. What looks like
an id is one, and never a tag: where there is no run 12, a run that is tagged `12` is not what was meant. Seven digits
or more may be a hash as well, and a whole hash is nothing else: anybody may give a run any number, and any tag.
Otherwise the kinds are tried in this order and the first that finds anything decides. If several runs are found, the
address is ambiguous and the error lists them. So it is with a tag that several runs have, of one flow or of many: the
newest of them may be anybody's. `Tags.move` makes a tag name one run of a flow, which is then an alias of it.

`10..20` names several runs, for those who take several: see `ranges`.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from gitflowrun.errors import InvalidPathspec, NotFound, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.limits import CANDIDATES
from gitflowrun.names import RunId, nearest
from gitflowrun.runs import layout
from gitflowrun.runs.lookup.listing import list_all, list_runs, newest_first, no_runs_of, uids_of
from gitflowrun.runs.lookup.run_summary import RunSummary
from gitflowrun.runs.read import StoredRun
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.lookup.run_summary import DamagedRun

_RunName = tuple[str, RunId]
_NEWEST = re.compile(r"@(?:latest|\{-?(?P<back>[0-9]{1,9})\})(?::(?P<flow>.+))?\Z")
_TAG = "tag:"
_HASH = re.compile(r"[0-9a-f]{4,40}\Z")
_LONG_HASH = re.compile(r"[0-9a-f]{7,40}\Z")  # as lists and messages shorten it
_NUMBER = re.compile(r"[1-9][0-9]{0,5}\Z")
_MAX_PARTS = 3
_LATEST = "@latest"


@frozen
class Address:
    """A run, and the part of it that was meant."""

    run: StoredRun
    step: str | None = None
    task: str | None = None
    artifact: str | None = None


def resolve(repo: Repository, text: str, flow: str | None = None) -> Address:
    """What `text` names.

    Args:
        repo: The repository.
        text: An address, see above.
        flow: Look at the runs of this flow only.

    Raises:
        InvalidPathspec: it is no address, or an ambiguous one.
        NotFound: there is no such run.
    """
    # `runs/MyFlow/12` and its full name are what git calls a run.
    name = text.removeprefix("refs/")
    parts = (name.removeprefix("runs/") if name.count("/") > 1 else text).split("/")
    if not all(parts):
        raise InvalidPathspec(f"{text!r} is not the address of a run", hint=_FORMS)
    direct = _directly(repo, parts, flow)
    if direct is not None:
        return direct
    if len(parts) == 1 and flow is None and (run := _numbered(repo, parts[0])) is not None:
        return Address(run)
    catalog = _Catalog(repo)
    names = catalog.readings(parts, flow)
    if not names:
        if flow is None and len(parts) > 1 and parts[0] in catalog.flows():
            flow, *parts = parts
        elif flow is not None and parts[0] == flow:
            parts = parts[1:] or parts
        _raise_damage(repo, parts[0], flow)
        raise catalog.not_found(text, parts[0], flow)
    if len(names) > 1:
        raise _ambiguous(repo, text, names)
    ((found, rest),) = names.items()
    return address_in(catalog.open(found), rest)


def _raise_damage(repo: Repository, word: str, flow: str | None) -> None:
    """Say of a run that no listing has because its ref is damaged that it is. Raises RepositoryError."""
    for ref in sorted(repo.refs.damaged):
        name = layout.parse_run_ref(ref)
        if name and word in {str(name[1]), str(name[1].number)} and flow in {None, name[0]}:
            repo.refs.get(ref)


def _directly(repo: Repository, parts: list[str], flow: str | None) -> Address | None:
    """The run whose flow and id are both said, without looking at any other."""
    if flow is None or parts[0] == flow:
        flow, *parts = parts
    try:
        run = RunId(parts[0] if parts else "")
        ref = layout.run_ref(flow, run)
        commit = repo.refs.get(ref) if layout.is_run_ref(ref) else None
    except (InvalidPathspec, UsageError):
        return None
    return address_in(StoredRun(repo, flow, run, commit), parts[1:]) if commit else None


def _numbered(repo: Repository, word: str) -> StoredRun | None:
    """The only run of a number, which is too short for a hash; None where that is not all there is to say."""
    if not _NUMBER.match(word) or (refs := repo.refs.called(layout.RUNS, word)) is None:
        return None
    names = [(name, oid) for ref, oid in refs.items() if (name := layout.parse_run_ref(ref))]
    if len(names) != 1:
        return None
    ((name, oid),) = names
    return StoredRun(repo, *name, Oid.from_hex(oid))


def address_in(run: StoredRun, parts: Sequence[str]) -> Address:
    """The part of a run that the rest of an address names, which is not looked up. Raises InvalidPathspec."""
    if len(parts) > _MAX_PARTS:
        where = "/".join([run.pathspec, *parts])
        raise InvalidPathspec(f"{where!r} is not an address", hint="it ends in step/task/artifact")
    return Address(run, *parts)


_FORMS = "write 12, MyFlow/12, a tag or @latest; /step/task/artifact may follow"


def known_words(repo: Repository) -> list[str]:
    """What may stand at the beginning of an address, for hints: ids of runs, tags, flows."""
    return _Catalog(repo).words()


class _Catalog:
    """The names of all runs and tags, as one listing of refs shows them."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._oids = repo.refs.below(layout.RUNS)

    @cached_property
    def _runs(self) -> dict[_RunName, None]:
        """All runs. Who names one by its id need not wait for the names of all others to be taken apart."""
        return {run: None for name in self._oids if (run := layout.parse_run_ref(name))}

    @cached_property
    def _tags(self) -> dict[str, dict[_RunName, str]]:
        """The runs of each tag, and what the tag says that each is."""
        tags: dict[str, dict[_RunName, str]] = {}
        for name, oid in self._oids.items():
            if tag := layout.parse_tag_ref(name):
                tags.setdefault(tag[1], {})[tag[0], tag[2]] = oid
        return tags

    def flows(self) -> set[str]:
        """The flows that have runs."""
        return {flow for flow, _ in self._runs}

    def open(self, name: _RunName) -> StoredRun:
        """The run of that name."""
        return StoredRun(self._repo, *name, Oid.from_hex(self._oids[layout.run_ref(*name)]))

    def readings(self, parts: Sequence[str], flow: str | None) -> dict[_RunName, Sequence[str]]:
        """The runs that an address may mean, and what of each is meant."""
        names: dict[_RunName, Sequence[str]] = {}
        if flow is None and len(parts) > 1 and parts[0] in self.flows():
            names = self._within(parts[1:], parts[0])
            if names and not parts[1].isidentifier():  # no step is called so
                return names
        elif flow is not None and len(parts) > 1 and parts[0] == flow:
            parts = parts[1:]
        return {**self._within(parts, flow), **names}

    def _within(self, parts: Sequence[str], flow: str | None) -> dict[_RunName, Sequence[str]]:
        """`readings` where the flow is settled."""
        whole = self.tagged("/".join(parts), flow) if len(parts) > 1 else ()
        return {**dict.fromkeys(whole, ()), **dict.fromkeys(self.find(parts[0], flow), parts[1:])}

    def find(self, word: str, flow: str | None) -> list[_RunName]:
        """The runs that `word` may mean, of the first kind that finds any."""
        if counted := _NEWEST.match(word):
            place, wanted = int(counted["back"] or 0), counted["flow"] or flow
            if flow not in {None, wanted}:
                return []
            return self._newest(self._runs, wanted)[place : place + 1]
        if word.startswith(_TAG):
            return self.tagged(word, flow)
        hashed = self._by_hash(word, flow) if _LONG_HASH.match(word) else []
        if hashed and len(word) == 2 * Oid.SIZE:
            return hashed
        is_id = RunId.matches(word)
        found = self._by_id(RunId(word), flow) if is_id else self.tagged(word, flow)
        if found or hashed or is_id:
            return list(dict.fromkeys([*hashed, *found]))
        return self._by_hash(word, flow) if _HASH.match(word) else []

    def tagged(self, tag: str, flow: str | None) -> list[_RunName]:
        """The runs with a tag, which may be written `tag:...`: those whose first commit its ref holds."""
        refs = self._tags.get(tag.removeprefix(_TAG), {})
        names = [name for name in refs if name in self._runs and flow in {None, name[0]}]
        uids = uids_of(self._repo, names)
        return [name for name in names if name not in uids or refs[name] == str(uids[name])]

    def words(self, flow: str | None = None) -> list[str]:
        """Ids of runs, newest first, tags, and flows where none is said: what a word may have been meant for."""
        runs = self._newest(self._runs, flow)
        flows = self.flows() if flow is None else ()
        return [*(str(run) for _, run in runs), *self._tags, *flows]

    def not_found(self, text: str, word: str, flow: str | None) -> NotFound:
        """The error that there is no such run."""
        if flow is None and (counted := _NEWEST.match(word)):
            flow = counted["flow"]
        runs = self._newest(self._runs, flow)
        where = f" of flow {flow}" if flow else ""
        if flow and not runs:
            return no_runs_of(flow, self.flows())
        if not runs:
            return NotFound("there are no runs in this repository", hint="a flow's `run` makes one")
        if flow is None and text in self.flows():
            return NotFound(
                f"{text} is a flow, not a run",
                hint=f"try {text}/{_LATEST}; `git runs list {text}` lists its runs",
            )
        others = [name for name in self._runs if flow and str(name[1]) == word]
        if others:
            other = "/".join(map(str, others[0]))
            return NotFound(
                f"there is no run {text!r}{where}: {word} is {other}",
                hint=f"`git runs show {other}` shows it; the newest{where} is {runs[0][1]}",
            )
        tagged = self._newest(self.tagged(word, flow), None)
        if tagged:
            other = "/".join(map(str, tagged[0]))
            return NotFound(
                f"there is no run {text!r}{where}: {word} is a tag of {other}",
                hint=f"`git runs show {_TAG}{word}` shows it; digits alone are the id of a run",
            )
        close = nearest(word.removeprefix(_TAG), self.words(flow))
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        hint += f"the newest is {'/'.join(map(str, runs[0]))}"
        message = f"there is no run {text!r}{where}"
        if ".." in word and not word.startswith(_TAG):
            message = f"{text!r} would be several runs, and one is meant here"
            hint = "name one of them"
        return NotFound(message, hint=hint)

    def _newest(self, names: Iterable[_RunName], flow: str | None) -> list[_RunName]:
        """The runs of a flow, or of all, newest first."""
        wanted = [name for name in names if flow is None or name[0] == flow]
        return newest_first(self._repo, wanted)

    def _by_id(self, wanted: RunId, flow: str | None) -> list[_RunName]:
        suffix = wanted.partition("-")[2]
        digits = wanted.partition("-")[0]
        refs = [ref for ref in self._oids if ref.rpartition("/")[2].partition("-")[0] == digits]
        names = [name for ref in refs if (name := layout.parse_run_ref(ref))]
        namesakes = self._newest(names, flow)
        exact = [name for name in namesakes if name[1] == wanted]
        if exact or not suffix:
            return exact or namesakes
        # A run of this clone, by the name under which another clone knows it.
        return [name for name in namesakes if str(self.open(name).identity.uid).startswith(suffix)]

    def _by_hash(self, prefix: str, flow: str | None) -> list[_RunName]:
        found = list_runs(self._repo, flow)
        return [
            (run.flow, run.id)
            for run in found
            if str(run.uid).startswith(prefix) or str(run.commit).startswith(prefix)
        ]


def _ambiguous(repo: Repository, text: str, names: Collection[_RunName]) -> InvalidPathspec:
    wanted = set(names)
    found = [run for run in list_all(repo) if (run.flow, run.id) in wanted]
    lines = ["the candidates are:", *map(_candidate, found[:CANDIDATES])]
    if len(found) > CANDIDATES:
        lines.append(f"  and {len(found) - CANDIDATES:,} more")
    if tag := _shared(text, found):
        lines.append(
            f"`git runs tag --move {shlex.quote(tag)} RUN` makes it name one run of a flow"
        )
    return InvalidPathspec(f"{text!r} is ambiguous", hint="\n".join(lines))


def _shared(text: str, found: Sequence[RunSummary | DamagedRun]) -> str | None:
    """The tag in an address that several of the runs found have, of one flow."""
    said = f"/{text.replace(_TAG, '')}/"
    have = Counter((run.flow, tag) for run in found for tag in run.tags if f"/{tag}/" in said)
    return next((tag for (_, tag), count in have.items() if count > 1), None)


def _candidate(run: RunSummary | DamagedRun) -> str:
    if isinstance(run, RunSummary):
        return f"  {run.uid.short} {run.subject}"
    return f"  {run.pathspec}: {run.status.value}"
