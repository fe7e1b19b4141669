"""Masks: the forms in which programs write secrets, streams in pieces, the cost of searching."""

from __future__ import annotations

import base64
import html
import json
import shlex
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, strategies

from gitflowrun.masking import Mask

SECRET = "hunter2/&\"Z' x9é"
FORMS = {
    "plain": SECRET,
    "json": json.dumps({"a": SECRET}),
    "json in json": json.dumps([json.dumps([SECRET])]),
    "repr": repr(SECRET),
    "repr of bytes": repr(SECRET.encode()),
    "ascii": ascii([SECRET]),
    "percent": f"https://u:{quote(SECRET, safe='')}@h/{quote(SECRET)}?{quote_plus(SECRET)}",
    "html": html.escape(SECRET) + html.escape(SECRET, quote=False),
    "shell": shlex.quote(SECRET),
    "hex": SECRET.encode().hex(),
}


def _mask(*secrets: str | bytes) -> Mask:
    return Mask({"it": [it.encode() if isinstance(it, str) else it for it in secrets]})


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(form: str) -> None:
    """What is left says nothing of it but where it was."""
    shown = _mask(SECRET).text(f"before {FORMS[form]} after")
    assert "hunter2" not in shown
    assert "***" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_secret_is_found_in_what_is_stored(encoding: str) -> None:
    """Arrays of text have wide characters, in either byte order."""
    stored = memoryview(f"before {SECRET} after".encode(encoding))
    assert _mask(SECRET).find([stored]) == "it"
    assert _mask("hunter3-another").find([stored]) is None


@given(strategies.binary(min_size=8), strategies.binary(max_size=9), strategies.binary(max_size=9))
def test_base64_hides_a_secret_wherever_it_begins(
    secret: bytes, before: bytes, after: bytes
) -> None:
    """All but the characters that it shares with its neighbours is gone, in both alphabets."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(before + secret + after).decode()
        shown = _mask(secret).text(text)
        first, last = -(-len(before) * 8 // 6), (len(before) + len(secret)) * 8 // 6
        assert "***" in shown
        assert text[first:last] not in shown


@given(strategies.text(min_size=8, max_size=30).filter(lambda it: len(it.strip()) > 7))
def test_any_text_is_found_in_what_python_makes_of_it(secret: str) -> None:
    """Letters of other scripts, quotes and backslashes included."""
    mask = Mask({"it": [secret.encode(errors="surrogatepass")]})
    made = [secret, ascii(secret)[1:-1], repr(secret)[1:-1], json.dumps(secret)[1:-1]]
    made += [json.dumps([secret], ensure_ascii=False)[2:-2], repr(json.dumps(secret))[2:-2]]
    for form in made:
        assert form not in mask.text(f"a {form} b")


def test_each_line_of_a_long_secret_is_hidden() -> None:
    """A key that is printed line by line, with words in front, is a key all the same."""
    key = "-----BEGIN KEY-----\nAbCdEfGhIjKl\nmNoPqRsTuVwX\n"
    assert _mask(key).text("1: AbCdEfGhIjKl\n2: mNoPqRsTuVwX") == "1: ***\n2: ***"


@given(
    strategies.text("ab", min_size=6, max_size=9),
    strategies.lists(strategies.text("abc\n", max_size=12), max_size=8),
    strategies.data(),
)
def test_a_stream_hides_what_comes_in_pieces(
    secret: str, parts: list[str], data: strategies.DataObject
) -> None:
    """However it is cut, no secret comes out, and nothing else is lost."""
    text = secret.join(parts).encode()
    stream = _mask(secret).stream()
    out, place = b"", 0
    while place < len(text):
        size = data.draw(strategies.integers(1, 7))
        out += stream.feed(text[place : place + size])
        place += size
    out += stream.end()
    assert secret.encode() not in out
    whole = _mask(secret).text(text.decode()).encode()
    assert out.replace(b"***", b"") == whole.replace(b"***", b"")


def test_what_may_be_the_beginning_of_a_secret_waits_and_nothing_else() -> None:
    """A prompt is shown at once; at the end of the stream what was held back comes out."""
    stream = _mask("hunter2").stream()
    assert stream.feed(b"password? ") == b"password? "
    assert stream.feed(b"hunt") == b""
    assert stream.feed(b"ing\nhun") == b"hunting\n"
    assert stream.end() == b"hun"


def test_texts_that_were_cut_end_before_a_secret_that_has_begun() -> None:
    """The first characters of a secret are as bad as all of it."""
    assert _mask("correct horse battery").text("at correct ho", is_cut=True) == "at ***"
    assert _mask("correct horse battery").text("at correct ho…", is_cut=True) == "at ***"
    assert _mask("correct horse battery").text("at corr", is_cut=True) == "at corr"


def test_short_secrets_are_not_looked_for() -> None:
    """They would be found everywhere."""
    assert not _mask("abc").forms
    assert _mask("abc", "abcdef").text("abc abcdef") == "abc ***"


def test_searching_takes_time_that_grows_with_the_text_alone() -> None:
    """Neither what looks like a secret nor one that repeats itself makes it slow."""
    for secret in ("a" * 3000 + "b", "ab" * 40, "x" * 8):
        stream = _mask(secret).stream()
        begun = time.process_time()
        for _ in range(4):
            stream.feed(secret[:-1].encode() * (65_536 // len(secret)) + b"a" * 99)
        assert time.process_time() - begun < 2
