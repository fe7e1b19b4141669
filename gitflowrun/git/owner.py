"""Processes as owners of temporary files, kept packs and git's own locks: who they are and whether they live.

A pid alone says little: pids are reused, and the next boot starts over. So an owner is a host, a boot, and
processes with their start times. A task's pack outlives the task, for the scheduler publishes it; hence a
process and its parent together can be an owner too.

A lock of a ref says nothing of its owner. A git that is suspended (Ctrl-Z, a paused container, a file system that
hangs) goes on with what it had begun whatever has become of its lock, and removes a loose ref that is newer than the
one that it has packed. So who would take a lock for left behind asks /proc for a git that lives and may hold it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.limits import GC_PID_SIZE, GC_PID_VALID, MAINTENANCE_LOCK_VALID, USABLE_CPUS
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NO_START = "0"
_NO_BOOT = "unknown"
_PROC = Path("/proc")
_FIRST_SPACE = str(0xEFFFFFFC)  # PROC_PID_INIT_INO of the kernel's proc_ns.h
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"
_TICKS = os.sysconf("SC_CLK_TCK")
_LEVELS_UP = 1_000  # more directories than a path has
_SMALL = 8_192  # bytes of the file `.git` of a work tree, which is a path

# Options of git itself whose value is the next argument.
_VALUED = frozenset(
    b"-C -c --git-dir --work-tree --namespace --super-prefix --config-env --attr-source --shallow-file".split()
)
# Commands of git that lock no ref of the repository that they work in: `gc` and `maintenance` have other ones do it,
# and `runs` is our own. Any other word counts as one that does, for it may be an alias.
_LOCKS_NO_REF = frozenset(
    b"""
    add annotate apply archive blame bundle cat-file check-attr check-ignore check-mailmap check-ref-format
    checkout-index citool clean clone column commit-graph commit-tree config count-objects credential
    credential-cache credential-cache--daemon credential-store daemon describe diagnose diff diff-files diff-index
    diff-pairs diff-tree difftool fast-export fetch-pack fmt-merge-msg for-each-ref for-each-repo format-patch fsck
    fsck-objects fsmonitor--daemon gc get-tar-commit-id grep gui hash-object help hook http-backend http-fetch
    index-pack init init-db instaweb interpret-trailers last-modified lfs log ls-files ls-remote ls-tree mailinfo
    mailsplit maintenance merge-base merge-file merge-index merge-one-file merge-tree mergetool mktag mktree
    multi-pack-index mv name-rev pack-objects pack-redundant patch-id prune prune-packed range-diff read-tree
    remote-ext remote-fd remote-ftp remote-ftps remote-http remote-https repack request-pull rerere restore rev-list
    rev-parse rm runs send-email shell shortlog show show-branch show-index show-ref sparse-checkout status
    stripspace unpack-file unpack-objects update-index update-server-info upload-archive upload-pack var
    verify-commit verify-pack verify-tag version web--browse whatchanged write-tree
    """.split()
)
_HOOK = b"reference-transaction"


class State(Enum):
    """What can be known about an owner from here."""

    ALIVE = "alive"
    DEAD = "dead"
    GONE = "gone"  # of an earlier boot: dead beyond doubt
    UNKNOWN = "unknown"  # on another host


@frozen
class Owner:
    """Processes, each with its start time, of one boot of one host; the owner lives while one of them does."""

    host: str
    boot: str
    processes: tuple[tuple[int, str], ...]

    @classmethod
    def process(cls) -> Owner:
        """This process."""
        return cls._of(os.getpid())

    @classmethod
    def family(cls) -> Owner:
        """This process and its parent, unless that is init."""
        parent = os.getppid()
        return cls._of(os.getpid(), parent) if parent > 1 else cls.process()

    @classmethod
    def _of(cls, *pids: int) -> Owner:
        return cls(_host(), _boot(), tuple((pid, _start_time(pid) or _NO_START) for pid in pids))

    def encode(self) -> str:
        """The owner as text that may stand in a file name."""
        return f"{self.host}~{self.boot}~" + "+".join(f"{pid}.{at}" for pid, at in self.processes)

    @classmethod
    def decode(cls, text: str) -> Owner | None:
        """The owner in text that `encode` wrote; None when it is none."""
        try:
            host, boot, processes = text.split("~")
            pairs = [process.split(".") for process in processes.split("+")]
            return cls(host, boot, tuple((int(pid), at) for pid, at in pairs))
        except ValueError:
            return None

    def state(self) -> State:
        """Whether one of the processes still lives."""
        if self.host != _host():
            return State.UNKNOWN
        boot = _boot()
        if self.boot != boot:
            return State.UNKNOWN if _NO_BOOT in {self.boot, boot} else State.GONE
        alive = any(_is(pid, at) for pid, at in self.processes)
        return State.ALIVE if alive else State.DEAD


def gc_is_running(git_dir: Path) -> bool:
    """Whether a `git gc` is at work in a repository; its mark is believed for as long as git believes it.

    Args:
        git_dir: The common git directory.
    """
    path = git_dir / "gc.pid"
    try:
        age = time.time() - path.stat().st_mtime
        # A pipe, or a link to what never ends, keeps nobody waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            text = os.read(descriptor, GC_PID_SIZE).decode(errors="replace")
        finally:
            os.close(descriptor)
    except OSError:
        return False
    pid, _, host = text.strip().partition(" ")
    if age >= GC_PID_VALID:
        return False
    # Of another host, or half written: nobody here can tell whether it lives.
    is_here = host == os.uname().nodename and pid.isdigit()
    return not is_here or _answers(int(pid))


def maintenance_is_running(objects_dir: Path) -> bool:
    """Whether a `git maintenance run` is at work in a repository."""
    try:
        age = time.time() - (objects_dir / "maintenance.lock").stat().st_mtime
    except OSError:
        return False
    return age < MAINTENANCE_LOCK_VALID


@frozen
class GitProcess:
    """A git that lives.

    Attributes:
        pid: Its number.
        command: Which of git's commands it is, or an alias of one.
    """

    pid: int
    command: str

    def __str__(self) -> str:
        return f"git {self.command} (process {self.pid})"


def gits_at_work(
    common_dir: Path, *, user: int, since: float = float("inf")
) -> Iterator[GitProcess]:
    """The gits that live and may hold locks of refs in a repository, suspended or not, as far as /proc shows them.

    In doubt one counts. What it does not show are processes of other hosts, of containers for who looks from within
    another one, and those of others where it is mounted with `hidepid`; nor are programs looked at that are no git.

    Args:
        common_dir: The git directory that worktrees share.
        user: Whose the lock is: of somebody else's processes most systems don't tell where they work.
        since: A time by the clock of this boot (CLOCK_BOOTTIME, which nobody sets): what began later does not count.
    """
    try:
        pids = [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208  (names alone)
    except OSError:
        return
    waiting: set[int] | None = None
    for pid in pids:
        command, git_dir = _git_command(_arguments(pid))
        if command is None or command in _LOCKS_NO_REF or _began(pid) > since:
            continue
        waiting = _waiting() if waiting is None else waiting
        if pid not in waiting and _may_work_in(pid, git_dir, common_dir, user):
            yield GitProcess(pid, os.fsdecode(command))


def _arguments(pid: int) -> list[bytes]:
    """A process's command line; nothing if it is dead."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _git_command(arguments: Sequence[bytes]) -> tuple[bytes | None, bytes | None]:
    """Which command of git a command line is, None for no git; and the git directory that it names."""
    program = os.path.basename(arguments[0]) if arguments else b""  # noqa: PTH119
    if program.startswith(b"git-"):
        return program[4:], None
    if program != b"git":
        return None, None
    git_dir = None
    rest = iter(arguments[1:])
    for word in rest:
        if not word.startswith(b"-"):
            return word, git_dir
        name, _, value = word.partition(b"=")
        if word in _VALUED:
            value = next(rest, b"")
        git_dir = value if name == b"--git-dir" else git_dir
    return None, None


def _began(pid: int) -> float:
    """When a process started, in seconds since the boot; 0 where that can't be known."""
    return int(_start_time(pid) or _NO_START) / _TICKS


def _waiting() -> set[int]:
    """Our ancestors: they wait for us, and hold no lock of a ref meanwhile; but a git in its hook for these may."""
    found, pid = set[int](), os.getpid()
    while (parent := _parent(pid)) and parent not in found:
        if _HOOK not in (os.path.basename(word) for word in _arguments(pid)):  # noqa: PTH119
            found.add(parent)
        pid = parent
    return found


def _parent(pid: int) -> int:
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[1])


def _may_work_in(pid: int, git_dir: bytes | None, common_dir: Path, user: int) -> bool:
    """Whether a git's repository is that of a common git directory, or can't be told."""
    try:
        found = _repository_of(_PROC / str(pid), git_dir)
        return found is None or os.path.samestat(found, common_dir.stat())
    except PermissionError:
        return _user_of(pid) in {user, None}
    except OSError:
        return _start_time(pid) is not None  # else it has ended


def _repository_of(top: Path, git_dir: bytes | None) -> os.stat_result | None:
    """The common git directory of where a git works, or the root directory; None where that can't be told."""
    here = top / "cwd"  # a link that leads there also where its container calls it by another name
    pairs = (it.partition(b"=") for it in (top / "environ").read_bytes().split(b"\0"))
    environ = {name: value for name, _, value in pairs}
    for given in (environ.get(b"GIT_COMMON_DIR"), git_dir, environ.get(b"GIT_DIR")):
        if given and (found := _common_dir_of(top, _at(top, here, given))):
            return found
        if given:  # by a relative path it was meant from where git began
            return (top / "root").stat() if given.startswith(b"/") else None
    place = here.stat()
    for _ in range(_LEVELS_UP):
        if found := _common_dir_of(top, here / ".git") or _common_dir_of(top, here):
            return found
        here /= ".."
        below, place = place, here.stat()
        if os.path.samestat(below, place):
            break
    return place


def _user_of(pid: int) -> int | None:
    try:
        return (_PROC / str(pid)).stat().st_uid
    except OSError:
        return None


def _common_dir_of(top: Path, path: Path) -> os.stat_result | None:
    """The common git directory of what may be a git directory, or a file that names one; None where it is neither."""
    try:
        if path.is_file():
            text = _small(path)
            if not text.startswith(b"gitdir: "):
                return None
            path = _at(top, path.parent, text[8:])
        (path / "HEAD").lstat()
        with contextlib.suppress(FileNotFoundError):
            path = _at(top, path, _small(path / "commondir"))
        (path / "objects").lstat()
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _at(top: Path, here: Path, path: bytes) -> Path:
    """A path as a process sees it."""
    text = os.fsdecode(path.rstrip(b"\r\n"))
    return top / "root" / text[1:] if text.startswith("/") else here / text


def _small(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_SMALL)


def _host() -> str:
    """The host's name; within a container its own numbers of processes, too, which mean nothing outside."""
    name = re.sub(r"[^A-Za-z0-9-]", "_", os.uname().nodename)[:64]
    try:
        space = re.sub(r"\D", "", str((_PROC / "self/ns/pid").readlink()))
    except OSError:
        return name
    return name if space == _FIRST_SPACE else f"{name}-{space}"


def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii")[:8]
    except OSError:
        return _NO_BOOT


def _is(pid: int, at: str) -> bool:
    """Whether a process lives that started then, as far as can be known."""
    found = _start_time(pid)
    return found == at or (found is not None and _NO_START in {found, at})


def _start_time(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None if it is dead.

    0 if it lives and /proc does not show it: where that is not mounted, or only with one's own processes (`hidepid`).
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return _NO_START if _answers(pid) else None
    # The command's name may hold spaces and brackets; the fields after it don't.
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in {b"Z", b"X"} else fields[19].decode("ascii")


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def usable_cpus() -> int:
    """How many threads are worth starting: the processors that this process may use, up to `USABLE_CPUS`."""
    return min(USABLE_CPUS, len(os.sched_getaffinity(0)))
