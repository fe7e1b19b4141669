"""Who may use the files that we keep beside git's: their owner alone, or whom `core.sharedRepository` names.

git gives all of its own directories in a shared repository the set-group-id bit, and so do we. Whatever lies in a
directory with that bit gets the permissions of the directory; so only the first one needs the config.

What is read there decides whose code runs, and which numbers runs get; so it is read from regular files alone: a
link may lead anywhere, and opening a pipe waits for ever.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import RepositoryError
from gitflowrun.failpoints import reached

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

STATE = "gitflowrun"
"""The directory of all that we keep beside git's own files, in a git directory."""

IN_PLACE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How files of ours are opened: who shares the repository may have put a link there, or a pipe to be waited for."""

STAND_IN = "gitflowrun-incoming"
"""The directory among git's objects where packs are made that can't be renamed from `STATE`."""

_PRIVATE = 0o700
_OTHERS = 0o077
_WORDS = {"group": 0o660, "true": 0o660, "yes": 0o660, "on": 0o660, "1": 0o660}
_WORDS |= dict.fromkeys(("all", "world", "everybody", "2"), 0o664)
_OCTAL = 8


def shared_mode(value: str | None) -> int | None:
    """The permissions of a directory that git would make.

    Args:
        value: `core.sharedRepository`, as git config has it.

    Returns:
        None where the repository is not shared.
    """
    text = (value or "").strip().lower()
    bits = _WORDS.get(text)
    if bits is None and len(text) > 1 and set(text) <= set("01234567"):
        bits = int(text, _OCTAL) & 0o666
    if not bits:
        return None
    return stat.S_ISGID | _PRIVATE | bits | (bits & 0o444) >> 2


def refuse_links(git_dir: Path) -> None:
    """Refuse a repository in which something of ours is a symbolic link: we would write, and remove, where it leads.

    Such a repository was unpacked from somebody's archive, or somebody who shares it made the link. What lies deeper
    has names that nobody can foresee, or is opened as `IN_PLACE` says.

    Args:
        git_dir: The git directory that all worktrees share.

    Raises:
        RepositoryError: there is one.
    """
    places = [(git_dir, STATE), (git_dir / STATE, ""), (git_dir / "objects", STAND_IN)]
    for directory, start in places:
        if start == STAND_IN:  # beside two hundred others
            links = [directory / start] if (directory / start).is_symlink() else []
        else:
            links = _links(directory, start)
        if links:
            raise RepositoryError(
                f"{links[0]} is a symbolic link, which gitflowrun never makes there and does not follow",
                hint=f"if you don't know who made it, don't work in this repository but in a clone of it; "
                f"this removes the link alone: rm {shlex.quote(str(links[0]))}",
            )


def _links(directory: Path, start: str) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        return [
            directory / it.name for it in entries if it.name.startswith(start) and it.is_symlink()
        ]
    return []


def open_to_write(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of a file of ours that is changed in place.

    One that has a second name (a hard link), which may be that of a file of the user's, is given up for a new one.

    Args:
        path: The file.
        flags: As `os.open` takes them, besides `IN_PLACE`.
        mode: The permissions of one that is made.

    Raises:
        OSError: it can't be opened.
    """
    descriptor = os.open(path, flags | IN_PLACE, mode)
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL | IN_PLACE, mode)
    return descriptor


def lock_file(descriptor: int, path: Path, operation: int) -> None:
    """Lock an open file, as `fcntl.flock` does.

    Args:
        descriptor: The file.
        path: Where it is, for errors.
        operation: As `fcntl.flock` takes it.

    Raises:
        BlockingIOError: somebody has the lock, and `operation` says not to wait.
        RepositoryError: its file system has no such locks.
    """
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        raise RepositoryError(
            f"cannot lock {path}: {error.strerror}",
            hint="its file system has no locks of files (flock), without which two runs could get one number: "
            "have it mounted with them (Lustre: -o flock), or work in a clone on another disk",
        ) from error


def make_directory(path: Path, mode: int = _PRIVATE) -> None:
    """Make a directory and those above it that are missing; nothing happens if it is there.

    What `STATE` lies in is never made: a git directory that was moved away must not leave a hollow one behind.

    Args:
        path: The directory.
        mode: What those that are made get, less the umask; in a shared repository they get that of the one above.

    Raises:
        OSError: it can't be made.
    """
    try:
        path.mkdir(mode=mode)
    except FileNotFoundError:
        if path.name == STATE:
            raise
        _make_below(path, mode)
    except FileExistsError:
        if path.is_dir():
            return
        raise
    above = path.parent.stat().st_mode
    if above & stat.S_ISGID:
        allow(path, stat.S_IMODE(above))


def _make_below(path: Path, mode: int) -> None:
    """Make a directory and those above it. `STATE` may be deleted at any time, and so between the two."""
    for last in (False, False, True):
        make_directory(path.parent, mode)
        try:
            path.mkdir(mode=mode, exist_ok=True)
        except FileNotFoundError:
            if last:
                raise
        else:
            return


_HINTS = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "your disk quota is used up: remove something of yours and try again",
    errno.EROFS: "it is on a read-only file system: what is recorded can be read, nothing can be added",
    errno.EIO: "the disk reports errors; check it before anything else",
}


def hint_of(error: OSError, otherwise: str) -> str:
    """What to do about something that can't be written.

    Args:
        error: What the system said.
        otherwise: What to do where that tells nothing more.
    """
    return _HINTS.get(error.errno or 0, otherwise)


def not_writable(path: Path, what: str, error: OSError) -> RepositoryError:
    """The error that something of ours can't be made or opened, which names what stands in its way.

    Args:
        path: The file or directory.
        what: What was tried.
        error: What the system said.
    """
    if not isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError)):
        hint = hint_of(error, "recording runs needs a repository that you may write to")
        return RepositoryError(f"{what}: {error.strerror}", hint=hint)
    there = next((place for place in (path, *path.parents) if place.exists()), path)
    wanted, found = (
        ("file", "directory") if isinstance(error, IsADirectoryError) else ("directory", "file")
    )
    if (there.is_dir() and wanted == "directory") or not there.exists():
        return RepositoryError(
            f"{what}: {error.strerror}",
            hint="recording runs needs a repository that you may write to",
        )
    return RepositoryError(
        f"{what}: {there} is a {found} where gitflowrun keeps a {wanted}",
        hint=f"move it away: `{shlex.join(['mv', str(there), f'{there}.old'])}`",
    )


def is_in_place(root: Path, path: Path) -> bool:
    """Whether no link leads from a git directory to where a file of its own is: what is elsewhere is not ours."""
    there = Path(os.path.realpath(root), path.parent.relative_to(root))
    return Path(os.path.realpath(path.parent)) == there


@contextlib.contextmanager
def held_directory(path: Path) -> Iterator[Path]:
    """Another name of a directory of ours, which leads to it whoever puts a link in its place, to clean up there.

    Args:
        path: The directory, below a place without links.

    Raises:
        OSError: there is none; or a part of its path is a link, and what is elsewhere is not ours to remove.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | IN_PLACE)
    try:
        held = f"/proc/self/fd/{descriptor}"
        if os.path.realpath(held) != str(path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        yield path / held
    finally:
        os.close(descriptor)


def held_entries(path: Path) -> Iterator[Path]:
    """What lies in a directory of ours; nothing where `held_directory` says no. Each until the next is asked for."""
    with contextlib.suppress(OSError), held_directory(path) as held:
        yield from held.iterdir()


def share_file(path: Path, shared: int | None = None) -> None:
    """Let others use a file that we have made.

    Args:
        path: The file.
        shared: What `shared_mode` says; where it is not known, the file follows its directory.
    """
    with contextlib.suppress(OSError):
        mode = path.parent.stat().st_mode
        if mode & stat.S_ISGID or shared:
            allow(path, (shared or mode) & 0o666)


def write_new(path: Path, content: bytes) -> None:
    """Make a file that is this user's alone, and let its content be durable before it is used.

    Raises:
        OSError: it can't be made, or something has its name, if only a link: in a shared repository others make files
            in the same directories.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as out:  # noqa: PTH123  (a descriptor)
        out.write(content)
        out.flush()
        os.fsync(descriptor)


def replace_file(path: Path, content: bytes, shared: int | None) -> None:
    """Let a file with a new content, written as a whole, take the place of another.

    Args:
        path: The file.
        content: What it has from now on.
        shared: What `shared_mode` says.

    Raises:
        OSError: it can't be written; the file is as it was.
    """
    temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    try:
        write_new(temporary, content)
        share_file(temporary, shared)
        reached("file.written")
        temporary.replace(path)
        reached("file.replaced")
    finally:
        with contextlib.suppress(OSError):  # of a disk that has become read-only
            temporary.unlink(missing_ok=True)


def allow(path: Path, mode: int) -> None:
    """Change the permissions of a file or directory, if it is ours; never of what a link leads to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | IN_PLACE)
        try:
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)


def set_times(path: Path, accessed: int, modified: int) -> bool:
    """Set the times of a file of ours, in nanoseconds; whether that is allowed, as it is not on each mounted share."""
    try:
        os.utime(path, ns=(accessed, modified))
    except PermissionError:
        return False
    return True


def read_file(path: Path, what: str, *, limit: int) -> bytes | None:
    """The content of a regular file of ours; None where there is none.

    Args:
        path: The file.
        what: What it is, for errors.
        limit: The most bytes it may have.

    Raises:
        RepositoryError: it can't be read, is no regular file, or larger.
    """
    try:
        with open_file(path, what) as file:
            return _content(file.read(limit + 1), path, what, limit)
    except FileNotFoundError:
        return None


def read_private(path: Path, what: str, *, limit: int) -> bytes | None:
    """The content of a file that is its owner's alone, and ours; None where there is none.

    Raises:
        RepositoryError: as `read_file`, or it is somebody else's, or others may read or write it although the file
            system keeps modes. Where it keeps none (FAT, some network and Windows file systems) whoever reaches the
            repository can change its hooks as well, so there is nothing to be kept from them.
    """
    try:
        file = open_file(path, what)
    except FileNotFoundError:
        return None
    with file:
        opened = file.fileno()
        status = os.fstat(opened)
        quoted = shlex.quote(str(path))
        if status.st_uid != os.geteuid():
            raise RepositoryError(
                f"{path}, {what}, belongs to user {status.st_uid}, not to you",
                hint=f"remove it, and a new one is made: rm {quoted}",
            )
        if status.st_mode & _OTHERS and _keeps_modes(opened, status.st_mode):
            raise RepositoryError(
                f"{path}, {what}, may be used by others than you",
                hint=f"remove it, and a new one is made: rm {quoted}; keep it (chmod 600) only if you are sure that "
                "it was made here and that nobody has read it",
            )
        return _content(file.read(limit + 1), path, what, limit)


def _keeps_modes(opened: int, mode: int) -> bool:
    """Whether the file system of an open file of ours keeps modes; that of the file is as before."""
    try:
        os.fchmod(opened, 0o600)
        kept = not os.fstat(opened).st_mode & _OTHERS
        os.fchmod(opened, stat.S_IMODE(mode))
    except OSError:
        return False
    return kept


def open_file(path: Path, what: str) -> IO[bytes]:
    """Open a regular file to read it.

    Args:
        path: The file.
        what: What it is, for errors.

    Raises:
        FileNotFoundError: there is none.
        RepositoryError: it can't be read, or is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | IN_PLACE)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = "it is a link" if path.is_symlink() else error.strerror
        raise RepositoryError(
            f"can't read {path}, {what}: {reason}",
            hint=f"look at it: ls -l {shlex.quote(str(path))}",
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RepositoryError(
            f"can't read {path}, {what}: it is no regular file",
            hint=f"look at it: ls -ld {shlex.quote(str(path))}",
        )
    return open(descriptor, "rb")  # noqa: PTH123  (a descriptor)


def _content(data: bytes, path: Path, what: str, limit: int) -> bytes:
    if len(data) > limit:
        raise RepositoryError(
            f"{path}, {what}, has more than {limit:,} bytes",
            hint="put it back from a backup, or remove it",
        )
    return data


def add_lines(path: Path, lines: Sequence[bytes], mode: int | None) -> None:
    """Add the lines that a file lacks; one elsewhere that it is a link to stays as it is.

    Args:
        path: The file, which need not be there.
        lines: The lines, without their ends.
        mode: Who may use it; see `shared_mode`.

    Raises:
        RepositoryError: it can't be written.
    """
    try:
        text = path.read_bytes() if path.exists() else b""
        missing = [line for line in lines if line not in text.splitlines()]
        if missing and not (path.exists() and (path.is_symlink() or path.stat().st_nlink > 1)):
            make_directory(path.parent)
            start = b"" if text.endswith(b"\n") or not text else b"\n"
            _append(path, start + b"".join(line + b"\n" for line in missing))
            share_file(path, mode)
    except OSError as error:
        raise RepositoryError(f"cannot write {path}: {error.strerror}") from error


def _append(path: Path, data: bytes) -> None:
    """Add to a file, or leave it as it is: half a line may mean something else. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def remove_lines(path: Path, lines: Sequence[bytes], mode: int | None) -> None:
    """Remove what `add_lines` added; a file elsewhere that it is a link to stays as it is.

    Args:
        path: The file, which need not be there.
        lines: The lines, without their ends.
        mode: Who may use it; see `shared_mode`.

    Raises:
        RepositoryError: it can't be written.
    """
    try:
        text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        kept = b"".join(it for it in text.splitlines(keepends=True) if it.strip() not in lines)
        if kept != text:
            replace_file(path, kept, mode)
    except OSError as error:
        raise RepositoryError(f"cannot write {path}: {error.strerror}") from error
