"""`git runs verify` says whose signature a run has, and whether all of the run is what was signed."""

from __future__ import annotations

import json
import subprocess
import zlib
from collections.abc import Callable

import pytest

from gitflowrun.git.signing.signature import CommitSigner, claimed_key, split_signature
from gitflowrun.git.signing.signature_check import SignatureState
from gitflowrun.porcelain.checks.verify import RunVerifier, Verification
from tests.helpers.repos import GitRepo
from tests.helpers.runs import open_repo, start_run
from tests.helpers.signing import (
    ADA,
    EVE,
    SshKey,
    content_of,
    gpg,
    gpg_home,
    gpgsm_home,
    make_signed_run,
    needs_gpg,
    needs_gpgsm,
    needs_ssh,
    put_commit,
)

GOOD, TAMPERED = SignatureState.GOOD, SignatureState.TAMPERED


def _verify(repo: GitRepo, run: str = "1") -> Verification:
    opened = open_repo(repo)
    from gitflowrun.runs.runs import RunStore

    return RunVerifier(opened).verify(RunStore(opened).find(run))


def _allow(repo: GitRepo, *lines: str) -> None:
    (repo.path / ".git" / "allowed").write_text("".join(f"{line}\n" for line in lines))


@needs_ssh
def test_a_run_that_its_committer_signed_is_good(signed: GitRepo, keys: dict[str, SshKey]) -> None:
    """Known, the committer's, whole: exit 0, and --json tells by which key; so does the signature itself."""
    done = signed.call("verify", "--all")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[:3] for line in done.out.splitlines()[1:]] == [
        ["MyFlow/2", "good", ADA], ["MyFlow/1", "good", ADA],
    ]  # fmt: skip
    found = json.loads(signed.call("verify", "1", "--json").out)[0]
    assert found["key"] == keys[ADA].fingerprint
    assert (found["made_here"], found["format"]) == (True, "ssh")
    assert "one that the repository's own config names" in found["why"]
    shown = signed.call("show", "1").out
    assert (
        f"Signed by: ssh key {keys[ADA].fingerprint} (not checked: git runs verify MyFlow/1)"
        in " ".join(shown.split())
    )
    _, signature = split_signature(content_of(signed, "refs/runs/MyFlow/1"))
    assert claimed_key(signature) == keys[ADA].fingerprint


@needs_ssh
def test_who_signs_must_be_the_committer(mine: GitRepo, keys: dict[str, SshKey]) -> None:
    """A principal is compared with the committer's address, by ssh's own patterns."""
    public = keys[ADA].public
    for principal, state in (
        (EVE, SignatureState.OTHER_SIGNER),
        (f"{EVE},{ADA}", GOOD),
        ("*@example.org", GOOD),
        (f"*@example.org,!{ADA}", SignatureState.OTHER_SIGNER),
        (f'{ADA} namespaces="git"', GOOD),
        (f'{ADA} namespaces="file"', SignatureState.UNKNOWN_SIGNER),
        (f'{ADA} valid-after="20990101"', SignatureState.EXPIRED),
        (f'{ADA} valid-before="20200101"', SignatureState.EXPIRED),
        (f'{ADA} valid-after="20200101",valid-before="20990101"', GOOD),
    ):
        _allow(mine, f"{principal} {public}")
        assert (principal, _verify(mine).state) == (principal, state)
    _allow(mine, f"{EVE} {public}", f"{ADA} {keys[EVE].public}")
    found = _verify(mine)
    assert (found.state, found.signer) == (SignatureState.OTHER_SIGNER, EVE)
    assert f"<{ADA}>" in found.why


@needs_ssh
def test_a_key_that_nobody_knows(mine: GitRepo, keys: dict[str, SshKey]) -> None:
    """It is named, with the command that would allow it; without a list, with the one that names a list."""
    _allow(mine, f"{ADA} {keys[EVE].public}")
    done = mine.call("verify", "1")
    assert (done.code, "unknown signer" in done.out, keys[ADA].fingerprint in done.out) == (
        1,
        True,
        True,
    )
    subprocess.run(["sh", "-c", done.err.partition(": echo ")[2].join(["echo ", ""])], check=True)
    assert _verify(mine).state is GOOD
    mine.git("config", "--unset", "gpg.ssh.allowedSignersFile")
    assert "hint: git config --global gpg.ssh.allowedSignersFile" in mine.call("verify").err
    mine.git("config", "gpg.ssh.allowedSignersFile", "not/there")
    found = _verify(mine)
    assert (found.state, "not/there" in found.why) == (SignatureState.UNCHECKED, True)


@needs_ssh
def test_a_revoked_key(mine: GitRepo, keys: dict[str, SshKey]) -> None:
    """Whether it is known or not; a list of revoked keys that can't be read makes nothing good."""
    file = mine.write(".git/revoked", keys[EVE].public + "\n")
    mine.git("config", "gpg.ssh.revocationFile", str(file))
    assert _verify(mine).state is GOOD
    file.write_text(keys[ADA].public + "\n")
    assert _verify(mine).state is SignatureState.REVOKED
    _allow(mine)
    assert _verify(mine).state is SignatureState.REVOKED
    file.unlink()
    assert _verify(mine).state is SignatureState.UNCHECKED


def _other_subject(one: bytes, _two: bytes) -> bytes:
    return one.replace(b": done", b": fine")


def _other_committer(one: bytes, _two: bytes) -> bytes:
    return one.replace(
        f"committer Ada Lovelace <{ADA}>".encode(), f"committer Eve <{EVE}>".encode()
    )


def _copied(one: bytes, two: bytes) -> bytes:
    signature = split_signature(two)[1].rstrip(b"\n").replace(b"\n", b"\n ")
    return split_signature(one)[0].replace(b"\n\n", b"\ngpgsig " + signature + b"\n\n", 1)


def _twice(one: bytes, two: bytes) -> bytes:
    return _copied(one, two).replace(
        b"\n\n", one[one.index(b"\ngpgsig") : one.index(b"\n\n")] + b"\n\n", 1
    )


def _of_another_hash(one: bytes, _two: bytes) -> bytes:
    return one.replace(b"\n\n", b"\ngpgsig-sha256 x\n\n", 1)


def _huge(one: bytes, _two: bytes) -> bytes:
    return one.replace(b"-----END", b"A" * 100_000 + b"\n -----END", 1)


def _cut(one: bytes, _two: bytes) -> bytes:
    return one.replace(b" -----END SSH SIGNATURE-----\n", b"", 1)


def _of_no_kind(one: bytes, _two: bytes) -> bytes:
    return one.replace(b"SSH SIGNATURE", b"WAX SEAL")


def _empty(one: bytes, _two: bytes) -> bytes:
    return split_signature(one)[0].replace(b"\n\n", b"\ngpgsig \n\n", 1)


@needs_ssh
@pytest.mark.parametrize(
    "forge",
    [
        _other_subject, _other_committer, _copied, _twice, _of_another_hash, _huge, _cut, _of_no_kind, _empty,
    ],
)  # fmt: skip
def test_a_signature_of_something_else_is_tampered_with(
    mine: GitRepo, keys: dict[str, SshKey], forge: Callable[[bytes, bytes], bytes]
) -> None:
    """A changed commit, somebody else's signature, two of them, a huge, damaged or unknown one."""
    _allow(mine, f"{ADA},{EVE} {keys[ADA].public}")
    one, two = (content_of(mine, f"refs/runs/MyFlow/{number}") for number in (1, 2))
    put_commit(mine, "MyFlow/1", forge(one, two))
    found = _verify(mine)
    assert (found.state, bool(found.why)) == (TAMPERED, True)


@needs_ssh
def test_the_newest_commit_counts(mine: GitRepo) -> None:
    """What somebody adds to a signed run is not signed by that; nor is a run that goes on."""
    ref = "refs/runs/MyFlow/1"
    tip = mine.git("rev-parse", ref)
    message = mine.git("log", "-1", "--format=%B", ref)
    oid = mine.git("commit-tree", f"{ref}^{{tree}}", "-p", tip, "-m", message)
    mine.git("update-ref", ref, oid)
    found = _verify(mine)
    assert (found.state, tip[:7] in found.why) == (SignatureState.UNSIGNED, True)
    with start_run(mine):
        assert "when it ends" in _verify(mine, "3").why
    assert mine.call("verify", "1").code == 1
    assert mine.call("verify", "1", "--allow-unsigned").code == 0


@needs_ssh
def test_a_run_is_what_was_signed(mine: GitRepo) -> None:
    """Damaged and missing objects, another INFO, a merge, and a run filed under another's name are told."""
    mine.git("update-ref", "refs/runs/MyFlow/7", "refs/runs/MyFlow/1")
    mine.git("update-ref", "refs/runs/Other/1", "refs/runs/MyFlow/1")
    uid = mine.git("rev-list", "--max-parents=0", "refs/runs/MyFlow/1")
    mine.git("update-ref", f"refs/runs/MyFlow/1-{uid[:7]}", "refs/runs/MyFlow/1")
    mine.git("update-ref", "refs/runs/MyFlow/1-0000000", "refs/runs/MyFlow/1")
    assert _verify(mine, f"MyFlow/1-{uid[:7]}").state is GOOD
    for run in ("MyFlow/7", "Other/1", "MyFlow/1-0000000"):
        found = _verify(mine, run)
        assert (found.state, "it is MyFlow/1, filed as" in found.why) == (TAMPERED, True)
    opened = open_repo(mine)
    signer, who = CommitSigner(opened.git), opened.signature()
    two = split_signature(content_of(mine, "refs/runs/MyFlow/2"))[0]
    tree = mine.git("rev-parse", "refs/runs/MyFlow/1^{tree}")
    first = content_of(mine, mine.git("rev-list", "--max-parents=0", "refs/runs/MyFlow/2"))
    other = put_commit(mine, "MyFlow/9", first.replace(b"committer Ada", b"committer Eve", 1))
    for old, new, why in (
        (b"author", f"parent {uid}\nauthor".encode(), "a merge"),
        (two[5:45], tree.encode(), "it is MyFlow/1, filed as"),
        (two[53:93], mine.git("rev-parse", "HEAD").encode(), "its INFO"),
        (two[53:93], other.encode(), "its first commit is"),
    ):
        put_commit(mine, "MyFlow/2", signer.sign(two.replace(old, new, 1), who))
        found = _verify(mine, "2")
        assert (found.state, why in found.why, found.why) == (TAMPERED, True, found.why)


@needs_ssh
@pytest.mark.parametrize("path", ["INFO", "code/README", "steps/start/1/TASK", "steps/start"])
def test_what_is_damaged_or_missing_is_told(mine: GitRepo, path: str) -> None:
    """Each object below the signed commit is read: records, payloads, code, directories."""
    oid = mine.git("rev-parse", f"refs/runs/MyFlow/1:{path}")
    for pack in [*(mine.path / ".git" / "objects" / "pack").glob("*.pack")]:
        content = pack.read_bytes()
        for file in pack.parent.glob(f"{pack.stem}.*"):
            file.unlink()
        mine.git("unpack-objects", "-q", stdin=content)
    stored = mine.path / ".git" / "objects" / oid[:2] / oid[2:]
    stored.unlink()
    stored.write_bytes(zlib.compress(b"blob 1\0x"))
    assert _verify(mine).state is TAMPERED
    stored.unlink()
    found = _verify(mine)
    assert (found.state, oid in found.why) == (TAMPERED, True)


@needs_ssh
def test_programs_of_the_repository_are_not_run(mine: GitRepo) -> None:
    """Verifying is reading: what the repository's config names for signing is not started by it."""
    canary = mine.path / "canary"
    program = mine.write(".git/canary", f"#!/bin/sh\ntouch '{canary}'\n")
    program.chmod(0o755)
    for key in ("gpg.program", "gpg.openpgp.program", "gpg.x509.program", "gpg.ssh.program"):
        mine.git("config", key, str(program))
    mine.git("config", "gpg.ssh.defaultKeyCommand", str(program))
    one = content_of(mine, "refs/runs/MyFlow/1")
    pgp = one.replace(b"SSH SIGNATURE", b"PGP SIGNATURE")
    put_commit(mine, "MyFlow/2", pgp)
    put_commit(mine, "MyFlow/3", one.replace(b"SSH SIGNATURE", b"SIGNED MESSAGE"))
    done = mine.call("verify", "1")
    assert done.code == 0, done.out
    mine.call("verify", "--all", "--json")
    assert not canary.exists()
    mine.runs("verify", "1", env={"GIT_CONFIG_PARAMETERS": f"'gpg.ssh.program={program}'"})
    assert canary.exists()


@needs_gpg
def test_signatures_by_gpg(repo: GitRepo) -> None:
    """Any address of the key that counts may be the committer's; expired, revoked, unknown keys are told apart."""
    repo.git("config", "runs.sign", "true")
    with gpg_home() as home:
        make_signed_run(repo)
        found = _verify(repo)
        assert (found.state, found.signer) == (GOOD, f"Ada Lovelace <{ADA}>")
        assert found.key in gpg("--with-colons", "--list-keys")
        repo.git("config", "user.email", "ada@work.example")
        repo.git("config", "user.signingKey", ADA)
        make_signed_run(repo)
        assert _verify(repo, "2").state is SignatureState.OTHER_SIGNER
        gpg("--quick-add-uid", ADA, "Ada <ada@work.example>")
        assert _verify(repo, "2").state is GOOD
        repo.git("config", "gpg.minTrustLevel", "marginal")
        assert _verify(repo, "2").state is GOOD  # the key is her own
        gpg("--import-ownertrust", stdin=f"{found.key}:3:\n")
        assert _verify(repo, "2").state is SignatureState.UNKNOWN_SIGNER
        repo.git("config", "gpg.minTrustLevel", "full")
        assert _verify(repo, "2").state is SignatureState.UNCHECKED
        repo.git("config", "--unset", "gpg.minTrustLevel")
        assert _verify(repo, "2").state is GOOD
        gpg("--import-ownertrust", stdin=f"{found.key}:6:\n")
        put_commit(
            repo, "MyFlow/2", content_of(repo, "refs/runs/MyFlow/2").replace(b": done", b": fine")
        )
        assert _verify(repo, "2").state is TAMPERED
        gpg("--quick-set-expire", found.key, "seconds=1")
        assert _eventually_expired(repo)
        gpg("--quick-set-expire", found.key, "0")
        certificate = (home / "openpgp-revocs.d" / f"{found.key}.rev").read_text()
        gpg("--import", stdin=certificate.replace(":-----", "-----"))
        assert _verify(repo).state is SignatureState.REVOKED
    with gpg_home():
        done = repo.call("verify", "1")
        assert (done.code, "unknown signer" in done.out) == (1, True)
        assert "gpg --import FILE" in done.err


@needs_gpgsm
def test_signatures_by_gpgsm(repo: GitRepo) -> None:
    """A certificate's address is compared, too; it is named by its own fingerprint."""
    with gpgsm_home() as key:
        for name, value in {
            "gpg.format": "x509",
            "user.signingKey": key,
            "runs.sign": "true",
        }.items():
            repo.git("config", name, value)
        make_signed_run(repo)
        repo.git("verify-commit", "refs/runs/MyFlow/1")
        found = _verify(repo)
        assert (found.state, found.key, found.signer) == (GOOD, key, "/CN=Ada")
        repo.git("config", "user.email", EVE)
        make_signed_run(repo)
        assert _verify(repo, "2").state is SignatureState.OTHER_SIGNER


def _eventually_expired(repo: GitRepo) -> bool:
    from tests.helpers.flows import eventually

    return eventually(lambda: _verify(repo).state is SignatureState.EXPIRED)
