"""Runs may be trusted because of who signed them: by a key's fingerprint, and nothing that only looks like it."""

from __future__ import annotations

import pytest

from gitflowrun.git.objects import Oid
from gitflowrun.git.signature import CommitSigner
from gitflowrun.runs.trust import Trust
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo
from tests.helpers.signing import (
    ADA,
    EVE,
    SshKey,
    content_of,
    gpg_home,
    make_signed_run,
    needs_gpg,
    needs_ssh,
    put_commit,
)

ONE, TWO = "refs/runs/MyFlow/1", "refs/runs/MyFlow/2"


@pytest.fixture
def theirs(mine: GitRepo) -> GitRepo:
    """A clone to which the signed runs are a stranger's."""
    for key in (mine.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()
    return mine


def _trusts(repo: GitRepo, ref: str = ONE) -> bool:
    return Trust(open_repo(repo)).trusts(Oid.from_hex(repo.git("rev-parse", ref)))


@needs_ssh
def test_a_signer_is_trusted_by_a_key(theirs: GitRepo, keys: dict[str, SshKey]) -> None:
    """A name stands for the keys that it has now; it is listed, and taken back by name or fingerprint."""
    key = keys[ADA].fingerprint
    assert not _trusts(theirs)
    done = theirs.runs("trust", "--signer", ADA)
    assert (done.code, done.err) == (0, "")
    assert (
        done.out
        == f"runs signed by {key} are trusted, whatever they are called and whoever sends them\n"
    )
    assert _trusts(theirs)
    assert not _trusts(theirs, f"{ONE}~1")
    line = next(it for it in theirs.runs("trust", "--list").out.splitlines() if key in it)
    assert line.startswith("signer")
    assert line.endswith(f"said to be {ADA}'s")
    (theirs.path / ".git" / "allowed").write_text(f"{ADA} {keys[EVE].public}\n")
    assert _trusts(theirs)
    assert theirs.runs("untrust", "--signer", ADA).code == 0
    assert not _trusts(theirs)
    assert theirs.runs("trust", "--signer", key).code == 0
    assert _trusts(theirs)
    assert theirs.runs("trust", "-d", "--signer", key).code == 0
    assert not _trusts(theirs)


@needs_ssh
def test_a_signer_without_a_key(theirs: GitRepo) -> None:
    """A name that has none is told, patterns and authorities are nobody's key; so is one that was not trusted."""
    done = theirs.runs("trust", "--signer", "nobody@example.org")
    assert (done.code, "no key is known" in done.err) == (128, True)
    assert "was not listed" in theirs.runs("untrust", "--signer", ADA).out
    assert theirs.runs("untrust").code == 129


@needs_ssh
def test_another_key_is_not_trusted(theirs: GitRepo, keys: dict[str, SshKey]) -> None:
    """Not even where the list of allowed signers gives it the trusted one's name."""
    (theirs.path / ".git" / "allowed").write_text(f"{ADA} {keys[EVE].public}\n")
    theirs.runs("trust", "--signer", ADA)
    assert not _trusts(theirs)


@needs_ssh
def test_nothing_but_what_was_signed_is_trusted(theirs: GitRepo, keys: dict[str, SshKey]) -> None:
    """Not a changed commit, a state on top of the signed one, or a run whose key was revoked."""
    theirs.runs("trust", "--signer", keys[ADA].fingerprint)
    one, two = content_of(theirs, ONE), content_of(theirs, TWO)
    put_commit(theirs, "MyFlow/5", one.replace(b": done", b": fine"))
    put_commit(theirs, "MyFlow/6", one.replace(one[5:45], two[5:45], 1))
    tip, message = theirs.git("rev-parse", ONE), theirs.git("log", "-1", "--format=%B", ONE)
    added = theirs.git("commit-tree", f"{ONE}^{{tree}}", "-p", tip, "-m", message)
    theirs.git("update-ref", "refs/runs/MyFlow/7", added)
    assert [_trusts(theirs, f"refs/runs/MyFlow/{it}") for it in (1, 5, 6, 7)] == [
        True,
        *[False] * 3,
    ]
    revoked = theirs.write(".git/revoked", keys[ADA].public + "\n")
    theirs.git("config", "gpg.ssh.revocationFile", str(revoked))
    assert not _trusts(theirs)


@needs_ssh
def test_signed_code_that_looks_like_a_run_is_none(
    theirs: GitRepo, keys: dict[str, SshKey]
) -> None:
    """Who is trusted signs commits of code as well, with files and messages that anybody has proposed."""
    theirs.runs("trust", "--signer", keys[ADA].fingerprint)
    opened = open_repo(theirs)
    signer, who = CommitSigner(opened.git), opened.signature()
    unsigned = content_of(theirs, ONE).partition(b"\ngpgsig")[0]
    message = content_of(theirs, ONE).partition(b"\n\n")[2]
    head, tree = (theirs.git("rev-parse", it) for it in ("HEAD", f"{ONE}^{{tree}}"))
    parents = {
        "of a branch": f"parent {head}\n",
        "without a history": "",
        "a merge": f"parent {theirs.git('rev-parse', f'{ONE}~1')}\nparent {head}\n",
    }
    identities = unsigned[unsigned.index(b"author") :]
    for number, (what, lines) in enumerate(parents.items(), 10):
        commit = f"tree {tree}\n{lines}".encode() + identities + b"\n\n" + message
        put_commit(theirs, f"MyFlow/{number}", signer.sign(commit, who))
        theirs.git("verify-commit", f"refs/runs/MyFlow/{number}")
        assert not _trusts(theirs, f"refs/runs/MyFlow/{number}"), what


@needs_ssh
def test_the_repositorys_programs_check_nothing(theirs: GitRepo, keys: dict[str, SshKey]) -> None:
    """A program that its config names could say that anything is good; and it would be run by reading."""
    theirs.runs("trust", "--signer", keys[EVE].fingerprint)
    says = f"#!/bin/sh\necho 'Good \"git\" signature with ED25519 key {keys[EVE].fingerprint}'\n"
    program = theirs.write(".git/says", f"{says}touch '{theirs.path}/canary'\n")
    program.chmod(0o755)
    theirs.git("config", "gpg.ssh.program", str(program))
    assert not _trusts(theirs)
    assert not (theirs.path / "canary").exists()


@needs_gpg
def test_a_signer_by_gpg(repo: GitRepo) -> None:
    """The keyring tells which keys an address has."""
    repo.git("config", "runs.sign", "true")
    with gpg_home():
        make_signed_run(repo)
        for key in (repo.path / ".git").glob("gitflowrun-key-*"):
            key.unlink()
        assert not _trusts(repo)
        assert repo.runs("trust", "--signer", ADA).code == 0
        assert _trusts(repo)
    with gpg_home():
        assert not _trusts(repo)
