"""Runs may be trusted because of who signed them: by a key's fingerprint, and nothing that only looks like it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from gitflowrun.git.objects import Oid
from gitflowrun.git.signing.signature import CommitSigner
from gitflowrun.git.signing.signature_check import SignatureCheck
from gitflowrun.runs.trust import Trust
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo
from tests.helpers.signing import (
    ADA,
    EVE,
    SshKey,
    content_of,
    gpg,
    gpg_home,
    make_signed_run,
    needs_gpg,
    needs_ssh,
    put_commit,
)

ONE, TWO = "refs/runs/MyFlow/1", "refs/runs/MyFlow/2"


@pytest.fixture
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config of the user's to be changed (`git config --global`)."""
    config = tmp_path / "config"
    config.write_text(Path(os.environ["GIT_CONFIG_GLOBAL"]).read_text())
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))


@pytest.fixture
def theirs(mine: GitRepo, request: pytest.FixtureRequest) -> GitRepo:
    """A clone to which the signed runs are a stranger's; its user's own config names the allowed signers."""
    request.getfixturevalue("own_config")
    mine.git("config", "--unset", "gpg.ssh.allowedSignersFile")
    mine.git("config", "--global", "gpg.ssh.allowedSignersFile", f"{mine.path}/.git/allowed")
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
    done = theirs.call("trust", "--signer", ADA)
    assert (done.code, done.err) == (0, "")
    assert (
        done.out
        == f"runs signed by {key} are trusted, whatever they are called and whoever sends them\n"
    )
    assert _trusts(theirs)
    assert not _trusts(theirs, f"{ONE}~1")
    line = next(it for it in theirs.call("trust", "--list").out.splitlines() if key in it)
    assert line.startswith("signer")
    assert line.endswith(f"said to be {ADA}'s")
    (theirs.path / ".git" / "allowed").write_text(f"{ADA} {keys[EVE].public}\n")
    assert _trusts(theirs)
    assert theirs.call("untrust", "--signer", ADA).code == 0
    assert not _trusts(theirs)
    assert theirs.call("trust", "--signer", key).code == 0
    assert _trusts(theirs)
    assert theirs.call("trust", "-d", "--signer", key).code == 0
    assert not _trusts(theirs)


@needs_ssh
def test_a_signer_without_a_key(theirs: GitRepo) -> None:
    """A name that has none is told, patterns and authorities are nobody's key; so is one that was not trusted."""
    done = theirs.call("trust", "--signer", "nobody@example.org")
    assert (done.code, "no key is known" in done.err) == (128, True)
    assert "was not listed" in theirs.call("untrust", "--signer", ADA).out
    assert theirs.call("untrust").code == 129


@needs_ssh
def test_another_key_is_not_trusted(theirs: GitRepo, keys: dict[str, SshKey]) -> None:
    """Not even where the list of allowed signers gives it the trusted one's name."""
    (theirs.path / ".git" / "allowed").write_text(f"{ADA} {keys[EVE].public}\n")
    theirs.call("trust", "--signer", ADA)
    assert not _trusts(theirs)


@needs_ssh
def test_a_list_limits_its_keys(theirs: GitRepo, keys: dict[str, SshKey]) -> None:
    """To what they may sign, and when: a name stands for no other key, and a run counts by the time it was signed."""
    allowed, public = theirs.path / ".git" / "allowed", keys[ADA].public
    day = time.strftime("%Y%m%d", time.localtime(time.time() - 86_400))
    limits = (
        'namespaces="file"', 'namespaces="!git,*"', "cert-authority", 'valid-before="20200101"',
        f'valid-before="{day}"', 'valid-after="209901010000Z"', 'valid-before="soon"', "sometimes",
        "valid-before", "namespaces", 'sometimes="git"',
    )  # fmt: skip
    for line in [f"{ADA} {it} {public}" for it in limits] + [f"{ADA},!{ADA} {public}"]:
        allowed.write_text(line + "\n")
        done = theirs.call("trust", "--signer", ADA)
        assert (line, done.code, "no key is known" in done.err) == (line, 128, True)
    fits = 'valid-after="20200101",namespaces="file,git",valid-before="20990101120000"'
    allowed.write_text(f'"x@y,{ADA}" {fits} {public} {EVE} {keys[EVE].public}\n')
    assert theirs.call("trust", "--signer", ADA).out.startswith(
        f"runs signed by {keys[ADA].fingerprint} are"
    )
    for options, is_trusted in (
        ("", True),
        (f'valid-after="{day}" ', True),
        ('namespaces="file" ', False),
        (f'valid-before="{day}" ', False),
        ('valid-after="20990101" ', False),
    ):
        allowed.write_text(f"{ADA} {options}{public}\n")
        assert (options, _trusts(theirs)) == (options, is_trusted)


@needs_ssh
def test_the_repositorys_config_makes_nobody_a_signer(
    theirs: GitRepo, keys: dict[str, SshKey]
) -> None:
    """Nor does it take back what the user knows to be revoked; `verify` says whose list it is that it goes by."""
    theirs.git("config", "--global", "--unset", "gpg.ssh.allowedSignersFile")
    theirs.git("config", "gpg.ssh.allowedSignersFile", f"{theirs.path}/.git/allowed")
    assert theirs.call("trust", "--signer", ADA).code == 128
    assert "list of signers is one that the repository's own" in " ".join(
        theirs.call("verify", "1", "--json").out.split()
    )
    theirs.call("trust", "--signer", keys[ADA].fingerprint)
    assert _trusts(theirs)
    revoked = theirs.write(".git/revoked", keys[ADA].public + "\n")
    theirs.git("config", "--global", "gpg.ssh.revocationFile", str(revoked))
    theirs.git("config", "gpg.ssh.revocationFile", str(theirs.write(".git/none", "")))
    assert not _trusts(theirs)
    assert "revoked" in theirs.call("verify", "1").out


@needs_ssh
def test_nothing_but_what_was_signed_is_trusted(theirs: GitRepo, keys: dict[str, SshKey]) -> None:
    """Not a changed commit, a state on top of the signed one, or a run whose key was revoked."""
    theirs.call("trust", "--signer", keys[ADA].fingerprint)
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
    theirs.call("trust", "--signer", keys[ADA].fingerprint)
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
    theirs.call("trust", "--signer", keys[EVE].fingerprint)
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
        assert repo.call("trust", "--signer", ADA).code == 0
        assert _trusts(repo)
    with gpg_home():
        assert not _trusts(repo)


@needs_gpg
@pytest.mark.parametrize("named", ["main", "sub"])
@pytest.mark.sample(1)
def test_a_signer_by_gpg_that_signs_with_a_subkey(repo: GitRepo, named: str) -> None:
    """The main key stands for those below it; one of these can be named itself, and stands for no other."""
    repo.git("config", "runs.sign", "true")
    with gpg_home():
        main = gpg("--list-keys", "--with-colons").partition("\nfpr:")[2].split(":")[8]
        gpg("--quick-add-key", main, "ed25519", "sign", "never")
        keys = re.findall("^fpr:+([0-9A-F]+):", gpg("--list-keys", "--with-colons"), re.MULTILINE)
        assert len(keys) == 2
        make_signed_run(repo)
        repo.git("config", "user.signingKey", f"{main}!")
        make_signed_run(repo)
        for key in (repo.path / ".git").glob("gitflowrun-key-*"):
            key.unlink()
        assert [_trusts(repo, ref) for ref in (ONE, TWO)] == [False, False]
        assert repo.call("trust", "--signer", keys[named == "sub"]).code == 0
        assert [_trusts(repo, ref) for ref in (ONE, TWO)] == [True, named == "main"]


def _left_to_its_signature(repo: GitRepo) -> str:
    """Make a run that gpg signs, and forget that it was made here; the fingerprint of the key."""
    make_signed_run(repo)
    for secret in (repo.path / ".git").glob("gitflowrun-key-*"):
        secret.unlink()
    return gpg("--list-keys", "--with-colons").partition("\nfpr:")[2].split(":")[8]


@needs_gpg
def test_a_key_of_gpg_that_was_revoked(repo: GitRepo) -> None:
    """From then on nothing that it has signed is trusted, though the key was named and is known."""
    repo.git("config", "runs.sign", "true")
    with gpg_home() as home:
        key = _left_to_its_signature(repo)
        assert repo.call("trust", "--signer", key).code == 0
        assert _trusts(repo)
        certificate = (home / "openpgp-revocs.d" / f"{key}.rev").read_text()
        gpg("--import", stdin=certificate.replace("\n:-----BEGIN", "\n-----BEGIN"))
        assert not _trusts(repo)


@needs_gpg
def test_a_key_that_is_disabled_is_nobodys(repo: GitRepo) -> None:
    """An address stands for no key that its owner has disabled."""
    repo.git("config", "runs.sign", "true")
    with gpg_home():
        make_signed_run(repo)
        key = gpg("--list-keys", "--with-colons").partition("\nfpr:")[2].split(":")[8]
        check = SignatureCheck(open_repo(repo).git)
        assert check.keys_of(ADA) == [key]
        gpg("--no-tty", "--command-fd", "0", "--edit-key", key, "disable", "save", stdin="")
        assert check.keys_of(ADA) == []


@needs_gpg
@pytest.mark.usefixtures("own_config")
def test_a_key_of_which_gpg_does_not_know_whose_it_is(repo: GitRepo) -> None:
    """An address stands for no key that only says to be its owner's; one that is named must not be refused."""
    repo.git("config", "runs.sign", "true")
    with gpg_home() as home:
        key = _left_to_its_signature(repo)
        assert repo.call("trust", "--signer", ADA).code == 0
        assert _trusts(repo)
        gpg("--import-ownertrust", stdin=f"{key}:2:\n")
        assert "[ unknown]" in gpg("--list-keys")
        assert not _trusts(repo)
        repo.call("untrust", "--signer", ADA)
        done = repo.call("trust", "--signer", ADA)
        assert (done.code, "that may sign now" in done.err) == (128, True)
        assert repo.call("trust", "--signer", key).code == 0
        assert _trusts(repo)
        repo.git("config", "--global", "gpg.minTrustLevel", "fully")
        repo.git("config", "gpg.minTrustLevel", "undefined")
        assert not _trusts(repo)
        assert "unknown signer" in repo.call("verify", "1").out
        repo.git("config", "--global", "--unset", "gpg.minTrustLevel")
        (home / "gpg.conf").write_text("trust-model direct\n")
        gpg("--import-ownertrust", stdin=f"{key}:3:\n")
        assert not _trusts(repo)
