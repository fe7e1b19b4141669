"""Snapshots taken for tests, and what must not change meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import Snapshot, take_snapshot
from tests.helpers.repos import GitRepo

__all__ = ["Shot", "shoot", "traces"]


@dataclass(frozen=True)
class Shot:
    """A snapshot, and the files of its tree."""

    snapshot: Snapshot
    files: dict[bytes, bytes]
    modes: dict[bytes, bytes]

    def reasons(self) -> dict[str, str]:
        """Why what was left out."""
        return {item.path: item.reason for item in self.snapshot.left_out}


def shoot(repo: GitRepo) -> Shot:
    """Take a snapshot of `repo`, check that nothing of the user's changed, and read the tree back."""
    before = traces(repo)
    repository = Repository.discover(repo.path)
    snapshot = take_snapshot(repository)
    assert traces(repo) == before
    assert not list(repository.state("snapshots").iterdir())
    if snapshot.objects:
        repository.packs.write(snapshot.objects)
    rows = repository.git.run("ls-tree", "-r", "-z", str(snapshot.tree)).split(b"\0")[:-1]
    files, modes = {}, {}
    for row in rows:
        header, name = row.split(b"\t", 1)
        mode, kind, oid = header.split()
        modes[name] = mode
        files[name] = repository.git.run("cat-file", "blob", oid) if kind == b"blob" else oid
    return Shot(snapshot, files, modes)


def traces(repo: GitRepo) -> tuple[object, ...]:
    """Everything of the user's that a snapshot must leave alone."""
    git_dir = repo.path / repo.git("rev-parse", "--git-dir")
    common = repo.path / repo.git("rev-parse", "--git-common-dir")
    index = git_dir / "index"
    loose = sorted(str(path) for path in (common / "objects").glob("??/*"))
    metadata = sorted(str(path) for path in git_dir.glob("*") if path.name != "gitflowrun")
    work = sorted(
        (str(path), path.lstat().st_mtime_ns)
        for path in repo.path.rglob("*")
        if ".git" not in path.parts
    )
    return index.read_bytes() if index.exists() else b"", loose, metadata, work
