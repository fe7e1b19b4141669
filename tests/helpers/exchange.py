"""Two or three clones that exchange runs, tags and removals through a server, whatever git is configured to do."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.helpers.clones import clone, refs
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_run

__all__ = ["CONFIGS", "Exchange"]

CONFIGS = [
    (prune, default, mirror)
    for prune in ("true", "false")
    for default in ("matching", "nothing")
    for mirror in ("true", "false")
]
"""fetch.prune (and pruneTags), push.default, remote.origin.mirror."""


class Exchange:
    """The clones of a server, and which run has to be where.

    Args:
        place: A directory for all.
        configs: One of `CONFIGS` for each clone.

    Attributes:
        clones: The clones.
        made: The uids of all runs.
        wrong: What was lost.
    """

    def __init__(self, place: Path, configs: Sequence[tuple[str, ...]]) -> None:
        self.wrong: list[str] = []
        first = make_repo(place / "repo")
        self.server = GitRepo(place / "server.git")
        command = ["git", "clone", "-q", "--bare", str(first.path), str(self.server.path)]
        subprocess.run(command, check=True)
        self.clones = [clone(self.server, f"clone-{number}") for number in range(len(configs))]
        for repo, (prune, default, mirror) in zip(self.clones, configs, strict=True):
            repo.git("config", "fetch.prune", prune)
            repo.git("config", "fetch.pruneTags", prune)
            repo.git("config", "push.default", default)
            repo.git("config", "remote.origin.mirror", mirror)
        self.made: set[str] = set()
        self._removed: dict[Path, set[str]] = {repo.path: set() for repo in self.clones}
        self._tags: dict[str, set[str]] = {}  # uid -> names, of what was pushed with them

    def make(self, repo: GitRepo, *tags: str) -> str:
        """A run, whose number others have, too."""
        uid = str(make_run(repo, "X", tags=tags).uid)
        self.made.add(uid)
        if tags:
            self._tags[uid] = set(tags)
        return uid

    def fetch(self, repo: GitRepo) -> None:
        """A fetch, after the user's own, and nothing that was here is gone."""
        before = refs(repo, "refs/runs/")
        repo.git("fetch", "-q")
        if before != refs(repo, "refs/runs/"):
            self.wrong.append(f"lost: a plain fetch changed runs of {repo.path.name}")
        self._unharmed(repo, "fetch")

    def push(self, repo: GitRepo) -> None:
        """A push, after which the server has all that it had."""
        before = self.uids(self.server)
        self._unharmed(repo, "push")
        after = self.uids(self.server)
        if lost := set(before) - set(after):
            self.wrong.append(f"lost: {lost} on the server")

    def remove(self, repo: GitRepo, uid: str, *, for_good: bool) -> None:
        """A removal, which is nobody else's and which no fetch undoes."""
        verb = ("purge", "--force") if for_good else ("rm", "--force")
        done = repo.call(*verb, uid)
        if done.code:
            self.wrong.append(f"failed: {verb}: {done.err}")
        self._removed[repo.path].add(uid)
        if uid in self.uids(repo):
            self.wrong.append(f"lie: {uid} is there after {verb}")

    def restore(self, repo: GitRepo, uid: str) -> None:
        """The end of a removal."""
        done = repo.call("restore", uid)
        if done.code:
            self.wrong.append(f"failed: restore: {done.err}")
        self._removed[repo.path].discard(uid)

    def restorable(self, repo: GitRepo) -> set[str]:
        """What is in the trash there."""
        trash = refs(repo, "refs/runs-trash/").items()
        tips = [tip for name, tip in trash if "/@" not in name and "/notes" not in name]
        return {repo.git("rev-list", "--max-parents=0", tip) for tip in tips}

    def removed(self, repo: GitRepo) -> set[str]:
        """What was removed there."""
        return self._removed[repo.path]

    def end(self) -> None:
        """Everybody pushes and fetches, and has all but what was removed there; tags have come along."""
        for repo in self.clones:
            self.push(repo)
        for repo in self.clones:
            self.fetch(repo)
            here = self.uids(repo)
            if lacks := self.made - set(here) - self.removed(repo) - self._nowhere():
                self.wrong.append(f"lost: {repo.path.name} lacks {lacks}")
            if back := self.removed(repo) & set(here):
                self.wrong.append(f"broken: {back} came back to {repo.path.name}")
            for uid, names in self._tags.items():
                if uid in here and names - self.tags(repo, uid):
                    self.wrong.append(f"lost: tags {names} of {uid} in {repo.path.name}")

    def _nowhere(self) -> set[str]:
        """Runs that were removed where they were made before anybody had them."""
        return self.made - set(self.uids(self.server))

    def _unharmed(self, repo: GitRepo, verb: str) -> None:
        before = refs(repo, "")
        done = repo.call(verb)
        if done.code:
            self.wrong.append(f"failed: {verb} in {repo.path.name}: {done.out}{done.err}")
        after = refs(repo, "")
        gone = {name for name in before.keys() - after.keys() if "runs-remotes" not in name}
        if gone:
            self.wrong.append(f"lost: {gone} at a {verb} in {repo.path.name}")
        for name in before.keys() & after.keys():
            if name.startswith("refs/runs/") and before[name] != after[name]:
                self.wrong.append(f"lost: {name} was overwritten at a {verb}")

    def uids(self, repo: GitRepo) -> dict[str, str]:
        """The uids of the runs there, with their refs."""
        found = {}
        for name, tip in refs(repo, "refs/runs/").items():
            if "/@" not in name:
                found[repo.git("rev-list", "--max-parents=0", tip)] = name
        return found

    def tags(self, repo: GitRepo, uid: str) -> set[str]:
        """The tags of a run there: their refs lead to its first commit."""
        rows = refs(repo, "refs/runs/@tags/").items()
        return {name.split("/")[4] for name, first in rows if first == uid}
