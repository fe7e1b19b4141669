"""Refs and how they are read: one from the files of git's files backend, many by one `git for-each-ref`.

One ref is read in git's own order: the loose file, then `packed-refs`, then the loose file again in case it was
packed between the two. That takes microseconds and no process, which a poll for a run's progress needs. Whether
a ref has appeared since an earlier look shows in names alone: loose ones are listed (0.5 ms for 1,000), packed
ones are unchanged as long as the stamp of their file is.

Refs are written by `git.ref_update` alone; what it makes `packed-refs` say is worked out here.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from contextlib import closing
from typing import TYPE_CHECKING, AnyStr

from gitflowrun.errors import (
    CorruptRecord,
    GitflowrunError,
    RefConflict,
    RepositoryError,
    TooLarge,
)
from gitflowrun.git.command import BOUNDED, CatFile
from gitflowrun.git.objects import NULL_OID, Oid
from gitflowrun.limits import (
    FEW_LOOSE,
    LISTED,
    LISTED_COMMIT,
    LISTED_SHARE,
    LOOSE_REF,
    PACKED_REFS,
    REFS_A_COMMAND,
    SYMBOLIC_DEPTH,
)
from gitflowrun.names import RefName
from gitflowrun.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from gitflowrun.git.command import Git

_SYMBOLIC = b"ref: "
_REGULAR = (
    os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
)  # a pipe in that place makes nobody wait
_IGNORED = re.compile("^warning: ignoring broken ref (.+)$", re.MULTILINE)
_UNREADABLE = re.compile(
    "missing object|parse_object_buffer failed|inflate|corrupt|bad object|over limit|emory"
)
_PACKED_HEAD = b"# pack-refs with: peeled fully-peeled sorted \n"
_PACKED_TRAITS = {b"fully-peeled", b"sorted"}
_PLAIN = bytes(code for code in range(128) if chr(code).isalnum()) + b"_-+=%@./ \n"
_REFUSED = re.compile(rb"\.[./\n]|\.lock[/\n]|/\.")
_DIGITS = b"0123456789abcdef"
_NAMES = {"refname", "objectname"}  # for which no object is read


@frozen
class RefUpdate:
    """What one ref shall become, here or in a remote repository, and what it must be until then.

    Attributes:
        name: The ref's full name.
        new: What it shall point to; None deletes it.
        old: What it must point to; None if it must not exist.
    """

    name: str
    new: Oid | None
    old: Oid | None

    @property
    def command(self) -> str:
        """As `git update-ref --stdin` reads it."""
        old = self.old or NULL_OID
        if self.new is None:
            return f"delete {self.name} {old}"
        return f"update {self.name} {self.new} {old}"

    @property
    def reversed(self) -> RefUpdate:
        """What takes it back."""
        return RefUpdate(self.name, self.old, self.new)

    def conflict(self, current: Oid | None) -> RefConflict:
        """The error that the ref is not what it must be, but `current`."""
        name, old = self.name, self.old
        if old is None:
            return RefConflict(f"{name} exists already, at {current}")
        if current is None:
            return RefConflict(
                f"{name} was deleted by somebody else; it was at {old}",
                hint=f"`git update-ref {name} {old}` restores it, until git prunes what it led to",
            )
        return RefConflict(
            f"{name} was moved to {current} by somebody else; it was at {old}",
            hint=f"`git update-ref {name} {old} {current}` takes that back, "
            f"`git log {current}` shows what it is",
        )


class RefReader:
    """Reads the refs of a repository, which its worktrees share.

    Args:
        git: Runs git there.
        common_dir: The git directory that all worktrees share.

    Attributes:
        damaged: The refs that `rows` has passed over so far: they hold no object id, or that of an object that is
            missing or damaged.
    """

    def __init__(self, git: Git, common_dir: Path) -> None:
        self.damaged: set[str] = set()
        self._git = git
        self._root = common_dir

    def get(self, name: str) -> Oid | None:
        """What a ref points to; None when there is no such ref.

        Raises:
            RepositoryError: the ref is damaged.
        """
        for _ in range(SYMBOLIC_DEPTH):
            value = self._value(name)
            if value is None or not value.startswith(_SYMBOLIC):
                return None if value is None else _parse_oid(value, f"{self._root}/{name}")
            name = RefName(os.fsdecode(value.removeprefix(_SYMBOLIC).strip()))
        raise RepositoryError(f"the symbolic ref {name} leads nowhere")

    def many(self, names: Iterable[str]) -> dict[str, Oid | None]:
        """What each of several refs points to, as `get`; the packed refs are read once.

        Raises:
            RepositoryError: a ref is damaged.
        """
        values = {name: self._loose(name) for name in names}
        missing = [name for name, value in values.items() if value is None]
        if len(missing) == 1:
            values[missing[0]] = self._packed(missing[0]) or self._loose(missing[0])
        elif missing:
            lines = self._packed_refs().split(b"\n")
            packed = {line[2 * Oid.SIZE + 1 :]: line[: 2 * Oid.SIZE] for line in lines}
            for name in missing:
                values[name] = packed.get(os.fsencode(name)) or self._loose(name)
        return {name: self._target(name, value) for name, value in values.items()}

    def _target(self, name: str, value: bytes | None) -> Oid | None:
        if value is None or value.startswith(_SYMBOLIC):
            return None if value is None else self.get(name)
        return _parse_oid(value, f"{self._root}/{name}")

    def below(self, prefix: str) -> dict[str, str]:
        """The refs below a prefix that ends in a slash, and the ids that they hold, in no order: there may be many.

        Packed ones are read here, which takes a fraction of what git does for it. Git is asked where many are loose,
        and where anything is unusual: names that it may refuse, a damaged ref, an old `packed-refs`.
        """
        if (plain := self.plain_below(prefix)) is not None:
            return plain
        found, left = self._with_left_out(prefix)
        self.damaged.update(name for name, it in left.items() if not isinstance(it, Oid))
        return found

    def plain_below(self, prefix: str, most: int = FEW_LOOSE) -> dict[str, str] | None:
        """As `below`, without asking git: None where more than `most` refs are loose, or anything is unusual."""
        loose = self._few_loose(prefix, most)
        # Last: git packs, then prunes.
        packed = None if loose is None else self._packed_below(prefix)
        return None if loose is None or packed is None else packed | loose

    def called(self, prefix: str, name: str) -> dict[str, str] | None:
        """The refs below a prefix whose last part is a name; None where there are none, or anything is unusual."""
        end = f"/{name}"
        try:
            loose = {
                it: self._loose(it) for it in loose_names(self._root, prefix) if it.endswith(end)
            }
        except RepositoryError:
            return None
        table, last = self._packed_refs(), os.fsencode(f"{end}\n")
        lines = [b"%s %s" % ((oid or b"").strip(), os.fsencode(it)) for it, oid in loose.items()]
        place = table.find(last)
        while place >= 0:
            line = table[table.rfind(b"\n", 0, place) + 1 : place + len(last) - 1]
            known = os.fsdecode(line.partition(b" ")[2])
            lines += [line] if known.startswith(prefix) and known not in loose else []
            place = table.find(last, place + 1)
        is_usual = not table or _PACKED_TRAITS.issubset(table.partition(b"\n")[0].split(b" "))
        return _plain_refs(b"\n".join(lines), prefix) if lines and is_usual else None

    def is_packed(self, prefix: str) -> bool:
        """Whether there is a packed ref below a prefix that ends in a slash, or was one."""
        return os.fsencode(f" {prefix}") in self._packed_refs()

    def every(self) -> dict[str, str]:
        """All refs and the ids that they hold, for who deletes what none of them leads to.

        Raises:
            GitflowrunError: one is damaged or can't be read: nobody knows what it leads to.
        """
        found, left = self._with_left_out("refs/")
        for name, it in left.items():
            if not isinstance(it, Oid):
                raise it
            found[name] = str(it)
        return found

    def _with_left_out(
        self, prefix: str
    ) -> tuple[dict[str, str], dict[str, Oid | GitflowrunError]]:
        """The refs below a prefix as git lists them, and those left out: what they hold, or why they can't be read.

        Git passes over what it can't read, where it is a whole directory without a word.
        """
        loose = [*loose_names(self._root, prefix)]
        found = {row[0]: row[1] for row in self.rows(prefix)}
        left: dict[str, Oid | GitflowrunError] = {}
        for name in loose:
            if name in found or "/." in name:  # what begins with a dot is no ref
                continue
            try:
                value = self._loose(name)
                if oid := self._target(name, value):
                    left[name] = oid
            except GitflowrunError as error:
                left[name] = error
                continue
            path = self._root / name
            if value is None and path.is_dir() and not path.is_symlink():
                left[name] = RepositoryError(f"can't read {path}")
        return found, left

    def _few_loose(self, prefix: str, most: int) -> dict[str, str] | None:
        """The loose refs below a prefix; None where they are more than `most`, or unusual."""
        found: dict[str, str] = {}
        for name in loose_names(self._root, prefix):
            value = self._loose(name)
            if value is None and not (self._root / name).is_dir():
                continue  # git has just packed or deleted it
            if value is None or len(found) == most:
                return None
            plain = _plain_refs(b"%s %s" % (value.removesuffix(b"\n"), os.fsencode(name)), prefix)
            if plain is None:
                return None
            found |= plain
        return found

    def _packed_below(self, prefix: str) -> dict[str, str] | None:
        """The packed refs below a prefix; None where they are unusual."""
        table, start = self._packed_refs(), os.fsencode(f" {prefix}")
        first, last = table.find(start), table.rfind(start)
        if first < 0 and table[-1:] in b"\n":
            return {}
        traits = table.partition(b"\n")[0].split(b" ")
        if not table.endswith(b"\n") or not _PACKED_TRAITS.issubset(traits):
            return None
        return _plain_refs(table[first - 2 * Oid.SIZE : table.find(b"\n", last)], prefix)

    def rows(
        self,
        *prefixes: str,
        fields: tuple[str, ...] = ("refname", "objectname"),
        sort: str | None = None,
        count: int | None = None,
    ) -> list[tuple[str, ...]]:
        """The refs below `prefixes`, read by one `git for-each-ref`; where there are none, by no process.

        Args:
            prefixes: Whole refs, or prefixes that end in a slash.
            fields: What to tell of each, as git-for-each-ref(1) names it, without `%(...)`.
            sort: Its key to sort by.
            count: How many rows at most.

        Returns:
            A row per ref. Bytes that are not UTF-8 become lone surrogates.
        """
        # Most runs have no tags, and a process of git costs more than all else that is asked of a run.
        if not any(map(self.may_exist, prefixes)):
            return []
        if "contents" in fields:  # what reads names alone sees no object
            self.damaged = {name for name in self.damaged if not name.startswith(prefixes)}
        git = self._git
        options = [f"--sort={sort}"] if sort else []
        options += [f"--count={count}"] if count is not None else []
        if {*fields} <= _NAMES:
            done = git.attempt("for-each-ref", _format(fields), *options, *prefixes, env=BOUNDED)
        else:
            most = LISTED + LISTED_SHARE * len(self._packed_refs())
            try:
                done = git.read("for-each-ref", _format(fields), *options, *prefixes, most=most)
            except TooLarge:
                return self._whole_rows(prefixes, fields, options, most)
            # git 2.55 is ended by a signal of its own at an object that is missing.
            if done.code < 0 or (done.code and _UNREADABLE.search(done.err)):
                # One run with a hole in it, or a message of a gigabyte, must not hide all others.
                return self._whole_rows(prefixes, fields, options, most)
        self.damaged.update(_IGNORED.findall(done.err))
        if done.code:
            raise git.failure(["for-each-ref"], done)
        return _parse_rows(done.out, len(fields))

    def _whole_rows(
        self, prefixes: tuple[str, ...], fields: tuple[str, ...], options: list[str], most: int
    ) -> list[tuple[str, ...]]:
        """`rows` without the refs whose objects are missing, damaged, or larger than what is listed of runs.

        Args:
            prefixes: As for `rows`.
            fields: Likewise.
            options: Options of git.
            most: Bytes that all the objects may have; what is beyond is left out, too.
        """
        names = ("refname", "objectname")
        done = self._git.attempt("for-each-ref", _format(names), *options, *prefixes, env=BOUNDED)
        if done.code:
            raise self._git.failure(["for-each-ref"], done)
        listed = _parse_rows(done.out, len(names))
        sizes = self._sizes({oid for _, oid in listed})
        whole = []
        with closing(CatFile(self._git)) as objects:
            for name, oid in listed:
                most -= sizes.get(oid, 0)
                if most >= 0 and oid in sizes and _is_whole(objects, Oid.from_hex(oid)):
                    whole.append(name)
        self.damaged.update(_IGNORED.findall(done.err), {name for name, _ in listed} - {*whole})
        found: dict[str, tuple[str, ...]] = {}
        for start in range(0, len(whole), REFS_A_COMMAND):
            chunk = whole[start : start + REFS_A_COMMAND]
            out = self._git.run("for-each-ref", _format(("refname", *fields)), *chunk, env=BOUNDED)
            found.update({row[0]: row[1:] for row in _parse_rows(out, len(fields) + 1)})
        return [found[name] for name in whole if name in found]

    def _sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """The sizes of objects, as their headers say, without what is missing or too large to be listed."""
        lines = "".join(f"{oid}\n" for oid in oids).encode()
        out = self._git.run(
            "cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=lines, env=BOUNDED
        )
        rows = [line.split(b" ") for line in out.splitlines()]
        found = {row[0].decode(): int(row[1]) for row in rows if row[1].isdigit()}
        return {oid: size for oid, size in found.items() if size <= LISTED_COMMIT}

    def _value(self, name: str) -> bytes | None:
        for look in (self._loose, self._packed):
            if (value := look(name)) is not None:
                return value
        return self._loose(name)

    def _loose(self, name: str) -> bytes | None:
        path = f"{self._root}/{name}"
        try:
            fd = os.open(path, _REGULAR)  # of thousands of refs, half the time
            try:
                return os.read(fd, LOOSE_REF)
            finally:
                os.close(fd)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise RepositoryError(f"can't read {path}: {error.strerror}") from error

    def may_exist(self, prefix: str) -> bool:
        """Whether there is a ref below a prefix that ends in a slash, or was one; no process is started."""
        # Loose ones first: git removes them when it has packed them.
        return (self._root / prefix).exists() or self.is_packed(prefix)

    def _packed_refs(self) -> bytes:
        path = self._root / "packed-refs"
        try:
            fd = os.open(path, _REGULAR)
        except FileNotFoundError:
            return b""
        with open(fd, "rb") as file:  # noqa: PTH123  (a descriptor)
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size > PACKED_REFS:
                raise RepositoryError(
                    f"can't read {path}: it is no regular file, or has more than {PACKED_REFS:,} bytes",
                    hint=f"look at it: ls -ld {shlex.quote(str(path))}",
                )
            return file.read()

    def _packed(self, name: str) -> bytes | None:
        table = self._packed_refs()
        position = table.find(os.fsencode(f" {name}\n"))
        return None if position < 0 else table[position - 2 * Oid.SIZE : position]


def _plain_refs(lines: bytes, prefix: str) -> dict[str, str] | None:
    """Refs and ids in lines as `packed-refs` has them; None unless all are below a prefix, and git takes each."""
    is_odd = lines.translate(None, _PLAIN) or (b"." in lines and _REFUSED.search(lines + b"\n"))
    rows = lines.count(b"\n") + 1
    if (
        is_odd
        or b"//" in lines
        or not lines.count(b" ") == lines.count(os.fsencode(f" {prefix}")) == rows
    ):
        return None
    words = lines.decode("ascii").replace("\n", " ").split(" ")
    ids = words[::2]
    are_ids = {*map(len, ids)} == {2 * Oid.SIZE}
    if not are_ids or "".join(ids).encode().translate(None, _DIGITS) or str(NULL_OID) in ids:
        return None
    found = dict(zip(words[1::2], ids, strict=False))
    return found if len(found) == rows else None


def _is_whole(objects: CatFile, oid: Oid) -> bool:
    try:
        objects.read(oid, LISTED_COMMIT)
    except (RepositoryError, CorruptRecord):
        return False
    return True


def _format(fields: tuple[str, ...]) -> str:
    return "--format=" + "".join(f"%({field})%00" for field in fields)


def _parse_rows(out: bytes, width: int) -> list[tuple[str, ...]]:
    """The rows that `_format` makes: every field ends in NUL, and a newline comes before all but the first."""
    cells = out.decode(errors="surrogateescape").split("\0")
    columns = [cells[column:-1:width] for column in range(width)]
    columns[0] = [cell.removeprefix("\n") for cell in columns[0]]
    return list(zip(*columns, strict=True))


def _parse_oid(value: bytes, path: str) -> Oid:
    try:
        return Oid.from_hex(value.strip())
    except ValueError as error:
        raise RepositoryError(
            f"the ref {path} is damaged: it does not hold an object id",
            hint="`git runs fetch` brings a run back that a remote has; `git fsck` lists such refs, and the empty file "
            "that a power cut left may be removed",
        ) from error


def packed_stamp(common_dir: Path) -> str:
    """What changes whenever the packed refs change: git replaces their file as a whole."""
    try:
        found = (common_dir / "packed-refs").stat()
    except FileNotFoundError:
        return "none"
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def loose_names(common_dir: Path, prefix: str) -> Iterator[str]:
    """The names of the loose refs below `prefix`, which ends in a slash."""
    places = [prefix.removesuffix("/")]
    while places:
        place = places.pop()
        try:
            with os.scandir(common_dir / place) as entries:
                # One at a time: there may be very many, and who counts them stops early.
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        places.append(f"{place}/{entry.name}")
                    elif not entry.name.endswith(".lock"):
                        yield f"{place}/{entry.name}"
        except (FileNotFoundError, NotADirectoryError):
            pass  # it was never made, or has just been packed and pruned
        except OSError:
            yield place  # so that whoever reads it finds out


def packed_with(table: bytes, new: Mapping[bytes, Oid | None]) -> bytes | None:
    """The content of `packed-refs` with more refs; None where it has one of them, or one in their way."""
    head, *body, end = (table or _PACKED_HEAD).split(b"\n")
    if end or not _PACKED_TRAITS.issubset(head.split(b" ")):
        return None
    lines: dict[bytes, bytes] = {}
    name = b""
    for line in body:
        if line.startswith(b"^"):
            lines[name] += b"\n" + line
        else:
            name = line[2 * Oid.SIZE + 1 :]
            lines[name] = line
    if not new.keys().isdisjoint(lines):
        return None
    lines |= {name: b"%s %s" % (str(oid).encode(), name) for name, oid in new.items()}
    if not folders_of(lines, b"/").isdisjoint(new) or not folders_of(new, b"/").isdisjoint(lines):
        return None
    return b"\n".join([head, *(lines[name] for name in sorted(lines)), b""])


def folders_of(names: Iterable[AnyStr], slash: AnyStr) -> set[AnyStr]:
    """All that names lie below."""
    found: set[AnyStr] = set()
    for name in names:
        folder = name.rpartition(slash)[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition(slash)[0]
    return found
