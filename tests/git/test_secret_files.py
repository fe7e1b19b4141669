"""Which untracked files look like secrets, by their names and by what is in them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gitflowrun.git.command import Completed, Git
from gitflowrun.git.repository import Repository
from gitflowrun.git.secret_files import holds_private_key, is_private_key, why_secret_name
from gitflowrun.git.snapshot import take_snapshot
from tests.helpers.repos import GitRepo
from tests.helpers.shots import shoot

SECRETS = """
.env .ENV conf/.env.local .env.production prod.env .envrc .env~ .env.bak .env.swp id_rsa id_rsa.bak old/id_ed25519.old
ID_RSA server.pem tls/server.key x.p12 x.pfx key.ppk store.jks a.keystore db.kdbx .netrc _netrc .aws/credentials
home/.aws/config .azure/profile.txt .config/gcloud/x.json .git-credentials .npmrc .yarnrc .yarnrc.yml .pypirc
.docker/config.json .dockercfg kubeconfig prod.kubeconfig .kube/config terraform.tfstate terraform.tfstate.backup
terraform.tfstate.1700000000.backup prod.tfvars prod.auto.tfvars.json .htpasswd .pgpass .my.cnf .s3cfg .boto
rclone.conf .terraformrc credentials.json credentials.json.old .credentials.json.swp client_secret_7.apps.json
client_secret(1).json service-account.json project-firebase-adminsdk-x1.json secrets.yaml secrets.yml secrets.json
.streamlit/secrets.toml wp-config.php .gem/credentials .cargo/credentials .cargo/credentials.toml auth.json vpn.ovpn
.vault-token token.json token.pickle .ssh/config kaggle.json private.pem.bak .netrc(1)
"""
HARMLESS = """
.env.example .env.sample .env.template .env.dist example.env id_rsa.pub .ssh/id_rsa.pub main.py service_account.py
client_secret.py environment.yml secrets.py token.py tokens.json config.json docker/config.json notes.txt keys.py
prod.tfvars.example dotenv.py credentials.py main.tf data.csv key.txt keyboard.py aws/credentials.md .kubernetes/a.yml
"""
MARKS = (b"PRIVATE KEY", b"PuTTY-User-Key-File", b"AGE-SECRET-KEY")


def block(kind: str, *lines: str, end: str = "\n") -> bytes:
    """A key of a kind, put together here so that nobody takes this file for one."""
    return end.join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"]).encode()


@pytest.mark.parametrize("name", SECRETS.split())
def test_names_of_secrets(name: str) -> None:
    """Names under which programs keep credentials, wherever they lie, and their backups."""
    assert why_secret_name(name, (), ())


@pytest.mark.parametrize("name", HARMLESS.split())
def test_harmless_names(name: str) -> None:
    """Examples, public keys, and code that is about secrets."""
    assert why_secret_name(name, (), ()) is None


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a/server.pem", "*.pem"), (".env.local", ".env.*"), ("prod.env", "*.env"), ("old/id_rsa.bak", "id_rsa*"),
        ("client_secret_7.apps.json", "client_secret*"), ("a.tfstate.1.x", "*.tfstate.*"),
        ("x-firebase-adminsdk-1.json", "*firebase-adminsdk*"), ("a/.netrc", ".netrc"),
        ("secrets_copy.yaml", "secrets.yaml"),
        ("token (2).json", "token.json"), ("auth copy.json", "auth.json"),
        (".docker/config.json", ".docker/config.json"),
        ("x/.ssh/config", ".ssh/*"), (".credentials.json.swp", "credentials.json"), (".aws/.config.swp", ".aws/*"),
    ],
)  # fmt: skip
def test_the_pattern_that_a_name_matches_is_told(name: str, pattern: str) -> None:
    """People are to see why, and what to write where a file is none."""
    assert why_secret_name(name, (), ()) == pattern


def test_patterns_of_the_user_come_first() -> None:
    """What is included is no secret, whatever else says so; patterns with a slash see the whole path."""
    assert why_secret_name("a/x.tok", ("*.tok",), ()) == "*.tok"
    assert why_secret_name("my/secret/x", ("*/secret/*",), ()) == "*/secret/*"
    assert why_secret_name("certs/ca.pem", (), ("certs/*",)) is None
    assert why_secret_name("x.TOK", ("*.tok",), ("x.tok",)) is None


@pytest.mark.parametrize(
    "content",
    [
        block("PRIVATE KEY", "MIIEvQIBADANBg"),
        block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED", "", "MIIEvQIBADANBg"),
        block("OPENSSH PRIVATE KEY", "b3BlbnNzaC1rZXktdjE", end="\r\n"),
        block("EC PRIVATE KEY", "    MHcCAQEEIOd", end="\n    "),
        block("PGP PRIVATE KEY BLOCK", "", "lQOYBGY"),
        block("ENCRYPTED PRIVATE KEY", "MIIFDjBABgkq", end="\\n"),
        b'x = ("' + block("DSA PRIVATE KEY", '"\n     "MIIBuwIBAAKB', end="\\n") + b'")',
        b"---- BEGIN SSH2 ENCRYPTED PRIVATE " + b"KEY ----\nComment: x\n",
        b"PuTTY-User-Key-File" + b"-3: ssh-ed25519\n",
        b"AGE-SECRET" + b"-KEY-1" + b"Q" * 58,
    ],
)
def test_private_keys(content: bytes) -> None:
    """Private keys of all kinds, indented, quoted or escaped, somewhere in a file."""
    assert holds_private_key(b"some text\n" + content)
    assert holds_private_key(memoryview(b"some text\n" + content))
    at = next(at for mark in MARKS if (at := content.find(mark)) >= 0)
    assert is_private_key(content, at)
    assert not is_private_key(content, at + 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PRIVATE KEY\nMIIEvQIBADANBg",
        block("PUBLIC KEY", "MIIEvQIBADANBg"),
        block("PRIVATE KEY", "...", ""),
        b'MARK = "-----BEGIN PRIVATE ' + b'KEY-----"\nif MARK in text:\n',
        b'r"-----BEGIN [A-Z ]*PRIVATE ' + b'KEY-----"',
    ],
)
def test_what_speaks_of_private_keys(content: bytes) -> None:
    """The mark alone is no key, nor is a public one."""
    assert not holds_private_key(content)
    assert not any(is_private_key(content, at) for at in range(len(content)))


def test_hostile_content_is_looked_at_in_linear_time() -> None:
    """A megabyte of what almost is a key takes no longer than a megabyte of anything, within a wide margin."""
    begin = b"-----BEGIN "
    for part in (b"-", begin, b"PRIVATE KEY-----\n" + b" " * 60, begin + b"A" * 39):
        before = time.process_time()
        assert not holds_private_key(part * (1_000_000 // len(part)))
        assert time.process_time() - before < 2


def test_untracked_keys_are_left_out_by_their_content(repo: GitRepo) -> None:
    """An untracked file with a private key is no part of the snapshot, neither are its objects; tracked ones stay."""
    key = block("RSA PRIVATE KEY", "MIIEvQIBADANBg")
    repo.write("tracked.txt", b"1")
    repo.commit()
    repo.write("tracked.txt", key + b"2")
    repo.write("deep/notes.txt", b"see\n" + key)
    repo.write("other.txt", b"x")
    shot = shoot(repo)
    assert shot.files.keys() == {b"README", b"tracked.txt", b"other.txt"}
    assert "private key" in shot.reasons()["deep/notes.txt"]
    assert b"see\n" + key not in [bytes(item.data) for item in shot.snapshot.objects]
    assert shot.snapshot.dirty == ("other.txt", "tracked.txt")


def test_a_key_that_goes_meanwhile(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken, and is left out all the same."""
    path = repo.write("notes.txt", block("PRIVATE KEY", "MIIEvQIBADANBg"))
    attempt = Git.attempt

    def removes(git: Git, *args: Any, **options: Any) -> Completed:
        done = attempt(git, *args, **options)
        if options.get("stdin") == b"notes.txt\0":
            path.unlink(missing_ok=True)
        return done

    monkeypatch.setattr(Git, "attempt", removes)
    snapshot = take_snapshot(Repository.discover(repo.path))
    assert snapshot.dirty == ()
    assert [(it.path, it.size) for it in snapshot.left_out] == [("notes.txt", 0)]


def test_keys_are_left_out_before_the_first_commit(repo: GitRepo) -> None:
    """The same where the tree is made of the whole index."""
    repo.git("update-ref", "-d", "HEAD")
    repo.write("notes.txt", block("PRIVATE KEY", "MIIEvQIBADANBg"))
    shot = shoot(repo)
    assert shot.files.keys() == {b"README"}
    assert "private key" in shot.reasons()["notes.txt"]


def test_what_is_included_is_taken(repo: GitRepo) -> None:
    """runs.snapshot.include takes files by name and in spite of their content."""
    repo.git("config", "runs.snapshot.include", "tests/*.pem:demo.txt")
    key = block("PRIVATE KEY", "MIIEvQIBADANBg")
    repo.write("tests/ca.pem", key)
    repo.write("demo.txt", key + b"1")
    repo.write("other.pem", b"1")
    shot = shoot(repo)
    assert shot.files.keys() == {b"README", b"tests/ca.pem", b"demo.txt"}
    assert shot.reasons().keys() == {"other.pem"}
