"""What agents keep on a machine: `$XDG_CACHE_HOME/gitflowrun/agents/<repository>/`, one for each driver's repository.

    users                       locked, shared, by every agent that lives
    code                        locked by the agent that gets code which others may wait for
    trees/<oid>                 says that all of this tree is in `shared.git`; its time is that of its last use
    shared.git/                 a repository: code and large inputs, for agents to come
    agents/<owner>/own.git/     an agent's own: what its tasks write, and small inputs; borrows from `shared.git`
    agents/<owner>/code/        its work tree, in which the tasks run

All of it is a cache: objects are named by their content, and readers compare that, so what was tampered with or is
incomplete is got anew. An agent's own directory goes with it; of one that was killed, with the next agent. What is
shared goes, the oldest first, when it has become too old or too much and no agent lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections import deque
from pathlib import Path

from gitflowrun.errors import RepositoryError
from gitflowrun.git.command import Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.owner import Owner, State
from gitflowrun.git.pack.publish import PackStore, explained
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.permissions import STATE
from gitflowrun.runtime.ipc.agent_limits import CACHE_AGE, CACHE_SIZE, KNOWN_TREES, SENT_PACKS
from gitflowrun.settings import Durability

_PRIVATE = 0o700
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


class CacheRepository:
    """A bare repository of the cache, without refs.

    Args:
        path: Where it is; made where it is not there.
        borrows: A repository whose objects are its own as well.

    Attributes:
        path: Where it is.
        objects_dir: Its objects.
        packs: Publishes packs in it.
        git: Runs git in it.
    """

    def __init__(self, path: Path, borrows: CacheRepository | None = None) -> None:
        self.path = path
        self.objects_dir = path / "objects"
        if not (path / "HEAD").exists():
            _make_repository(path, borrows)
        self.packs = PackStore(
            self.objects_dir, path / STATE / "incoming", durability=Durability.FAST
        )
        self.git = Git(path, None)


class AgentCache:
    """The cache of one driver's repository, as one agent uses it.

    Args:
        repository: What the repository is called: hexadecimal digits.

    Attributes:
        top: Its directory.
        shared: What stays for other agents.
        own: What goes with this one.
        code: Where its work tree is to be.

    Raises:
        RepositoryError: nothing can be written there.
    """

    def __init__(self, repository: str) -> None:
        if not repository or set(repository) - set("0123456789abcdef"):
            raise RepositoryError(f"{repository!r} is no name of a repository in a cache")
        self.top = _cache_home() / "gitflowrun" / "agents" / repository
        self._place = self.top / "agents" / Owner.process().encode()
        with explained(self.top):
            for directory in (self.top / "trees", self._place):
                directory.mkdir(_PRIVATE, parents=True, exist_ok=True)
            self._users = os.open(self.top / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._evict()
            self._sweep()
            self.shared = CacheRepository(self.top / "shared.git")
            self.own = CacheRepository(self._place / "own.git", self.shared)
            self.shared.packs.sweep()
        self.code = self._place / "code"
        self._fetching = -1
        self._sent: deque[tuple[str, int]] = deque()
        self._sent_size = 0

    @property
    def reader(self) -> PackReader:
        """Reads all that is here."""
        return PackReader(self.own.objects_dir)

    # ---- code ----

    def begin_fetch(self) -> bool:
        """Become the one that gets code; whether nobody else of this machine is."""
        self._fetching = os.open(self.top / "code", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _locked(self._fetching, fcntl.LOCK_EX):
            return True
        self.end_fetch()
        return False

    def end_fetch(self) -> None:
        """Let others get code."""
        if self._fetching >= 0:
            os.close(self._fetching)
            self._fetching = -1

    def has_tree(self, tree: Oid) -> bool:
        """Whether all of a tree is said to be here; it is in use from now on."""
        try:
            os.utime(self._mark(tree))
        except OSError:
            return False
        return True

    def note_tree(self, tree: Oid) -> None:
        """All of a tree is here."""
        with contextlib.suppress(OSError):
            self._mark(tree).touch()

    def forget_trees(self) -> None:
        """Something of them is damaged."""
        for mark in self._marks():
            mark.unlink(missing_ok=True)

    def known_trees(self) -> tuple[Oid, ...]:
        """The trees that are here, those that were used last."""
        return tuple(Oid.from_hex(mark.name) for mark in self._marks()[:KNOWN_TREES])

    def _mark(self, tree: Oid) -> Path:
        return self.top / "trees" / str(tree)

    def _marks(self) -> list[Path]:
        marks = [it for it in (self.top / "trees").iterdir() if len(it.name) == 2 * Oid.SIZE]
        return sorted(marks, key=_time_of, reverse=True)

    # ---- what tasks write ----

    def own_pack_sent(self, name: str) -> None:
        """A pack of a task is with the driver: remove the oldest of those that are, as far as they are too much."""
        pack_dir = self.own.packs.pack_dir
        size = _size_of(pack_dir / f"{name}.pack")
        self._sent.append((name, size))
        self._sent_size += size
        while self._sent_size > SENT_PACKS and len(self._sent) > 1:
            oldest, size = self._sent.popleft()
            self._sent_size -= size
            _remove_pack(pack_dir / f"{oldest}.pack")

    # ---- its end ----

    def leave(self) -> None:
        """Remove what is this agent's own."""
        self.end_fetch()
        shutil.rmtree(self._place, ignore_errors=True)
        with contextlib.suppress(OSError, RepositoryError):
            self._evict()
        os.close(self._users)

    def _evict(self) -> None:
        """Where no other agent lives, remove what is too old or too much; be one that lives from now on."""
        if _locked(self._users, fcntl.LOCK_EX):
            packs = sorted((self.top / "shared.git/objects/pack").glob("pack-*.pack"), key=_time_of)
            size = sum(pack.stat().st_size for pack in packs)
            oldest = time.time() - CACHE_AGE
            for pack in packs:
                if size <= CACHE_SIZE and _time_of(pack) >= oldest:
                    break
                size -= pack.stat().st_size
                self.forget_trees()
                _remove_pack(pack)
        with contextlib.suppress(
            OSError
        ):  # a file system without locks, on which nothing is evicted
            fcntl.flock(self._users, fcntl.LOCK_SH)

    def _sweep(self) -> None:
        """Remove what agents that were killed have left."""
        for place in (self.top / "agents").iterdir():
            owner = Owner.decode(place.name)
            state = owner.state() if owner else State.UNKNOWN
            # One of another machine may use the same directory.
            is_old = state is State.UNKNOWN and _time_of(place) < time.time() - CACHE_AGE
            if is_old or state in {State.DEAD, State.GONE}:
                shutil.rmtree(place, ignore_errors=True)


def _cache_home() -> Path:
    """Where this user's caches are: in a place of its own where there is no home that can be written to."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(named) if os.path.isabs(named) else Path.home() / ".cache"  # noqa: PTH117
    with contextlib.suppress(OSError):
        home.mkdir(_PRIVATE, parents=True, exist_ok=True)
        if os.access(home, os.W_OK | os.X_OK):
            return home
    place = Path(tempfile.gettempdir()) / f"gitflowrun-{os.getuid()}"
    with explained(place):
        place.mkdir(_PRIVATE, exist_ok=True)
    found = place.lstat()
    if place.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RepositoryError(
            f"{home} can't be written to, and {place} belongs to somebody else",
            hint="set XDG_CACHE_HOME on the workers to a directory that can be written to",
        )
    return place


def _make_repository(path: Path, borrows: CacheRepository | None) -> None:
    """Make a repository at once: another agent may be doing the same."""
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
    for directory in ("objects/pack", "objects/info", "refs", STATE):
        (new / directory).mkdir(parents=True)
    (new / "config").write_text(_CONFIG)
    if borrows is not None:
        (new / "objects/info/alternates").write_bytes(os.fsencode(borrows.objects_dir) + b"\n")
    (new / "HEAD").write_text("ref: refs/heads/main\n")
    try:
        new.rename(path)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        if not (path / "HEAD").exists():
            raise


def _locked(descriptor: int, operation: int) -> bool:
    """Lock a file if nobody has it; whether that was done."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_pack(pack: Path) -> None:
    for suffix in (".idx", ".pack", ".rev", ".keep"):
        pack.with_suffix(suffix).unlink(missing_ok=True)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
