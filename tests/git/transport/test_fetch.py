"""Runs are fetched with explicit refspecs and hardened options; code that is here does not travel."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.objects import ObjectType, Oid
from gitflowrun.git.pack import publish
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.git.transport import remote as transport
from gitflowrun.git.transport.remote import _UPLOAD, Remote
from gitflowrun.limits import (
    CUT_DEPTH,
    FETCH_ALLOCATION,
    FETCH_STREAMED,
)
from tests.git.transport.wire import Wire, recorded, remote
from tests.helpers.packs import objects_dir
from tests.helpers.repos import GitRepo


def test_fetch_changes_no_refs(repo: GitRepo, server: GitRepo, commits: list[Oid]) -> None:
    """No tracking branch, tag or FETCH_HEAD changes with a fetch of runs."""
    server.git(
        "fetch", "-q", str(repo.path), "main:main", "main:refs/runs/F/1", "main:refs/tags/v1"
    )
    before = repo.git("for-each-ref")
    remote(repo).fetch([str(commits[2])])
    assert repo.git("for-each-ref") == before
    assert not (repo.path / ".git" / "FETCH_HEAD").exists()
    with pytest.raises(RepositoryError, match="not our ref"):
        remote(repo).fetch(["12" * 20])


@pytest.mark.parametrize(("durability", "syncs"), [("safe", True), ("fast", False)])
def test_what_is_fetched_is_synced(
    repo: GitRepo, server: GitRepo, commits: list[Oid], monkeypatch: pytest.MonkeyPatch,
    durability: str, syncs: bool,
) -> None:  # fmt: skip
    """`runs.durability = safe` syncs a fetched pack, whatever the user's git does, and its directory; not `fast`."""
    server.git("fetch", "-q", str(repo.path), f"+{commits[0]}:refs/heads/main")
    run = without_parents(server, "refs/runs/F/1")
    repo.git("config", "runs.durability", durability)
    calls = recorded(monkeypatch)
    synced: list[Path] = []
    monkeypatch.setattr(publish, "sync_directory", synced.append)
    remote(repo).fetch([str(run)])
    (words,) = [it for it in calls if "fetch" in it]
    pairs = [*pairwise(words[: words.index("fetch")])]
    assert (("-c", "core.fsync=objects") in pairs) is syncs
    assert (("-c", "core.fsyncMethod=fsync") in pairs) is syncs  # some only begin to write
    assert synced == ([objects_dir(repo) / "pack"] if syncs else [])


def test_what_is_received_is_checked_and_bounded(
    repo: GitRepo, server: GitRepo, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch checks objects, keeps them in a pack, runs no housekeeping, and touches nothing but the named refs."""
    server.git("fetch", "-q", str(repo.path), f"+{commits[0]}:refs/heads/main")
    run = without_parents(server, "refs/runs/F/1")
    calls = recorded(monkeypatch)
    remote(repo).fetch([str(run)])
    (words,) = [it for it in calls if "fetch" in it]
    assert {
        "transfer.fsckObjects=true", "core.abbrev=40", "core.alternateRefsCommand=true", "--quiet", "--stdin",
        "fetch.fsckObjects=true", "fetch.unpackLimit=1", "gc.auto=0", "maintenance.auto=false",
        f"core.bigFileThreshold={FETCH_STREAMED}", f"core.deltaBaseCacheLimit={FETCH_STREAMED}",
        "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=",
        f"--upload-pack={_UPLOAD}", "--end-of-options",
    } <= {*words}  # fmt: skip


def test_a_repository_without_commits_fetches(
    repo: GitRepo, server: GitRepo, tmp_path: Path
) -> None:
    """It has none of which the other side could leave anything out."""
    repo.git("push", "-q", "origin", "HEAD:refs/heads/main")
    subprocess.run(["git", "init", "-q", str(tmp_path / "empty")], check=True)
    empty = Repository.discover(tmp_path / "empty")
    head = repo.git("rev-parse", "HEAD")
    packs = Remote(empty, str(server.path)).fetch([head])
    assert (len(packs), empty.objects.read(Oid.from_hex(head))[0]) == (1, ObjectType.COMMIT)


@pytest.fixture
def code(repo: GitRepo, server: GitRepo) -> int:
    """A branch with a megabyte of code, here and on the server; its size."""
    size = 1 << 20
    repo.write("weights.bin", os.urandom(size))
    repo.commit("code")
    repo.git("push", "-q", "origin", "HEAD:main")
    repo.git("fetch", "-q")
    server.git("symbolic-ref", "HEAD", "refs/heads/main")
    server.git("config", "receive.unpackLimit", "1")
    return size


def without_parents(repo: GitRepo, ref: str) -> Oid:
    """A commit of the code in HEAD that has no parents, as a run has none, and a ref for it."""
    tree = repo.git(
        "mktree", stdin=f"040000 tree {repo.git('rev-parse', 'HEAD^{tree}')}\tcode\n".encode()
    )
    commit = repo.git("commit-tree", "-m", ref, tree)
    repo.git("update-ref", ref, commit)
    return Oid.from_hex(commit)


def stored(repo: GitRepo) -> int:
    """Bytes of the object directory."""
    top = Path(repo.git("rev-parse", "--absolute-git-dir")) / "objects"
    return sum(path.stat().st_size for path in top.rglob("*") if path.is_file())


def test_code_that_the_other_side_has_does_not_travel(
    repo: GitRepo, server: GitRepo, code: int
) -> None:
    """A commit without parents whose tree a branch of the other side has costs 1 % of it, pushed or fetched."""
    before = stored(server)
    for number in (1, 2):
        commit = without_parents(repo, f"refs/runs/F/{number}")
        (result,) = remote(repo).push([RefUpdate(f"refs/runs/F/{number}", commit, None)])
        assert result.ok
    assert stored(server) - before < code / 100
    run = without_parents(server, "refs/runs/F/3")
    before = stored(repo)
    remote(repo).fetch([str(run)])
    repo.git("update-ref", "refs/runs-remotes/x/F/3", str(run))
    assert 0 < stored(repo) - before < code / 100
    for it in (repo, server):
        it.fsck()
        assert it.git("rev-parse", "--is-shallow-repository") == "false"
    assert not (repo.path / ".git/shallow").exists()
    assert len(repo.git("log", "--format=%h", "main").split()) == 2


def test_code_that_the_other_side_lacks_travels(repo: GitRepo, server: GitRepo, code: int) -> None:
    """Where nothing is known of the server's history, what it needs is sent."""
    repo.write("more.bin", os.urandom(1000))
    repo.commit("unpushed")
    commit = without_parents(repo, "refs/runs/F/1")
    (result,) = remote(repo).push([RefUpdate("refs/runs/F/1", commit, None)])
    assert result.ok
    assert server.git("cat-file", "-s", f"{commit}:code/more.bin") == "1000"
    assert server.git("cat-file", "-s", f"{commit}:code/weights.bin") == str(code)
    server.fsck()


def test_a_partial_clone_stays_partial(
    repo: GitRepo, server: GitRepo, code: int, tmp_path: Path
) -> None:
    """A push from a clone that left blobs out does not fetch them only to leave them out."""
    del repo, code
    server.git("config", "uploadpack.allowFilter", "true")
    server.git("config", "uploadpack.allowAnySHA1InWant", "true")
    options = ["-q", "--no-checkout", "--filter=blob:none"]
    server.git("clone", *options, f"file://{server.path}", str(tmp_path / "partial"))
    partial = GitRepo(tmp_path / "partial")

    def missing() -> int:
        listed = partial.git("rev-list", "--objects", "--missing=print", "HEAD")
        return sum(line.startswith("?") for line in listed.splitlines())

    before = missing()
    assert before > 0
    commit = without_parents(partial, "refs/runs/F/1")
    (result,) = remote(partial).push([RefUpdate("refs/runs/F/1", commit, None)])
    assert result.ok
    assert missing() == before


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.sample(1)
def test_a_shallow_clone_stays_as_it_is(
    repo: GitRepo, server: GitRepo, code: int, tmp_path: Path, depth: int
) -> None:
    """The user's own shallow commits are neither hidden nor changed by pushes and fetches of runs."""
    repo.commit("one more")
    repo.git("push", "-q", "origin", "HEAD:main")
    run = without_parents(server, "refs/runs/F/1")
    server.git(
        "clone", "-q", f"--depth={depth}", f"file://{server.path}", str(tmp_path / "shallow")
    )
    shallow = GitRepo(tmp_path / "shallow")
    cut = (shallow.path / ".git/shallow").read_text()
    before = stored(server)
    commit = without_parents(shallow, "refs/runs/F/2")
    (result,) = remote(shallow).push([RefUpdate("refs/runs/F/2", commit, None)])
    assert result.ok
    assert stored(server) - before < code / 100
    remote(shallow).fetch([str(run)])
    shallow.git("update-ref", "refs/runs-remotes/x/F/1", str(run))
    assert (shallow.path / ".git/shallow").read_text() == cut
    shallow.fsck()


def test_a_server_that_refuses_shallow_clones_is_fetched_from(
    repo: GitRepo, server: GitRepo, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a server does not take the word of an old commit, all is fetched as git would."""
    run = without_parents(server, "refs/runs/F/1")
    converse = Git.converse
    tried = []

    def refusing(self: Git, *args: str, **how: Any) -> Completed:
        tried.append("GIT_SHALLOW_FILE" in (how.get("env") or {}))
        if tried[-1]:
            return Completed(128, b"", "fatal: Server does not support shallow clients\n")
        return converse(self, *args, **how)

    origin = remote(repo)
    monkeypatch.setattr(Git, "converse", refusing)
    origin.fetch([str(run)])
    repo.git("update-ref", "refs/runs-remotes/x/F/1", str(run))
    assert tried.count(True) == 1
    assert code


def test_what_a_fetch_is_given(
    repo: GitRepo, server: GitRepo, commits: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ids, a bound of memory, a place apart, and an old commit; a clone that is shallow has its own."""
    del server
    wire = Wire(monkeypatch, Completed(0, b"", ""))
    contents: list[bytes] = []
    real = Git.converse

    def fetching(self: Git, *words: str, **options: Any) -> Completed:
        if shallow := options["env"].get("GIT_SHALLOW_FILE"):
            contents.append(Path(shallow).read_bytes())
        return real(self, *words, **options)

    monkeypatch.setattr(Git, "converse", fetching)
    loose = repo.git("commit-tree", "-m", "x", "HEAD^{tree}")
    packs = remote(repo).fetch([loose])
    (options,) = wire.options
    assert (options["stdin"], options["env"]["GIT_ALLOC_LIMIT"]) == (
        f"{loose}\n".encode(),
        str(FETCH_ALLOCATION),
    )
    apart = Path(options["env"]["GIT_OBJECT_DIRECTORY"])
    assert not apart.exists()
    root = repo.git("rev-list", "--max-parents=0", "HEAD")
    assert contents == [f"{root}\n".encode()]
    (pack,) = packs
    rows = repo.git("verify-pack", "-v", str(objects_dir(repo) / f"pack/{pack}.idx"))
    assert rows.startswith(loose)
    assert remote(repo).fetch([str(commits[0])]) == []
    (repo.path / ".git/shallow").write_text(f"{commits[0]}\n")
    remote(repo).fetch([loose])
    assert len(contents) == 2
    assert remote(repo)._trees_of_all() == {}
    (repo.path / ".git/shallow").write_text("")
    assert remote(repo)._trees_of_all() == {"GIT_SHALLOW_FILE": os.devnull}
    repo.git("config", "remote.origin.partialclonefilter", "tree:0")
    assert remote(repo)._trees_of_all() == {}
    repo.git("config", "remote.origin.partialclonefilter", "blob:none")
    assert remote(repo)._trees_of_all() == {"GIT_SHALLOW_FILE": os.devnull}
    monkeypatch.setattr(transport, "CUT_DEPTH", 2)
    assert remote(repo)._oldest() == str(commits[1]).encode()
    repo.git("update-ref", "refs/remotes/origin/HEAD", str(commits[0]))
    assert remote(repo)._oldest() == repo.git("rev-parse", f"{commits[0]}~1").encode()
    assert CUT_DEPTH > 2


@pytest.mark.parametrize(
    ("err", "tries"),
    [("fatal: shallow update not allowed", 2), ("fatal: no such thing", 1)],
)
def test_only_what_an_old_commit_may_cause_is_tried_again(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, err: str, tries: int
) -> None:
    """A fetch that fails for another reason fails at once; without an old commit it is tried once."""
    del server
    wire = Wire(monkeypatch, Completed(128, b"", err))
    for known in (True, False):
        wire.words.clear()
        if not known:
            monkeypatch.setattr(Remote, "_oldest", lambda _: None)
        with pytest.raises(RepositoryError, match=err.removeprefix("fatal: ")):
            remote(repo).fetch(["12" * 20])
        assert len(wire.words) == (tries if known else 1)
    assert not [*(objects_dir(repo) / "gitflowrun").glob("*")]


def test_a_server_whose_refs_never_end_takes_no_more_memory_than_git_gets(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git keeps all that a server lists until the end of the list; then it says so, and nothing has changed."""
    line = f"{'1' * 40} refs/runs/F/1{'0' * 60_000}\n"
    program = tmp_path / "server"
    program.write_text(f"#!/bin/sh\nyes '{len(line) + 4:04x}{line[:-1]}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")  # it is not asked which ssh it is
    monkeypatch.setattr(transport, "REFS_LISTED", 24 << 20)
    with pytest.raises(RepositoryError, match="Out of memory") as caught:
        remote(repo, "ssh://server/repo").refs()
    assert "lists more refs" in (caught.value.hint or "")


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.sample(1)
def test_a_web_server_of_plain_files(
    repo: GitRepo, server: GitRepo, commits: list[Oid], static: str, packed: bool
) -> None:
    """What it has comes into a pack, and nothing but what was asked for; what is malformed there does not come."""
    server.git("fetch", "-q", str(repo.path), f"+{commits[0]}:refs/heads/main")
    run = without_parents(server, "refs/runs/F/1")
    other = without_parents(server, "refs/runs/F/2")
    blob = server.git("hash-object", "-w", "--stdin", stdin=b"x")
    tree = server.git("mktree", stdin=f"100644 blob {blob}\t.git\n".encode())
    bad = server.git("commit-tree", "-m", "bad", tree)
    server.git("update-ref", "refs/runs/F/3", bad)
    if packed:
        server.git("repack", "-adq")
    server.git("update-server-info")
    web = remote(repo, static)
    with pytest.raises(RepositoryError, match="hasDotgit"):
        web.fetch([bad])
    (pack,) = web.fetch([str(run)])
    found = Repository.discover(repo.path)
    assert found.objects.exists(run)
    assert not found.objects.exists(Oid.from_hex(bad))
    assert packed or not found.objects.exists(other)
    assert pack


def test_trees_as_old_tools_made_them(repo: GitRepo, server: GitRepo) -> None:
    """With zeros before the modes of directories: the code of many old repositories has such ones."""
    tree = server.git("write-tree")
    entry = b"040000 old\0" + bytes.fromhex(tree)
    old = server.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=entry)
    run = server.git("commit-tree", "-m", "x", old)
    server.git("update-ref", "refs/runs/F/1", run)
    remote(repo).fetch([run])
    assert repo.git("cat-file", "-t", f"{run}:old") == "tree"
