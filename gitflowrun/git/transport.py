"""Other repositories: `git ls-remote`, `fetch` and `push`, hardened.

Always by the git executable, which has credential helpers, proxies, `url.*.insteadOf` and hooks such as LFS's.
Each call names its refspecs; nothing is configured in `remote.*`, and what is configured there for people's branches
(mirror, prune, tags) is switched off for the call, because each of these has been seen to delete runs.

- A `+` refspec is used for tracking copies only (`porcelain.sync.Tracking`). Refs on the remote are created if absent
  or moved from a known value (`--force-with-lease`), so the remote decides races.
- Received objects are checked (`fsckObjects`) and kept as a pack (`unpackLimit`), never as loose objects.
- Names and URLs come after `--end-of-options`, since `--upload-pack=<command>` runs its argument; `ext::` URLs,
  which do the same, are off.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from gitflowrun.errors import RepositoryError, UsageError
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.objects import Oid
from gitflowrun.limits import REFS_A_PUSH
from gitflowrun.names import RefName, nearest
from gitflowrun.settings import Durability
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gitflowrun.git.refs import RefUpdate
    from gitflowrun.git.repository import Repository

PUSHING = "GITFLOWRUN_PUSHING"
"""Set for the hooks of a push of ours, so that our own hook does not push again."""

_HARDENED = (
    "-c", "protocol.ext.allow=never", "-c", "transfer.fsckObjects=true", "-c", "fetch.fsckObjects=true",
    "-c", "fetch.unpackLimit=1", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
)  # fmt: skip
_FETCH = (
    "fetch", "--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap="
)  # fmt: skip
_PUSH = ("push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no")
# What git says when the ref was not as expected, and what the remote says when somebody else is at it.
_STALE = ("stale info", "failed to update ref", "cannot lock ref", "atomic push failed")
_NO_ATOMIC = "does not support --atomic"


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

    Raises:
        UsageError: `name` can't be one.
        RepositoryError: there is no such remote.
    """

    def __init__(self, repository: Repository, name: str) -> None:
        if not name or name.startswith("-") or any(char in name for char in "\0\n"):
            raise UsageError(f"{name!r} can't be a remote", hint="`git remote` lists the remotes")
        self.name = name
        self._repository = repository
        self._git = repository.git
        self._configured = name in repository.remotes()
        if not self._configured and not _is_location(name, self._git.cwd):
            close = nearest(name, list(repository.remotes()))
            raise RepositoryError(
                f"there is no remote {name!r}",
                hint=f"did you mean {close[0]!r}?" if close else "`git remote add` makes one",
            )

    @property
    def label(self) -> str:
        """The remote's name as components of a ref: what its tracking copies lie under."""
        if self._configured:
            try:
                return RefName(f"refs/{self.name}/x").removeprefix("refs/").removesuffix("/x")
            except UsageError:
                return quote(self.name, safe="")
        digest = hashlib.sha256(self.name.encode(errors="surrogateescape")).hexdigest()
        return f"url-{digest[:12]}"

    def for_push(self) -> Remote:
        """Where `git push` would go: another place, where a push URL is configured."""
        config = self._repository.config
        apart = f"remote.{self.name}.pushurl" in config or any(
            key.endswith(".pushinsteadof") for key in config
        )
        if not (self._configured and apart):
            return self
        urls = [
            os.fsdecode(self._git.run("remote", "get-url", *option, "--", self.name)).rstrip("\n")
            for option in ((), ("--push",))
        ]
        return self if urls[0] == urls[1] else Remote(self._repository, urls[1])

    def refs(self, *patterns: str) -> dict[str, Oid]:
        """The remote's refs that match glob `patterns`, by name. Names that no ref can have are left out.

        Raises:
            RepositoryError: it can't be reached.
        """
        done = self._run((*_HARDENED, "ls-remote", "--quiet", "--refs"), [self.name, *patterns])
        found = {}
        for line in done.out.decode(errors="surrogateescape").splitlines():
            oid, _, name = line.partition("\t")
            try:
                found[str(RefName(name))] = Oid.from_hex(oid)
            except (UsageError, ValueError):
                continue
        return found

    def fetch(self, refspecs: Sequence[str]) -> None:
        """Fetch by explicit refspecs; at most `REFS_A_PUSH` of them make sense.

        Raises:
            RepositoryError: it can't be reached, lacks a ref, or what it sent is malformed.
        """
        safe = self._repository.settings.durability is Durability.SAFE
        sync = ("-c", "core.fsync=reference") if safe else ()
        self._run((*sync, *_HARDENED, *_FETCH), [self.name, *refspecs])

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
        options = [*_HARDENED, *_PUSH]
        if self._configured:  # --mirror does not go together with refspecs
            options[:0] = ["-c", f"remote.{self.name}.mirror=false"]
        options += ["--atomic"] if atomic else []
        options += [] if verify else ["--no-verify"]
        options += [f"--force-with-lease={change.name}:{change.old or ''}" for change in changes]
        refspecs = [f"{change.new or ''}:{change.name}" for change in changes]
        git = Git(self._git.git_dir, self._git.work_tree, hooks=True) if verify else self._git
        done = git.attempt(
            *options, "--end-of-options", self.name, *refspecs, env={**_prompts(), PUSHING: "1"}
        )
        results = parse_push(done.out)
        if atomic and not results and _NO_ATOMIC in done.err:
            return self._push(changes, atomic=False, verify=verify)
        if any(change.name not in results for change in changes):
            raise self._unreachable("push to", done)
        return [results[change.name] for change in changes]

    def _run(self, options: Iterable[str], args: Sequence[str]) -> Completed:
        done = self._git.attempt(*options, "--end-of-options", *args, env=_prompts())
        if done.code:
            raise self._unreachable("read from", done)
        return done

    def _unreachable(self, verb: str, done: Completed) -> RepositoryError:
        lines = done.err.strip().splitlines()
        hint = None
        if "read from remote repository" in done.err or "Could not resolve" in done.err:
            hint = "check the URL, the network and your access rights; nothing here was changed"
        first = next((line for line in lines if not line.startswith("hint:")), "")
        reason = done.message if "fatal" in done.err or "error" in done.err else first
        return RepositoryError(f"can't {verb} {self.name!r}: {reason}", hint=hint)


def default_remote(repository: Repository, *, push: bool = False) -> str:
    """The remote that git would use: the current branch's, or `origin`, or the only one.

    Raises:
        RepositoryError: there is none, or several.
    """
    config, remotes = repository.config, repository.remotes()
    branch = repository.head().branch
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


def _is_location(name: str, cwd: Path) -> bool:
    return any(char in name for char in "/:") or name in {".", ".."} or (cwd / name).is_dir()


def _prompts() -> dict[str, str]:
    """Without a terminal nobody can answer git's questions."""
    if "GIT_TERMINAL_PROMPT" in os.environ or os.isatty(0) or os.isatty(2):
        return {}
    return {"GIT_TERMINAL_PROMPT": "0"}
