from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import TaggingError
from gitflowrun.git.objects import NULL_OID
from gitflowrun.names import Digest, RunId
from gitflowrun.runs import layout

RUN = RunId("12")
TAGS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=500)


def test_run_refs_read_back() -> None:
    """A run's ref says flow and id, with and without the mark of another clone."""
    for run in (RUN, RunId("12-3fa29c1")):
        assert layout.parse_run_ref(layout.run_ref("MyFlow", run)) == ("MyFlow", run)


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/main", "refs/runs/MyFlow", "refs/runs/MyFlow/x", "refs/runs/MyFlow/12/x",
        "refs/runs/MyFlow/012", "refs/runs/@index/12", "refs/runs/@tags/MyFlow/best/12", "refs/runs/$(id)/12",
        "refs/runs/My;Flow/12", "refs/runs/1/12", "refs/runs/-x/12",
    ],
)  # fmt: skip
def test_foreign_refs_are_no_runs(ref: str) -> None:
    """Refs that are not `refs/runs/<Flow>/<id>` name no run."""
    assert layout.parse_run_ref(ref) is None
    assert not layout.is_run_ref(ref)


@given(tag=TAGS)
def test_any_tag_becomes_a_ref_and_comes_back(tag: str) -> None:
    """Whatever the characters of a tag, its ref and its mirror say it, or it is refused as too long."""
    try:
        ref, mirror = layout.tag_ref("F", tag, RUN), layout.tag_mirror("F", tag, RUN, NULL_OID)
    except TaggingError:
        assert len(tag.encode()) >= 1000
        return
    assert layout.parse_tag_ref(ref) == ("F", tag, RUN)
    assert mirror == f"refs/tags/runs/F/{layout.tag_component(tag)}/{RUN.number}-0000000"
    assert layout.parse_tag_ref(mirror) is None
    assert layout.parse_run_ref(ref) is layout.parse_run_ref(mirror) is None


@pytest.mark.parametrize(
    "tag",
    ["a b", "a/b", ".a", "a.", "a..b", "a.lock", "-x", "@", "@{1}", "ä", "~^:?*[\\", "%2F", "\n"],
)
def test_git_accepts_the_refs_of_awkward_tags(tag: str) -> None:
    """`git check-ref-format` agrees that an encoded tag is a ref."""
    done = subprocess.run(["git", "check-ref-format", layout.tag_ref("F", tag, RUN)], check=False)
    assert done.returncode == 0


def test_a_tag_too_long_for_a_path_is_refused() -> None:
    """500 characters of four bytes each fit no path once encoded."""
    with pytest.raises(TaggingError, match="encoded for a ref name"):
        layout.tag_ref("F", "\N{PILE OF POO}" * 500, RUN)


@pytest.mark.parametrize("ref", ["refs/tags/v1", "refs/runs/@tags/F/12", "refs/tags/runs/F/best/x"])
def test_foreign_refs_are_no_tags(ref: str) -> None:
    """Refs that are no tag of a run, nor a mirror of one, say so."""
    assert layout.parse_tag_ref(ref) is None


def test_every_ref_of_a_run_tells_its_number() -> None:
    """Run, tag, tracking and trash refs end in the id."""
    refs = [
        layout.run_ref("F", RUN),
        layout.tag_ref("F", "best", RUN),
        layout.tracking_ref("origin", "refs/runs/F/12-3fa29c1"),
        f"{layout.TRASH}2025-11-23/F/12",
    ]
    assert [layout.run_number(ref) for ref in refs] == [12] * 4
    assert layout.run_number("refs/runs/@index/F") == 0


def test_tracking_refs_lie_below_their_remote() -> None:
    """A remote's copies can be listed by one prefix."""
    ref = layout.tracking_ref("up/stream", "refs/runs/@tags/F/best/12")
    assert ref == "refs/runs-remotes/up/stream/@tags/F/best/12"
    assert ref.startswith(layout.tracking_prefix("up/stream"))


def test_data_names_are_harmless_entries() -> None:
    """Identifiers stay as they are; names that git or a file system could mistake are encoded."""
    assert layout.data_name("model", ".npy") == b"model.npy"
    assert layout.data_name("größe", ".txt", chunked=True) == "größe.txt.chunks".encode()
    assert layout.data_name("../x", ".txt") == b"%2E%2E%2Fx.txt"
    assert layout.data_name(".git", "") == b"%2Egit"


def test_step_and_task_names_that_are_harmless() -> None:
    """Only plain names may become directories of a run."""
    assert all(map(layout.is_safe_component, ["start", "_parameters", "12", "3_node_1", "t-1"]))
    assert not any(
        map(layout.is_safe_component, ["", ".git", "a/b", "a.b", "git~1", "-x", "x" * 300])
    )


def test_chunks_are_named_by_their_digest() -> None:
    """A chunk's entry is the hexadecimal digest."""
    assert layout.chunk_name(Digest(b"\1" * 32)) == b"01" * 32
