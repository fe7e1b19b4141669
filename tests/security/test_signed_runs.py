"""Runs are signed when they end, by ssh and gpg, so that stock git takes the signatures; a failure loses no run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.git.signing.signature import CommitSigner, split_signature, with_signature
from gitflowrun.limits import MAX_SIGNATURE
from gitflowrun.runs.commit_message import Status
from tests.helpers.flows import eventually, family, linear_flow
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, open_repo, start_run
from tests.helpers.signing import ADA, SshKey, gpg_home, needs_gpg, needs_ssh, sign_by_ssh

COMMIT = b"tree 1\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nsubject\n\nbody\ngpgsig no\n"


@pytest.fixture
def key(tmp_path: Path) -> SshKey:
    """Ada's key."""
    return SshKey.make(tmp_path / "id")


def _finish(repo: GitRepo, status: Status = Status.DONE) -> str:
    """Make a run; its ref."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1")])
        writer.commit([], status=status)
        assert writer.unsigned is None
        return f"refs/runs/{writer.identity.pathspec}"


@needs_ssh
@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED, Status.INTERRUPTED])
def test_the_last_commit_is_signed_for_stock_git(
    repo: GitRepo, key: SshKey, status: Status
) -> None:
    """However a run ends, `git verify-commit` takes its last commit, and only that one has a signature."""
    sign_by_ssh(repo, key, f"{ADA} {key.public}")
    ref = _finish(repo, status)
    repo.git("verify-commit", ref)
    assert "gpgsig" not in repo.git("cat-file", "commit", f"{ref}~1")
    repo.fsck()


@needs_ssh
def test_a_key_may_be_named_as_git_allows_it(
    repo: GitRepo, key: SshKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A public key's file, `~/`, a literal key of the agent, and a command that prints one, sign as well."""
    monkeypatch.setenv("HOME", str(tmp_path))
    agent = repo.git("-c", "alias.a=!ssh-agent -s", "a").replace("\n", "")
    socket, pid = (agent.partition(f"{name}=")[2].partition(";")[0] for name in ("SOCK", "PID"))
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    try:
        repo.git("-c", f"alias.a=!ssh-add -q '{key.path}'", "a")
        for name in (f"{key.path}.pub", "~/id", f"key::{key.public}", key.public):
            sign_by_ssh(repo, name, f"{ADA} {key.public}")
            repo.git("verify-commit", _finish(repo))
        repo.git("config", "--unset", "user.signingKey")
        repo.git("config", "gpg.ssh.defaultKeyCommand", f"sed 's/^/key::/' '{key.path}.pub'")
        repo.git("verify-commit", _finish(repo))
    finally:
        os.kill(int(pid), 15)


@needs_gpg
def test_gpg_signs_by_default(repo: GitRepo) -> None:
    """Without settings the key is the committer's, as with `git commit -S`; `gpg.program` may be another one."""
    repo.git("config", "runs.sign", "true")
    with gpg_home():
        repo.git("verify-commit", _finish(repo))
        program = repo.write(".git/mygpg", '#!/bin/sh\nexec gpg "$@"\n')
        program.chmod(0o755)
        repo.git("config", "gpg.program", str(program))
        repo.git("verify-commit", _finish(repo))


@needs_ssh
def test_a_run_that_could_not_be_signed_does_not_begin(repo: GitRepo, tmp_path: Path) -> None:
    """No key, a key whose passphrase nobody enters or no agent holds, no program: told before the run has a number."""
    locked = SshKey.make(tmp_path / "locked", passphrase="a secret")
    opened = open_repo(repo)
    who = opened.signature()
    for settings, words in (
        ({"gpg.format": "ssh"}, "no key is named"),
        ({"gpg.format": "ssh", "user.signingKey": str(locked.path)}, "passphrase"),
        ({"gpg.format": "ssh", "user.signingKey": "/no/such/key"}, "No such file"),
        ({"gpg.format": "ssh", "user.signingKey": f"key::{locked.public}"}, "agent"),
        ({"gpg.format": "ssh", "user.signingKey": "k", "gpg.ssh.program": "/no/ssh"}, "/no/ssh"),
        ({"gpg.format": "ssh", "gpg.ssh.defaultKeyCommand": "print 'key"}, "no command"),
        ({"gpg.format": "ssh", "gpg.ssh.defaultKeyCommand": "echo no key"}, "names no key"),
        ({"gpg.program": "/no/gpg"}, "/no/gpg"),
        ({"gpg.program": "true"}, "true with the key"),
        ({"gpg.format": "pem"}, "'pem'"),
    ):
        opened.git.config = {key.lower(): value for key, value in settings.items()}
        with pytest.raises(RepositoryError, match="has not begun") as caught:
            CommitSigner(opened.git).try_out(who)
        assert words in caught.value.message
        assert "GITFLOWRUN_SIGN=false" in str(caught.value.hint)
    repo.write("f.py", linear_flow())
    sign_by_ssh(repo, locked)
    done = repo.flow("f.py", "run")
    assert (done.code, "could not be signed" in done.err) == (1, True)
    assert repo.git("for-each-ref", "refs/runs") == ""
    assert repo.flow("f.py", "run", env={"GITFLOWRUN_SIGN": "false"}).code == 0


@needs_ssh
def test_a_signature_that_fails_at_the_end_loses_nothing(repo: GitRepo, key: SshKey) -> None:
    """The run is published without it, with its own exit code, and told what to do."""
    sign_by_ssh(repo, key)
    repo.write(
        "f.py", linear_flow(end=f"os.rename({str(key.path)!r}, {str(key.path) + '.gone'!r})")
    )
    done = repo.flow("f.py", "run")
    assert done.code == 0
    assert "Run 1 is recorded, but not signed: " in done.err
    assert "git tag -s NAME runs/F/1" in done.err
    assert "done, 2 tasks" in repo.git("log", "-1", "--format=%s", "refs/runs/F/1")


def test_what_a_program_makes_must_be_a_signature(repo: GitRepo) -> None:
    """Else nobody could check it, and git would take it for a part of the message."""
    program = repo.write(".git/makes", "#!/bin/sh\necho '[GNUPG:] SIG_CREATED x' >&2\necho junk\n")
    program.chmod(0o755)
    opened = open_repo(repo)
    opened.git.config = {"gpg.program": str(program)}
    with pytest.raises(RepositoryError, match=r"makes is no signature that git takes") as caught:
        CommitSigner(opened.git).try_out(opened.signature())
    assert "git config --show-origin" in str(caught.value.hint)


@needs_ssh
def test_a_program_that_waits_is_ended(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a passphrase that nobody enters is ended with all it has started."""
    monkeypatch.setattr("gitflowrun.git.signing.signature.SIGNATURE_SECONDS", 0.2)
    seconds = f"77.{os.getpid()}"
    opened = open_repo(repo)
    for last in ("sleep", ":"):  # one that waits itself, and one that leaves somebody who does
        program = repo.write(".git/waits", f"#!/bin/sh\nsleep {seconds} & {last} {seconds}\n")
        program.chmod(0o755)
        opened.git.config = {"gpg.program": str(program)}
        with pytest.raises(RepositoryError, match="has waited"):
            CommitSigner(opened.git).try_out(opened.signature())
    assert eventually(lambda: not family(seconds))


def test_a_signature_is_a_header_of_its_own() -> None:
    """It is put in as git does, and taken out again; a second one, an empty or a huge one is refused."""
    signed = with_signature(COMMIT, b"-----BEGIN\r\nxyz\n-----END\n")
    assert b"+0000\ngpgsig -----BEGIN\n xyz\n -----END\n\nsubject" in signed
    assert split_signature(signed) == (COMMIT, b"-----BEGIN\nxyz\n-----END\n")
    assert split_signature(COMMIT) == (COMMIT, b"")
    for header in (
        b"gpgsig a\ngpgsig b\n",
        b"gpgsig a\ngpgsig-sha256 b\n",
        b"gpgsig-sha256 b\n",
        b"gpgsig \n",
        b"gpgsig " + b"a" * MAX_SIGNATURE + b"b\n",
    ):
        with pytest.raises(CorruptRecord):
            split_signature(header + COMMIT)
