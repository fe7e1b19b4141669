"""Keys for tests: ssh keys and a keyring of gpg, and git config that signs with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitflowrun.runs.commit_message import Status
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, start_run

__all__ = [
    "ADA", "EVE", "SshKey", "content_of", "gpg", "gpg_home", "gpgsm_home", "make_signed_run", "needs_gpg",
    "needs_gpgsm", "needs_ssh", "put_commit", "sign_by_ssh",
]  # fmt: skip

ADA, EVE = "ada@example.org", "eve@example.org"
needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")
needs_gpgsm = pytest.mark.skipif(not shutil.which("gpgsm"), reason="gpgsm is not installed")
needs_gpg = pytest.mark.skipif(not shutil.which("gpg"), reason="gpg is not installed")


@dataclass(frozen=True)
class SshKey:
    """A private key in a file, its public key beside it."""

    path: Path

    @classmethod
    def make(cls, path: Path, passphrase: str = "") -> SshKey:
        """A new key."""
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-C", "", "-N", passphrase, "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return cls(path)

    @property
    def public(self) -> str:
        """The public key, as lists of keys have it."""
        return self.path.with_suffix(".pub").read_text().strip()

    @property
    def fingerprint(self) -> str:
        """What `ssh-keygen -l` prints of it."""
        command = ["ssh-keygen", "-l", "-f", str(self.path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]


def sign_by_ssh(repo: GitRepo, key: SshKey | str, allowed: str | None = None) -> None:
    """Let a repository's runs be signed with a key, and take the lines of `allowed` for the allowed signers."""
    repo.git("config", "gpg.format", "ssh")
    repo.git("config", "user.signingKey", key if isinstance(key, str) else str(key.path))
    repo.git("config", "runs.sign", "true")
    if allowed is not None:
        file = repo.path / ".git" / "allowed"
        file.write_text(allowed + "\n")
        repo.git("config", "gpg.ssh.allowedSignersFile", str(file))


@contextmanager
def gpg_home() -> Iterator[Path]:
    """A keyring with a key of Ada's."""
    with _keyring() as home:
        gpg("--quick-gen-key", f"Ada Lovelace <{ADA}>", "ed25519", "sign", "never")
        yield home


@contextmanager
def gpgsm_home() -> Iterator[str]:
    """A keyring with a certificate of Ada's that signs itself and is trusted; its fingerprint."""
    with _keyring() as home:
        (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        (home / "gpgsm.conf").write_text("disable-crl-checks\n")
        wanted = (
            "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign\nSerial: random\nName-DN: CN=Ada\n"
            f"Name-Email: {ADA}\n"
        )
        options = ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase-fd", "0"]
        (home / "wanted").write_text(wanted)
        for command in (
            [*options, "--output", str(home / "made"), "--generate-key", str(home / "wanted")],
            ["--batch", "--quiet", "--import", str(home / "made")],
        ):
            subprocess.run(["gpgsm", *command], input=b"", check=True, capture_output=True)
        listed = subprocess.run(
            ["gpgsm", "--with-colons", "--list-keys"], check=True, capture_output=True, text=True
        ).stdout
        found = listed.partition("\nfpr:")[2].split(":")[8]
        (home / "trustlist.txt").write_text(f"{found} S relax\n")
        subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
        yield found


@contextmanager
def _keyring() -> Iterator[Path]:
    """An empty keyring; the path is short, as sockets need it."""
    home = Path(tempfile.mkdtemp(prefix="gpg-", dir="/tmp"))
    before = os.environ.get("GNUPGHOME")
    os.environ["GNUPGHOME"] = str(home)
    try:
        yield home
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
        if before is None:
            del os.environ["GNUPGHOME"]
        else:
            os.environ["GNUPGHOME"] = before
        shutil.rmtree(home, ignore_errors=True)


def gpg(*args: str, stdin: str = "") -> str:
    """Run gpg without a terminal and without passphrases; what it printed."""
    options = ["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    done = subprocess.run(
        ["gpg", *options, *args], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_signed_run(repo: GitRepo) -> None:
    """Make a run of one task, to its end."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"value"})])
        writer.commit([], status=Status.DONE)


def content_of(repo: GitRepo, revision: str) -> bytes:
    """The content of a commit."""
    command = ["git", "cat-file", "commit", revision]
    return subprocess.run(command, cwd=repo.path, check=True, capture_output=True).stdout


def put_commit(repo: GitRepo, ref: str, content: bytes) -> str:
    """Let a ref be at a commit of that content, which git might refuse to make."""
    command = ("hash-object", "-t", "commit", "-w", "--stdin", "--literally")
    oid = repo.git(*command, stdin=content)
    repo.git("update-ref", f"refs/runs/{ref}", oid)
    return oid
