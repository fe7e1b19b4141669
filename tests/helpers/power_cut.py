"""What a disk may hold after a power cut: the system calls of a program, recorded, and the states they may leave.

`record` runs a program under strace and keeps what it did to the files below a directory. `states` goes through that
call by call: at each it cuts the power and yields what may be on the disk then, by two models:

ordered   as ext4: directories change in order, and whatever is synced brings all their earlier changes to the disk.
          The content of a file that was not synced is lost.
strict    as POSIX: a change of a directory that was not synced itself may be lost, each on its own, and files that
          were not synced have all, half or nothing of their content.

A program says what it has acknowledged by looking for files below `ACKNOWLEDGED`, where nothing is: the calls tell.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ACKNOWLEDGED", "Call", "Disk", "State", "record", "states", "tree"]

ACKNOWLEDGED = "/acknowledged/"
_CALLS = (
    "openat,open,creat,write,writev,pwrite64,lseek,link,linkat,rename,renameat,renameat2,unlink,unlinkat,mkdir,"
    "mkdirat,rmdir,fsync,fdatasync,syncfs,ftruncate,truncate,chdir"
)
_LONGEST = 1 << 26
_LINE = re.compile(r"(\d+)\s+(.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*)>)?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PLACE = re.compile(r"(\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>")
_UNFINISHED = "<unfinished ...>"


@dataclass(frozen=True)
class Call:
    """A system call that changed files, made them durable, or acknowledged something.

    Attributes:
        name: create, truncate, write, link, rename, remove, mkdir, rmdir, sync, sync all, seek or acknowledge.
        path: Of the file, from the directory that is watched; or what is acknowledged.
        to: The other path of a link or rename.
        data: What is written.
        at: Where, in bytes; the size for truncate. None: where the last write ended.
    """

    name: str
    path: str
    to: str = ""
    data: bytes = b""
    at: int | None = None


def record(command: Sequence[str], root: Path, env: dict[str, str]) -> list[Call]:
    """Run a program in a directory and return what it did to the files below.

    Raises:
        AssertionError: it failed.
    """
    log = root.parent / f"{root.name}.strace"
    options = ("-f", "-y", "-xx", "-s", str(_LONGEST), "--seccomp-bpf", "-e", f"trace={_CALLS}")
    done = subprocess.run(
        ["strace", *options, "-o", str(log), *command],
        cwd=root, env=env, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with log.open(encoding="ascii", errors="replace") as lines:
        calls = list(_Log(root).read(lines))
    log.unlink()
    return calls


class _Log:
    """Reads a log of strace."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._places: dict[str, str] = {}  # of each process, its directory

    def read(self, lines: Iterable[str]) -> Iterator[Call]:
        begun: dict[str, str] = {}
        for line in lines:
            found = _LINE.match(line)
            assert found, line
            pid, text = found.groups()
            if text.endswith(_UNFINISHED):
                begun[pid] = text.removesuffix(_UNFINISHED).rstrip()
                continue
            if resumed := _RESUMED.match(text):
                text = begun.pop(pid) + resumed[1]
            if parts := _CALL.match(text):
                yield from self._calls(pid, parts[1], parts[2], int(parts[3]))

    def _calls(self, pid: str, name: str, given: str, result: int) -> Iterator[Call]:
        texts = [_decoded(it) for it in _TEXT.findall(given)]
        places = [(number, os.fsdecode(_decoded(it))) for number, it in _PLACE.findall(given)]
        for number, place in places:
            if number == "AT_FDCWD":
                self._places[pid] = place
        if name.startswith("open") and texts[0].startswith(ACKNOWLEDGED.encode()):
            yield Call("acknowledge", os.fsdecode(texts[0]).removeprefix(ACKNOWLEDGED))
        elif result >= 0:
            yield from self._changes(
                pid, name, given, result, texts, [place for _, place in places]
            )

    def _changes(
        self, pid: str, name: str, given: str, result: int, texts: list[bytes], places: list[str]
    ) -> Iterator[Call]:
        def path(text: int) -> str:
            # The descriptor of a directory stands before each path of `openat`, `renameat` and their like.
            base = (
                places[text] if "at" in name and text < len(places) else self._places.get(pid, "")
            )
            return os.path.normpath(os.path.join(base, os.fsdecode(texts[text])))  # noqa: PTH118

        if name == "chdir":
            self._places[pid] = path(0)
            return
        first = places[0] if not texts or name in {"write", "writev", "pwrite64"} else path(0)
        last = given.rsplit(",", 1)[-1].strip()
        if not first.startswith(self._root) and name != "syncfs":
            return
        first = first.removeprefix(self._root)
        if name in {"openat", "open", "creat"}:
            yield from _opened(first, given, is_new=name == "creat")
        elif name in {"write", "writev"}:
            yield Call("write", first, data=b"".join(texts)[:result])
        elif name == "pwrite64":
            yield Call("write", first, data=texts[0][:result], at=int(last))
        elif name == "lseek":
            yield Call("seek", first, at=result)
        elif name in {"ftruncate", "truncate"}:
            yield Call("truncate", first, at=int(last))
        elif name.startswith(("link", "rename")):
            kind = "link" if name.startswith("link") else "rename"
            yield Call(kind, first, path(1).removeprefix(self._root))
        else:
            name = "rmdir" if "AT_REMOVEDIR" in given else name.removesuffix("at")
            yield Call(_SHORT.get(name, name), first)


_SHORT = {"unlink": "remove", "fsync": "sync", "fdatasync": "sync", "syncfs": "sync all"}


def _opened(path: str, given: str, *, is_new: bool) -> Iterator[Call]:
    if "O_CREAT" in given or is_new:
        yield Call("create", path)
    if "O_TRUNC" in given or is_new:
        yield Call("truncate", path, at=0)
    if "O_RDONLY" not in given:
        yield Call("seek", path, at=-1 if "O_APPEND" in given else 0)


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass(frozen=True)
class _Change:
    """A change of directories: a file gets a name and may lose another, or a directory comes or goes."""

    kind: str
    path: str
    file: int = 0
    before: str = ""


@dataclass(frozen=True)
class State:
    """What is on the disk after a cut.

    Attributes:
        model: ordered or strict.
        files: The content of each file, by path.
        directories: All directories.
        acknowledged: What had been acknowledged by then, in that order.
    """

    model: str
    files: dict[str, bytes]
    directories: frozenset[str]
    acknowledged: tuple[str, ...]

    def write(self, root: Path) -> None:
        """Make the state in a new directory, as if the machine had been off for two days."""
        then = time.time() - 2 * 86_400
        for directory in sorted(self.directories):
            (root / directory).mkdir(parents=True, exist_ok=True)
        for path, content in self.files.items():
            (root / path).write_bytes(content)
            os.utime(root / path, (then, then))
            if path.rpartition("/")[2].startswith("gitflowrun-"):
                (root / path).chmod(0o600)  # what is this user's alone is asked for its mode

    @property
    def key(self) -> int:
        """Equal for equal states, acknowledgements included."""
        return hash((frozenset(self.files.items()), self.directories, self.acknowledged))


@dataclass
class Disk:
    """Files and directories as the program sees them, and what of them has reached the disk."""

    start: dict[str, bytes]
    directories: frozenset[str]
    changes: list[_Change] = field(default_factory=list)
    acknowledged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._names = {path: number for number, path in enumerate(self.start)}
        self._content = dict(enumerate(self.start.values()))
        self._durable: dict[int, bytes | None] = {**self._content}
        self._ends: dict[int, int] = {}
        self._committed = 0  # how many changes a journal has brought to the disk
        self._synced: dict[
            str, int
        ] = {}  # of each directory, how many changes there were when it was synced

    def do(self, call: Call) -> None:
        """Carry out a call."""
        number = self._names.get(call.path)
        match call.name:
            case "acknowledge":
                self.acknowledged += (call.path,)
            case "create" if number is None:
                number = len(self._content)
                self._content[number], self._durable[number] = b"", None
                self._name(_Change("name", call.path, number))
            case "link" | "rename" if number is not None:
                self._name(
                    _Change("name", call.to, number, "" if call.name == "link" else call.path)
                )
            case "rename":
                msg = f"{call.path} is a directory: the model has no rename of these"
                raise AssertionError(msg)
            case "remove":
                self._names.pop(call.path, None)
                self.changes.append(_Change("remove", call.path))
            case "mkdir" | "rmdir":
                self.changes.append(_Change(call.name, call.path))
            case "sync" | "sync all":
                self._sync(call, number)
            case "write" | "truncate" | "seek" if number is not None:
                self._edit(call, number)

    def _name(self, change: _Change) -> None:
        self._names.pop(change.before, None)
        self._names[change.path] = change.file
        self.changes.append(change)

    def _edit(self, call: Call, file: int) -> None:
        content = self._content[file]
        if call.name == "seek":
            self._ends[file] = len(content) if call.at == -1 else call.at or 0
        elif call.name == "truncate":
            self._content[file] = content[: call.at].ljust(call.at or 0, b"\0")
        else:
            start = self._ends.get(file, 0) if call.at is None else call.at
            end = start + len(call.data)
            self._content[file] = content[:start].ljust(start, b"\0") + call.data + content[end:]
            if call.at is None:
                self._ends[file] = end

    def _sync(self, call: Call, file: int | None) -> None:
        self._committed = len(self.changes)
        if call.name == "sync all":
            self._synced[""] = len(self.changes)
            self._durable = {**self._content}
        elif file is None:
            self._synced[call.path] = len(self.changes)
        else:
            self._durable[file] = self._content[file]

    def now(self) -> State:
        """All that the program sees: the state if nothing is cut."""
        return self._state("ordered", self.changes, self._content)

    def ordered(self, changes: int | None = None) -> State:
        """A state after a cut by the first model: with so many changes, of those that need not be there."""
        kept = self._committed if changes is None else changes
        content = {number: data or b"" for number, data in self._durable.items()}
        return self._state("ordered", self.changes[:kept], content)

    @property
    def committed(self) -> int:
        """How many changes are on the disk by the first model."""
        return self._committed

    def strict(self, chance: random.Random) -> State:
        """A state after a cut by the second model."""
        everywhere = self._synced.get("", 0)
        kept = [
            change
            for number, change in enumerate(self.changes)
            if number < max(everywhere, self._synced.get(os.path.dirname(change.path), 0))  # noqa: PTH120
            or chance.random() < 0.5
        ]
        content = {}
        for number, data in self._content.items():
            durable = self._durable[number]
            some = [durable or b"", data, data[: len(data) // 2]]
            content[number] = data if data == durable else chance.choice(some)
        return self._state("strict", kept, content)

    def _state(self, model: str, changes: Iterable[_Change], content: dict[int, bytes]) -> State:
        names = {path: number for number, path in enumerate(self.start)}
        directories = set(self.directories)
        for change in changes:
            match change.kind:
                case "name":
                    names.pop(change.before, None)
                    names[change.path] = change.file
                case "remove":
                    names.pop(change.path, None)
                case "mkdir":
                    directories.add(change.path)
                case "rmdir":
                    directories.discard(change.path)
        # What lies in a directory whose own name was lost is lost.
        there = {path for path in directories if directories.issuperset(_above(path))}
        files = {path: content[it] for path, it in names.items() if there.issuperset(_above(path))}
        return State(model, files, frozenset(there), self.acknowledged)


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts))]


def tree(root: Path) -> Disk:
    """The files and directories below a directory, all of them durable."""
    paths = [path for path in root.rglob("*") if not path.is_symlink()]
    return Disk(
        {str(it.relative_to(root)): it.read_bytes() for it in paths if it.is_file()},
        frozenset(str(it.relative_to(root)) for it in paths if it.is_dir()),
    )


def states(disk: Disk, calls: Iterable[Call], seed: int, samples: int = 4) -> Iterator[State]:
    """The states after a cut at each call, each once: by both models, of the second a few by chance."""
    chance = random.Random(seed)
    seen = set()
    for call in calls:
        disk.do(call)
        if call.name == "seek":
            continue
        at_least, at_most = disk.committed, len(disk.changes)
        found = [disk.ordered(it) for it in {at_least, at_most, chance.randint(at_least, at_most)}]
        found += [disk.strict(chance) for _ in range(samples)]
        for state in found:
            if state.key not in seen:
                seen.add(state.key)
                yield state
