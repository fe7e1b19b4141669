"""Which names are those of secrets."""

from __future__ import annotations

import pytest

from gitflowrun.flow.parameter import JSONType, Parameter
from gitflowrun.flow.secret_parameters import redacted, texts_of


@pytest.mark.parametrize(
    "name",
    [
        "password", "passwd", "db_password", "DB_PASSWORD", "password2", "pwd", "passphrase", "secret", "client-secret",
        "token", "api_token", "githubToken", "hf_token", "access-token", "api_key", "apikey", "apiKey", "access_key",
        "aws_secret_access_key", "private_key", "ssh_key", "credentials", "db_pass", "session_cookie",
    ],
)  # fmt: skip
def test_what_is_called_like_a_secret_is_one(name: str) -> None:
    """By its option or by its attribute, as text or JSON."""
    assert Parameter(name).is_secret
    assert Parameter(name, type=JSONType).is_secret
    assert type("F", (), {name: Parameter("x")}).__dict__[name].is_secret
    assert not Parameter(name, secret=False).is_secret


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens", "tokens", "pad_token", "eos_token", "stop_token", "tokenizer", "token_count", "password_file",
        "secret_name", "key_column", "sort_key", "primary_key", "author", "passes", "keyword", "monkey", "api_url",
    ],
)  # fmt: skip
def test_what_only_sounds_like_one_is_none(name: str) -> None:
    """Tokens of a text, what says where a secret is, words that contain others."""
    assert not Parameter(name).is_secret
    assert not Parameter(name).may_be_secret


@pytest.mark.parametrize("default", [1, 0.5, True])
def test_numbers_are_not_guessed(default: float) -> None:
    """`token=5` is a number of something."""
    assert not Parameter("token", default=default).is_secret
    assert Parameter("token", default=default, secret=True).is_secret


def test_a_command_line_is_told_without_what_it_gives_secret_parameters() -> None:
    """With and without an equals sign, and for options of several words."""
    parameters = [
        Parameter("pw", secret=True),
        Parameter("pair", nargs=2, secret=True),
        Parameter("n"),
    ]
    argv = [
        "f.py",
        "run",
        "--pw",
        "a",
        "--pair",
        "b",
        "c",
        "--n",
        "d",
        "--pw=e",
        "--pair=f",
        "g",
        "--n=h",
    ]
    assert " ".join(redacted(argv, parameters)) == (
        "f.py run --pw *** --pair *** *** --n d --pw=*** --pair=*** *** --n=h"
    )


def test_the_texts_of_a_value_are_those_of_all_its_parts() -> None:
    """Of a map the values: its keys are names."""
    value = {"user": ["ada", (b"x", 12)], "more": {"a": None, "b": True}}
    assert [*texts_of(value)] == [b"ada", b"x", b"12"]
