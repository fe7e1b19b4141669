"""What is taken for a secret, what is not, and how long that takes."""

from __future__ import annotations

import pickle
import time
from argparse import Namespace
from pathlib import Path

import msgpack
import pytest

from gitflowrun.porcelain.secrets.secret_rules import find_secrets
from tests.helpers.credentials import CREDENTIALS, HARMLESS, made_up

ROOT = Path(__file__).resolve().parents[2]


def is_found(data: bytes) -> bool:
    """Whether anything in some bytes is taken for a secret."""
    return any(True for _ in find_secrets(data))


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_kinds_of_credentials(kind: str) -> None:
    """Each is found in the middle of other text, alone, and, on one line, as a text of a notebook."""
    text = CREDENTIALS[kind]
    assert is_found(f"first line\nsecond: {text}\nlast".encode())
    assert is_found(text.encode())
    escaped = text.replace('"', '\\"').replace("\n", "\\n")
    assert "\n" in text or is_found(f'"source": ["x\\n", "{escaped}\\n"]'.encode())


@pytest.mark.parametrize("text", HARMLESS, ids=range(len(HARMLESS)))
def test_what_is_none(text: str) -> None:
    """Digests, ids, pictures, placeholders, expressions of programs."""
    assert [*find_secrets(f"x\n{text}\ny".encode())] == []


def test_places_are_those_of_the_secret() -> None:
    """A finding covers the secret, and not what stands before it."""
    data = b'x = 1\nkey = "' + CREDENTIALS["github"].encode() + b'"\n'
    [found] = find_secrets(data)
    assert data[found.start : found.end].decode() == CREDENTIALS["github"]
    assert found.rule == "github"


def test_secrets_in_records() -> None:
    """Texts of msgpack and pickles stand behind their length, which may be a letter; names need no equals sign."""
    token = "sk-ant" + "-api03-" + made_up(80)
    assert is_found(b"\xd9l" + token.encode())
    assert is_found(b"\x81\xa8password\xa9" + made_up(8).encode() + b"7")
    column = b"".join(b"x%d" % number for number in range(500))
    assert is_found(column + CREDENTIALS["github"].encode() + column)
    assert is_found(b"\x8c\x06passwd\x94") is False


@pytest.mark.parametrize(
    "value",
    ["S3cr3tPw9!xQ", "it's-\"S3cr3t-9", "Gr\u00fc\u00dfe-99-Z", "S3cr3tPw9!xQ" * 25],
    ids=range(4),
)
def test_passwords_by_name_in_stored_values(value: str) -> None:
    """A name that says secret and its value are found in plain values and in pickles of each protocol."""
    named = {"user": "ada", "password": value}
    stored = [msgpack.packb(named), msgpack.packb({"password": value.encode()})]
    stored += [pickle.dumps(Namespace(**named), protocol) for protocol in range(1, 6)]
    assert [is_found(data) for data in stored] == [True] * 7
    assert not is_found(pickle.dumps(Namespace(password="read from the vault", user=value)))


@pytest.mark.parametrize(
    "text",
    ['DB_PASS="{}"', "{{'pass': '{}'}}", "passphrase: {}", 'password: str = "{}"', 'token: str | None = "{}"'],
)  # fmt: skip
def test_names_that_say_secret(text: str) -> None:
    """Short names, and those that have a type beside them, count as the others; parts of other words don't."""
    assert is_found(
        text.format("S3cr3tPw9!xQ" if "token" not in text else "A1b2C3d4E5f6G7h8").encode()
    )
    assert not is_found(b'bypass="S3cr3tPw9!xQ"; first_passed = "S3cr3tPw9!xQ"')


@pytest.mark.parametrize(
    "text",
    [
        "tool --password {} run", "tool --db-password '{}'", '["tool", "--password", "{}"]', "mysql --pass {}",
        "db:\n  password:\n    {}\nport: 1", "password: >-\n  {}", 'password: |\r\n  "{}"\r\n',
    ],
)  # fmt: skip
def test_options_and_values_in_the_next_line(text: str) -> None:
    """A value may follow an option of a command, and in YAML stand alone in the line below its name."""
    assert is_found(text.format("S3cr3tPw9!xQ").encode())
    for harmless in ("--stdin", "the password of user2", "PASSWORD", "<password>"):
        assert not is_found(text.format(harmless).encode())


def test_what_has_no_value() -> None:
    """Conditions of programs, lists of names and mappings that go on are none."""
    for text in (
        "if password:\n    retries2 = 1\n", "if self.password:\n    return_401()\n", "secret:\n  secretName: db-tls2\n",
        '"password", "S3cr3tPw9!xQ"', "the password S3cr3tPw9!xQ",
    ):  # fmt: skip
        assert not is_found(text.encode()), text


def test_hostile_text_takes_linear_time() -> None:
    """A megabyte of what almost matches takes seconds, whatever it repeats; squared time would take minutes."""
    parts = (
        b"a", b"\0", b"password=", b'password"', b"token", b"api_key:", b"api_key_", b"kind: secret\ndata:\n",
        b"://a:", b"curl -u ", b"eyJaaaaaaaaaaaaaaaa.", b"AA", b"-us", b"auth:", b"AccountKey=",
        b"login password\n", b"--password ", b"password:\n ", b"wwwwwwwwwwwwww ", b"secret)])", b"_pass: a ",
        b"password\x94\x8c\xff",
    )  # fmt: skip
    for part in parts:
        begun = time.process_time()
        assert not is_found(part * (50_000 // len(part))) or b"login" in part
        assert time.process_time() - begun < 1, part


def test_our_own_code_holds_none() -> None:
    """Of this package nothing is taken for a secret."""
    found = {
        path.name: item
        for path in (ROOT / "gitflowrun").rglob("*.py")
        for item in find_secrets(path.read_bytes())
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user         password\n  ada  {}\n  bob                x\n", True),
        ("    user        password\n0    ada               x\n1    bob  {}\n", True),
        ("          password\n    {}\n", True),
        ("    name            value\n    user              ada\npassword  {}\n", True),
        ("       name            value\n0      user              ada\n1  password  {}", True),
        ("the password\n{}\n", False),
        ("  password  {} and more words\n", False),
        ("  password\n{} is a word of a text\n", False),
        ("      password\n  {}\n", False),
    ],
)
@pytest.mark.parametrize(
    "before", [b"", b"\xa4text\xd9A", b"\xa4text\xd9\xce", b"\xa4text\xda\x01A"]
)
def test_tables_as_they_are_printed(text: str, expected: bool, before: bytes) -> None:
    """A value beside its name, alone in the rest of the row, or below it, where its column ends."""
    assert is_found(before + text.format("Tr0ub4dorx9Qz7").encode()) == expected
