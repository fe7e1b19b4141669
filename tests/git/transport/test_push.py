"""Runs are pushed with explicit refspecs, leases and hardened options, and what the other side says is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import RepositoryError
from gitflowrun.git.command import Completed
from gitflowrun.git.objects import Oid
from gitflowrun.git.refs import RefUpdate
from gitflowrun.git.transport.remote import _SYNCED, PUSHING, PushResult, Remote, parse_push
from gitflowrun.limits import (
    MAX_REFUSALS,
    REFS_A_PUSH,
)
from tests.git.transport.wire import UPDATE, Wire, remote
from tests.helpers.repos import GitRepo, make_repo


def test_push_creates_moves_and_deletes(repo: GitRepo, server: GitRepo, commits: list[Oid]) -> None:
    """Each change happens from the value that was expected."""
    origin = remote(repo)
    names = ["refs/runs/F/1", "refs/runs/F/2"]
    assert all(it.ok for it in origin.push([RefUpdate(name, commits[0], None) for name in names]))
    assert origin.refs("refs/runs/*") == dict.fromkeys(names, str(commits[0]))
    changes = [RefUpdate(names[0], commits[2], commits[0]), RefUpdate(names[1], None, commits[0])]
    assert all(it.ok for it in origin.push(changes))
    assert origin.refs() == {names[0]: str(commits[2])}
    assert server.git("for-each-ref", "--format=%(refname)") == names[0]


@pytest.mark.parametrize("durability", ["safe", "fast"])
def test_what_is_pushed_to_a_directory_is_on_the_disk(
    repo: GitRepo, server: GitRepo, commits: list[Oid], durability: str
) -> None:
    """Refs and loose objects too, which git leaves to the system: before it says that it has them."""
    repo.git("config", "runs.durability", durability)
    server.git("config", "core.fsync", "none")
    hook = server.path / "hooks/update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ngit config core.fsync >synced\n")
    hook.chmod(0o755)
    assert all(it.ok for it in remote(repo).push([RefUpdate("refs/runs/F/1", commits[0], None)]))
    told = {"safe": "all\n", "fast": "none\n"}[durability]
    assert (server.path / "synced").read_text() == told
    server.fsck()


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


def test_push_never_overwrites(repo: GitRepo, server: GitRepo, commits: list[Oid]) -> None:
    """A ref with another value than expected stays, also when the push would be a fast-forward."""
    server.git("fetch", "-q", str(repo.path), "main:refs/runs/F/1")
    origin = remote(repo)
    newer = Oid.from_hex(repo.commit("newer"))
    for change in (
        RefUpdate("refs/runs/F/1", newer, None),
        RefUpdate("refs/runs/F/1", newer, commits[0]),
        RefUpdate("refs/runs/F/1", None, commits[0]),
        RefUpdate("refs/runs/F/2", newer, commits[0]),
    ):
        (result,) = origin.push([change])
        assert (result.ok, result.stale) == (False, True)
    assert origin.refs() == {"refs/runs/F/1": str(commits[2])}


def test_atomic_push(repo: GitRepo, server: GitRepo, commits: list[Oid]) -> None:
    """One stale ref keeps an atomic push from changing anything."""
    server.git("fetch", "-q", str(repo.path), "main:refs/runs/F/2")
    changes = [RefUpdate(f"refs/runs/F/{number}", commits[0], None) for number in (1, 2, 3)]
    results = remote(repo).push(changes, atomic=True)
    assert [it.ok for it in results] == [False] * 3
    assert set(remote(repo).refs()) == {"refs/runs/F/2"}
    server.git("config", "receive.advertiseAtomic", "false")
    results = remote(repo).push([changes[0], changes[2]], atomic=True)
    assert [it.ok for it in results] == [True] * 2


def test_a_remote_that_can_store_nothing(
    repo: GitRepo, server: GitRepo, commits: list[Oid]
) -> None:
    """Each ref says why its objects were not stored, as git does once for all of them."""
    server.git("config", "receive.maxInputSize", "1")
    results = remote(repo).push([RefUpdate(f"refs/runs/F/{it}", commits[0], None) for it in (1, 2)])
    assert {it.ok for it in results} == {False}
    for result in results:
        assert result.reason.startswith("the remote could not store the objects: ")


def test_many_refs_go_in_batches(repo: GitRepo, server: GitRepo, commits: list[Oid]) -> None:
    """More refs than one push may have all arrive."""
    del server
    changes = [RefUpdate(f"refs/runs/F/{number}", commits[0], None) for number in range(1, 251)]
    origin = remote(repo)
    assert [it.name for it in origin.push(changes)] == [change.name for change in changes]
    assert len(origin.refs("refs/runs/*")) == 250


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


_PUSHED_WELL = Completed(0, b"To x\n*\tx:refs/runs/F/1\t[new]\nDone\n", "")


@pytest.mark.parametrize("verify", [False, True])
def test_what_a_push_says(
    repo: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, verify: bool
) -> None:
    """From which value to which, hooks of the user's only if they are to run, and that it is a push of ours."""
    del server
    wire = Wire(monkeypatch, _PUSHED_WELL)
    assert remote(repo).push([UPDATE], verify=verify, atomic=True) == [
        PushResult(UPDATE.name, ok=True)
    ]
    (words,), (options,), (git,) = wire.words, wire.options, wire.gits
    assert words[:2] == ("-c", "remote.origin.mirror=false")
    assert ("--no-verify" in words) is not verify
    assert {
        "push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no", "--atomic", "gc.auto=0",
        f"--receive-pack={_SYNCED}", f"--force-with-lease=refs/runs/F/1:{UPDATE.old}",
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
    wire = Wire(monkeypatch, cannot, _PUSHED_WELL)
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
    ("line", "result"),
    [
        ("*\ta:b\t[new]", PushResult("b", ok=True)), ("=\ta:b\t[up to date]", PushResult("b", ok=True)),
        ("!\ta:b\t[rejected] (stale info)", PushResult("b", ok=False, stale=True, reason="stale info")),
        *(
            (f"!\ta:b\t[remote rejected] ({it})", PushResult("b", ok=False, stale=True, reason=it))
            for it in ("reference already exists", "refname conflict", "incorrect old value provided")
        ),
        ("!\ta:b\t[remote rejected] (no (really))", PushResult("b", ok=False, reason="no (really)")),
        ("!\ta:b\t[rejected]", PushResult("b", ok=False, reason="[rejected]")),
        ("!\ta:b\t[rejected] ()", PushResult("b", ok=False, reason="[rejected] ()")),
        ("!!\ta:b\tx", None), ("!\ta:b", None), ("\ta:b\tx", None), ("! a:b x", None),
    ],
)  # fmt: skip
def test_lines_of_a_push(line: str, result: PushResult | None) -> None:
    """How a ref fared, and why; what is no such line says nothing."""
    assert parse_push(line.encode()) == ({"b": result} if result else {})


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
    Wire(monkeypatch, Completed(128, b"", "fatal: the remote end hung up unexpectedly"))

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
    Wire(monkeypatch, Completed(-9, b"", "remote: x"))
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
    Wire(monkeypatch, Completed(128, b"", "fatal: repository not found"))
    monkeypatch.setattr(Remote, "refs", lambda *_: pytest.fail("asked"))
    with pytest.raises(RepositoryError, match="can't push to 'origin': repository not found"):
        remote(repo).push([UPDATE])
