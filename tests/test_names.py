"""Names are checked once, where they enter, and survive every round trip."""

from __future__ import annotations

import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import InvalidPathspec, TaggingError, UsageError
from gitflowrun.names import (
    Digest,
    Pathspec,
    RefName,
    RunId,
    check_flow_name,
    check_tag,
    decode_tag,
    encode_tag,
    nearest,
)
from gitflowrun.runs.layout import (
    parse_run_ref,
    parse_tag_ref,
    run_ref,
    tag_ref,
    tracking_ref,
)

TAGS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(TAGS)
def test_tags_survive_their_encoding(tag: str) -> None:
    """Any tag is decoded to itself."""
    assert decode_tag(encode_tag(tag)) == tag


@given(TAGS, st.integers(1, 10**9))
def test_tag_refs_are_names_that_git_accepts(tag: str, number: int) -> None:
    """A tag of any characters makes a valid ref, and the ref tells flow, tag and run again."""
    run = RunId(str(number))
    assert parse_tag_ref(tag_ref("MyFlow", tag, run)) == ("MyFlow", tag, run)


@pytest.mark.parametrize(
    "tag", ["a/b", "a b", "-x", "ä", "..", ".lock", "x.lock", "@{", "a\nb", "~^:?*[\\"]
)
def test_git_agrees_about_tag_refs(tag: str) -> None:
    """Git check-ref-format accepts the refs of awkward tags."""
    ref = tag_ref("MyFlow", tag, RunId("7"))
    assert subprocess.run(["git", "check-ref-format", ref], check=False).returncode == 0


@given(st.text(min_size=1, max_size=40))
def test_a_ref_name_is_one_that_git_accepts(text: str) -> None:
    """What RefName lets through, git check-ref-format lets through."""
    try:
        name = RefName("refs/runs/" + text)
    except UsageError:
        return
    done = subprocess.run(["git", "check-ref-format", name.encode()], check=False)
    assert done.returncode == 0, name


@pytest.mark.parametrize(
    "text",
    [
        "refs/runs/a..b",
        "refs/x.lock",
        "refs/runs//x",
        "refs/a\nb",
        "heads/x",
        "refs/@{x",
        "refs/" + "x" * 300,
    ],
)
def test_bad_ref_names_are_refused(text: str) -> None:
    """Names that would break git or the file system are refused."""
    with pytest.raises(UsageError):
        RefName(text)


@pytest.mark.parametrize("text", ["12", "1", "12-3fa29c1"])
def test_run_ids(text: str) -> None:
    """A run id is a number, perhaps followed by digits of its uid."""
    assert RunId(text) == text
    assert RunId(text).number == int(text.split("-", maxsplit=1)[0])
    assert parse_run_ref(run_ref("F", RunId(text))) == ("F", text)


@pytest.mark.parametrize("text", ["", "0", "01", "-1", "1-", "1-xyz", "abc", "1\n", "\uff11"])
def test_what_is_no_run_id(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidPathspec):
        RunId(text)


def test_run_ids_sort_by_number() -> None:
    """10 comes after 9, and a plain number before its namesakes."""
    ids = [RunId(text) for text in ("10", "9-3fa29c1", "9", "2")]
    assert sorted(ids, key=lambda run: run.sort_key) == ["2", "9", "9-3fa29c1", "10"]


@pytest.mark.parametrize(
    "ref", ["refs/runs/@tags/F/x/1", "refs/runs/F", "refs/heads/main", "refs/runs/F/x"]
)
def test_foreign_refs_are_no_runs(ref: str) -> None:
    """Refs of other things are not taken for runs."""
    assert parse_run_ref(ref) is None


def test_tracking_refs() -> None:
    """A remote's run is tracked below refs/runs-remotes."""
    assert tracking_ref("origin", "refs/runs/F/1") == "refs/runs-remotes/origin/F/1"


def test_pathspecs() -> None:
    """A pathspec has one to five components; others are refused."""
    assert str(Pathspec.parse("F/1/start/2/x")) == "F/1/start/2/x"
    assert Pathspec.parse("F/1", depth=2).run == "1"
    for text, depth in (("F/1", 3), ("F//x", None), ("", None), ("a/b/c/d/e/f", None)):
        with pytest.raises(InvalidPathspec):
            Pathspec.parse(text, depth=depth)


@pytest.mark.parametrize("tag", ["", "x" * 501, 7, b"\xff", "\ud800"])
def test_bad_tags_are_refused(tag: object) -> None:
    """Tags are text of 1 to 500 characters."""
    with pytest.raises(TaggingError):
        check_tag(tag)


def test_tags_may_be_utf8_bytes() -> None:
    """Bytes that are UTF-8 are a tag."""
    assert check_tag("größe".encode()) == "größe"


def test_flow_names() -> None:
    """A flow is named like a class, in any script."""
    assert check_flow_name("Größe") == "Größe"
    for name in ("a/b", "-x", "a b", "", "@tags"):
        with pytest.raises(UsageError):
            check_flow_name(name)


def test_digests_have_32_bytes() -> None:
    """Anything else is no BLAKE3 digest."""
    assert str(Digest(bytes(32))) == "00" * 32
    with pytest.raises(ValueError, match="32 bytes"):
        Digest(b"short")


def test_names_that_are_nearest_are_looked_for_within_limits() -> None:
    """Thousands of long names, as a stranger has them, cost a hint no more than a second; short ones are found."""
    letters = "abcdefgh" * 30
    long = [letters[at % 97 :][: 150 + at % 40] + str(at) for at in range(10_000)]
    began = time.process_time()
    nearest(letters[50:] + letters[:50], long)
    assert time.process_time() - began < 3
    assert nearest("modle", [*(f"artifact_{at}" for at in range(3_000)), "model"]) == ["model"]


def test_nearest_names() -> None:
    """A typo finds what was meant."""
    assert nearest("strat", ["start", "end"]) == ["start"]
