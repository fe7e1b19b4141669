"""What `git runs verify` makes of what anybody may write into a run, and of programs that answer strangely."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.git.command import Completed, Process
from gitflowrun.git.objects import Signature
from gitflowrun.git.signing import signature_check
from gitflowrun.git.signing.signature import (
    SignatureFormat,
    SignaturePrograms,
    claim,
    claimed_key,
    fingerprint,
    format_of,
    named_file,
    split_signature,
    ssh_key,
    with_signature,
)
from gitflowrun.git.signing.signature_check import SignatureCheck, SignatureState, is_fingerprint
from gitflowrun.limits import MAX_ADDRESS, MAX_SIGNATURE
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo
from tests.helpers.signing import content_of, needs_ssh, put_commit

KEY = "0123456789ABCDEF0123456789ABCDEF01234567"
VALID = f"VALIDSIG {KEY} 2026-01-01 1 0 4 0 22 8 00 {KEY}"
MAIL = f"GOODSIG 0123456789ABCDEF Ada <ada@example.org>\n{VALID}"


@needs_ssh
def test_no_run_stops_the_others_from_being_verified(mine: GitRepo) -> None:
    """Messages, trees and times that are none, and what is no commit, are tampered with; the rest is said as well."""
    one = content_of(mine, "refs/runs/MyFlow/1")
    head, _, _ = one.partition(b"\n\n")
    for number, content in enumerate(
        (
            head + b"\n\nno run\n",
            one.replace(one[5:45], b"0" * 40, 1),
            one.replace(b"committer Ada", b"committer \x1b[31m", 1),
            one.replace(b"committer Ada Lovelace <", b"committer Ada <\0", 1),
            one.replace(b"committer Ada Lovelace <", b"committer Ada <" + b"a" * 200_000, 1),
            one.replace(b"-----END SSH", b"-----END SSX", 1),
            one.replace(one.split(b"> ")[2].split(b" ")[0], b"9" * 30),
            one.replace(one.split(b"> ")[2].split(b" ")[0], b"-1"),
        ),
        10,
    ):
        put_commit(mine, f"MyFlow/{number}", content)
    mine.git("update-ref", "refs/runs/MyFlow/20", mine.git("rev-parse", "HEAD:README"))
    done = mine.runs("verify", "--all")
    states = {line.split()[0]: " ".join(line.split()[1:]) for line in done.out.splitlines()[1:]}
    assert done.code == 1
    assert {states[f"MyFlow/{it}"].split()[0] for it in range(10, 18)} == {"tampered"}
    assert states["MyFlow/1"].startswith("good")
    assert "\x1b" not in done.out
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (MAIL, SignatureState.GOOD),
        (MAIL + "\nTRUST_FULLY 0", SignatureState.GOOD),
        (MAIL + "\nTRUST_NEVER 0", SignatureState.UNKNOWN_SIGNER),
        (MAIL.replace("ada@", "eve@"), SignatureState.OTHER_SIGNER),
        (f"BADSIG {KEY[:16]} Ada <ada@example.org>", SignatureState.TAMPERED),
        (f"EXPSIG {KEY[:16]} Ada\n{VALID}", SignatureState.EXPIRED),
        (f"EXPKEYSIG {KEY[:16]} Ada\n{VALID}", SignatureState.EXPIRED),
        (f"REVKEYSIG {KEY[:16]} Ada\n{VALID}", SignatureState.REVOKED),
        (f"ERRSIG {KEY[:16]} 22 8 00 1 9 {KEY}\nNO_PUBKEY {KEY[:16]}", SignatureState.UNKNOWN_SIGNER),
        (f"ERRSIG {KEY[:16]} 22 8 00 1 4 -", SignatureState.UNCHECKED),
        (MAIL + "\n" + MAIL, SignatureState.TAMPERED),
        (MAIL + f"\nBADSIG {KEY[:16]} Eve", SignatureState.TAMPERED),
        ("NODATA 4", SignatureState.TAMPERED),
        ("", SignatureState.TAMPERED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("begin", ["PGP SIGNATURE", "SIGNED MESSAGE"])
def test_what_gpg_and_gpgsm_say(
    repo: GitRepo, said: str, state: SignatureState, begin: str
) -> None:
    """Each of their answers has one meaning; several at once are refused."""
    lines = "\n".join(f"[GNUPG:] {line}" for line in said.splitlines())
    address = "eve@example.org" if "eve@" in said else "ada@example.org"
    uid = f"uid:u::::1::X::Ada <{address}>:\nuid:r::::1::X::Ada <ada@example.org>:"
    program = repo.write(
        ".git/gpg",
        f"#!/bin/sh\ncase \"$*\" in *--list-keys*) echo '{uid}';; *) echo '{lines}';; esac\n",
    )
    program.chmod(0o755)
    opened = open_repo(repo)
    commit = (
        f"tree {'0' * 40}\nauthor Ada <ada@example.org> 1 +0000\ncommitter Ada <ada@example.org> 1 +0000\n"
        f"gpgsig -----BEGIN {begin}-----\n x\n -----END {begin}-----\n\nsubject\n"
    ).encode()
    own = {"gpg.program": str(program), "gpg.x509.program": str(program)}
    opened.git.own_config.update(own)  # type: ignore[attr-defined]
    report = SignatureCheck(opened.git).check(commit)
    assert (report.state, report.format) == (state, "openpgp" if "PGP" in begin else "x509")


@pytest.mark.parametrize("begin", ["PGP SIGNATURE", "SIGNED MESSAGE"])
def test_who_has_no_keyring_gets_none(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    """Gpg would make one for whoever reads a stranger's run."""
    monkeypatch.setenv("HOME", str(tmp_path))
    commit = (
        f"tree {'0' * 40}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n"
        f"gpgsig -----BEGIN {begin}-----\n x\n -----END {begin}-----\n\nsubject\n"
    ).encode()
    check = SignatureCheck(open_repo(repo).git)
    assert check.check(commit).state is SignatureState.UNKNOWN_SIGNER
    assert check.keys_of("a@b") == []
    assert not (tmp_path / ".gnupg").exists()


def test_a_program_that_is_not_there(repo: GitRepo) -> None:
    """It is named, and what it would have said is not made up."""
    opened = open_repo(repo)
    opened.git.own_config.update({"gpg.ssh.program": "/no/ssh"})  # type: ignore[attr-defined]
    commit = (
        f"tree {'0' * 40}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n"
        "gpgsig -----BEGIN SSH SIGNATURE-----\n x\n -----END SSH SIGNATURE-----\n\nsubject\n"
    ).encode()
    report = SignatureCheck(opened.git).check(commit)
    assert (report.state, "/no/ssh" in report.why) == (SignatureState.UNCHECKED, True)
    assert not SignatureCheck(opened.git).is_signed_by(commit, {"SHA256:x": ""})


HEADER = st.binary(max_size=40).map(
    lambda it: it.replace(b"\n", b"").removeprefix(b"gpgsig").lstrip()
)


@given(st.lists(HEADER, max_size=4), st.binary(max_size=60), st.binary(min_size=1, max_size=90))
def test_any_signature_comes_out_as_it_was_put_in(
    lines: list[bytes], message: bytes, signature: bytes
) -> None:
    """Whatever headers and message a commit has: what is signed is the commit without the signature."""
    head = b"\n".join(line for line in lines if line)
    assume(head)
    made = signature.replace(b"\r", b"").strip(b"\n") + b"\n"
    assume(made.strip(b"\n"))
    commit = head + b"\n\n" + message
    assert split_signature(with_signature(commit, made)) == (commit, made)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda it: b"SSHSIG" + it))
def test_any_bytes_may_stand_where_an_ssh_signature_should(data: bytes) -> None:
    """They claim a key or none; nothing else comes of it."""
    armour = b"-----BEGIN SSH SIGNATURE-----\n%s\n-----END SSH SIGNATURE-----\n"
    for content in (data, armour % data, armour % base64.b64encode(data)):
        key = claimed_key(content)
        assert key == "" or is_fingerprint(key)


MAIN = KEY[::-1]


@pytest.mark.parametrize(
    ("said", "code", "state", "signer", "keys", "why"),
    [
        (MAIL, 0, SignatureState.GOOD, "Ada <ada@example.org>", (KEY,), ""),
        (MAIL.replace(f"00 {KEY}", f"00 {MAIN}"), 0, SignatureState.GOOD, "Ada <ada@example.org>", (KEY, MAIN), ""),
        (MAIL.replace(f" {KEY}", f" {KEY}", 1).rpartition(" ")[0] + " -", 0, SignatureState.GOOD,
         "Ada <ada@example.org>", (KEY,), ""),
        (MAIL, 2, SignatureState.UNCHECKED, "Ada <ada@example.org>", (KEY,), "gpg has failed: said"),
        (MAIL.partition("\n")[0], 0, SignatureState.UNCHECKED, "Ada <ada@example.org>", ("0123456789ABCDEF",),
         "gpg has failed: said"),
        ("BADSIG 1 Ada", 1, SignatureState.TAMPERED, "Ada", ("1",), "its signature is not of this commit"),
        ("EXPSIG 1 Ada", 0, SignatureState.EXPIRED, "Ada", ("1",), "its signature has expired"),
        ("EXPKEYSIG 1 Ada", 0, SignatureState.EXPIRED, "Ada", ("1",), "its key has expired"),
        ("REVKEYSIG 1 Ada", 0, SignatureState.REVOKED, "Ada", ("1",), "its key was revoked"),
        (f"ERRSIG 12 22 8 00 1 9 {KEY}\nNO_PUBKEY 12", 2, SignatureState.UNKNOWN_SIGNER, "", (KEY,),
         "its key is not in your keyring"),
        ("NO_PUBKEY 12\nERRSIG 12 22 8 00 1 9 -\nX", 2, SignatureState.UNKNOWN_SIGNER, "", ("12",),
         "its key is not in your keyring"),
        ("ERRSIG 12 22 8 00 1 4 34", 2, SignatureState.UNCHECKED, "", ("34",), "its signature can't be checked: said"),
        ("NODATA 1", 2, SignatureState.TAMPERED, "", (), "its signature can't be read: said"),
        ("BADSIG 1 A\nBADSIG 2 B", 1, SignatureState.TAMPERED, "", (), "it has several signatures"),
    ],
)  # fmt: skip
def test_what_the_lines_of_gpg_tell(
    said: str, code: int, state: SignatureState, signer: str, keys: tuple[str, ...], why: str
) -> None:
    """Whose the signature is, by which key and its main one, and what is wrong with it; other lines say nothing."""
    lines = "".join(f"[GNUPG:] {line}\n" for line in said.splitlines())
    done = Completed(code, f"BADSIG 9 nobody\n{lines}".encode(), "said")
    found = signature_check._gpg_status(done)
    assert (found.verdict, found.signer, found.keys, found.why) == (state, signer, keys, why)
    for line, trust in (
        ("TRUST_FULLY 0", "fully"),
        ("TRUST_ODD", "undefined"),
        ("TRUST_NEVER", "never"),
    ):
        trusted = signature_check._gpg_status(
            Completed(code, f"{lines}[GNUPG:] {line}\n".encode(), "")
        )
        assert trusted.trust == ("undefined" if not found.keys else trust)


class _Gpg:
    """A check of signatures for which gpg says what it is told to."""

    def __init__(self, repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
        self.check = SignatureCheck(open_repo(repo).git)
        self.said = ""
        self.asked: list[tuple[str, ...]] = []
        monkeypatch.setattr(signature_check, "_has_keyring", lambda _: True)
        monkeypatch.setattr(SignaturePrograms, "run", self._run)

    def _run(self, *words: object, stdin: bytes = b"") -> Completed:  # noqa: ARG002
        self.asked.append(
            tuple(map(str, words[1:] if isinstance(words[0], SignaturePrograms) else words))
        )
        return Completed(0, self.said.encode(), "")

    def trust(self, level: str, own: str | None = None) -> None:
        """Let the config, and what of it is the user's own, ask for a level."""
        git = self.check._git
        git.config["gpg.mintrustlevel"] = level  # type: ignore[index]
        git.own_config["gpg.mintrustlevel"] = own or level  # type: ignore[index]


@pytest.fixture
def gnupg(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> _Gpg:
    """As said."""
    return _Gpg(repo, monkeypatch)


def test_names_of_a_key(gnupg: _Gpg) -> None:
    """Its addresses count as far as gpg knows them to be its owner's; what is revoked or no name does not."""
    gnupg.said = """pub:u:255:22:1:1:::::X <pub@x>:
uid:m::::1::X::Marginal <marginal@x>:
uid:f::::1::X::Fully <FULLY@x>:
uid:u::::1::X::odd\\x3aone <ul\\x74imate@x>:
uid:-::::1::X::Nobody <unknown@x>:
uid:r::::1::X::Gone <revoked@x>:
uid:e::::1::X::Gone <expired@x>:
uid:n::::1::X::Gone <never@x>:
uid:u::::1::X::plain@x:
uid:u
uid:u::::::::x@short
"""
    for least, names in (
        ("undefined", {"marginal@x", "fully@x", "ultimate@x", "plain@x", "unknown@x", "x@short"}),
        ("marginal", {"marginal@x", "fully@x", "ultimate@x", "plain@x", "x@short"}),
        ("fully", {"fully@x", "ultimate@x", "plain@x", "x@short"}),
        ("ultimate", {"ultimate@x", "plain@x", "x@short"}),
    ):
        assert gnupg.check._gpg_emails(SignatureFormat.OPENPGP, KEY, least) == names
    assert gnupg.asked[0] == ("gpg", "--batch", "--with-colons", "--list-keys", KEY)
    assert gnupg.check._is_known_as(KEY, "MARGINAL@x")
    assert not gnupg.check._is_known_as(KEY, "unknown@x")
    gnupg.trust("fully")
    assert not gnupg.check._is_known_as(KEY, "marginal@x")
    assert gnupg.check._is_known_as(KEY, "fully@x")


def test_how_much_must_be_known(gnupg: _Gpg) -> None:
    """The more of what the repository and its user ask for; a level that is none is an error."""
    for level, own, least in (
        ("fully", "marginal", "fully"), ("never", "ULTIMATE", "ultimate"), ("marginal", "undefined", "marginal"),
    ):  # fmt: skip
        gnupg.trust(level, own)
        assert gnupg.check._least_trust() == least
    gnupg.trust("much", "fully")
    with pytest.raises(RepositoryError, match=r"gpg.minTrustLevel is 'much', which is no level"):
        gnupg.check._least_trust()


@pytest.mark.parametrize(
    ("state", "trust", "least", "keys", "is_signed"),
    [
        (SignatureState.GOOD, "fully", "fully", {KEY: ""}, True),
        (SignatureState.GOOD, "fully", "fully", {MAIN: ""}, True),
        (SignatureState.GOOD, "fully", "ultimate", {KEY: ""}, False),
        (SignatureState.GOOD, "never", "undefined", {KEY: ""}, False),
        (SignatureState.GOOD, "undefined", "undefined", {KEY: ""}, True),
        (SignatureState.EXPIRED, "fully", "undefined", {KEY: ""}, False),
        (SignatureState.GOOD, "fully", "undefined", {"other": ""}, False),
        (SignatureState.GOOD, "fully", "undefined", {KEY: "ada@x"}, True),
        (SignatureState.GOOD, "fully", "undefined", {KEY: "eve@x"}, False),
        (SignatureState.GOOD, "fully", "undefined", {KEY: "eve@x", MAIN: ""}, True),
    ],
)
def test_by_which_keys_of_gpg_a_run_is_trusted(
    gnupg: _Gpg, monkeypatch: pytest.MonkeyPatch, state: SignatureState, trust: str, least: str,
    keys: dict[str, str], is_signed: bool,
) -> None:  # fmt: skip
    """A good signature by one that was trusted as it is, or whose owner is still whom it was trusted as."""
    status = signature_check._GpgStatus(state, "Ada", (KEY, MAIN), trust)
    monkeypatch.setattr(SignatureCheck, "_gpg_status", lambda *_: status)
    gnupg.said = "uid:u::::1::X::Ada <ada@x>:\n"
    gnupg.trust(least)
    found = gnupg.check._is_signed_by_gpg(SignatureFormat.OPENPGP, b"", b"", keys)
    assert found is is_signed
    if "ada@x" in keys.values():
        assert gnupg.asked[0][-1] == MAIN


@pytest.mark.parametrize(
    ("status", "state", "why"),
    [
        (("", "fully"), SignatureState.GOOD, ""),
        (("", "never"), SignatureState.UNKNOWN_SIGNER,
         "whose key it is, gpg does not know well enough (trust: never)"),
        (("", "undefined"), SignatureState.UNKNOWN_SIGNER,
         "whose key it is, gpg does not know well enough (trust: undefined)"),
        (("eve@x", "fully"), SignatureState.OTHER_SIGNER, "the committer is Eve <eve@x>, the signer is not"),
    ],
)  # fmt: skip
def test_what_is_reported_of_a_good_signature(
    gnupg: _Gpg, monkeypatch: pytest.MonkeyPatch, status: tuple[str, str], state: SignatureState, why: str
) -> None:  # fmt: skip
    """Whose it is, by the main key; the committer must be one of the key's names."""
    email, trust = status
    made = signature_check._GpgStatus(SignatureState.GOOD, "Ada <ada@x>", (KEY, MAIN), trust)
    monkeypatch.setattr(SignatureCheck, "_gpg_status", lambda *_: made)
    gnupg.said = "uid:f::::1::X::Ada <ada@x>:\n"
    gnupg.trust("marginal")
    committer = Signature("Eve", email or "ADA@x", 1, 0)
    found = gnupg.check._by_gpg(SignatureFormat.OPENPGP, b"", b"", committer)
    assert (found.state, found.why, found.signer, found.key) == (state, why, "Ada <ada@x>", MAIN)


def test_keys_for_an_address(gnupg: _Gpg, monkeypatch: pytest.MonkeyPatch) -> None:
    """Main keys that may be used; not what is revoked, disabled, a subkey, or somebody else's for all gpg knows."""
    rows = [
        ("u", "scSC", "1"),
        ("r", "sc", "2"),
        ("f", "scD", "3"),
        ("f", "sc", "4"),
        ("u", "", "5"),
    ]
    gnupg.said = "".join(
        f"pub:{validity}:255:22:1:1::::::{can}:D:\nfpr:::::::::{name * 40}:\n"
        f"sub:u:255:18:2:1::::::e:\nfpr:::::::::{'A' * 40}:\n"
        for validity, can, name in rows
    )
    monkeypatch.setattr(
        SignatureCheck, "_is_known_as", lambda _, key, name: (key[0], name) != ("4", "a@x")
    )
    assert gnupg.check.keys_of("a@x") == ["1" * 40, "5" * 40]
    words = ("--batch", "--no-tty", "--with-colons", "--list-keys", "<a@x>")
    assert gnupg.asked == [("gpg", *words)]

    def missing(*_: object, **__: object) -> Completed:
        raise RepositoryError("there is no gpg")

    monkeypatch.setattr(SignaturePrograms, "run", missing)
    assert gnupg.check.keys_of("a@x") == []


def test_how_gpg_is_asked(gnupg: _Gpg) -> None:
    """It asks nobody, no server and no terminal, about the very bytes that were signed."""
    gnupg.said = "".join(f"[GNUPG:] {line}\n" for line in MAIL.splitlines())
    for kind, more in (
        (SignatureFormat.OPENPGP, ["--no-auto-key-retrieve"]),
        (SignatureFormat.X509, []),
    ):
        gnupg.asked.clear()
        assert (
            gnupg.check._gpg_status(kind, b"payload", b"signature").verdict is SignatureState.GOOD
        )
        program, *words = gnupg.asked[0]
        assert program == ("gpg" if more else "gpgsm")
        assert words[:-2] == ["--batch", "--no-tty", "--status-fd=1", *more, "--verify"]
        assert words[-1] == "-"


def test_where_a_keyring_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where gpg does; a program of another name may have its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for home in (None, tmp_path / "own"):
        if home:
            monkeypatch.setenv("GNUPGHOME", str(home))
        assert not signature_check._has_keyring("gpg")
        assert not signature_check._has_keyring("gpgsm")
        assert signature_check._has_keyring("/opt/gpg")
        (home or tmp_path / ".gnupg").mkdir()
        assert signature_check._has_keyring("gpg")


def _armoured(data: bytes) -> bytes:
    lines = base64.b64encode(data)
    return b"-----BEGIN SSH SIGNATURE-----\n%s\n-----END SSH SIGNATURE-----\n" % lines


def test_what_an_ssh_signature_must_be() -> None:
    """Its key stands in it, whole; whatever else is there is told."""
    head = b"SSHSIG" + b"\0\0\0\1"
    assert ssh_key(_armoured(head + b"\0\0\0\3keyrest")) == b"key"
    assert claimed_key(_armoured(head + b"\0\0\0\3key")) == fingerprint(b"key")
    assert claimed_key(b"nothing") == ""
    for signature, why in (
        (_armoured(head + b"\0\0\0\4key"), "cut off"), (_armoured(head + b"\0\0\0\0key"), "cut off"),
        (_armoured(b"sshsig" + b"\0\0\0\1\0\0\0\3key"), "no signature by ssh"),
        (_armoured(head + b"\0\0\0\3key").replace(b"-----END", b"----"), "no signature by ssh"),
        (_armoured(head + b"\0\0\0\3key").replace(b"SSH SIG", b"PGP SIG"), "no signature by ssh"),
        (_armoured(head + b"\0\0\0\3key").replace(b"U1NI", b"U1N*I"), "not base64"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=why):
            ssh_key(signature)


def test_what_a_commit_says_of_its_signature() -> None:
    """In a few words, of which nothing is checked; several, an empty one and a huge one are told."""
    commit = b"tree x\nauthor A\n\nsubject\n"
    key = b"SSHSIG\0\0\0\1\0\0\0\3key"
    for signature, words in (
        (_armoured(key), f"ssh key {fingerprint(b'key')}"), (b"-----BEGIN PGP SIGNATURE-----\nx\n", "openpgp key"),
        (b"odd", "unknown key"),
    ):  # fmt: skip
        assert claim(with_signature(commit, signature)) == words
    assert claim(commit) == ""
    assert format_of(b"-----BEGIN SIGNED MESSAGE-----  \nx") is SignatureFormat.X509
    signed = with_signature(commit, b"x" * (MAX_SIGNATURE - 1) + b"\ny")
    largest = with_signature(commit, b"x" * MAX_SIGNATURE)
    assert split_signature(largest) == (commit, b"x" * MAX_SIGNATURE + b"\n")
    twice = b"tree x\ngpgsig a\n b\ngpgsig c\n\nm"
    apart = b"tree x\ngpgsig a\nother y\n z\n\nm"
    assert split_signature(apart) == (b"tree x\nother y\n z\n\nm", b"a\n")
    for content, why in (
        (twice, "several signatures"), (b"tree x\ngpgsig-sha256 a\n\nm", "several signatures"),
        (b"tree x\ngpgsig \n\nm", "signature is empty"), (signed, f"has {MAX_SIGNATURE + 1:,} bytes"),
    ):  # fmt: skip
        with pytest.raises(CorruptRecord, match=why):
            split_signature(content)
        assert claim(content).startswith("nobody: it")


def test_a_file_that_a_setting_names(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the work tree or the home directory; one that can't be read is an error, and none at all is none."""
    git = open_repo(repo).git
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "list").write_text("")
    repo.write("own", "")
    for value, path in (("~/list", tmp_path / "list"), ("own", repo.path / "own")):
        assert named_file(git, "A.b", {"a.b": value}) == str(path)
    assert named_file(git, "A.b", {}) is None
    assert named_file(git, "A.b") is None
    for value in ("nothing", "."):
        with pytest.raises(RepositoryError, match=f"A.b is '{value}', which is no file"):
            named_file(git, "A.b", {"a.b": value})
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RepositoryError, match="no file that can be read"):
        named_file(git, "A.b", {"a.b": "own"})


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("19700102Z", 86400), ("197001020102Z", 90120), ("19700102010203Z", 90123), ("19700102", 86400),
        ("1970010", None), ("19700102010", None), ("soon", None), ("19701302", None),
    ],
)  # fmt: skip
def test_times_of_allowed_signers(moment: str, seconds: int | None) -> None:
    """To the day, the minute or the second, here (the clock of tests is that of Greenwich) or in Greenwich."""
    if seconds is None:
        with pytest.raises(ValueError, match=r"time|data"):
            signature_check._seconds(moment)
    else:
        assert signature_check._seconds(moment) == seconds


@pytest.mark.parametrize(
    ("options", "allows"),
    [
        ("", True), ('namespaces="git"', True), ('namespaces="file,g*"', True), ('NAMESPACES="git"', True),
        ('namespaces="file"', False), ('namespaces="git,!file"', False), ("namespaces", False),
        ("cert-authority", False),
        ('valid-after="20200101",valid-before="20990101"', True),
        ('valid-before="20990101",valid-after="20980101"', False),
        ('namespaces="git",other="x"', False),
    ],
)  # fmt: skip
def test_options_of_allowed_signers(options: str, allows: bool) -> None:
    """All must let a key sign commits now; what is not known does not."""
    assert signature_check._allows_now(options) is allows


def test_allowed_keys(tmp_path: Path) -> None:
    """Lines for a name as it is; no pattern, no line in which the key is another kind than it says, no rubbish."""
    kind = b"ssh-ed25519"
    raw = len(kind).to_bytes(4, "big") + kind + b"\0\0\0\1x"
    key = base64.b64encode(raw).decode()
    lines = [
        (f"a@x ssh-ed25519 {key}", True), (f'"b@x,a@x" ssh-ed25519 {key} comment', True),
        (f"a@x,!b@x ssh-ed25519 {key}", False),
        (f"*@x ssh-ed25519 {key}", False), (f"a@x ssh-rsa {key}", False), (f"a@x ssh-ed25519 {key}A", False),
        (f"a@x nonsense ssh-ed25519 {key}", False), (f'a@x namespaces="git" ssh-ed25519 {key}', True),
        (f"a@x ssh-ed25519 {key}==", False),
        (f"# a@x ssh-ed25519 {key}", False), ("a@x", False), (f'a@x "odd ssh-ed25519 {key}', False),
    ]  # fmt: skip
    file = tmp_path / "allowed"
    for line, counts in lines:
        file.write_text(f"\n{line}\n")
        found = signature_check._allowed_keys(str(file), "a@x")
        assert (line, found) == (line, [fingerprint(raw)] if counts else [])
    assert signature_check._allowed_keys(None, "a@x") == []
    with pytest.raises(ValueError, match="no list of options"):
        signature_check._allows_now('namespaces="git" x')


def test_at_which_time_a_signature_is_looked_at() -> None:
    """That of the commit, if it is one that ssh-keygen takes."""
    last = signature_check._LAST_SECOND
    assert time.gmtime(last)[:6] == (9999, 12, 31, 23, 59, 59)
    for seconds, moment in (
        (0, "19700101000000"),
        (last, "99991231235959"),
        (-1, None),
        (last + 1, None),
    ):
        found = signature_check._at_time_of(Signature("A", "a@b", seconds, 0))
        assert found == (None if moment is None else ("-O", f"verify-time={moment}"))
    for email, is_one in (
        ("a" * MAX_ADDRESS, True),
        ("a" * (MAX_ADDRESS + 1), False),
        ("a\0b", False),
    ):
        assert (signature_check._at_time_of(Signature("A", email, 1, 0)) is not None) is is_one


def test_programs_run_apart(repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the work tree, in a session of their own, without what a hook exports; what they say comes back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    programs = SignaturePrograms(
        open_repo(repo).git, {"gpg.program": "~/x", "gpg.x509.program": "y"}
    )
    script = "cat; pwd; echo $GIT_DIR; cut -d' ' -f6 /proc/$$/stat; echo $$; echo said >&2; exit 3"
    done = programs.run("sh", "-c", script, stdin=b"given\n")
    given, place, directory, session, pid = done.out.decode().split("\n")[:5]
    assert (given, place, directory, session == pid) == ("given", str(repo.path), "", True)
    assert (done.code, done.err) == (3, "said\n")
    assert programs.program(SignatureFormat.OPENPGP) == os.path.expanduser("~/x")  # noqa: PTH111
    assert programs.program(SignatureFormat.X509) == "y"
    assert programs.program(SignatureFormat.SSH) == "ssh-keygen"


class _Ssh(signature_check._SshCheck):
    """A check for which ssh-keygen says what it is told to, by what it is asked for."""

    said: dict[str, Completed]

    def _run(self, what: str, path: str, *options: str, stdin: bytes = b"") -> Completed:  # noqa: ARG002
        name = f"{what} {options[options.index('-I') + 1]}" if "-I" in options else what
        return self.said.get(name, Completed(255, b"", "no"))


def _good(key: str) -> Completed:
    return Completed(0, f'Good "git" signature for a with ED25519 key {key}\n'.encode(), "")


@pytest.mark.parametrize(
    ("said", "principal", "listed"),
    [
        (
            {"find-principals": Completed(0, b"a@x\nb@x\n", ""), "verify b@x": _good("SHA256:k")},
            "b@x",
            "",
        ),
        ({"find-principals": Completed(255, b"", "key has expired")}, "", "for another time"),
        ({"find-principals": Completed(255, b"", "key is not yet valid")}, "", "for another time"),
        ({"find-principals": Completed(0, b"a@x\n", "")}, "", "for something else than commits"),
        ({}, "", ""),
    ],
)
def test_whose_key_a_list_says_it_is(
    repo: GitRepo, said: dict[str, Completed], principal: str, listed: str
) -> None:
    """The first for whom the signature is good; else, what the list has of the key."""
    kind = b"ssh-ed25519"
    raw = len(kind).to_bytes(4, "big") + kind + b"x"
    signature = _armoured(b"SSHSIG\0\0\0\1" + len(raw).to_bytes(4, "big") + raw)
    git = open_repo(repo).git
    check = _Ssh(git, SignaturePrograms(git, {}), b"payload", signature)
    own = fingerprint(raw)
    check.said = said
    assert check._principal("path", "allowed", ()) == (principal, listed)
    committer = Signature("A", "a@x", 1, 0)
    assert check.key(committer, None) is None
    check.said = {**said, "check-novalidate": _good(own)}
    assert check.key(committer, None) == own
    assert check.key(Signature("A", "a@x", -1, 0), None) is None
    assert check.key(committer, "allowed") == (own if principal or not listed else None)
    report = check.of(committer, "allowed")
    assert report.key == own
    states = {"": SignatureState.UNKNOWN_SIGNER, "for another time": SignatureState.EXPIRED}
    expected = (
        SignatureState.OTHER_SIGNER
        if principal
        else states.get(listed, SignatureState.UNKNOWN_SIGNER)
    )
    assert (report.state, report.signer) == (expected, principal)
    assert (
        report.why
        == {
            SignatureState.OTHER_SIGNER: "the committer is A <a@x>, the signer is not",
            SignatureState.EXPIRED: "its key was not valid when the commit was made",
            SignatureState.UNKNOWN_SIGNER: "its key is not among the allowed signers",
        }[expected]
    )
    if expected is SignatureState.UNKNOWN_SIGNER:
        assert "if a@x has told you that this is their key: echo" in str(report.hint)
        odd = check.of(Signature("A", "a b@x", 1, 0), "allowed")
        assert odd.hint is None
    unlisted = check.of(committer, None)
    assert (unlisted.state, unlisted.why) == (
        SignatureState.UNKNOWN_SIGNER, "there is no list of whose keys may sign",
    )  # fmt: skip
    good = {**check.said, "verify a@x": _good(own)}
    check.said = good
    found = check.of(committer, "allowed")
    assert (found.state, found.signer, found.key) == (SignatureState.GOOD, "a@x", own)
    check.said = {"check-novalidate": _good("SHA256:other")}
    assert check.key(committer, None) is None
    tampered = check.of(committer, "allowed")
    assert (tampered.state, tampered.why) == (
        SignatureState.TAMPERED, "its signature is not of this commit",
    )  # fmt: skip
    outside = check.of(Signature("A", "a@x", -1, 0), "allowed")
    assert outside.why == "the committer's time or address is none"


def test_what_is_no_signature_is_told(repo: GitRepo) -> None:
    """Whatever stands in the place of one, and a commit without."""
    check = SignatureCheck(open_repo(repo).git)
    head = b"tree %s\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n" % (b"0" * 40)
    assert check.check(head + b"\nsubject\n").state is SignatureState.UNSIGNED
    odd = check.check(head + b"gpgsig odd\n\nsubject\n")
    assert (odd.state, odd.why) == (SignatureState.TAMPERED, "its signature is of no known kind")
    twice = check.check(head + b"gpgsig a\ngpgsig b\n\nsubject\n")
    assert (twice.state, "several signatures" in twice.why) == (SignatureState.TAMPERED, True)
    assert not check.is_signed_by(head + b"gpgsig odd\n\nsubject\n", {"": ""})
    assert not check.is_signed_by(head + b"gpgsig a\ngpgsig b\n\nsubject\n", {"": ""})


def test_a_program_ends_when_whoever_waits_for_it_is_interrupted(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it has started: nobody is to be asked for a passphrase after Ctrl-C."""
    seen: list[Process] = []

    def interrupt(process: Process, *_: object) -> None:
        seen.append(process)
        raise KeyboardInterrupt

    programs = SignaturePrograms(open_repo(repo).git, {})
    monkeypatch.setattr(Process, "communicate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        programs.run("sleep", "60")
    assert seen[0].returncode == -signal.SIGTERM
    assert all(pipe is None or pipe.closed for pipe in (seen[0].stdin, seen[0].stdout))


@pytest.mark.parametrize("case", ["gone", "deaf"])
def test_a_program_that_has_ended_or_does_not_heed_a_signal(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """The first is no error of its own, the second is killed."""
    sent: list[int] = []
    killpg, wait = os.killpg, Process.wait

    def send(group: int, number: int) -> None:
        sent.append(number)
        if case == "gone" or number == signal.SIGKILL:
            killpg(group, number)
        if case == "gone":
            raise ProcessLookupError

    def waits(process: Process, timeout: float | None = None) -> int:
        if case == "deaf" and sent == [signal.SIGTERM]:
            raise subprocess.TimeoutExpired("sleep", 1)
        return wait(process, timeout)

    monkeypatch.setattr("gitflowrun.git.signing.signature.SIGNATURE_SECONDS", 0.05)
    monkeypatch.setattr(os, "killpg", send)
    monkeypatch.setattr(Process, "wait", waits)
    with pytest.raises(RepositoryError, match="sleep has waited"):
        SignaturePrograms(open_repo(repo).git, {}).run("sleep", "60")
    assert sent == [signal.SIGTERM, signal.SIGKILL][: 1 + (case == "deaf")]
