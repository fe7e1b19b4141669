"""Which names secrets have: a parameter that is called so is secret unless its declaration says otherwise."""

from __future__ import annotations

import re
from itertools import pairwise

_WORD = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+"
_PASSWORDS = frozenset(
    {
        "accesskey", "apikey", "apitoken", "authtoken", "bearer", "cookie", "credential", "credentials", "creds",
        "passcode", "passphrase", "passwd", "password", "passwords", "privatekey", "pwd", "secret", "secretkey",
        "secrets",
    }
)  # fmt: skip
_KEYS = frozenset(
    {
        "access", "account", "api", "auth", "client", "deploy", "encryption", "hmac", "master", "private", "service",
        "shared", "signing", "ssh", "storage", "subscription",
    }
)  # fmt: skip
_ABOUT = frozenset(
    {
        "arn", "column", "count", "dir", "env", "field", "file", "filename", "folder", "id", "ids", "length", "limit",
        "name", "path", "policy", "size", "type", "url", "var", "variable",
    }
)  # fmt: skip
"""A name that ends with one of these says where a secret is, or what of it."""
_TEXT_TOKENS = frozenset(
    {
        "bos", "cls", "end", "eos", "first", "last", "mask", "max", "min", "new", "next", "num", "pad", "per", "sep",
        "special", "start", "stop", "unk",
    }
)  # fmt: skip
"""Tokens of a text and not of access."""
_USERS = frozenset({"admin", "db", "login", "redis", "root", "smtp", "ssh", "user"})
_MAYBE = frozenset({"auth", "dsn"})


def is_called_secret(name: str) -> bool:
    """Whether a name is that of a secret: `db_password`, `api-key`, `githubToken`."""
    words = [word.lower() for word in re.findall(_WORD, name)]
    if not words or words[-1] in _ABOUT:
        return False
    if not _PASSWORDS.isdisjoint(words):
        return True
    if "token" in words and _TEXT_TOKENS.isdisjoint(words):
        return True
    return any(
        (word in _KEYS and after == "key") or (word in _USERS and after == "pass")
        for word, after in pairwise(words)
    )


def may_be_secret(name: str) -> bool:
    """Whether a name may be that of a secret, and as well that of something else."""
    words = [word.lower() for word in re.findall(_WORD, name)]
    return words in (["key"], ["pass"]) or (bool(words) and words[-1] in _MAYBE)
