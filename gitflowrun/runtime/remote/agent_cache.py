"""What agents keep on a machine: `$XDG_CACHE_HOME/gitflowrun/agents/<repository>/`, one for each driver's repository.

    users                       locked, shared, by every agent that lives
    code                        locked by the agent that gets code which others may wait for
    trees/<oid>                 names the packs of `shared.git` in which all of this tree lies, one a line
    shared.git/                 a repository: code and large inputs, for agents to come
    agents/<owner>/own.git/     an agent's own: what its tasks write, and small inputs; borrows from `shared.git`
    agents/<owner>/code/        its work tree, in which the tasks run

All of it is a cache: objects are named by their content, and readers compare that, so what was tampered with, is
incomplete or has gone is got anew. An agent's own directory goes with it; of one that was killed, with the next agent,
of whatever repository.
What is too much goes when more comes, the oldest first; what is too old, when an agent begins or ends and no other
lives. The time of a pack is when it came, or when an agent has last begun with code in it.
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
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.git.command import Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.owner import Owner, State
from gitflowrun.git.pack.publish import PackStore, explained
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.permissions import STATE
from gitflowrun.runtime.ipc.agent_limits import (
    CACHE_AGE,
    CACHE_LOOSE,
    CACHE_PACKS,
    CACHE_SIZE,
    KNOWN_TREES,
    LOOSE_BLOCK,
    SENT_PACKS,
    SENT_PACKS_MOST,
    TREE_PACKS,
)
from gitflowrun.settings import Durability

if TYPE_CHECKING:
    from collections.abc import Iterable

_PRIVATE = 0o700
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tfsync = none\n"


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
            self.shared = CacheRepository(self.top / "shared.git")
            self._evict()
            self._sweep()
            self.own = CacheRepository(self._place / "own.git", self.shared)
            self.shared.packs.sweep()
        self.code = self._place / "code"
        self._fetching = -1
        self._sent: deque[tuple[str, int]] = deque()
        self._sent_size = 0
        self._loose_size = 0

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
        mark = self._mark(tree)
        packs = self._packs_of(mark)
        if packs:
            with contextlib.suppress(OSError):
                os.utime(mark)
            self._use(packs)
        return bool(packs)

    def note_tree(self, tree: Oid, pack: str, have: Iterable[Oid]) -> None:
        """All of a tree is here.

        Args:
            tree: The tree.
            pack: The name of the pack that has come.
            have: Trees of which it has no objects.
        """
        packs = {pack}.union(*(self._packs_of(self._mark(it)) for it in have))
        with contextlib.suppress(OSError):
            new = self._place / "mark"
            new.write_text("".join(f"{name}\n" for name in sorted(packs)))
            new.replace(self._mark(tree))
        self._use(packs)

    def forget_trees(self) -> None:
        """Something of them is damaged."""
        for mark in self._marks():
            mark.unlink(missing_ok=True)

    def known_trees(self) -> tuple[Oid, ...]:
        """The trees that are here, those that were used last."""
        found: list[Oid] = []
        packs: set[str] = set()
        for mark in self._marks():
            named = self._packs_of(mark)
            packs |= named
            if len(packs) > TREE_PACKS or len(found) == KNOWN_TREES:
                break
            if named:
                found.append(Oid.from_hex(mark.name))
        return tuple(found)

    def _packs_of(self, mark: Path) -> set[str]:
        """The packs in which all of a tree is; none where one of them has gone, or nothing is known of it."""
        try:
            names = mark.read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            return set()
        indexes = (self.shared.packs.pack_dir / f"{name}.idx" for name in names)
        return set(names) if all(index.exists() for index in indexes) else set()

    def _use(self, packs: Iterable[str]) -> None:
        """These are in use from now on."""
        for name in packs:
            with contextlib.suppress(OSError):
                os.utime(self.shared.packs.pack_dir / f"{name}.pack")

    def _mark(self, tree: Oid) -> Path:
        return self.top / "trees" / str(tree)

    def _marks(self) -> list[Path]:
        marks = [it for it in (self.top / "trees").iterdir() if len(it.name) == 2 * Oid.SIZE]
        return sorted(marks, key=_time_of, reverse=True)

    # ---- what arrives ----

    def pack_arrived(self, name: str) -> None:
        """There is one more pack in `shared`: remove the oldest ones, as far as they are too much.

        Others may have need of them: who lacks an object then asks for it.
        """
        self._trim(keep=name)

    def loose_arrived(self, size: int, number: int) -> None:
        """There are more loose objects in `own`: remove the oldest ones where they are too much.

        Args:
            size: Their bytes.
            number: How many there are.
        """
        self._loose_size += size + number * LOOSE_BLOCK
        if self._loose_size <= CACHE_LOOSE:
            return
        files = sorted(self.own.objects_dir.glob("[0-9a-f][0-9a-f]/*"), key=_time_of)
        sizes = [_size_of(file) + LOOSE_BLOCK for file in files]
        left = sum(sizes)
        for file, taken in zip(files, sizes, strict=True):
            if left <= CACHE_LOOSE // 2:
                break
            file.unlink(missing_ok=True)
            left -= taken
        self._loose_size = left

    # ---- what tasks write ----

    def own_pack_sent(self, name: str) -> None:
        """A pack of a task is with the driver: remove the oldest of those that are, as far as they are too much."""
        pack_dir = self.own.packs.pack_dir
        size = _size_of(pack_dir / f"{name}.pack")
        self._sent.append((name, size))
        self._sent_size += size
        while len(self._sent) > 1 and (
            self._sent_size > SENT_PACKS or len(self._sent) > SENT_PACKS_MOST
        ):
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
            oldest = time.time() - CACHE_AGE
            self._trim(oldest)
            for mark in self._marks():
                if _time_of(mark) < oldest and not self._packs_of(mark):
                    mark.unlink(missing_ok=True)
        with contextlib.suppress(
            OSError
        ):  # a file system without locks, on which nothing is evicted
            fcntl.flock(self._users, fcntl.LOCK_SH)

    def _trim(self, oldest: float = 0.0, keep: str = "") -> None:
        """Remove packs of `shared` that are older than this time, and the oldest ones as far as they are too much.

        Args:
            oldest: The time.
            keep: The name of one that stays.
        """
        packs = sorted(self.shared.packs.pack_dir.glob("pack-*.pack"), key=_time_of)
        size, number = sum(map(_size_of, packs)), len(packs)
        for pack in packs:
            if size <= CACHE_SIZE and number <= CACHE_PACKS and _time_of(pack) >= oldest:
                break
            if pack.stem != keep:
                size -= _size_of(pack)
                number -= 1
                _remove_pack(pack)

    def _sweep(self) -> None:
        """Remove what agents that were killed have left, those of other repositories included: none may come again."""
        for place in self.top.parent.glob("*/agents/*"):
            owner = Owner.decode(place.name)
            state = owner.state() if owner else State.UNKNOWN
            # One of another machine may use the same directory.
            is_old = state is State.UNKNOWN and _time_of(place) < time.time() - CACHE_AGE
            if is_old or state in {State.DEAD, State.GONE}:
                shutil.rmtree(place, ignore_errors=True)


def _cache_home() -> Path:
    """Where this user's caches are: in a place of its own where there is no home that can be written to."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    home = Path("~/.cache")
    # A RuntimeError says that nobody knows the home of this user, as in some containers.
    with contextlib.suppress(OSError, RuntimeError):
        home = Path(named) if os.path.isabs(named) else Path.home() / ".cache"  # noqa: PTH117
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
