"""Remotes are read, fetched from and pushed to with explicit refspecs, leases and hardened options."""

from __future__ import annotations

import os
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import RepositoryError, UsageError
from gitflowrun.git import transport
from gitflowrun.git.command import Completed, Git
from gitflowrun.git.objects import Oid
from gitflowrun.git.odb import History
from gitflowrun.git.pack import publish
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.repository import Repository
from gitflowrun.git.transport import PUSHING, PushResult, Remote, default_remote, parse_push
from gitflowrun.limits import (
    CUT_DEPTH,
    FETCH_ALLOCATION,
    FETCH_STREAMED,
    MAX_NOTICES,
    MAX_REFUSALS,
    MAX_WORDS,
    PLACE_DIGITS,
    REFS_A_PUSH,
)
from tests.helpers.packs import objects_dir
from tests.helpers.repos import GitRepo, make_repo


@pytest.fixture
def server(tmp_path: Path, repo: GitRepo) -> GitRepo:
    """A bare repository, `origin` of `repo`."""
    path = tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    repo.git("remote", "add", "origin", str(path))
    return GitRepo(path)


@pytest.fixture
def oids(repo: GitRepo) -> list[Oid]:
    """Three commits in a row."""
    return [Oid.from_hex(repo.commit(f"{number}")) for number in range(3)]


def remote(repo: GitRepo, name: str = "origin") -> Remote:
    """A remote of `repo`."""
    return Remote(Repository.discover(repo.path), name)


def test_push_creates_moves_and_deletes(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """Each change happens from the value that was expected."""
    origin = remote(repo)
    names = ["refs/runs/F/1", "refs/runs/F/2"]
    assert all(it.ok for it in origin.push([RefUpdate(name, oids[0], None) for name in names]))
    assert origin.refs("refs/runs/*") == dict.fromkeys(names, str(oids[0]))
    changes = [RefUpdate(names[0], oids[2], oids[0]), RefUpdate(names[1], None, oids[0])]
    assert all(it.ok for it in origin.push(changes))
    assert origin.refs() == {names[0]: str(oids[2])}
    assert server.git("for-each-ref", "--format=%(refname)") == names[0]


def test_nothing_else_is_pushed(repo: GitRepo, server: GitRepo, tmp_path: Path) -> None:
    """Whatever is configured for branches: tags stay here, and submodules neither go along nor are in the way."""
    inner = make_repo(tmp_path / "inner")
    repo.git("submodule", "--quiet", "add", str(inner.path), "sub")
    (repo.path / "sub" / "new").write_text("")
    GitRepo(repo.path / "sub").commit("that inner does not have")
    tip = Oid.from_hex(repo.commit("with a submodule"))
    repo.git("tag", "-a", "-m", "annotated", "v1")
    repo.git("config", "push.followTags", "true")
    heads = inner.git("for-each-ref")
    for number, word in enumerate(["check", "on-demand", "only"]):
        repo.git("config", "push.recurseSubmodules", word)
        assert [it.ok for it in remote(repo).push([RefUpdate(f"refs/x/{number}", tip, None)])] == [
            True
        ]
    assert server.git("for-each-ref", "--format=%(refname)").split() == [
        f"refs/x/{n}" for n in range(3)
    ]
    assert inner.git("for-each-ref") == heads


def test_push_never_overwrites(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """A ref with another value than expected stays, also when the push would be a fast-forward."""
    server.git("fetch", "-q", str(repo.path), "main:refs/runs/F/1")
    origin = remote(repo)
    newer = Oid.from_hex(repo.commit("newer"))
    for change in (
        RefUpdate("refs/runs/F/1", newer, None),
        RefUpdate("refs/runs/F/1", newer, oids[0]),
        RefUpdate("refs/runs/F/1", None, oids[0]),
        RefUpdate("refs/runs/F/2", newer, oids[0]),
    ):
        (result,) = origin.push([change])
        assert (result.ok, result.stale) == (False, True)
    assert origin.refs() == {"refs/runs/F/1": str(oids[2])}


def test_atomic_push(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """One stale ref keeps an atomic push from changing anything."""
    server.git("fetch", "-q", str(repo.path), "main:refs/runs/F/2")
    changes = [RefUpdate(f"refs/runs/F/{number}", oids[0], None) for number in (1, 2, 3)]
    results = remote(repo).push(changes, atomic=True)
    assert [it.ok for it in results] == [False] * 3
    assert set(remote(repo).refs()) == {"refs/runs/F/2"}
    server.git("config", "receive.advertiseAtomic", "false")
    results = remote(repo).push([changes[0], changes[2]], atomic=True)
    assert [it.ok for it in results] == [True] * 2


def test_a_remote_that_can_store_nothing(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """Each ref says why its objects were not stored, as git does once for all of them."""
    server.git("config", "receive.maxInputSize", "1")
    results = remote(repo).push([RefUpdate(f"refs/runs/F/{it}", oids[0], None) for it in (1, 2)])
    assert {it.ok for it in results} == {False}
    for result in results:
        assert result.reason.startswith("the remote could not store the objects: ")


def test_many_refs_go_in_batches(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """More refs than one push may have all arrive."""
    del server
    changes = [RefUpdate(f"refs/runs/F/{number}", oids[0], None) for number in range(1, 251)]
    origin = remote(repo)
    assert [it.name for it in origin.push(changes)] == [change.name for change in changes]
    assert len(origin.refs("refs/runs/*")) == 250


def test_fetch_changes_no_refs(repo: GitRepo, server: GitRepo, oids: list[Oid]) -> None:
    """No tracking branch, tag or FETCH_HEAD changes with a fetch of runs."""
    server.git(
        "fetch", "-q", str(repo.path), "main:main", "main:refs/runs/F/1", "main:refs/tags/v1"
    )
    before = repo.git("for-each-ref")
    remote(repo).fetch([str(oids[2])])
    assert repo.git("for-each-ref") == before
    assert not (repo.path / ".git" / "FETCH_HEAD").exists()
    with pytest.raises(RepositoryError, match="not our ref"):
        remote(repo).fetch(["12" * 20])


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of each git that talks to a remote from now on."""
    calls: list[list[str]] = []
    real = Git.converse

    def converse(self: Git, *words: str, **options: Any) -> Completed:
        calls.append(list(words))
        return real(self, *words, **options)

    monkeypatch.setattr(Git, "converse", converse)
    return calls


@pytest.mark.parametrize(("durability", "syncs"), [("safe", True), ("fast", False)])
def test_what_is_fetched_is_synced(
    repo: GitRepo, server: GitRepo, oids: list[Oid], monkeypatch: pytest.MonkeyPatch,
    durability: str, syncs: bool,
) -> None:  # fmt: skip
    """`runs.durability = safe` syncs a fetched pack, whatever the user's git does, and its directory; not `fast`."""
    server.git("fetch", "-q", str(repo.path), f"+{oids[0]}:refs/heads/main")
    run = without_parents(server, "refs/runs/F/1")
    repo.git("config", "runs.durability", durability)
    calls = recorded(monkeypatch)
    synced: list[Path] = []
    monkeypatch.setattr(publish, "sync_directory", synced.append)
    remote(repo).fetch([str(run)])
    (words,) = [it for it in calls if "fetch" in it]
    pairs = [*pairwise(words[: words.index("fetch")])]
    assert (("-c", "core.fsync=objects") in pairs) is syncs
    assert synced == ([objects_dir(repo) / "pack"] if syncs else [])


def test_what_is_received_is_checked_and_bounded(
    repo: GitRepo, server: GitRepo, oids: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch checks objects, keeps them in a pack, runs no housekeeping, and touches nothing but the named refs."""
    server.git("fetch", "-q", str(repo.path), f"+{oids[0]}:refs/heads/main")
    run = without_parents(server, "refs/runs/F/1")
    calls = recorded(monkeypatch)
    remote(repo).fetch([str(run)])
    (words,) = [it for it in calls if "fetch" in it]
    assert {
        "transfer.fsckObjects=true", "core.abbrev=40", "core.alternateRefsCommand=true", "--quiet", "--stdin",
        "fetch.fsckObjects=true", "fetch.unpackLimit=1", "gc.auto=0", "maintenance.auto=false",
        f"core.bigFileThreshold={FETCH_STREAMED}", f"core.deltaBaseCacheLimit={FETCH_STREAMED}",
        "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=",
        "--upload-pack=git-upload-pack", "--end-of-options",
    } <= {*words}  # fmt: skip


@pytest.mark.parametrize("name", ["", "-x", "--upload-pack=touch canary", "a\nb", "a\0b"])
def test_options_are_no_remotes(repo: GitRepo, name: str) -> None:
    """A name that git could take for an option never reaches it."""
    with pytest.raises(UsageError, match="can't be a remote"):
        remote(repo, name)
    assert not (repo.path / "canary").exists()


def test_remotes_that_run_commands_are_refused(repo: GitRepo) -> None:
    """`ext::` runs nothing, not even where the config allows it."""
    repo.git("config", "protocol.ext.allow", "always")
    with pytest.raises(RepositoryError, match="not allowed"):
        remote(repo, "ext::sh -c touch% canary").refs()
    assert not (repo.path / "canary").exists()


def test_unknown_remotes(repo: GitRepo, server: GitRepo) -> None:
    """A misspelt name brings the nearest one; a path that is no repository brings git's words."""
    del server
    with pytest.raises(RepositoryError, match="no remote 'orign'") as caught:
        remote(repo, "orign")
    assert caught.value.hint == "did you mean 'origin'?"
    with pytest.raises(RepositoryError, match="does not appear to be a git repository"):
        remote(repo, "./nothing").refs()


def test_the_label_tells_places_apart_and_not_names(repo: GitRepo, server: GitRepo) -> None:
    """A remote that is renamed, or reached with another password, is the same; one that moved is not."""
    repo.git("remote", "add", "again", os.path.relpath(server.path, repo.path))
    assert remote(repo, "again").label == remote(repo).label == remote(repo, str(server.path)).label
    first, *others = (
        remote(repo, url).label
        for url in (
            "https://example.org/x",
            "https://ada:secret@example.org/x/",
            "https://token@example.org/x",
            "https://example.org/y",
            "ssh://ada@example.org/x",
            "ssh://bob@example.org/x",
            "example.org:x",
        )
    )
    assert others[:2] == [first] * 2
    assert len({first, *others[2:]}) == 5
    assert "secret" not in remote(repo, "https://ada:secret@example.org/x").place
    repo.git("config", "url.https://example.org/.insteadOf", "ex:")
    repo.git("remote", "add", "short", "ex:x")
    assert remote(repo, "short").label == first


def test_a_hook_is_told_which_of_its_urls_a_remote_is_pushed_to(
    repo: GitRepo, server: GitRepo
) -> None:
    """It is the remote itself only where that is fetched from there as well, and pushed nowhere else."""
    one, url = str(server.path), str(server.path.parent / "two")
    repo.git("remote", "add", "apart", one)
    repo.git("remote", "set-url", "--push", "apart", url)
    repo.git("remote", "add", "both", one)
    for push_url in (one, url):
        repo.git("remote", "set-url", "--push", "--add", "both", push_url)
    assert remote(repo).at(one).name == "origin"
    assert remote(repo).at(url).name == url
    for name in ("apart", "both"):
        assert [remote(repo, name).at(it).name for it in (one, url)] == [one, url]
    assert [it.name for it in remote(repo).for_push()] == ["origin"]
    assert [it.name for it in remote(repo, "apart").for_push()] == [url]
    assert [it.name for it in remote(repo, "both").for_push()] == [one, url]


def test_default_remote(repo: GitRepo) -> None:
    """The remote is the one that git would use; without a choice the error says which there are."""

    def found(*, push: bool = False) -> str:
        return default_remote(Repository.discover(repo.path), push=push)

    with pytest.raises(RepositoryError, match="no remote"):
        found()
    repo.git("remote", "add", "only", "x")
    assert found() == "only"
    repo.git("remote", "add", "other", "x")
    with pytest.raises(RepositoryError, match="several") as caught:
        found()
    assert caught.value.hint == "name one of only, other"
    repo.git("remote", "add", "origin", "x")
    assert found() == "origin"
    repo.git("config", "branch.main.remote", "other")
    repo.git("config", "remote.pushDefault", "only")
    assert (found(), found(push=True)) == ("other", "only")
    repo.git("config", "branch.main.pushRemote", "origin")
    assert found(push=True) == "origin"


_TEXT = st.text(
    st.characters(exclude_characters="\t:", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=9
)
_PUSHED = st.tuples(st.sampled_from(" +-*!="), _TEXT, _TEXT, _TEXT, _TEXT)


@given(st.lists(_PUSHED, max_size=4), st.binary(max_size=9).filter(lambda it: b"\t" not in it))
def test_any_push_output_is_parsed(lines: list[tuple[str, ...]], noise: bytes) -> None:
    """Whatever a remote makes git print, each line of a ref yields how it fared, and no other line does."""
    told = [f"{flag}\t{ours}:{name}\t{word} ({why})" for flag, ours, name, word, why in lines]
    results = parse_push("\n".join(["To x", *told, "Done", ""]).encode() + noise)
    last = {name: (flag != "!", why or f"{word} ()") for flag, _, name, word, why in lines}
    assert {name: result.ok for name, result in results.items()} == {
        name: ok for name, (ok, _) in last.items()
    }
    for name, (ok, why) in last.items():
        assert results[name].name == name
        assert "(" in why or results[name].reason == ("" if ok else why)


def test_history(repo: GitRepo, oids: list[Oid]) -> None:
    """First parents lead to where a history began; what is no commit leads nowhere."""
    blob = Oid.from_hex(repo.git("hash-object", "-w", "--stdin", stdin=b"x"))
    repository = Repository.discover(repo.path)
    history = History(repository.git, [*oids, blob])
    assert history.root(oids[2]) == Oid.from_hex(repo.git("rev-list", "--max-parents=0", "HEAD"))
    assert history.leads_to(oids[2], oids[0])
    assert not history.leads_to(oids[0], oids[2])
    assert history.root(blob) is None
    assert History(repository.git, []).root(oids[0]) is None


def test_what_was_merged_is_no_part_of_a_history(
    repo: GitRepo, oids: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much a second parent leads to: a line has its limit, and what is beside it counts for nothing."""
    side = str(oids[0])
    for number in range(9):
        side = repo.git("commit-tree", "HEAD^{tree}", "-p", side, "-m", f"side {number}")
    merge = repo.git("commit-tree", "HEAD^{tree}", "-p", str(oids[1]), "-p", side, "-m", "merge")
    tip = Oid.from_hex(merge)
    monkeypatch.setattr("gitflowrun.git.odb.MAX_STATES", 6)
    monkeypatch.setattr("gitflowrun.git.odb.STATES_A_RUN", 1)
    history = History(Repository.discover(repo.path).git, [tip])
    assert history.has_merge(tip)
    assert not history.has_merge(oids[1])
    assert [*history.line(tip)][:3] == [tip, oids[1], oids[0]]
    assert not history.leads_to(tip, Oid.from_hex(side))
    monkeypatch.setattr("gitflowrun.git.odb.MAX_STATES", 3)
    with pytest.raises(RepositoryError, match="has more than 4 commits"):
        History(Repository.discover(repo.path).git, [tip])


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


def test_a_remote_of_another_user_says_what_git_wants(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What git says of the owner comes with the setting that allows it, for exactly the path that git means."""
    # For git here, and not for the one that serves the remote, which drops settings of the environment.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")
    for name in ("origin", f"file://{server.path}"):
        with pytest.raises(RepositoryError, match="dubious ownership") as caught:
            remote(repo, name).refs()
        assert caught.value.hint is not None
        command = shlex.split(caught.value.hint.partition("if you trust it: ")[2])
        assert command[:-1] == ["git", "config", "--global", "--add", "safe.directory"]
        assert Path(command[-1]) == server.path


def test_a_url_of_several_lines_is_refused(repo: GitRepo) -> None:
    """Nothing is sent to, or trusted under, the half of a URL."""
    repo.git("remote", "add", "odd", "https://example.org/a\nhttps://example.org/b")
    with pytest.raises(RepositoryError, match="the url of the remote 'odd' has a line break"):
        remote(repo, "odd")


class _Wire:
    """Stands in for git where it talks to a remote: notes what it is asked, and says what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *said: Completed) -> None:
        self.said = [*said]
        self.words: list[tuple[str, ...]] = []
        self.options: list[dict[str, Any]] = []
        self.gits: list[Git] = []
        wire = self

        def converse(self: Git, *words: str, **options: Any) -> Completed:
            wire.gits.append(self)
            wire.words.append(words)
            wire.options.append(options)
            return wire.said.pop(0) if len(wire.said) > 1 else wire.said[0]

        monkeypatch.setattr(Git, "converse", converse)


UPDATE = RefUpdate("refs/runs/F/1", Oid(b"\1" * 20), Oid(b"\2" * 20))
_PUSHED_WELL = Completed(0, b"To x\n*\tx:refs/runs/F/1\t[new]\nDone\n", "")


@pytest.mark.parametrize("verify", [False, True])
def test_what_a_push_says(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, verify: bool
) -> None:
    """From which value to which, hooks of the user's only if they are to run, and that it is a push of ours."""
    del server
    wire = _Wire(monkeypatch, _PUSHED_WELL)
    assert remote(repo).push([UPDATE], verify=verify, atomic=True) == [
        PushResult(UPDATE.name, ok=True)
    ]
    (words,), (options,), (git,) = wire.words, wire.options, wire.gits
    assert words[:2] == ("-c", "remote.origin.mirror=false")
    assert ("--no-verify" in words) is not verify
    assert {
        "push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no", "--atomic", "gc.auto=0",
        "--receive-pack=git-receive-pack", f"--force-with-lease=refs/runs/F/1:{UPDATE.old}",
    } <= {*words}  # fmt: skip
    assert words[-3:] == ("--end-of-options", "origin", f"{UPDATE.new}:refs/runs/F/1")
    assert (options["env"][PUSHING], options["env"]["GIT_SHALLOW_FILE"]) == ("1", "/dev/null")
    assert ("core.hooksPath=/dev/null" in git.command([])) is not verify
    assert git._programs
    remote(repo, "ssh://x/y").push([UPDATE])
    assert not [it for it in wire.words[1] if "mirror" in it or "receive-pack" in it]
    assert "--atomic" not in wire.words[1]


def test_a_remote_that_knows_no_atomic_push(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again without; what fails for another reason is told."""
    del server
    cannot = Completed(128, b"", "fatal: the receiving end does not support --atomic push")
    wire = _Wire(monkeypatch, cannot, _PUSHED_WELL)
    assert remote(repo).push([UPDATE], verify=False, atomic=True)[0].ok
    assert ["--atomic" in it for it in wire.words] == [True, False]
    assert all("--no-verify" in it for it in wire.words)
    for atomic, said in ((False, cannot), (True, Completed(128, b"", "fatal: no"))):
        wire.said = [said]
        with pytest.raises(RepositoryError, match="can't push to 'origin': "):
            remote(repo).push([UPDATE], atomic=atomic)


def test_pushes_go_in_batches(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hundred refs, in their order."""
    del server
    seen: list[int] = []

    def push(_: Remote, changes: list[RefUpdate], **options: bool) -> list[PushResult]:
        seen.append(len(changes))
        assert options == {"atomic": True, "verify": False}
        return [PushResult(it.name, ok=True) for it in changes]

    monkeypatch.setattr(Remote, "_push", push)
    changes = [
        RefUpdate(f"refs/runs/F/{it}", UPDATE.new, None) for it in range(2 * REFS_A_PUSH + 1)
    ]
    results = remote(repo).push(changes, atomic=True, verify=False)
    assert [it.name for it in results] == [it.name for it in changes]
    assert seen == [REFS_A_PUSH, REFS_A_PUSH, 1]


def test_what_a_hook_refuses_is_left_out_and_the_rest_pushed_again(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it names something; who names one after the other is not asked without end."""
    del server
    names = [f"refs/runs/F/{number}" for number in range(MAX_REFUSALS + 3)]
    asked: list[list[str]] = []

    def answer(
        _: Remote, changes: list[RefUpdate], **options: bool
    ) -> tuple[dict[str, PushResult], str]:
        assert options == {"atomic": True, "verify": False}
        asked.append([it.name for it in changes])
        refused = changes[0].name if len(asked) <= limit else ""
        said = f"remote: refused: {refused}: no\nremote: hello\n" if refused else "remote: hello\n"
        return {it.name: PushResult(it.name, ok=not refused, reason="hook") for it in changes}, said

    monkeypatch.setattr(Remote, "_push_once", answer)
    for limit in (0, 1, 2, 99):
        asked.clear()
        origin = remote(repo)
        origin.words = ["before"]
        changes = [RefUpdate(name, UPDATE.new, None) for name in names]
        results = origin.push(changes, atomic=True, verify=False)
        assert [it.name for it in results] == names
        count = min(limit, MAX_REFUSALS)
        assert [it.reason for it in results[:count]] == [f"{name}: no" for name in names[:count]]
        assert [it.ok for it in results] == [False] * count + [limit < MAX_REFUSALS] * (
            len(names) - count
        )
        assert len(asked) == min(limit + 1, MAX_REFUSALS)
        assert asked[-1] == names[len(asked) - 1 :]
        assert origin.words == (["before", "hello"] if limit < MAX_REFUSALS else ["before"])
    asked.clear()
    limit = 99
    assert [it.ok for it in remote(repo).push([changes[0]], atomic=True, verify=False)] == [False]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("err", "hint"),
    [
        ("fatal: Could not read from remote repository.\n", "check the URL"),
        ("fatal: Could not resolve host: x\n", "check the URL"),
        (
            "fatal: detected dubious ownership in repository at '/no/where'\n",
            "; there, if you trust it",
        ),
        ("fatal: detected dubious ownership in repository at '/tmp'\n", "; if you trust it"),
        ("fatal: unsafe repository ('/no/where' is owned by X)\n", "safe.directory /no/where"),
        ("fatal: something else\n", None),
    ],
)
def test_a_remote_that_can_not_be_reached(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, err: str, hint: str | None
) -> None:
    """What stands before git's own error is told with it, and what may be done."""
    del server
    _Wire(monkeypatch, Completed(128, b"a hook\n", f"remote: a server\nhint: none\n{err}"))
    with pytest.raises(RepositoryError) as caught:
        remote(repo).refs()
    reason = err.removeprefix("fatal: ").strip()
    assert caught.value.message == f"can't read from 'origin': a hook; a server; {reason}"
    assert (hint or "") in (caught.value.hint or "")
    assert (caught.value.hint is None) is (hint is None)


def test_what_a_remote_lists(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and ids as it says them, without what is no such line; patterns reach it."""
    del server
    wire = _Wire(monkeypatch, Completed(0, b"", ""))
    real = Git.converse

    def listing(self: Git, *words: str, **options: Any) -> Completed:
        options["stdout"].write(b"12\trefs/x\nrubbish\n34\trefs/\xffy\n")
        return real(self, *words, **options)

    monkeypatch.setattr(Git, "converse", listing)
    assert remote(repo).refs("refs/*") == {"refs/x": "12", "refs/\udcffy": "34"}
    (words,) = wire.words
    assert words[-3:] == ("--end-of-options", "origin", "refs/*")
    assert {"ls-remote", "--quiet", "--refs", "--upload-pack=git-upload-pack"} <= {*words}


def test_what_a_fetch_is_given(
    repo: GitRepo, server: GitRepo, oids: list[Oid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ids, a bound of memory, a place apart, and an old commit; a clone that is shallow has its own."""
    del server
    wire = _Wire(monkeypatch, Completed(0, b"", ""))
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
    assert remote(repo).fetch([str(oids[0])]) == []
    (repo.path / ".git/shallow").write_text(f"{oids[0]}\n")
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
    assert remote(repo)._oldest() == str(oids[1]).encode()
    repo.git("update-ref", "refs/remotes/origin/HEAD", str(oids[0]))
    assert remote(repo)._oldest() == repo.git("rev-parse", f"{oids[0]}~1").encode()
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
    wire = _Wire(monkeypatch, Completed(128, b"", err))
    for known in (True, False):
        wire.words.clear()
        if not known:
            monkeypatch.setattr(Remote, "_oldest", lambda _: None)
        with pytest.raises(RepositoryError, match=err.removeprefix("fatal: ")):
            remote(repo).fetch(["12" * 20])
        assert len(wire.words) == (tries if known else 1)
    assert not [*(objects_dir(repo) / "gitflowrun").glob("*")]


def test_where_a_remote_is() -> None:
    """URLs are told from paths as git does; what may change while a place stays is left out."""
    for text, is_one in (
        ("a:b", True),
        ("https://x", True),
        ("/a:b", False),
        ("a/b:c", False),
        ("a", False),
    ):
        assert transport._is_url(text) is is_one
    for url, place in (
        ("https://ada:pw@x/y/", "https://x/y"), ("http://ada@x", "http://x"), ("ssh://ada:pw@x/y@z", "ssh://ada@x/y@z"),
        ("ssh://x/y//", "ssh://x/y"), ("x:y/", "x:y"), ("file:///y", "file:///y"),
    ):  # fmt: skip
        assert transport._without_password(url) == place
    assert len(transport.label_of("x")) == PLACE_DIGITS
    assert transport.label_of("x") == transport.label_of("x") != transport.label_of("y")


def test_what_a_place_may_be_called(repo: GitRepo, server: GitRepo) -> None:
    """A path, a URL or a directory that is there; and it is called by its name, or by where it is."""
    del server
    for name, is_one in (
        ("a/b", True),
        ("a:b", True),
        (".", True),
        ("..", True),
        (".git", True),
        ("nothing", False),
    ):
        assert transport._is_location(name, repo.path) is is_one
    assert remote(repo).title == "origin"
    assert remote(repo, "https://a:b@x/y").title == "https://x/y"
    for name, is_elsewhere in (
        ("ssh://x/y", True),
        ("x:y", True),
        (f"file://{repo.path}", False),
        (".", False),
    ):
        assert remote(repo, name)._is_elsewhere() is is_elsewhere
        assert remote(repo, name)._program("upload") == (
            () if is_elsewhere else ("--upload-pack=git-upload-pack",)
        )


def test_the_words_of_a_remote() -> None:
    """The first of them, cut, without git's own; what a hook of ours refuses is known by its ref."""
    lines = [f"remote: {number}" for number in range(MAX_NOTICES + 1)]
    assert transport._words("\n".join(lines), "remote: ") == [str(it) for it in range(MAX_NOTICES)]
    assert transport._words(f"{'x' * (MAX_WORDS + 1)}\nhint: y\n \n", "") == ["x" * MAX_WORDS]
    assert transport._words(
        "here\nremote:   there  \nremote: error: cannot lock ref x", "remote: "
    ) == ["there"]
    assert transport._declined("remote: refused: refs/x: why\nremote: refused: \nother") == {
        "refs/x": "refs/x: why"
    }
    failed = {name: PushResult(name, ok=False, reason=name) for name in ("unpacker error", "other")}
    found = transport._with_cause(failed, "error: remote unpack failed: disk full \n")
    assert [it.reason for it in found.values()] == [
        "the remote could not store the objects: disk full",
        "other",
    ]
    assert transport._with_cause(failed, "nothing") == failed


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, unless the user has said what git is to do."""
    monkeypatch.delenv("GIT_TERMINAL_PROMPT", raising=False)
    for terminals, asks in (((), False), ((0,), True), ((2,), True), ((1, 3), False)):
        monkeypatch.setattr(os, "isatty", lambda fd, them=terminals: fd in them)
        assert transport._prompts() == ({} if asks else {"GIT_TERMINAL_PROMPT": "0"})
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "1")
    assert transport._prompts() == {}


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("*\ta:b\t[new]", PushResult("b", ok=True)), ("=\ta:b\t[up to date]", PushResult("b", ok=True)),
        ("!\ta:b\t[rejected] (stale info)", PushResult("b", ok=False, stale=True, reason="stale info")),
        ("!\ta:b\t[remote rejected] (no (really))", PushResult("b", ok=False, reason="no (really)")),
        ("!\ta:b\t[rejected]", PushResult("b", ok=False, reason="[rejected]")),
        ("!\ta:b\t[rejected] ()", PushResult("b", ok=False, reason="[rejected] ()")),
        ("!!\ta:b\tx", None), ("!\ta:b", None), ("\ta:b\tx", None), ("! a:b x", None),
    ],
)  # fmt: skip
def test_lines_of_a_push(line: str, result: PushResult | None) -> None:
    """How a ref fared, and why; what is no such line says nothing."""
    assert parse_push(line.encode()) == ({"b": result} if result else {})


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


@pytest.mark.parametrize(
    ("there", "result"),
    [
        ({UPDATE.name: str(UPDATE.new)}, PushResult(UPDATE.name, ok=True)), ({UPDATE.name: "12"}, None),
        ({}, None), (None, None),
    ],
)  # fmt: skip
def test_a_remote_that_dies_may_have_moved_a_ref(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch,
    there: dict[str, str] | None, result: PushResult | None,
) -> None:  # fmt: skip
    """It is asked what it has; if that can't be told, or is not what was pushed, the error is that of the push."""
    del server
    _Wire(monkeypatch, Completed(128, b"", "fatal: the remote end hung up unexpectedly"))

    def refs(_: Remote, *names: str) -> dict[str, str]:
        assert names == (UPDATE.name,)
        if there is None:
            raise RepositoryError("it can't be reached")
        return there

    monkeypatch.setattr(Remote, "refs", refs)
    if result:
        assert remote(repo).push([UPDATE]) == [result]
        return
    with pytest.raises(RepositoryError, match="can't push to 'origin': the remote end hung up"):
        remote(repo).push([UPDATE])


def test_of_several_refs_those_that_moved_are_told(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ref that was to go, and is not there, has gone; of the others the reason is the push's error."""
    del server
    _Wire(monkeypatch, Completed(-9, b"", "remote: x"))
    gone = RefUpdate("refs/runs/F/2", None, UPDATE.new)
    monkeypatch.setattr(Remote, "refs", lambda *_: {})
    first, second = remote(repo).push([UPDATE, gone])
    assert (first.ok, second) == (False, PushResult(gone.name, ok=True))
    assert first.reason.startswith("can't push to 'origin': ")


def test_what_a_push_fails_of_is_told_where_nothing_broke(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remote is not asked again for what it has refused to listen to."""
    del server
    _Wire(monkeypatch, Completed(128, b"", "fatal: repository not found"))
    monkeypatch.setattr(Remote, "refs", lambda *_: pytest.fail("asked"))
    with pytest.raises(RepositoryError, match="can't push to 'origin': repository not found"):
        remote(repo).push([UPDATE])
