"""A git directory beside a repository's own, in which git fetches where refs of that one lead to what is lost.

git fetches nothing into a repository with a ref from whose commit it can't walk. No such ref is taken away for that,
not even for as long as a fetch takes: it keeps from git's gc whatever else it leads to, and a kill would leave it away.
The directory has the config of the repository, its shallow commits, and those of its refs from which git can walk, so
that little is sent that is here.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from gitflowrun.git.objects import Oid
from gitflowrun.limits import ANSWER, WALKS_BESIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gitflowrun.git.repository import Repository

_FORMAT = ("core.repositoryformatversion", "extensions.")


def make_beside(repo: Repository, place: Path, refs: Iterable[tuple[str, str]]) -> Path:
    """Make it.

    Args:
        repo: The repository.
        place: A directory that is deleted with it.
        refs: Names and ids of the refs that it has.
    """
    found = place / "beside.git"
    (found / "refs").mkdir(parents=True)
    (found / "objects").mkdir()
    (found / "HEAD").write_bytes(_head(repo))
    (found / "config").write_bytes(_config(repo))
    lines = "".join(f"{oid} {name}\n" for name, oid in sorted(refs, key=_in_bytes))
    (found / "packed-refs").write_bytes(os.fsencode(f"# pack-refs with: sorted \n{lines}"))
    if (shallow := repo.common_dir / "shallow").exists():
        (found / "shallow").symlink_to(shallow)
    return found


def _head(repo: Repository) -> bytes:
    """The branch, by which config may be included; a commit may be lost, and is not needed."""
    with contextlib.suppress(OSError):
        held = (repo.git_dir / "HEAD").read_bytes()
        if held.startswith(b"ref: "):
            return held
    return b"ref: refs/heads/none\n"


def _in_bytes(ref: tuple[str, str]) -> bytes:
    return os.fsencode(ref[0])


def _config(repo: Repository) -> bytes:
    """What includes the config of a repository; the format is read of the first file alone."""
    lines = []
    for key, value in repo.config.items():
        if key.startswith(_FORMAT) and key != "extensions.worktreeconfig":
            section, _, name = key.rpartition(".")
            lines += [f"[{section}]", f"\t{name} = {_quoted(value)}"]
    own = [repo.git_dir / "config.worktree"] if _has_own_config(repo) else []
    for path in (repo.common_dir / "config", *own):
        lines += ["[include]", f"\tpath = {_quoted(str(path))}"]
    return os.fsencode("".join(f"{line}\n" for line in lines))


def _has_own_config(repo: Repository) -> bool:
    return repo.config.get("extensions.worktreeconfig", "").lower() in {"true", "yes", "on", "1"}


def _quoted(value: str) -> str:
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def walkable(repo: Repository) -> list[tuple[str, str]] | None:
    """The refs of a repository from whose commits git can walk, and what they hold; some of them where many are not.

    None where git can walk from all of them.
    """
    rows = [(name, oid) for name, oid in repo.refs.rows("refs/")]
    gone = {str(oid) for oid in repo.objects.missing({Oid.from_hex(oid) for _, oid in rows})}
    left = [[(name, oid) for name, oid in rows if oid not in gone]]
    if not gone and not repo.refs.damaged and _can_walk(repo, rows):
        return None
    found: list[tuple[str, str]] = []
    for _ in range(WALKS_BESIDE):
        if not left:
            break
        refs = left.pop()
        if _can_walk(repo, refs):
            found += refs
        elif middle := len(refs) // 2:
            left += [refs[:middle], refs[middle:]]
    return found


def _can_walk(repo: Repository, refs: Sequence[tuple[str, str]]) -> bool:
    tips = "".join(f"{oid}\n" for _, oid in refs).encode()
    options = ("--quiet", "--exclude-promisor-objects", "--stdin")
    return not repo.git.read("rev-list", *options, stdin=tips, most=ANSWER).code
