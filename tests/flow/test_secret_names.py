"""Declarations of secret parameters: names, values that are public, what is told and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gitflowrun.errors import ParameterError
from gitflowrun.flow.includefile import IncludeFile
from gitflowrun.flow.parameter import JSONType, Parameter
from gitflowrun.flow.secret_parameters import redacted, texts_of, warnings_of


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


def test_what_stands_in_the_code_is_public() -> None:
    """No value, an empty one, the default; not what a function computes."""
    parameter = Parameter("pw", default="in-the-code", secret=True)
    assert [parameter.is_public(it) for it in (None, "", "in-the-code", "other")] == [True] * 3 + [
        False
    ]
    assert not Parameter("pw", default=lambda _context: "x", secret=True).is_public("x")
    assert Parameter("pw", secret=True, multiple=True).is_public(())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: IncludeFile("f", secret=True), "a file can't be secret"),
        (lambda: Parameter("f", secret="yes"), "neither True nor False"),  # type: ignore[arg-type]
        (
            lambda: Parameter("f", is_flag=True, default=False, secret=True),
            "a flag can't be secret",
        ),
    ],
)
def test_what_cannot_be_secret_is_refused_with_file_and_line(
    make: Callable[[], Parameter], reason: str
) -> None:
    """Those of its declaration, before anything runs."""
    parameter = make()
    with pytest.raises(ParameterError, match=reason) as refused:
        parameter.check()
    assert refused.value.source == __file__
    assert refused.value.line == make.__code__.co_firstlineno


def test_doubts_are_told_in_one_line_for_each_kind() -> None:
    """A name that may be a secret's, a file that is called so, a default that stands in the code."""
    parameters = [
        Parameter("key", default="a/b"),
        IncludeFile("private-key", default=None),
        Parameter("pw", default="in-the-code", secret=True),
        Parameter("api-key"),
        Parameter("quiet_key", secret=False),
    ]
    said = warnings_of({it.name: it for it in parameters})
    assert [text.partition(":")[0] for text in said] == [
        "parameter 'api-key' counts as secret because of its name",
        "each of the parameters 'key', 'private-key' may be a secret by its name, and is recorded",
        "the default of parameter 'pw' stands in the code, where it is no secret",
    ]
    assert not [text for text in said if "in-the-code" in text]
