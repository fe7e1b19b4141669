"""Signatures of commits: made by the programs that git's settings name, as `git commit -S` makes them.

A signature is the header `gpgsig` of a commit, over all its other bytes, and so, by hash, over its tree, its parents
and everything below them. It has to be made before the commit has an id, and runs are written into packs of our own,
so the programs are started here: `ssh-keygen`, `gpg`, `gpgsm`. That takes one process, where `git commit-tree -S` takes
two and leaves a loose object, and it works with a git that knows no signatures by ssh yet.

The settings are git's (`gpg.format`, `user.signingKey`, `gpg.program`, ...), wherever they stand: whoever signs a run
executes code of the repository anyway. No program waits for a terminal: it has none. An agent may ask, for a while.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import shlex
import signal
import subprocess
import tempfile
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.git.command import Completed, Process
from gitflowrun.git.environment import clean_environment
from gitflowrun.limits import MAX_SIGNATURE, SIGNATURE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitflowrun.git.command import Git
    from gitflowrun.git.objects import Signature

_HEADER = b"gpgsig"
_TRIAL = b"Can this key sign? (gitflowrun asks before a run starts; this is no commit.)\n"


class SignatureFormat(Enum):
    """Who makes signatures: the values of `gpg.format`."""

    OPENPGP = "openpgp"
    X509 = "x509"
    SSH = "ssh"


_PROGRAMS = {
    SignatureFormat.OPENPGP: "gpg",
    SignatureFormat.X509: "gpgsm",
    SignatureFormat.SSH: "ssh-keygen",
}
_BEGINS = {
    b"-----BEGIN PGP SIGNATURE-----": SignatureFormat.OPENPGP,
    b"-----BEGIN SIGNED MESSAGE-----": SignatureFormat.X509,
    b"-----BEGIN SSH SIGNATURE-----": SignatureFormat.SSH,
}


# ---- commits and their signatures ----


def with_signature(commit: bytes, signature: bytes) -> bytes:
    """A commit's content with a signature as its last header."""
    head, _, message = commit.partition(b"\n\n")
    lines = signature.rstrip(b"\n").replace(b"\r", b"").replace(b"\n", b"\n ")
    return b"%s\n%s %s\n\n%s" % (head, _HEADER, lines, message)


def split_signature(commit: bytes) -> tuple[bytes, bytes]:
    """What is signed of a commit's content, and the signature; that is empty where there is none.

    Raises:
        CorruptRecord: it has more than one, or one of another kind or size than runs have.
    """
    head, gap, message = commit.partition(b"\n\n")
    kept, signature = list[bytes](), list[bytes]()
    is_within = False
    for line in head.split(b"\n"):
        is_within = is_within and line.startswith(b" ")
        if line.startswith(_HEADER):
            if signature or not line.startswith(_HEADER + b" "):
                raise CorruptRecord("it has several signatures, of which a reader may take any")
            is_within = True
        if is_within:
            signature.append(line.removeprefix(_HEADER)[1:])
        else:
            kept.append(line)
    made = b"\n".join(signature)
    if signature and not made:
        raise CorruptRecord("its signature is empty")
    if len(made) > MAX_SIGNATURE:
        raise CorruptRecord(f"its signature has {len(made):,} bytes")
    return b"\n".join(kept) + gap + message, made + b"\n" if made else b""


def claimed_key(signature: bytes) -> str:
    """The fingerprint of the key that an ssh signature claims to be by; empty for others. Nothing is checked."""
    try:
        return fingerprint(ssh_key(signature))
    except ValueError:
        return ""


def claim(commit: bytes) -> str:
    """What a commit's content says of its signature, in a few words; empty without one. Nothing is checked."""
    try:
        signature = split_signature(commit)[1]
    except CorruptRecord as error:
        return f"nobody: {error.message}"
    if not signature:
        return ""
    kind = format_of(signature)
    return f"{kind.value if kind else 'unknown'} key {claimed_key(signature)}".rstrip()


def fingerprint(key: bytes) -> str:
    """The fingerprint of an ssh key, as `ssh-keygen -l` prints it."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def format_of(signature: bytes) -> SignatureFormat | None:
    """Who has made a signature; None for what is none."""
    return _BEGINS.get(signature.partition(b"\n")[0].strip())


def ssh_key(signature: bytes) -> bytes:
    """The public key in an ssh signature, in ssh's own encoding. Raises ValueError."""
    begin, _, rest = signature.partition(b"\n")
    body, end, _ = rest.partition(b"-----END")
    if format_of(begin) is not SignatureFormat.SSH or not end:
        raise ValueError("it is no signature by ssh")
    try:
        data = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    if data[:6] != b"SSHSIG":
        raise ValueError("it is no signature by ssh")
    size = int.from_bytes(data[10:14], "big")
    key = data[14 : 14 + size]
    if not key or len(key) != size:
        raise ValueError("it is cut off")
    return key


# ---- what settings name ----


def expanded(path: str) -> str:
    """A path as git's settings have it: `~/` is the home directory."""
    return os.path.expanduser(path)  # noqa: PTH111  (a program's name is no path)


def named_file(git: Git, key: str, config: Mapping[str, str] | None = None) -> str | None:
    """The file that a setting names; None without the setting.

    Args:
        git: Runs git in the repository.
        key: The setting.
        config: Where it stands; all of git's config when None.

    Raises:
        RepositoryError: it can't be read, so nobody knows what stands there.
    """
    value = (git.config if config is None else config).get(key.lower())
    if not value:
        return None
    path = git.cwd / expanded(value)
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise RepositoryError(
            f"{key} is {value!r}, which is no file that can be read",
            hint=f"make that file, or name another one: git config --global {key} FILE",
        )
    return str(path)


class SignaturePrograms:
    """Starts the programs that make and check signatures.

    Args:
        git: Runs git in the repository.
        named: The config that may name programs.
    """

    def __init__(self, git: Git, named: Mapping[str, str]) -> None:
        self._git = git
        self._named = named

    def program(self, kind: SignatureFormat) -> str:
        """The program for a format."""
        keys = [f"gpg.{kind.value}.program"]
        if kind is SignatureFormat.OPENPGP:
            keys.append("gpg.program")
        given = next((value for key in keys if (value := self._named.get(key))), None)
        return expanded(given) if given else _PROGRAMS[kind]

    def run(self, *command: str, stdin: bytes = b"") -> Completed:
        """Run a program to its end, away from the terminal.

        Raises:
            RepositoryError: it can't be started, or does not end.
        """
        name = Path(command[0]).name
        try:
            process = Process(
                command,
                cwd=self._git.cwd,
                env=clean_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise RepositoryError(
                f"{command[0]!r}, which signatures need, can't be started: {error.strerror}",
                hint=f"install {name}, or let the settings of git name another program (gpg.<format>.program)",
            ) from error
        try:
            out, err = process.communicate(stdin, SIGNATURE_SECONDS)
        except subprocess.TimeoutExpired as error:
            _end_group(process)
            raise RepositoryError(
                f"{name} has waited {SIGNATURE_SECONDS:.0f} seconds, maybe for a passphrase or a touch",
                hint="let an agent hold the key (`ssh-add`, `gpg-agent`)",
            ) from error
        except BaseException:
            _end_group(process)
            raise
        return Completed(process.returncode, out, err.decode(errors="replace"))


def _end_group(process: Process) -> None:
    """End a program with what it has started: nothing of it may ask any longer."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
            break
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


@contextlib.contextmanager
def as_file(content: bytes) -> Iterator[str]:
    """A file with that content for as long as a program reads it."""
    with tempfile.NamedTemporaryFile(prefix="gitflowrun-") as file:
        file.write(content)
        file.flush()
        yield file.name


# ---- making ----


class CommitSigner:
    """Signs commits with the key that git's settings name.

    Args:
        git: Runs git in the repository.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._config = git.config
        self._programs = SignaturePrograms(git, git.config)

    def try_out(self, committer: Signature) -> None:
        """Sign something that is thrown away, to know before a run starts, while its user is there, that it works.

        Raises:
            RepositoryError: it does not; the message says why, the hint what to do.
        """
        try:
            self._sign(_TRIAL, committer)
        except RepositoryError as error:
            raise RepositoryError(
                f"the run could not be signed, so it has not begun: {error.message}",
                hint=f"{error.hint}\nto run without a signature: GITFLOWRUN_SIGN=false",
            ) from error

    def sign(self, commit: bytes, committer: Signature) -> bytes:
        """A commit's content with its signature.

        Raises:
            RepositoryError: it can't be made.
        """
        return with_signature(commit, self._sign(commit, committer))

    def _sign(self, payload: bytes, committer: Signature) -> bytes:
        kind = self._format()
        made = self._by_ssh if kind is SignatureFormat.SSH else self._by_gpg
        signature = made(kind, payload, committer)
        if format_of(signature) is not kind or len(signature) > MAX_SIGNATURE:
            raise RepositoryError(
                f"what {self._programs.program(kind)} makes is no signature that git takes",
                hint="git config --show-origin --get-regexp '^gpg' shows which program that is",
            )
        return signature

    def _format(self) -> SignatureFormat:
        text = self._config.get("gpg.format", SignatureFormat.OPENPGP.value)
        try:
            return SignatureFormat(text)
        except ValueError as error:
            raise RepositoryError(
                f"gpg.format is {text!r}",
                hint="git config --global gpg.format ssh, or openpgp, or x509",
            ) from error

    def _by_gpg(self, kind: SignatureFormat, payload: bytes, committer: Signature) -> bytes:
        program = self._programs.program(kind)
        key = self._config.get("user.signingkey") or f"{committer.name} <{committer.email}>"
        done = self._programs.run(program, "--status-fd=2", "-bsau", key, stdin=payload)
        if done.code or "[GNUPG:] SIG_CREATED " not in done.err:
            said = [it for it in done.err.splitlines() if it and not it.startswith("[GNUPG:]")]
            raise RepositoryError(
                f"{Path(program).name} with the key {key!r}: {said[-1] if said else done.message}",
                hint="`git config --global user.signingKey KEY` names the key; "
                f"`{program} --list-secret-keys` lists those that you have",
            )
        return done.out

    def _by_ssh(self, kind: SignatureFormat, payload: bytes, _committer: Signature) -> bytes:
        program, key = self._programs.program(kind), self._ssh_key()
        literal = _literal(key)
        if literal is not None:
            with as_file(literal.encode() + b"\n") as path:
                command = (program, "-Y", "sign", "-n", "git", "-f", path, "-U")
                done = self._programs.run(*command, stdin=payload)
        else:
            path = expanded(key)
            done = self._programs.run(program, "-Y", "sign", "-n", "git", "-f", path, stdin=payload)
        if done.code:
            shown, said = shlex.quote(key), done.message.removeprefix("Enter passphrase: ")
            private = shlex.quote(path.removesuffix(".pub")) if literal is None else "KEYFILE"
            hint = (
                f"`ssh-add {private}` lets the agent hold the key; `ssh-add -l` lists what it has"
            )
            if "No such file" in done.err:
                hint = "`git config --global user.signingKey ~/.ssh/id_ed25519.pub` names the key"
            raise RepositoryError(f"{Path(program).name} with the key {shown}: {said}", hint=hint)
        return done.out

    def _ssh_key(self) -> str:
        """The key that the settings name: a file's path, or the key itself."""
        if key := self._config.get("user.signingkey"):
            return key
        command = self._config.get("gpg.ssh.defaultkeycommand")
        if not command:
            raise RepositoryError(
                "no key is named by user.signingKey or gpg.ssh.defaultKeyCommand",
                hint="git config --global user.signingKey ~/.ssh/id_ed25519.pub",
            )
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise RepositoryError(
                f"gpg.ssh.defaultKeyCommand ({command}) is no command: {error}",
                hint="git config --global user.signingKey ~/.ssh/id_ed25519.pub",
            ) from error
        done = self._programs.run(*words)
        first = done.out.decode(errors="replace").partition("\n")[0].strip()
        if done.code or _literal(first) is None:
            raise RepositoryError(
                f"gpg.ssh.defaultKeyCommand ({command}) names no key: {done.message if done.code else first!r}",
                hint="git config --global user.signingKey ~/.ssh/id_ed25519.pub",
            )
        return first


def _literal(key: str) -> str | None:
    """The ssh key that is written out in a setting; None where a file is named."""
    if key.startswith("key::"):
        return key.removeprefix("key::")
    return key if key.startswith("ssh-") else None
