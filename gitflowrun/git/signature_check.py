"""Checks of commits' signatures: whose they are, and whether they are good.

This is a way of reading, so the programs that are started are those that the user, the system or the command line
names, never those of the repository's own config. Files (`gpg.ssh.allowedSignersFile`, `gpg.ssh.revocationFile`) may
be named there.

git says whether a key that you know has signed a commit, and leaves it to you to compare whose that is with the
committer's address, which anybody can write. Here it is compared: by ssh, the address must be a principal of the key
among the allowed signers, and the key valid for it when the commit was made; by gpg, that of one of the key's names.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import re
import shlex
import time
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.git.objects import parse_commit
from gitflowrun.git.signature import (
    SignatureFormat,
    SignaturePrograms,
    as_file,
    claimed_key,
    expanded,
    fingerprint,
    format_of,
    named_file,
    split_signature,
    ssh_key,
)
from gitflowrun.limits import MAX_ADDRESS
from gitflowrun.values import frozen, replace

if TYPE_CHECKING:
    from gitflowrun.git.command import Completed, Git
    from gitflowrun.git.objects import Signature

_LAST_SECOND = 253_402_300_799  # of the year 9999, the last that ssh-keygen takes
_STATUS = "[GNUPG:] "
_TRUST = ("undefined", "never", "marginal", "fully", "ultimate")  # in git's order
_NOT_VALID = frozenset("reidn")  # in a list of keys: revoked, expired, invalid, disabled, never
_VALIDITY = {"m": "marginal", "f": "fully", "u": "ultimate"}
_ADDRESS = re.compile(r"[A-Za-z0-9][\w.+-]*@[\w.-]+", re.ASCII)
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}|[0-9A-F]{40}|[0-9A-F]{64}")
_SSH_GOOD = re.compile(
    r'Good "git" signature (?:for .* )?with \S+ key (SHA256:[A-Za-z0-9+/]+)\s*\Z', re.DOTALL
)


class SignatureState(Enum):
    """What a look at a commit's signature shows."""

    GOOD = "good"
    OTHER_SIGNER = "other signer"
    UNSIGNED = "unsigned"
    UNKNOWN_SIGNER = "unknown signer"
    EXPIRED = "expired"
    REVOKED = "revoked"
    TAMPERED = "tampered"
    UNCHECKED = "unchecked"


@frozen
class SignatureReport:
    """What is known of a commit's signature.

    Attributes:
        state: Whether it is good, or why not.
        format: `ssh`, `openpgp` or `x509`; empty without a signature.
        signer: Whose key has signed, as the allowed signers or the keyring say; empty where they don't.
        key: The key's fingerprint.
        why: What is wrong, in one line.
        hint: What to do about it.
    """

    state: SignatureState
    format: str = ""
    signer: str = ""
    key: str = ""
    why: str = ""
    hint: str | None = None


class SignatureCheck:
    """Checks signatures of commits.

    Args:
        git: Runs git in the repository.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._programs = SignaturePrograms(git, git.own_config)

    def check(self, commit: bytes) -> SignatureReport:
        """What is known of the signature of a commit, given its content."""
        try:
            payload, signature = split_signature(commit)
            committer = parse_commit(commit).committer
        except CorruptRecord as error:
            return SignatureReport(SignatureState.TAMPERED, why=error.message)
        if not signature:
            return SignatureReport(SignatureState.UNSIGNED)
        kind = format_of(signature)
        if kind is None:
            return SignatureReport(SignatureState.TAMPERED, why="its signature is of no known kind")
        try:
            if kind is SignatureFormat.SSH:
                report = _SshCheck(self._git, self._programs, payload, signature).of(committer)
            else:
                report = self._by_gpg(kind, payload, signature, committer)
        except RepositoryError as error:
            report = SignatureReport(SignatureState.UNCHECKED, why=error.message, hint=error.hint)
        return replace(report, format=kind.value)

    def is_signed_by(self, commit: bytes, keys: frozenset[str]) -> bool:
        """Whether one of some keys has signed a commit, and the signature is good now.

        Whose key it is does not matter, nor who the committer is.

        Args:
            commit: The commit's content.
            keys: Fingerprints; of a subkey the main key's counts as well.
        """
        try:
            payload, signature = split_signature(commit)
            kind = format_of(signature)
            if kind is SignatureFormat.SSH:
                # What it claims costs nothing to read.
                check = _SshCheck(self._git, self._programs, payload, signature)
                return claimed_key(signature) in keys and not keys.isdisjoint(check.keys())
            if kind is not None:
                status = self._gpg_status(kind, payload, signature)
                return status.verdict is SignatureState.GOOD and not keys.isdisjoint(status.keys)
        except (CorruptRecord, RepositoryError):
            pass  # no program, or a file that is not there: nothing is known
        return False

    def keys_of(self, name: str) -> list[str]:
        """The fingerprints of the keys that the allowed signers and the keyring have for an address.

        Raises:
            RepositoryError: the list of allowed signers can't be read.
        """
        found = _allowed_keys(named_file(self._git, "gpg.ssh.allowedSignersFile"), name)
        program = self._programs.program(SignatureFormat.OPENPGP)
        command = (program, "--batch", "--no-tty", "--with-colons", "--list-keys", f"<{name}>")
        is_main = False
        if not _has_keyring(program):
            return found
        with contextlib.suppress(RepositoryError):  # there is no gpg
            for line in self._programs.run(*command).out.decode(errors="replace").splitlines():
                fields = line.split(":")
                if fields[0] == "fpr" and is_main:
                    found.append(fields[9])
                is_main = fields[0] == "pub" and fields[1] not in _NOT_VALID
        return list(dict.fromkeys(found))

    # ---- gpg and gpgsm ----

    def _by_gpg(
        self, kind: SignatureFormat, payload: bytes, signature: bytes, committer: Signature
    ) -> SignatureReport:
        status = self._gpg_status(kind, payload, signature)
        report = SignatureReport(
            status.verdict,
            signer=status.signer,
            key=status.keys[-1] if status.keys else "",
            why=status.why,
        )
        if status.verdict is SignatureState.UNKNOWN_SIGNER:
            lookup = f"{self._programs.program(kind)} --import FILE"
            return replace(report, hint=f"`{lookup}` adds a key that you have got from its owner")
        if status.verdict is not SignatureState.GOOD:
            return report
        least = self._git.config.get("gpg.mintrustlevel", "undefined").lower()
        if least not in _TRUST:
            raise RepositoryError(
                f"gpg.minTrustLevel is {least!r}, which is no level",
                hint=f"git config --global gpg.minTrustLevel fully, or another of: {', '.join(_TRUST)}",
            )
        if status.trust == "never" or not _suffices(status.trust, least):
            why = f"whose key it is, gpg does not know well enough (trust: {status.trust})"
            return replace(report, state=SignatureState.UNKNOWN_SIGNER, why=why)
        if committer.email.lower() not in self._gpg_emails(kind, report.key, least):
            return _other(report, committer)
        return report

    def _gpg_status(self, kind: SignatureFormat, payload: bytes, signature: bytes) -> _GpgStatus:
        program = self._programs.program(kind)
        if not _has_keyring(program):
            why = "its key is not in your keyring: you have none"
            return _GpgStatus(SignatureState.UNKNOWN_SIGNER, why=why)
        command = [program, "--batch", "--no-tty", "--status-fd=1"]
        if kind is SignatureFormat.OPENPGP:
            command.append("--no-auto-key-retrieve")  # reading asks no server
        with as_file(signature) as path:
            done = self._programs.run(*command, "--verify", path, "-", stdin=payload)
        return _gpg_status(done)

    def _gpg_emails(self, kind: SignatureFormat, key: str, least: str) -> set[str]:
        """The addresses in the names of a key that are valid, and known to be its owner's as well as is asked for."""
        command = (self._programs.program(kind), "--batch", "--with-colons", "--list-keys", key)
        found = set()
        for line in self._programs.run(*command).out.decode(errors="replace").splitlines():
            fields = line.split(":")
            is_name = fields[0] == "uid" and len(fields) > 9 and fields[1] not in _NOT_VALID  # noqa: PLR2004
            if is_name and _suffices(_VALIDITY.get(fields[1], "undefined"), least):
                name = re.sub(r"\\x([0-9a-f]{2})", lambda it: chr(int(it[1], 16)), fields[9])
                found.add(name.rpartition("<")[2].removesuffix(">").lower())
        return found


def _has_keyring(program: str) -> bool:
    """Whether there are keys to look at: gpg would make its directory, and who reads writes nothing."""
    home = os.environ.get("GNUPGHOME") or expanded("~/.gnupg")
    return program not in {"gpg", "gpgsm"} or os.path.isdir(home)  # noqa: PTH112  (a setting)


def _suffices(trust: str, least: str) -> bool:
    """Whether what gpg knows of a key is what `gpg.minTrustLevel` asks for."""
    return _TRUST.index(trust) >= _TRUST.index(least)


@frozen
class _GpgStatus:
    """What gpg says of a signature.

    Attributes:
        verdict: Whether it is good.
        signer: The main name of the key.
        keys: The fingerprint of the key, and of the main key where it is a subkey.
        trust: How well gpg knows whose key it is.
        why: What is wrong.
    """

    verdict: SignatureState
    signer: str = ""
    keys: tuple[str, ...] = ()
    trust: str = "undefined"
    why: str = ""


_GPG_VERDICTS = {
    "GOODSIG": (SignatureState.GOOD, ""),
    "BADSIG": (SignatureState.TAMPERED, "its signature is not of this commit"),
    "ERRSIG": (SignatureState.UNKNOWN_SIGNER, "its key is not in your keyring"),
    "EXPSIG": (SignatureState.EXPIRED, "its signature has expired"),
    "EXPKEYSIG": (SignatureState.EXPIRED, "its key has expired"),
    "REVKEYSIG": (SignatureState.REVOKED, "its key was revoked"),
}


def _gpg_status(done: Completed) -> _GpgStatus:
    """What the status lines of gpg or gpgsm say. Several signatures in one are refused, as by git."""
    found, signer, keys, trust = list[str](), "", tuple[str, ...](), "undefined"
    missing = False
    for line in done.out.decode(errors="replace").splitlines():
        if not line.startswith(_STATUS):
            continue
        word, _, values = line.removeprefix(_STATUS).partition(" ")
        if word in _GPG_VERDICTS:
            found.append(word)
            key, _, name = values.partition(" ")
            signer, keys = (name, (key,)) if word != "ERRSIG" else ("", _key_of_error(values, key))
        elif word == "VALIDSIG":
            fields = values.split(" ")
            # gpgsm has no main key to name behind its own.
            keys = tuple(dict.fromkeys(filter(is_fingerprint, (fields[0], fields[-1]))))
        elif word.startswith("TRUST_"):
            trust = word.removeprefix("TRUST_").lower()
        missing = missing or word == "NO_PUBKEY"
    if len(found) != 1:
        why = (
            "it has several signatures" if found else f"its signature can't be read: {done.message}"
        )
        return _GpgStatus(SignatureState.TAMPERED, why=why)
    verdict, why = _GPG_VERDICTS[found[0]]
    if found[0] == "ERRSIG" and not missing:
        verdict, why = SignatureState.UNCHECKED, f"its signature can't be checked: {done.message}"
    if verdict is SignatureState.GOOD and (done.code or not any(map(is_fingerprint, keys))):
        verdict, why = SignatureState.UNCHECKED, f"gpg has failed: {done.message}"
    return _GpgStatus(verdict, signer, keys, trust if trust in _TRUST else "undefined", why)


def _key_of_error(values: str, key: str) -> tuple[str, ...]:
    """The fingerprint that a gpg of our time adds to ERRSIG, else the key's id."""
    last = values.rpartition(" ")[2]
    return (last if len(last) >= len(key) else key,)


class _SshCheck:
    """Checks one signature by ssh.

    Args:
        git: Runs git in the repository.
        programs: Starts ssh-keygen.
        payload: What is signed.
        signature: The signature.
    """

    def __init__(
        self, git: Git, programs: SignaturePrograms, payload: bytes, signature: bytes
    ) -> None:
        self._git = git
        self._programs = programs
        self._payload = payload
        self._signature = signature

    def of(self, committer: Signature) -> SignatureReport:
        """What is known of it.

        Raises:
            RepositoryError: ssh-keygen can't be started, or a file that the settings name is not there.
        """
        if (
            not 0 <= committer.seconds <= _LAST_SECOND
            or "\0" in committer.email
            or len(committer.email) > MAX_ADDRESS
        ):
            why = "the committer's time or address is none"
            return SignatureReport(SignatureState.TAMPERED, why=why)
        moment = time.strftime("%Y%m%d%H%M%S", time.localtime(committer.seconds))
        when = ("-O", f"verify-time={moment}")
        allowed = self._allowed_signers
        with as_file(self._signature) as path:
            if allowed and (key := self._key_if_by(path, committer.email, allowed, when)):
                return SignatureReport(SignatureState.GOOD, signer=committer.email, key=key)
            key = self._key_if_sound(path)
            if key is None:
                return SignatureReport(
                    SignatureState.TAMPERED, why="its signature is not of this commit"
                )
            report = SignatureReport(SignatureState.UNKNOWN_SIGNER, key=key)
            if allowed is None:
                return replace(
                    report,
                    why="there is no list of whose keys may sign",
                    hint="git config --global gpg.ssh.allowedSignersFile ~/.ssh/allowed_signers"
                    f"{self._how_to_allow(committer, '~/.ssh/allowed_signers')}",
                )
            if self._is_revoked(path):
                return replace(report, state=SignatureState.REVOKED, why="its key was revoked")
            return self._by_another(path, report, committer, allowed, when)

    def keys(self) -> frozenset[str]:
        """The fingerprint of the key, if the signature is good and the key not revoked. Raises as `of`."""
        with as_file(self._signature) as path:
            key = self._key_if_sound(path)
            return frozenset() if key is None or self._is_revoked(path) else frozenset([key])

    def _by_another(
        self,
        path: str,
        report: SignatureReport,
        committer: Signature,
        allowed: str,
        when: tuple[str, ...],
    ) -> SignatureReport:
        """The report on a signature that the committer's own keys have not made."""
        found = self._run("find-principals", path, "-f", allowed, *when)
        for principal in found.out.decode(errors="replace").splitlines():
            if self._key_if_by(path, principal, allowed, when):
                signed = replace(report, state=SignatureState.OTHER_SIGNER, signer=principal)
                return _other(signed, committer)
        if "has expired" in found.err or "not yet valid" in found.err:
            return replace(
                report,
                state=SignatureState.EXPIRED,
                why="its key was not valid when the commit was made",
            )
        return replace(
            report,
            why="its key is not among the allowed signers",
            hint=self._how_to_allow(committer, shlex.quote(allowed)).lstrip("\n") or None,
        )

    def _how_to_allow(self, committer: Signature, file: str) -> str:
        """What adds the key to a list of allowed signers; nothing where the address could be anything else to that."""
        if not _ADDRESS.fullmatch(committer.email):
            return ""
        line = (
            f'{committer.email} namespaces="git" {" ".join(_key_words(ssh_key(self._signature)))}'
        )
        return f"\nif {committer.email} has told you that this is their key: echo {shlex.quote(line)} >> {file}"

    def _key_if_sound(self, path: str) -> str | None:
        """The key's fingerprint, if it has signed this commit; whose key it is does not matter."""
        found = _good_key(self._run("check-novalidate", path, "-n", "git", stdin=self._payload))
        try:
            key = ssh_key(self._signature)
        except ValueError:  # ssh-keygen reads it otherwise than we do
            return None
        is_certificate = (
            "-cert-" in _key_words(key)[0]
        )  # whose fingerprint is that of the key in it
        return found if is_certificate or fingerprint(key) == found else None

    def _is_revoked(self, path: str) -> bool:
        if not self._revocations:
            return False
        # To a list that allows this very key there is no other objection.
        kind, encoded = _key_words(ssh_key(self._signature))
        authority = "cert-authority " if "-cert-" in kind else ""
        with as_file(f"* {authority}{kind} {encoded}\n".encode()) as allowed:
            return self._key_if_by(path, "anybody", allowed, ()) is None

    def _key_if_by(
        self, path: str, principal: str, allowed: str, when: tuple[str, ...]
    ) -> str | None:
        """The key's fingerprint, if it has signed this commit, is a principal's, and not revoked."""
        options = ("-n", "git", "-f", allowed, "-I", principal, *when, *self._revocations)
        return _good_key(self._run("verify", path, *options, stdin=self._payload))

    def _run(self, what: str, path: str, *options: str, stdin: bytes = b"") -> Completed:
        program = self._programs.program(SignatureFormat.SSH)
        return self._programs.run(program, "-Y", what, "-s", path, *options, stdin=stdin)

    @cached_property
    def _allowed_signers(self) -> str | None:
        return named_file(self._git, "gpg.ssh.allowedSignersFile")

    @cached_property
    def _revocations(self) -> tuple[str, ...]:
        file = named_file(self._git, "gpg.ssh.revocationFile")
        return ("-r", file) if file else ()


def _good_key(done: Completed) -> str | None:
    """The fingerprint that ssh-keygen says to have found the signature of."""
    good = _SSH_GOOD.search(done.out.decode(errors="replace"))
    return good[1] if good and done.code == 0 else None


def _allowed_keys(file: str | None, name: str) -> list[str]:
    """The fingerprints of the keys that a list of allowed signers has for a name, but for patterns and authorities."""
    found = []
    for line in Path(file).read_text(errors="replace").splitlines() if file else ():
        words = line.split()
        if not words or name not in words[0].strip('"').split(",") or "cert-authority" in line:
            continue
        for kind, encoded in itertools.pairwise(words[1:]):
            with contextlib.suppress(ValueError):
                key = base64.b64decode(encoded, validate=True)
                if _key_words(key)[0] == kind:
                    found.append(fingerprint(key))
    return found


def is_fingerprint(text: str) -> bool:
    """Whether a text is a key's fingerprint, as reports have it."""
    return _FINGERPRINT.fullmatch(text) is not None


def _key_words(key: bytes) -> tuple[str, str]:
    """An ssh key as its type and the rest, as lists of keys have it."""
    size = int.from_bytes(key[:4], "big")
    kind = key[4 : 4 + size].decode("ascii", errors="replace")
    return kind, base64.b64encode(key).decode()


def _other(report: SignatureReport, committer: Signature) -> SignatureReport:
    who = f"{committer.name} <{committer.email}>"
    return replace(
        report, state=SignatureState.OTHER_SIGNER, why=f"the committer is {who}, the signer is not"
    )
