"""What `git runs verify` makes of what anybody may write into a run, and of programs that answer strangely."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gitflowrun.git.signature import claimed_key, split_signature, with_signature
from gitflowrun.git.signature_check import SignatureCheck, SignatureState, is_fingerprint
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
