"""The scan before a push: what of a run is new to the remote, and what in that looks like secrets.

1. New is what the remote's state of the run, if it has one, does not hold: messages of commits, and files. Of the code,
   what the commit that it was based on does not have, where the remote has that; else what neither the remote's
   branches nor its newest runs of that flow have. Its branches are those that it has now: what lies in refs/remotes
   belongs to a name, and may be what another place had before the URL was changed. Trees that are equal are not
   entered, and no file is read twice; one in which something was found counts in every run that has it.
   Then what only earlier states hold: an honest run's have nothing that its last one lacks, so git is asked once, for
   all runs in which nothing was found, whether there is any such file.
2. Each new file is read and searched (`secret_rules`), small ones first: code, records, output, values. Of files of
   16 MB and more, beyond 256 MB or two minutes in one push, and of large arrays nothing is read; all but the last
   is told.
3. A value has no name where it lies. So values whose artifacts are called like secrets are searched along with their
   names, which their task's record has.
4. What the user has allowed is passed over: by a comment in the line, or by the finding's fingerprint.

A secret that is cut by the border of two chunks of a large value, that is compressed or encrypted, or that has no form
and no name before it is not found.
"""

from __future__ import annotations

import contextlib
import re
import time
from bisect import bisect_left
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

from gitflowrun import msgpack
from gitflowrun.errors import GitflowrunError, TooLarge
from gitflowrun.git.objects import Mode, Oid
from gitflowrun.limits import (
    BRANCHES_COMPARED,
    RECORD_SIZE,
    RUNS_COMPARED,
    SCAN_FILE,
    SCAN_HISTORY,
    SCAN_NUMBERS,
    SCAN_PUSH,
    SCAN_SAMPLE,
    SCAN_SECONDS,
    SCAN_TREES,
    SECRET_FINDINGS,
    SECRETS_SHOWN,
)
from gitflowrun.names import RunId, TaskName
from gitflowrun.porcelain.secrets.secret_rules import Found, find_secrets, says_secret
from gitflowrun.runs import layout
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.records import TASK
from gitflowrun.settings import format_size
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from gitflowrun.artifacts.reference import ArtifactRef
    from gitflowrun.git.objects import Commit
    from gitflowrun.git.repository import Repository
    from gitflowrun.porcelain.transfer.sync import RunTip

_ALLOWED = re.compile(rb"gitflowrun:allow|gitleaks:allow|pragma: allowlist secret")
_WAYS_ON = (
    "nothing of such a run was sent. If these are secrets: change them, and run again without them. If not: "
    "`git config --add runs.push.allow` with what stands in brackets, `gitflowrun:allow` in a comment on the line, or "
    "`git runs push --allow-secrets`"
)
_NUL = b"\0"
_COLOURS = re.compile(rb"\x1b\[[0-9;:?]{0,40}[A-Za-z]")
"""What terminals are told between the characters of a text."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROLS = bytes({*range(32), 127} - {*b"\t\r\n"})
_BEFORE = 30
_SHOWN = 4
_CHUNK = re.compile("(?P<place>steps/[^/]+/[^/]+(?:/attempts/[0-9]+)?)/blake3/(?P<chunk>[^/]+)")
_EARLIER = "(earlier state)/"


@frozen
class Finding:
    """What looks like a secret.

    Attributes:
        path: The file in the run's tree.
        line: Its line there, counted from 1; 0 where the file is no text.
        rule: Whose secret it is, or what says so.
        excerpt: What stands before it in the line, and its first characters.
        fingerprint: What allows it (`runs.push.allow`): where it is, and nothing of what it is.
    """

    path: str
    line: int
    rule: str
    excerpt: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}: {self.excerpt} [{self.fingerprint}]"

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path} line {self.line}" if self.line else self.path


class SecretSearch:
    """Looks for secrets in what one push sends.

    Args:
        repo: The repository.
        has: The remote's refs of runs: name to commit.
        branches: The commits of its branches.
    """

    def __init__(
        self, repo: Repository, has: Mapping[str, str], branches: Collection[str] = ()
    ) -> None:
        self._repo = repo
        self._objects = repo.objects
        self._has = has
        self._branches = branches
        self._is_code_found = False
        self._allowed = frozenset(repo.settings.push_allow)
        self._done: dict[Oid, tuple[Finding, ...]] = {}
        self._seen: set[Oid] = set()
        """Files and directories of runs in which nothing was found."""
        self._met: set[Oid] = set()
        """The same of the run that is searched now."""
        self._is_cut = False
        self._clean: set[Oid] = set()
        self._found_in: dict[Oid, tuple[Finding, ...]] = {}
        self._left = SCAN_PUSH
        self._end = time.monotonic() + SCAN_SECONDS
        self._named: list[str] = []
        self._unreadable: list[str] = []
        self._unread: dict[Oid, tuple[str, int]] = {}

    def findings(self, run: RunTip, commits: Iterable[Oid], base: Oid | None) -> Sequence[Finding]:
        """What looks like secrets in a run.

        Args:
            run: The run.
            commits: Its commits, from the newest on.
            base: Its state on the remote.
        """
        if run.tip not in self._done:
            # A run whose search ended with an error has left something in each.
            self._met, self._named, self._is_cut = set(), [], False
            try:
                found = self._search(run, takewhile(lambda oid: oid != base, commits), base)
                self._done[run.tip] = tuple(self._by_artifact(run, finding) for finding in found)
                code = _text(layout.CODE) + "/"
                self._is_code_found |= any(it.path.startswith(code) for it in self._done[run.tip])
                if not self._done[run.tip]:
                    self._seen |= self._met
                if self._is_cut:
                    self._unreadable.append(
                        f"{run.flow}/{run.id}: only {SCAN_TREES:,} of its directories were searched for secrets"
                    )
            except GitflowrunError as error:
                self._done[run.tip] = self._unsearched(run, error)
        return self._done[run.tip]

    def _unsearched(self, run: RunTip, error: GitflowrunError) -> tuple[Finding, ...]:
        """Of a run that is damaged, or too large: nobody knows what is in it."""
        fingerprint = f"{str(run.tip)[:10]}:unsearched"
        why = Finding("its files", 0, "can't be searched", error.message, fingerprint)
        return () if fingerprint in self._allowed else (why,)

    def is_more_before(self, runs: Sequence[tuple[Oid, Oid | None]]) -> bool:
        """Whether earlier states of runs may hold files that the newest states of none of them have.

        Args:
            runs: Their newest commits, in which nothing was found, each with its state on the remote.
        """
        try:
            return bool(runs and self._earlier_files(runs))
        except GitflowrunError:  # one of them is damaged, or too long
            return True

    def findings_before(self, run: RunTip, base: Oid | None) -> Sequence[Finding]:
        """What looks like secrets in files that the history of a run leads to, and its newest state does not."""
        try:
            rows = (row.partition(b" ") for row in self._reached([(run.tip, base)]))
            paths = {oid: _text(path) for oid, _, path in rows}
            found: list[Finding] = []
            for name in self._earlier_files([(run.tip, base)]):
                oid = Oid.from_hex(name)
                path = paths.get(name, "")
                found += self._searched(_EARLIER + path, oid, self._objects.size(oid))
                if path.endswith("/TASK"):
                    found += self._earlier_values(path, oid)
        except GitflowrunError as error:
            return self._unsearched(run, error)
        return found

    def notices(self) -> list[str]:
        """What to tell of files that were not searched, or in vain."""
        told = list(self._unreadable)
        if self._is_code_found and len(self._branches_here) < len(self._branches):
            told.append(
                "the remote has branches that are not here: `git fetch` it first, if it has this code"
            )
        if not self._unread:
            return told
        path, size = max(self._unread.values(), key=lambda row: row[1])
        files = "1 file was" if len(self._unread) == 1 else f"{len(self._unread)} files were"
        large = f"{files} too large to be searched for secrets, the largest {path} ({format_size(size)})"
        return [*told, large]

    def _state_there(self, commit: Oid | None) -> Commit | None:
        """What the remote has; None where that is no commit, or one that was not fetched."""
        try:
            return self._objects.commit(commit) if commit else None
        except GitflowrunError:
            return None

    def _search(self, run: RunTip, commits: Iterable[Oid], base: Oid | None) -> Iterator[Finding]:
        tip = self._objects.commit(run.tip)
        state = self._state_there(base)
        known = [state.tree] if state else []
        files = [*self._files(tip.tree, known, b"", (layout.CODE,))]
        code = self._objects.entry(tip.tree, layout.CODE)
        if code and not (known and code == self._objects.entry(known[0], layout.CODE)):
            message = parse_message(tip.message.decode(errors="replace"))
            based_on = message.code_commit if message else None
            there = self._code_there(run, code.oid, based_on)
            new = [*self._files(code.oid, there, layout.CODE + b"/")]
            names = b"\n".join(path for path, _ in new)  # `wget` calls a file as its address
            yield from self._found(code.oid, "the names of its files", names)
            files += new
        here = self._objects.homes([oid for _, oid in files])
        sizes = sorted((self._objects.size(oid), path, oid) for path, oid in files if oid in here)
        for size, path, oid in sizes:
            yield from self._searched(_text(path), oid, size)
        yield from self._named_values(run)
        yield from self._in_messages(commits)

    def _earlier_files(self, runs: Sequence[tuple[Oid, Oid | None]]) -> list[bytes]:
        rows = self._reached(runs, "--filter=blob:none", "--filter-print-omitted")
        return [row[1:] for row in rows if row.startswith(b"~")]

    def _reached(self, runs: Sequence[tuple[Oid, Oid | None]], *options: str) -> list[bytes]:
        """Objects that commits of runs lead to, but neither their newest trees nor the remote's states of them."""
        words: dict[str, None] = {}
        for tip, base in runs:
            words[f"{tip}"] = words[f"^{self._objects.commit(tip).tree}"] = None
            if base:
                words[f"^{base}"] = None
        args = ("rev-list", "--objects", "--missing=allow-any", "--ignore-missing",
                *options, "--stdin")  # fmt: skip
        given = "".join(f"{word}\n" for word in words).encode()
        done = self._repo.git.read(*args, most=SCAN_HISTORY, stdin=given)
        if done.code:
            raise self._repo.git.failure(args, done)
        return done.out.splitlines()

    def _in_messages(self, commits: Iterable[Oid]) -> Iterator[Finding]:
        """Secrets in the messages of commits; lines that several have are looked at once."""
        lines: dict[bytes, None] = {}
        first = None
        for oid in commits:
            first = first or oid
            lines |= dict.fromkeys(self._objects.commit(oid).message.split(b"\n"))
        if first:
            yield from self._found(first, "the messages of its commits", b"\n".join(lines))

    def _searched(self, path: str, oid: Oid, size: int) -> Iterator[Finding]:
        if oid in self._clean:
            return
        if oid in self._found_in:
            yield from (replace(finding, path=path) for finding in self._found_in[oid])
            return
        if size >= SCAN_FILE or size > self._left or time.monotonic() > self._end:
            self._unread[oid] = (path, size)
            return
        data = self._objects.blob(oid, SCAN_FILE)
        if size > SCAN_NUMBERS and _is_numbers(data):
            return
        self._left -= size
        found = tuple(self._found(oid, path, data))
        if path.endswith("/TASK") and path.startswith("steps/") and says_secret(data):
            self._named.append(path)
        elif found:
            self._found_in[oid] = found
        else:
            self._clean.add(oid)
        yield from found

    def _found(self, oid: Oid, path: str, data: bytes) -> Iterator[Finding]:
        text = _COLOURS.sub(b"", data) if b"\x1b[" in data else data
        if text.startswith(_UTF_16):
            text = text.decode("utf-16", errors="replace").encode()
        texts = [text]
        if 5 * text.count(_NUL) > 2 * len(text):  # UTF-16 or UTF-32, as numpy's texts are
            texts.append(text.replace(_NUL, b""))
        for text in texts:
            yield from self._found_in_text(oid, path, text)

    def _found_in_text(self, oid: Oid, path: str, text: bytes) -> Iterator[Finding]:
        places = _apart(find_secrets(text))
        if not places:  # as in nearly all files, which need not be looked through for more
            return
        comments = [found.start() for found in _ALLOWED.finditer(text)]
        line, end, told = int(_is_text(text)), 0, 0
        for place in places:
            before, end = end, place.end
            line += text.count(b"\n", before, place.start) if line else 0
            mark = f"{oid.hex()[:10]}:{line}"
            if mark not in self._allowed and not _is_any(comments, *_line_of(text, place)):
                yield Finding(path, line, place.rule, _excerpt(text, place, before), mark)
                told += 1
                if told == SECRET_FINDINGS:
                    return
            line += text.count(b"\n", place.start, end) if line else 0

    def _files(
        self, tree: Oid, known: Sequence[Oid], prefix: bytes, without: Sequence[bytes] = ()
    ) -> Iterator[tuple[bytes, Oid]]:
        """The files below a tree that none of the `known` trees has at the same place, and that were not met yet."""
        waiting = [(prefix, tree, tuple(known))]
        count = 0
        while waiting and count < SCAN_TREES:
            place, oid, others = waiting.pop()
            if self._is_met(oid) or oid in others:
                continue
            self._met.add(oid)
            count += 1
            there: dict[bytes, list[Oid]] = {}
            for other in others:
                for name, there_oid in self._entries(other).items():
                    there.setdefault(name, []).append(there_oid)
            for entry in self._objects.tree(oid):
                same = there.get(entry.name, [])
                if entry.oid in same or self._is_met(entry.oid) or entry.mode == Mode.GITLINK:
                    continue
                if not entry.is_tree:
                    self._met.add(entry.oid)
                    yield place + entry.name, entry.oid
                elif place or entry.name not in without:
                    waiting.append((place + entry.name + b"/", entry.oid, tuple(same)))
        self._is_cut |= bool(waiting)

    def _is_met(self, oid: Oid) -> bool:
        return oid in self._met or oid in self._seen

    def _entries(self, tree: Oid) -> Mapping[bytes, Oid]:
        try:
            return self._objects.tree_oids(tree)
        except GitflowrunError:  # a file is there, or what this clone does not have
            return {}

    def _code_there(self, run: RunTip, code: Oid, based_on: Oid | None) -> list[Oid]:
        """Trees of code that the remote has; `code` itself, if it is among them, without a look at its branches."""
        numbers = range(run.id.number - 1, max(0, run.id.number - RUNS_COMPARED - 1), -1)
        names = (layout.run_ref(run.flow, RunId(str(number))) for number in numbers)
        states = self._trees(Oid.from_hex(self._has[name]) for name in names if name in self._has)
        entries = (self._objects.entry(tree, layout.CODE) for tree in states)
        trees = [entry.oid for entry in entries if entry]
        if code in trees:
            return trees
        branches = self._branches_here
        if based_on and (based_on in branches or self._is_there(based_on)):
            return [*self._trees([based_on]), *trees]
        return [*self._trees(branches[:BRANCHES_COMPARED]), *trees]

    @cached_property
    def _branches_here(self) -> list[Oid]:
        """What the remote's branches hold, as far as it is here."""
        wanted = sorted(map(Oid.from_hex, self._branches))
        here = self._objects.homes(wanted)
        return [oid for oid in wanted if oid in here]

    def _is_there(self, commit: Oid) -> bool:
        """Whether the remote's branches lead to a commit, as far as they are here."""
        if not self._branches_here or not self._objects.home(commit):
            return False
        words = ("rev-list", "--max-count=1", "--stdin")
        given = "".join(
            f"{word}\n" for word in (commit, *(f"^{oid}" for oid in self._branches_here))
        )
        done = self._repo.git.attempt(*words, stdin=given.encode())
        return done.code == 0 and not done.out

    def _trees(self, commits: Iterable[Oid]) -> list[Oid]:
        wanted = list(commits)
        here = self._objects.homes(wanted)
        states = (self._state_there(oid) for oid in wanted if oid in here)
        return [state.tree for state in states if state]

    def _named_values(self, run: RunTip) -> Iterator[Finding]:
        """Secrets among the values whose names say so."""
        stored = StoredRun(self._repo, run.flow, run.id, run.tip)
        for path in self._named:
            yield from self._in_values(path, _made_by(stored, path))

    def _earlier_values(self, path: str, oid: Oid) -> list[Finding]:
        """The same of a record that no newest state has."""
        try:
            record = TASK.load(msgpack.unpack(self._objects.blob(oid, RECORD_SIZE)))
        except GitflowrunError:  # it is called like a record
            return []
        own = [it for it in record.artifacts.items() if it[1].producer == record.name]
        return [*self._in_values(_EARLIER + path, own)]

    def _in_values(
        self, path: str, artifacts: Iterable[tuple[str, ArtifactRef]]
    ) -> Iterator[Finding]:
        for name, ref in artifacts:
            if not says_secret(name.encode()) or len(ref.chunks) != 1 or ref.size > SCAN_SAMPLE:
                continue
            [chunk] = ref.chunks
            if self._objects.home(chunk.oid):
                with contextlib.suppress(TooLarge):  # it is not the value that the record says
                    value = self._objects.blob(chunk.oid, SCAN_SAMPLE)
                    text = b'%s = "%s"' % (name.encode(), value)
                    yield from self._found(chunk.oid, path.replace("TASK", name), text)

    def _by_artifact(self, run: RunTip, finding: Finding) -> Finding:
        """A finding in a chunk of a value as one in the artifact."""
        found = _CHUNK.fullmatch(finding.path)
        if found is None:
            return finding
        stored = StoredRun(self._repo, run.flow, run.id, run.tip)
        place = found["place"]
        for name, ref in _made_by(stored, place):
            if any(chunk.digest.hex() == found["chunk"] for chunk in ref.chunks):
                return replace(finding, path=f"{place}/{name}")
        return finding


def _made_by(stored: StoredRun, path: str) -> list[tuple[str, ArtifactRef]]:
    """The artifacts that the task, or the attempt of one, has made in whose directory a path lies."""
    _, step, task_id, *inside = path.split("/")
    task = stored.task(TaskName(step, task_id))
    if inside[:1] == [layout.ATTEMPTS.decode()]:
        try:
            task = task.at_attempt(int(inside[1]))
        except (GitflowrunError, ValueError, IndexError):  # a stranger has put something there
            return []
    artifacts = task.record.artifacts.items()
    return [(name, ref) for name, ref in artifacts if ref.producer == task.name]


def reason_of(found: Sequence[Finding]) -> str:
    """Why a run is refused in which secrets were found."""
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return f"it may hold a secret: {found[0].place}, {found[0].rule}{more}"


def told_secrets(run: RunTip, found: Sequence[Finding]) -> list[str]:
    """What to tell of the secrets in a run, and what can be done."""
    if not found:
        return []
    rows = [f"{run.flow}/{run.id}: {finding}" for finding in found[:SECRETS_SHOWN]]
    if len(found) > SECRETS_SHOWN:
        rows.append(f"{run.flow}/{run.id}: and {len(found) - SECRETS_SHOWN} more")
    return [*rows, _WAYS_ON]


def is_secret_tag(tag: str) -> bool:
    """Whether a tag looks like a secret: its name would travel."""
    return any(find_secrets(tag.encode()))


def _apart(found: Iterable[Found]) -> list[Found]:
    """Findings in their order; of those that overlap, the longest."""
    kept: list[Found] = []
    for item in sorted(found, key=lambda it: (it.start, -it.end)):
        if not kept or item.start >= kept[-1].end:
            kept.append(item)
    return kept


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return _NUL not in data


def _is_numbers(data: bytes) -> bool:
    """Whether large data is no text, as samples say."""
    step = len(data) // 8
    sample = b"".join(data[at : at + SCAN_SAMPLE] for at in range(0, len(data), step))
    text = sample.decode(errors="ignore").encode().translate(None, _CONTROLS)
    return 2 * len(text) <= len(sample) - sample.count(_NUL)  # of UTF-16, each second byte


def _line_of(text: bytes, place: Found) -> tuple[int, int]:
    """Where the line of a secret begins and ends, or what of a long one is around it."""
    least, most = max(0, place.start - SCAN_SAMPLE), place.end + SCAN_SAMPLE
    end = text.find(b"\n", place.end, most)
    return max(text.rfind(b"\n", least, place.start) + 1, least), end if end >= 0 else most


def _is_any(places: Sequence[int], start: int, end: int) -> bool:
    """Whether one of some places, which are in order, is in a range."""
    return bisect_left(places, start) < bisect_left(places, end)


def _excerpt(text: bytes, place: Found, least: int) -> str:
    """The end of what stands before a secret in its line, from `least` on, and its first characters."""
    start = max(text.rfind(b"\n", 0, place.start) + 1, place.start - _BEFORE, least)
    before = "".join(
        char if char.isprintable() and char != "\ufffd" else " "
        for char in _text(text[start : place.start])
    )
    secret = _text(text[place.start : place.end])
    shown = secret[:_SHOWN] if len(secret) >= 4 * _SHOWN else ""
    return f"{before.strip()} {shown}****".strip()


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
