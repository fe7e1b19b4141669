"""Other repositories: `git ls-remote`, `fetch` and `push`, hardened.

Always by the git executable, which has credential helpers, proxies, `url.*.insteadOf` and hooks such as LFS's.
Each call names its refspecs; nothing is configured in `remote.*`, and what is configured there for people's branches
(mirror, prune, tags) is switched off for the call, because each of these has been seen to delete runs.

- A `+` refspec is used for tracking copies only (`porcelain.transfer.sync.Tracking`). Refs on the remote are created
  if absent or moved from a known value (`--force-with-lease`), so the remote decides races.
- Where refs of ours lead to what is lost, git fetches in a directory beside, which does not have them (`beside`).
- Received objects are checked (`fsckObjects`) and come as a pack (`unpackLimit`), never as loose objects. git receives
  it in a directory apart, from where it is published as ours are: kept until a ref names what is in it.
- Names and URLs come after `--end-of-options`, since `--upload-pack=<command>` runs its argument; `ext::` and `fd::`
  URLs are off (`git.command`).

*Code that the other side has is not sent again.* git leaves out what commits at the edge of a push or fetch have; a
run has no parent, so there is no edge, and its whole code would travel each time. In a repository that git takes for
shallow it leaves out the trees of every commit that the other side has. So a push is given an empty file of shallow
commits: nothing is cut, no word of it goes over the wire. A fetch is given one with an old commit of the remote's,
for the server looks at what it is told. In a repository that really is shallow git does so by itself, and its own
file must not be hidden.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import subprocess
from functools import cached_property
from typing import IO, TYPE_CHECKING

from gitflowrun.errors import GitflowrunError, RepositoryError, UsageError
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.pack.publish import explained
from gitflowrun.git.pack.reader import quarantine
from gitflowrun.git.permissions import make_directory
from gitflowrun.git.transport.beside import make_beside, walkable
from gitflowrun.limits import (
    CUT_DEPTH,
    FETCH_ALLOCATION,
    FETCH_STREAMED,
    MAX_NOTICES,
    MAX_REFUSALS,
    MAX_WORDS,
    PLACE_DIGITS,
    REFS_A_PUSH,
    REFS_LISTED,
)
from gitflowrun.names import nearest
from gitflowrun.settings import Durability
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gitflowrun.git.refs import RefUpdate
    from gitflowrun.git.repository import Repository

PUSHING = "GITFLOWRUN_PUSHING"
"""Set for the hooks of a push of ours, so that our own hook does not push again."""

_HARDENED = (
    "-c", "transfer.fsckObjects=true", "-c", "fetch.fsckObjects=true",
    "-c", "fetch.unpackLimit=1", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
    # Else git looks for the shortest form of the id of every ref of the remote, to know how wide its table will be.
    "-c", "core.abbrev=40",
)  # fmt: skip
# What is received may be anybody's: git holds no more of it at once, but ends, or hands large files on in pieces.
_BOUNDED = {"GIT_ALLOC_LIMIT": str(FETCH_ALLOCATION)}
_FETCH = (
    "-c", f"core.bigFileThreshold={FETCH_STREAMED}", "-c", f"core.deltaBaseCacheLimit={FETCH_STREAMED}",
    "-c", "core.alternateRefsCommand=true",  # what we have ourselves is told as ours
    "-c", "fetch.fsck.zeroPaddedFilemode=ignore",  # as old tools made trees, which harm nobody
    "fetch", "--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=",
    "--stdin",
)  # fmt: skip
# It inherits our limit of memory, within which it can't read a large file at once.
_UPLOAD = f"git -c core.bigFileThreshold={FETCH_STREAMED} upload-pack"
_SYNCED = "git -c core.fsync=all -c core.fsyncMethod=batch receive-pack"
_SYNC_OBJECTS = (
    "-c",
    "core.fsync=objects",
    "-c",
    "core.fsyncMethod=fsync",
)  # whatever the user has
_COPY = (
    *_SYNC_OBJECTS, "pack-objects", "--quiet", "--window=0", "--delta-base-offset", "--non-empty",
)  # fmt: skip
_PUSH = ("push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no")
# What git says when the ref was not as expected, and what the remote says when somebody else is at it.
STALE = "stale info"
_STALE = (
    STALE, "failed to update ref", "cannot lock ref", "atomic push fail", "transaction failed",
    "unable to migrate objects",
    # As git says it since 2.50.
    "reference already exists", "reference does not exist", "refname conflict", "incorrect old value provided",
    "Another git process seems to be running",
)  # fmt: skip
# What git says where the connection broke, of which the remote may have taken all, or a part.
_BROKEN = re.compile(
    "hung up|disconnect|early EOF|report status|[Bb]roken pipe|Connection (?:reset|closed)"
)
_TOO_MANY = "Out of memory"
_NO_ATOMIC = "does not support --atomic"
_SHALLOW = "GIT_SHALLOW_FILE"
_WEB = ("http://", "https://", "ftp://", "ftps://")
# How git's trace says that it looks at each object that comes.
_CHECKED = re.compile(rb" run_command: [^\n]*git index-pack [^\n]*--strict")
_DUBIOUS = re.compile("(?:dubious ownership in|unsafe) repository (?:at )?\\(?'([^'\n]+)'")
_UNPACKING = re.compile("^error: remote unpack failed: (.+)$", re.MULTILINE)
# Why the remote could not lock a ref; or all that are packed.
_LOCKING = re.compile("error: cannot lock ref '([^'\n]+)': (.+)$", re.MULTILINE)
_UNABLE = re.compile("error: (Unable to create '.+)$", re.MULTILINE)
_LACKS = (
    "did not receive expected object", "did not send all necessary objects", "unresolved delta",
)  # fmt: skip
"""What git says where something is missing in what came."""
_LOST_HERE = (*_LACKS, "bad object", "Could not read", "is corrupt", "is empty")
"""What it says where that may be so, or a ref of ours leads to what is lost."""
_LISTED_AT_ONCE = 1 << 20  # bytes
_LISTED_URL = re.compile(r"([^\t]+)\t(.*) \((fetch|push)\)")
_REMOTE_WORDS = "remote: "
_REFUSED = f"{_REMOTE_WORDS}refused: "  # as hooks/pre-receive says it
_GITS_OWN = (
    "hint:", "error:", "warning:", "To ", "Done",
    f"{_REMOTE_WORDS}error: cannot lock ref", f"{_REMOTE_WORDS}error: hook declined to update",
    f"{_REMOTE_WORDS}error: Unable to create ",
)  # fmt: skip


@frozen
class PushResult:
    """How one ref fared.

    Attributes:
        name: The ref on the remote.
        ok: Whether it is now as it should be.
        stale: It is worth another look: the ref had another value than expected, or was just changing.
        reason: Why not, as git or the remote says.
    """

    name: str
    ok: bool
    stale: bool = False
    reason: str = ""


class Remote:
    """Another repository, by the name of a configured remote, by URL or by path.

    Args:
        repository: Ours.
        name: Its name, URL or path.

    Attributes:
        words: What it has said so far: the output of its hooks, for people.

    Raises:
        UsageError: `name` can't be one.
        RepositoryError: there is no such remote.
    """

    def __init__(self, repository: Repository, name: str) -> None:
        if not name or name.startswith("-") or any(char in name for char in "\0\n"):
            raise UsageError(f"{name!r} can't be a remote", hint="`git remote` lists the remotes")
        self.name = name
        self.words: list[str] = []
        self._repository = repository
        self._git = repository.git
        # As people who type `git fetch` have it: the ssh command, credential helpers and proxies of the config.
        self._wire = Git(repository.git_dir, repository.work_tree, programs=True)
        self._configured = name in repository.remotes()
        self._has_asked_for_all = False
        self._whole: list[tuple[str, str]] | None = None
        """The refs of ours that git is shown in a fetch, where it stumbles over others."""
        for key in ("url", "pushurl"):
            if "\n" in repository.config.get(f"remote.{name}.{key}", ""):
                raise RepositoryError(
                    f"the {key} of the remote {name!r} has a line break in it",
                    hint=f"`git remote set-url {shlex.quote(name)} URL` gives it another",
                )
        if not self._configured and not _is_location(name, self._git.cwd):
            close = nearest(name, list(repository.remotes()))
            raise RepositoryError(
                f"there is no remote {name!r}",
                hint=f"did you mean {close[0]!r}?" if close else "`git remote add` makes one",
            )

    @property
    def title(self) -> str:
        """What to call it before people: its name, or where it is."""
        return self.name if self._configured else _without_password(self.name)

    @cached_property
    def place(self) -> str:
        """Where git goes to fetch, whatever that is called: a URL without credentials, or an absolute path."""
        url = self._fetch_url
        return _without_password(url) if _is_url(url) else os.path.realpath(self._git.cwd / url)

    @property
    def label(self) -> str:
        """The component of refs that its tracking copies lie under."""
        return label_of(self.place)

    def for_push(self) -> list[Remote]:
        """Where `git push` would go: to all push URLs, where there are any, else to itself."""
        if not self._configured:
            return [self]
        urls = list(dict.fromkeys(self._push_urls))
        if urls == [self._fetch_url]:
            return [self]
        return [Remote(self._repository, url) for url in urls]

    def places(self) -> tuple[list[Remote], list[str]]:
        """All places that it is fetched from or pushed to, each by itself; and those of its URLs that can't be one."""
        if not self._configured or self._push_urls == [self._fetch_url]:
            return [self], []
        places: dict[str, Remote] = {}
        unusable = []
        for url in dict.fromkeys([self._fetch_url, *self._push_urls]):
            try:
                place = Remote(self._repository, url)
                places[place.label] = place
            except GitflowrunError:
                unusable.append(url)
        return list(places.values()), unusable

    def at(self, url: str) -> Remote:
        """The one of its push URLs that git calls `url`; for one that it does not have, that place."""
        is_all = [url] == self._push_urls == [self._fetch_url]
        return self if is_all else Remote(self._repository, url)

    @property
    def _fetch_url(self) -> str:
        """Where git fetches from, `url.*.insteadOf` applied; for a URL likewise."""
        if urls := self._urls["fetch"]:
            return urls[0]
        done = self._git.attempt("ls-remote", "--get-url", "--", self.name)
        return self.name if done.code else os.fsdecode(done.out).removesuffix("\n")

    @property
    def _push_urls(self) -> list[str]:
        """All URLs that git pushes to, likewise."""
        return self._urls["push"] or [self.name]

    @cached_property
    def _urls(self) -> Mapping[str, list[str]]:
        """Its URLs as git uses them, by what for, if it is configured: one question for all of them."""
        found: dict[str, list[str]] = {"fetch": [], "push": []}
        out = self._git.attempt("remote", "--verbose").out if self._configured else b""
        for line in os.fsdecode(out).split("\n"):
            listed = _LISTED_URL.match(line)
            if listed and listed[1] == self.name:
                found[listed[3]].append(listed[2])
        return found

    def refs(self, *patterns: str) -> dict[str, str]:
        """The remote's refs that match glob `patterns`: name to id, as the remote says them.

        It may say anything: what has not been compared with a name of ours must be checked. There may be very many.

        Raises:
            RepositoryError: it can't be reached.
        """
        options = (*_HARDENED, "ls-remote", "--quiet", "--refs", *self._program("upload"))
        found: dict[str, str] = {}
        oids: dict[str, str] = {}  # each once: somebody may have pointed 100,000 refs to one object
        with _memory_file() as listed:
            self._run(options, [self.name, *patterns], stdout=listed, memory=REFS_LISTED)
            listed.seek(0)
            while lines := listed.readlines(_LISTED_AT_ONCE):
                for line in b"".join(lines).decode(errors="surrogateescape").split("\n"):
                    oid, tab, name = line.partition("\t")
                    if tab:
                        found[name] = oids.setdefault(oid, oid)
        return found

    def fetch(self, oids: Sequence[str]) -> list[str]:
        """Fetch what some commits lead to; at most `REFS_A_FETCH` of them make sense.

        Name no refs to fetch them into. git makes a file for each, and syncs it, but never the directory of the pack: a
        power cut could leave a ref and take what it leads to. Once this returns, refs may be made.

        Returns:
            The packs that came. They are kept, else the user's own gc might take what no ref names yet: release
            them when refs do.

        Raises:
            RepositoryError: it can't be reached, lacks a commit, or what it sent is malformed.
        """
        if self._whole is None and self._repository.refs.damaged:
            self._whole = walkable(self._repository)
        with self._old_commit() as known:
            try:
                return self._fetch(oids, known)
            except RepositoryError as error:
                if known and "shallow" in error.message:
                    return self._fetch(oids, {})
                if self._whole is None and any(it in error.message for it in _LOST_HERE):
                    self._whole = walkable(self._repository)
                    if self._whole is not None:
                        return self.fetch(oids)
                is_lack = any(it in error.message for it in _LACKS)
                if is_lack and not self._has_asked_for_all:
                    # It left out what it takes for here, and what is lost here, or was only promised by another one.
                    self._has_asked_for_all = True
                    return self._fetch(oids, known, all_of_it=True)
                raise

    def _fetch(
        self,
        oids: Sequence[str],
        env: Mapping[str, str],
        source: Path | None = None,
        *,
        all_of_it: bool = False,
    ) -> list[str]:
        """Fetch, or take from `source`, where it has come to already.

        From a web server that knows nothing of git ("dumb" HTTP) git takes files as they are, loose objects and whole
        packs, and checks none of them. Nobody but its trace says so; then all is fetched once more, from these files.
        """
        import shutil  # slow to import

        safe = self._repository.settings.durability is Durability.SAFE
        each: tuple[str, ...] = _SYNC_OBJECTS if safe else ()
        each += ("-c", "fetch.negotiationAlgorithm=noop") if all_of_it else ()
        program = (f"--upload-pack={_UPLOAD}",) if source else self._program("upload")
        options = (*each, *_HARDENED, *_FETCH, *program)
        packs = self._repository.packs
        place = packs.receiving_directory()
        try:
            apart = quarantine(place, self._repository.objects_dir)
            with explained(place):
                git_dir = self._git_dir(place)
                make_directory(place / "pack")  # where git opens files of its own for "dumb" HTTP
            trace = place / "trace"
            traced = {} if source or not self.place.startswith(_WEB) else {"GIT_TRACE": str(trace)}
            self._run(
                options,
                [str(source or self._called_from(git_dir))],
                {**env, **_BOUNDED, **apart, **traced},
                oids,
                git_dir=git_dir,
            )
            if traced and _has_objects(place) and not _CHECKED.search(trace.read_bytes()):
                return self._fetch(oids, {}, _as_repository(place, self._repository))
            if not any(place.glob("pack/*.idx")):
                self._pack_what_is_here(oids, place, apart, git_dir)
            return packs.adopt(place)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _called_from(self, git_dir: Path) -> str:
        """What it is called where git works in a directory: paths are relative to that of a bare repository."""
        is_beside = git_dir != self._repository.git_dir and self._repository.work_tree is None
        return self.place if is_beside and not _is_url(self.place) else self.name

    def _git_dir(self, place: Path) -> Path:
        """The directory with the refs that git is shown in a fetch."""
        if self._whole is None:
            return self._repository.git_dir
        return make_beside(self._repository, place, self._whole)

    def _pack_what_is_here(
        self, oids: Sequence[str], place: Path, env: Mapping[str, str], git_dir: Path
    ) -> None:
        """Pack the objects of commits that no ref leads to; git fetches nothing where it finds all of them.

        A run was removed, or a fetch killed: a repack of the user's that is under way may be about to take them.
        """
        stdin = "".join(f"{oid}\n" for oid in oids).encode()
        options = ("--objects", "--exclude-promisor-objects", "--stdin", "--not", "--all")
        git = Git(git_dir, self._repository.work_tree)
        if found := git.run("rev-list", *options, stdin=stdin, env=env):
            git.run(*_COPY, str(place / "pack/pack"), stdin=found, env=env)

    def push(
        self, changes: Sequence[RefUpdate], *, atomic: bool = False, verify: bool = True
    ) -> list[PushResult]:
        """Change refs of the remote, in batches, each from the value it is expected to have.

        Args:
            changes: The changes; the new objects must be here.
            atomic: All of a batch or none, where the remote can do that.
            verify: Whether the user's pre-push hook runs. Not for a push that it made itself.

        Raises:
            RepositoryError: the remote can't be reached. Earlier batches stay.
        """
        results: list[PushResult] = []
        for start in range(0, len(changes), REFS_A_PUSH):
            batch = changes[start : start + REFS_A_PUSH]
            results += self._push(batch, atomic=atomic, verify=verify)
        return results

    def _push(
        self, changes: Sequence[RefUpdate], *, atomic: bool, verify: bool
    ) -> list[PushResult]:
        """Push a batch, and again what is left of it where our hook named what it refused."""
        refused: dict[str, str] = {}
        results: dict[str, PushResult] = {}
        # A hook takes all or nothing, and ours says for which of them it took nothing: `MAX_NOTICES` of them at
        # once. Who names them one by one would have us push for each.
        for _ in range(MAX_REFUSALS):
            rest = [change for change in changes if change.name not in refused]
            if not rest:
                break
            results, err = self._push_once(rest, atomic=atomic, verify=verify)
            declined = _declined(err)
            named = {it.name: declined[it.name] for it in rest if it.name in declined}
            if not named or any(result.ok for result in results.values()):
                self.words += [
                    word for word in _words(err, _REMOTE_WORDS) if word not in self.words
                ]
                break
            refused |= named
        failed = {
            name: PushResult(name, ok=False, reason=reason) for name, reason in refused.items()
        }
        return [(failed.get(it.name) or results[it.name]) for it in changes]

    def _push_once(
        self, changes: Sequence[RefUpdate], *, atomic: bool, verify: bool
    ) -> tuple[dict[str, PushResult], str]:
        """How each ref fared, and what was said."""
        options = [*_HARDENED, *_PUSH, *self._program("receive")]
        if self._configured:  # --mirror does not go together with refspecs
            options[:0] = ["-c", f"remote.{self.name}.mirror=false"]
        options += ["--atomic"] if atomic else []
        options += [] if verify else ["--no-verify"]
        options += [f"--force-with-lease={change.name}:{change.old or ''}" for change in changes]
        refspecs = [f"{change.new or ''}:{change.name}" for change in changes]
        git = self._wire
        if verify:
            git = Git(git.git_dir, git.work_tree, hooks=True, programs=True)
        env = {**_prompts(), **self._trees_of_all(), PUSHING: "1"}
        done = git.converse(*options, "--end-of-options", self.name, *refspecs, env=env)
        results = _with_cause(parse_push(done.out), done.err)
        if atomic and not results and _NO_ATOMIC in done.err:
            return self._push_once(changes, atomic=False, verify=verify)
        silent = any("report status" in result.reason for result in results.values())
        if silent or any(change.name not in results for change in changes):
            results = self._found(changes, done)
        return results, done.err

    def _found(self, changes: Sequence[RefUpdate], done: Completed) -> dict[str, PushResult]:
        """How refs fared of which the remote has not said it: whoever dies there may have moved them before.

        Raises:
            RepositoryError: none of them is as it should be, as far as can be seen.
        """
        error = self._unreachable("push to", done)
        if done.code >= 0 and not _BROKEN.search(os.fsdecode(done.out) + done.err):
            raise error
        try:
            there = self.refs(*(change.name for change in changes))
        except RepositoryError:
            raise error from None
        wanted = {change.name: str(change.new) if change.new else None for change in changes}
        moved = {name for name, oid in wanted.items() if there.get(name) == oid}
        if not moved:
            raise error
        return {
            name: PushResult(name, ok=name in moved, reason="" if name in moved else error.message)
            for name in wanted
        }

    def _program(self, verb: str) -> tuple[str, ...]:
        """What serves a remote on this machine is git's, whatever `remote.<name>.uploadpack` says.

        On another machine that names a program there. What is pushed here is on the disk before git says so, where
        durability is asked for: git syncs no refs and no loose objects by itself, and what we sync afterwards can
        have the file system keep their names without their content.
        """
        if self._is_elsewhere():
            return ()
        safe = self._repository.settings.durability is Durability.SAFE
        program = _UPLOAD if verb == "upload" else f"git-{verb}-pack"
        program = _SYNCED if safe and verb == "receive" else program
        return (f"--{verb}-pack={program}",)

    def _trees_of_all(self) -> dict[str, str]:
        """The environment of a push that leaves out the trees of all commits that the remote has."""
        # Of a clone without trees git would fetch those of each branch, to leave them out.
        treeless = any(
            key.endswith(".partialclonefilter") and "tree:" in value
            for key, value in self._repository.config.items()
        )
        return {} if treeless or self._is_shallow() else {_SHALLOW: os.devnull}

    @contextlib.contextmanager
    def _old_commit(self) -> Iterator[dict[str, str]]:
        """The environment of a fetch whose sender leaves out the trees of all commits that we have."""
        commit = None if self._is_shallow() else self._oldest()
        if commit is None:
            yield {}
            return
        # In memory: `.git/gitflowrun` may be deleted at any time, and its disk may be full.
        with _memory_file() as file:
            file.write(commit + b"\n")
            file.flush()
            yield {_SHALLOW: f"/proc/{os.getpid()}/fd/{file.fileno()}"}

    def _oldest(self) -> bytes | None:
        """A commit that the remote is likely to have, far back: what is before it is hidden from the sender."""
        for tip in (f"refs/remotes/{self.name}/HEAD", "HEAD"):
            done = self._git.attempt("rev-list", f"--max-count={CUT_DEPTH}", tip)
            if done.out and not done.code:
                return done.out.split()[-1]
        return None

    def _is_shallow(self) -> bool:
        try:
            return (self._repository.common_dir / "shallow").stat().st_size > 0
        except FileNotFoundError:
            return False

    def _run(
        self,
        options: Iterable[str],
        args: Sequence[str],
        env: Mapping[str, str] | None = None,
        lines: Sequence[str] = (),
        stdout: IO[bytes] | int = subprocess.PIPE,
        memory: int | None = None,
        git_dir: Path | None = None,
    ) -> None:
        stdin = "".join(f"{line}\n" for line in lines).encode() if lines else None
        words = (*options, "--end-of-options", *args)
        env = {**_prompts(), **(env or {})}
        git = Git(git_dir, self._wire.work_tree, programs=True) if git_dir else self._wire
        done = git.converse(*words, env=env, stdin=stdin, stdout=stdout, memory=memory)
        if done.code:
            raise self._unreachable("read from", done)

    def _unreachable(self, verb: str, done: Completed) -> RepositoryError:
        hint = None
        if "read from remote repository" in done.err or "Could not resolve" in done.err:
            hint = "check the URL, the network and your access rights; nothing here was changed"
        if _TOO_MANY in done.err:
            hint = "it lists more refs than git gets memory for here; nothing here was changed"
        if owned := _DUBIOUS.search(done.err):
            # With the path that git looked at, which may be a directory within the URL.
            where = "" if os.path.isdir(owned[1]) and not self._is_elsewhere() else "there, "  # noqa: PTH112
            hint = (
                f"it belongs to somebody else; {where}if you trust it: git config --global --add safe.directory "
                f"{shlex.quote(owned[1])}"
            )
        # What stands before git's own error: the words of a hook, of a server, of ssh. A hook may use both streams.
        before = done.err.partition("fatal: ")[0]
        said = _words(f"{os.fsdecode(done.out)}\n{before}")
        reason = "; ".join(dict.fromkeys([*said, done.message]))
        return RepositoryError(f"can't {verb} {self.title!r}: {reason}", hint=hint)

    def _is_elsewhere(self) -> bool:
        """Whether it is on another machine, as far as its URL says."""
        return _is_url(self.place) and not self.place.startswith("file://")


def _has_objects(place: Path) -> bool:
    return any(place.glob("pack/*.idx")) or any(place.glob("??/*"))


def _as_repository(place: Path, borrower: Repository) -> Path:
    """A bare repository of objects that need those of another one beside them."""
    found = place / "plain.git"
    for directory in ("refs", "objects/info"):
        (found / directory).mkdir(parents=True)
    (found / "HEAD").write_bytes(b"ref: refs/heads/none\n")
    (found / "config").write_bytes(b"[core]\nbare\n[uploadpack]\nallowAnySHA1InWant\n")
    lines = (os.fsencode(path) + b"\n" for path in (place, borrower.objects_dir))
    (found / "objects/info/alternates").write_bytes(b"".join(lines))
    return found


def _memory_file() -> IO[bytes]:
    return open(os.memfd_create("listed", os.MFD_CLOEXEC), "w+b")  # noqa: PTH123  (a descriptor)


def default_remote(repository: Repository, *, push: bool = False) -> str:
    """The remote that git would use: the current branch's, or `origin`, or the only one.

    Raises:
        RepositoryError: there is none, or several.
    """
    config, remotes = repository.config, repository.remotes()
    branch = repository.branch
    keys = [f"branch.{branch}.pushremote", "remote.pushdefault"] if push else []
    for key in [*keys, f"branch.{branch}.remote"]:
        if config.get(key, ".") != ".":
            return config[key]
    if "origin" in remotes or len(remotes) == 1:
        return "origin" if "origin" in remotes else next(iter(remotes))
    if not remotes:
        raise RepositoryError(
            "this repository has no remote", hint="git remote add origin URL, or name a URL"
        )
    raise RepositoryError(
        "which remote? this repository has several", hint=f"name one of {', '.join(remotes)}"
    )


def parse_push(out: bytes) -> dict[str, PushResult]:
    """The results that `git push --porcelain` prints, by the remote's ref."""
    results = {}
    for line in out.decode(errors="surrogateescape").splitlines():
        flag, tab, rest = line.partition("\t")
        refs, tab2, summary = rest.partition("\t")
        if len(flag) != 1 or not tab or not tab2:
            continue
        name = refs.rpartition(":")[2]
        reason = summary.partition("(")[2].rpartition(")")[0] or summary
        ok = flag != "!"
        stale = not ok and any(sign in reason for sign in _STALE)
        results[name] = PushResult(name, ok, stale, "" if ok else reason)
    return results


def _with_cause(results: dict[str, PushResult], err: str) -> dict[str, PushResult]:
    """Results in which a ref says why it was not changed, which git says apart, or once for all of them."""
    locks: dict[str, str] = dict(_LOCKING.findall(err))
    unable = _UNABLE.search(err)
    store = _UNPACKING.search(err)
    found = {}
    for name, result in results.items():
        reason = result.reason
        if reason == "unpacker error" and store:
            reason = f"the remote could not store the objects: {store[1].strip()}"
        elif result.stale and reason != STALE and (name in locks or unable):
            cause = locks.get(name) or (unable[1] if unable else "")
            reason = f"{reason}: {cause.strip().rstrip('.')[:MAX_WORDS]}"
        found[name] = replace(result, reason=reason)
    return found


def _declined(err: str) -> dict[str, str]:
    """The refs that our hook refused, and why, by what it has printed."""
    lines = (line.partition(_REFUSED)[2].strip() for line in err.splitlines() if _REFUSED in line)
    return {line.split(" ")[0].rstrip(":"): line for line in lines if line}


def _is_location(name: str, cwd: Path) -> bool:
    return any(char in name for char in "/:") or name in {".", ".."} or (cwd / name).is_dir()


def _prompts() -> dict[str, str]:
    """Without a terminal nobody can answer git's questions."""
    if "GIT_TERMINAL_PROMPT" in os.environ or os.isatty(0) or os.isatty(2):
        return {}
    return {"GIT_TERMINAL_PROMPT": "0"}


def _words(text: str, prefix: str = "") -> list[str]:
    """The first of the lines that begin with `prefix` and are not git's own, without what marks them."""
    lines = [line for line in text.splitlines() if line.startswith(prefix)]
    others = [line.removeprefix(_REMOTE_WORDS) for line in lines if not line.startswith(_GITS_OWN)]
    return [line.strip()[:MAX_WORDS] for line in others if line.strip()][:MAX_NOTICES]


def _is_url(text: str) -> bool:
    """Whether git takes it for a URL, `host:path` included, and not for a path."""
    return "://" in text or ":" in text.partition("/")[0]


def _without_password(url: str) -> str:
    """A URL without what may change while the place stays: the password, the user of http, a last slash."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    user, at, name = host.rpartition("@")
    kept = "" if scheme in {"http", "https"} else user.partition(":")[0] + at
    return f"{scheme}{mark}{kept}{name}{slash}{path}".rstrip("/") if mark else url.rstrip("/")


def label_of(place: str) -> str:
    """What the tracking copies of the remote at a place lie under: the place may hold what no ref can."""
    return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:PLACE_DIGITS]
