"""Stock git and our packs: it clones, bundles, pushes and repacks them, and we read what it made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gitflowrun.git.objects import Oid
from gitflowrun.git.pack.reader import PackReader
from tests.helpers.packs import noise, objects_dir, publish
from tests.helpers.repos import GitRepo

PAYLOADS = [noise(3 << 20), b"text " * 300_000, bytes(200_000), b"", b"small", noise(65_535, 1)]


def _bare(path: Path, repo: GitRepo) -> GitRepo:
    repo.git("init", "-q", "--bare", str(path))
    return GitRepo(path)


def _in_place(*commands: str) -> Callable[[GitRepo, Path], Path]:
    def run(repo: GitRepo, _tmp: Path) -> Path:
        for command in commands:
            repo.git(*command.split())
        return objects_dir(repo)

    return run


def _mirror(repo: GitRepo, tmp: Path) -> Path:
    repo.git("clone", "-q", "--mirror", repo.path.as_uri(), str(tmp / "mirror"))
    GitRepo(tmp / "mirror").fsck()
    return tmp / "mirror" / "objects"


def _push(repo: GitRepo, tmp: Path) -> Path:
    bare = _bare(tmp / "bare", repo)
    repo.git("push", "-q", str(bare.path), "refs/runs/F/1:refs/runs/F/1")
    bare.fsck()
    return bare.path / "objects"


def _bundle(repo: GitRepo, tmp: Path) -> Path:
    bundle = tmp / "runs.bundle"
    repo.git("bundle", "create", "-q", str(bundle), "refs/runs/F/1")
    repo.git("bundle", "verify", "-q", str(bundle))
    bare = _bare(tmp / "unbundled", repo)
    bare.git("fetch", "-q", str(bundle), "refs/runs/*:refs/runs/*")
    bare.fsck()
    return bare.path / "objects"


@pytest.mark.parametrize(
    "way",
    [
        _in_place(),
        _in_place("gc -q"),
        _in_place("gc -q --prune=now --aggressive"),
        _in_place("repack -adq"),
        _in_place("repack -adfq"),
        _in_place("repack --geometric=2 -dq --write-midx"),
        _in_place("pack-refs --all", "repack -Adq", "prune --expire=now"),
        _mirror,
        _push,
        _bundle,
    ],
    ids=["as written", "gc", "aggressive", "repack", "repack -f", "geometric", "unpack", "mirror",
         "push", "bundle"],
)  # fmt: skip
@pytest.mark.sample(4)
def test_whatever_git_does_with_them(
    repo: GitRepo, tmp_path: Path, way: Callable[[GitRepo, Path], Path]
) -> None:
    """Every payload comes back, and git finds every repository whole."""
    oids = publish(repo, "refs/runs/F/1", PAYLOADS)
    reader = PackReader(way(repo, tmp_path))
    repo.fsck()
    assert [reader.blob(oid) for oid in oids] == PAYLOADS
    for oid, payload in zip(oids, PAYLOADS, strict=True):
        target = bytearray(len(payload))
        reader.read_into(oid, memoryview(target))
        assert target == payload


def test_unpacked_to_loose_objects(repo: GitRepo, tmp_path: Path) -> None:
    """Git may turn our packs into loose objects; they are read as well."""
    oids = publish(repo, "refs/runs/F/1", PAYLOADS)
    bare = _bare(tmp_path / "loose", repo)
    for pack in objects_dir(repo).glob("pack/*.pack"):
        bare.git("unpack-objects", "-q", stdin=pack.read_bytes())
    assert not list((bare.path / "objects" / "pack").glob("*.pack"))
    reader = PackReader(bare.path / "objects")
    assert [reader.blob(oid) for oid in oids] == PAYLOADS
    target = bytearray(len(PAYLOADS[1]))
    reader.read_into(oids[1], memoryview(target))
    assert target == PAYLOADS[1]


def test_pygit2_reads_them(repo: GitRepo) -> None:
    """libgit2 agrees."""
    pygit2 = pytest.importorskip("pygit2")
    oids = publish(repo, "refs/runs/F/1", PAYLOADS)
    opened = pygit2.Repository(str(repo.path))
    assert [opened[str(oid)].data for oid in oids] == PAYLOADS
    run = opened.revparse_single("runs/F/1")
    assert {Oid(row.id.raw) for row in run.tree} == set(oids)
