"""Small packs of a repository, which folds make one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.git import maintenance
from gitflowrun.git.maintenance import fold
from gitflowrun.git.objects import Oid
from gitflowrun.git.repository import Repository
from tests.helpers.packs import blob, noise, objects_dir, pack_store
from tests.helpers.repos import GitRepo


def pack_files(repo: GitRepo) -> list[Path]:
    """Its packs."""
    return sorted(objects_dir(repo).glob("pack/*.pack"))


def many(repo: GitRepo, count: int, size: int = 300) -> list[Oid]:
    """Packs of one blob each, which are nobody's; the ids of the blobs."""
    store = pack_store(repo)
    packs = [store.write([blob(noise(size, number))]) for number in range(count)]
    store.release(pack.name for pack in packs)
    return [pack.oids[0] for pack in packs]


def open_files(place: Path) -> list[str]:
    """What this process holds open at or below a place."""
    links = [it for it in Path("/proc/self/fd").iterdir() if it.is_symlink()]
    return [text for it in links if (text := str(it.readlink())).startswith(str(place))]


def foldable(repository: Repository) -> list[str]:
    """The names of the packs that a fold would look at."""
    listing = maintenance._Listing.read(repository.packs.pack_dir)
    return [pack.name for pack in listing.small()]


def folded(repository: Repository) -> tuple[int, int] | None:
    """Fold; how many small packs there were, and are now. None where nothing was folded."""
    before = len(foldable(repository))
    return (before, len(foldable(repository))) if fold(repository) else None


def watch_git(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[tuple[int, ...]], list[str]]:
    """What each git that is started from now on inherits, and where it puts objects."""
    start = repository.git.start
    inherited: list[tuple[int, ...]] = []
    apart: list[str] = []

    def starts(_: object, *args: str, **options: Any) -> Any:
        inherited.append(options["inherited"])
        apart.append(options["env"]["GIT_OBJECT_DIRECTORY"])
        return start(*args, **options)

    monkeypatch.setattr(type(repository.git), "start", starts)
    return inherited, apart


def refuse_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of files can't be set."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "utime", refuse)
