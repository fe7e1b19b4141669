"""Checks of commits' signatures: whose they are, and whether they are good.

This is a way of reading, so the programs that are started are those that the user, the system or the command line
names, never those of the repository's own config. That may name the list of allowed signers, as it may for git: the
report then says so. What a signature makes trusted is no matter of the repository's list; and what its config says of
revoked keys and `gpg.minTrustLevel` can only ask for more.

git says whether a key that you know has signed a commit, and leaves it to you to compare whose that is with the
committer's address, which anybody can write. Here it is compared: by ssh, the address must be a principal of the key
among the allowed signers, and the key valid for it when the commit was made; by gpg, that of one of the key's names.
"""

from __future__ import annotations

import base64
import calendar
import contextlib
import os
import re
import shlex
import time
from enum import Enum
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.git.objects import parse_commit
from gitflowrun.git.signing.signature import (
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
    from collections.abc import Mapping

    from gitflowrun.git.command import Completed, Git
    from gitflowrun.git.objects import Signature

_LAST_SECOND = 253_402_300_799  # of the year 9999, the last that ssh-keygen takes
_STATUS = "[GNUPG:] "
_ALLOWED_SIGNERS = "gpg.ssh.allowedSignersFile"
_OTHER_TIME = "for another time"
_TRUST = ("undefined", "never", "marginal", "fully", "ultimate")  # in git's order
_NOT_VALID = frozenset("reidn")  # in a list of keys: revoked, expired, invalid, disabled, never
_DISABLED = "D"  # among what a key can do
_VALIDITY = {"m": "marginal", "f": "fully", "u": "ultimate"}
_ADDRESS = re.compile(r"[A-Za-z0-9][\w.+-]*@[\w.-]+", re.ASCII)
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}|[0-9A-F]{40}|[0-9A-F]{64}")
_ALLOWED = re.compile(
    r'(?P<principals>"[^"]*"|[^\s"#]\S*)\s+'
    r'(?:(?P<options>(?:"(?:\\.|[^"\\])*"|[^\s"])+)\s+)?'
    r"(?P<kind>[a-z][\w@.-]*)\s+(?P<key>AAAA[A-Za-z0-9+/]+=*)(?:\s|\Z)",
    re.ASCII,
)
_OPTION = re.compile(r'([A-Za-z-]+)(?:="((?:\\.|[^"\\])*)")?(?:,|\Z)', re.ASCII)
_TIMES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
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
                check = _SshCheck(self._git, self._programs, payload, signature)
                report = check.of(committer, named_file(self._git, _ALLOWED_SIGNERS))
                if report.signer and not self._own_list_is_used:
                    report = replace(report, why=_told_list(report.why))
            else:
                report = self._by_gpg(kind, payload, signature, committer)
        except RepositoryError as error:
            report = SignatureReport(SignatureState.UNCHECKED, why=error.message, hint=error.hint)
        return replace(report, format=kind.value)

    def is_signed_by(self, commit: bytes, keys: Mapping[str, str]) -> bool:
        """Whether one of some keys has signed a commit, and the signature is good now.

        Who the committer is does not matter. A key counts as long as nothing speaks against it: it was not revoked, has
        not expired, is not known to be somebody else's, and your own list of allowed signers, if the key is there, has
        it for commits of that time.

        Args:
            commit: The commit's content.
            keys: Fingerprints, and the address that each was trusted as the key of; empty where it was trusted as it
                is. Of a subkey the main key's counts as well.
        """
        try:
            payload, signature = split_signature(commit)
            kind = format_of(signature)
            if kind is SignatureFormat.SSH:
                if claimed_key(signature) not in keys:  # which costs nothing to read
                    return False
                check = _SshCheck(self._git, self._programs, payload, signature)
                found = check.key(parse_commit(commit).committer, self._own_list())
                return found in keys
            if kind is not None:
                return self._is_signed_by_gpg(kind, payload, signature, keys)
        except (CorruptRecord, RepositoryError):
            pass  # no program, or a file that is not there: nothing is known
        return False

    def keys_of(self, name: str) -> list[str]:
        """The fingerprints of the keys that your allowed signers and your keyring have for an address.

        Those that may sign commits now, and of the keyring those that gpg knows to be its owner's.

        Raises:
            RepositoryError: the list of allowed signers can't be read.
        """
        found = _allowed_keys(self._own_list(), name)
        program = self._programs.program(SignatureFormat.OPENPGP)
        command = (program, "--batch", "--no-tty", "--with-colons", "--list-keys", f"<{name}>")
        is_main = False
        if not _has_keyring(program):
            return found
        with contextlib.suppress(RepositoryError):  # there is no gpg
            for line in self._programs.run(*command).out.decode(errors="replace").splitlines():
                fields = line.split(":")
                if fields[0] == "fpr" and is_main and self._is_known_as(fields[9], name):
                    found.append(fields[9])
                is_main = fields[0] == "pub" and not (
                    fields[1] in _NOT_VALID or _DISABLED in "".join(fields[11:12])
                )
        return list(dict.fromkeys(found))

    def _own_list(self) -> str | None:
        """The list of allowed signers that no repository's own config names."""
        return named_file(self._git, _ALLOWED_SIGNERS, self._git.own_config)

    @property
    def _own_list_is_used(self) -> bool:
        key = _ALLOWED_SIGNERS.lower()
        return self._git.config.get(key) == self._git.own_config.get(key)

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
        least = self._least_trust()
        if status.trust == "never" or not _suffices(status.trust, least):
            why = f"whose key it is, gpg does not know well enough (trust: {status.trust})"
            return replace(report, state=SignatureState.UNKNOWN_SIGNER, why=why)
        if committer.email.lower() not in self._gpg_emails(kind, report.key, least):
            return _other(report, committer)
        return report

    def _is_signed_by_gpg(
        self, kind: SignatureFormat, payload: bytes, signature: bytes, keys: Mapping[str, str]
    ) -> bool:
        status = self._gpg_status(kind, payload, signature)
        found = [key for key in status.keys if key in keys]
        if status.verdict is not SignatureState.GOOD or status.trust == "never" or not found:
            return False
        return _suffices(status.trust, self._least_trust()) and any(
            not keys[key] or self._is_known_as(status.keys[-1], keys[key], kind) for key in found
        )

    def _is_known_as(
        self, key: str, name: str, kind: SignatureFormat = SignatureFormat.OPENPGP
    ) -> bool:
        """Whether gpg knows, and not only the key says, that it belongs to an address."""
        least = max(self._least_trust(), "marginal", key=_TRUST.index)
        return name.lower() in self._gpg_emails(kind, key, least)

    def _least_trust(self) -> str:
        """What `gpg.minTrustLevel` asks for; a repository's own config can't ask for less than the user's.

        Raises:
            RepositoryError: it is no level.
        """
        configs = self._git.config, self._git.own_config
        levels = [config.get("gpg.mintrustlevel", "undefined").lower() for config in configs]
        if wrong := [level for level in levels if level not in _TRUST]:
            raise RepositoryError(
                f"gpg.minTrustLevel is {wrong[0]!r}, which is no level",
                hint=f"git config --global gpg.minTrustLevel fully, or another of: {', '.join(_TRUST)}",
            )
        return max(levels, key=_TRUST.index)

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

    def of(self, committer: Signature, allowed: str | None) -> SignatureReport:
        """What is known of it.

        Args:
            committer: Who says to have signed, and when.
            allowed: The list of allowed signers.

        Raises:
            RepositoryError: ssh-keygen can't be started, or a file that the settings name is not there.
        """
        when = _at_time_of(committer)
        if when is None:
            why = "the committer's time or address is none"
            return SignatureReport(SignatureState.TAMPERED, why=why)
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

    def key(self, committer: Signature, allowed: str | None) -> str | None:
        """The fingerprint of the key, if the signature is good, and nothing speaks against the key.

        It is not revoked, and a list of allowed signers that has it, has it for commits of that time. Arguments and
        errors are those of `of`.
        """
        when = _at_time_of(committer)
        with as_file(self._signature) as path:
            key = self._key_if_sound(path)
            if when is None or key is None or self._is_revoked(path):
                return None
            if allowed:
                principal, is_listed = self._principal(path, allowed, when)
                return key if principal or not is_listed else None
            return key

    def _by_another(
        self,
        path: str,
        report: SignatureReport,
        committer: Signature,
        allowed: str,
        when: tuple[str, ...],
    ) -> SignatureReport:
        """The report on a signature that the committer's own keys have not made."""
        principal, is_listed = self._principal(path, allowed, when)
        if principal:
            signed = replace(report, state=SignatureState.OTHER_SIGNER, signer=principal)
            return _other(signed, committer)
        if is_listed == _OTHER_TIME:
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

    def _principal(self, path: str, allowed: str, when: tuple[str, ...]) -> tuple[str, str]:
        """Whose key a list says to have signed, and, where it allows nobody to, what of it the list has."""
        found = self._run("find-principals", path, "-f", allowed, *when)
        principals = found.out.decode(errors="replace").splitlines()
        for principal in principals:
            if self._key_if_by(path, principal, allowed, when):
                return principal, ""
        if "has expired" in found.err or "not yet valid" in found.err:
            return "", _OTHER_TIME
        return "", "for something else than commits" if principals else ""

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
        # The fingerprint of a certificate is that of the key in it.
        is_certificate = "-cert-" in _key_words(key)[0]
        return found if is_certificate or fingerprint(key) == found else None

    def _is_revoked(self, path: str) -> bool:
        if self._revocations == [()]:
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
        options = ("-n", "git", "-f", allowed, "-I", principal, *when)
        key = None
        for revoked in self._revocations:
            key = _good_key(self._run("verify", path, *options, *revoked, stdin=self._payload))
            if key is None:
                break
        return key

    def _run(self, what: str, path: str, *options: str, stdin: bytes = b"") -> Completed:
        program = self._programs.program(SignatureFormat.SSH)
        return self._programs.run(program, "-Y", what, "-s", path, *options, stdin=stdin)

    @cached_property
    def _revocations(self) -> list[tuple[str, ...]]:
        """The options for each list of revoked keys: the repository's does not stand in for the user's."""
        configs = self._git.config, self._git.own_config
        files = [named_file(self._git, "gpg.ssh.revocationFile", it) for it in configs]
        return [("-r", file) for file in dict.fromkeys(files) if file] or [()]


def _good_key(done: Completed) -> str | None:
    """The fingerprint that ssh-keygen says to have found the signature of."""
    good = _SSH_GOOD.search(done.out.decode(errors="replace"))
    return good[1] if good and done.code == 0 else None


def _at_time_of(committer: Signature) -> tuple[str, ...] | None:
    """The options that let ssh-keygen look at the time of a commit; None where its time or address is none."""
    if (
        not 0 <= committer.seconds <= _LAST_SECOND
        or "\0" in committer.email
        or len(committer.email) > MAX_ADDRESS
    ):
        return None
    moment = time.strftime("%Y%m%d%H%M%S", time.localtime(committer.seconds))
    return ("-O", f"verify-time={moment}")


def _allowed_keys(file: str | None, name: str) -> list[str]:
    """The fingerprints of the keys that a list of allowed signers has for a name, to sign commits with now.

    Patterns and authorities are nobody's key, and lines that ssh-keygen could read otherwise than we do are left out.
    """
    found = []
    for line in Path(file).read_text(errors="replace").splitlines() if file else ():
        match = _ALLOWED.match(line.strip())
        principals = match["principals"].strip('"').split(",") if match else []
        is_negated = any(it.startswith("!") for it in principals)
        if match is None or name not in principals or is_negated:
            continue
        with contextlib.suppress(ValueError):
            key = base64.b64decode(match["key"], validate=True)
            if _key_words(key)[0] == match["kind"] and _allows_now(match["options"] or ""):
                found.append(fingerprint(key))
    return found


def _allows_now(options: str) -> bool:
    """Whether the options of an allowed signer let a plain key sign commits now. Raises ValueError."""
    place = 0
    while place < len(options):
        option = _OPTION.match(options, place)
        if option is None:
            raise ValueError("it is no list of options")
        word, value, place = option[1].lower(), option[2], option.end()
        is_fine = {
            "namespaces": lambda value: (
                "!" not in value and any(fnmatchcase("git", it) for it in value.split(","))
            ),
            "valid-after": lambda value: _seconds(value) <= time.time(),
            "valid-before": lambda value: time.time() <= _seconds(value),
        }.get(word)
        if is_fine is None or value is None or not is_fine(value):
            return False
    return True


def _seconds(moment: str) -> float:
    """A time of ssh-keygen's (`20251128`, `202511281200Z`) in seconds since 1970. Raises ValueError."""
    digits = moment.removesuffix("Z")
    if not digits.isdecimal() or len(digits) not in _TIMES:
        raise ValueError("it is no time")
    found = time.strptime(digits, _TIMES[len(digits)])
    return calendar.timegm(found) if moment.endswith("Z") else time.mktime(found)


def _told_list(why: str) -> str:
    """What is to be said where the list of signers is not the user's own."""
    told = f"the list of signers is one that the repository's own config names ({_ALLOWED_SIGNERS})"
    return f"{why}; {told}" if why else told


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
