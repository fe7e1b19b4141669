from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitflowrun.errors import TaggingError
from gitflowrun.git.objects import NULL_OID
from gitflowrun.limits import MAX_STEP_NAME
from gitflowrun.names import NUMBER_DIGITS, Digest, RunId, TaskName
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


def test_a_tag_too_long_for_a_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 characters of four bytes each fit no path once encoded."""
    with pytest.raises(TaggingError, match="encoded for a ref name"):
        layout.tag_ref("F", "\N{PILE OF POO}" * 500, RUN)
    monkeypatch.setattr(layout, "_MAX_ENCODED_TAG", 6)
    assert layout.tag_component("ü") == "%C3%BC"
    with pytest.raises(TaggingError, match="is 7 bytes long"):
        layout.tag_component("üx")


@pytest.mark.parametrize("ref", [
    "refs/tags/v1", "refs/runs/@tags/F/12", "refs/tags/runs/F/best/x", "refs/runs/@tags/F/best/x",
    "refs/runs/@tags/F//1",
])  # fmt: skip
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


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        ("9" * NUMBER_DIGITS, 10**NUMBER_DIGITS - 1),
        ("9" * (NUMBER_DIGITS + 1), 0),
        ("7-x-y", 7),
        ("", 0),
        ("-7", 0),
        ("0", 0),
        ("07", 0),
        ("\u0664", 0),
        ("\u00b2", 0),
    ],
)
def test_what_is_no_number_of_a_run_is_none(digits: str, number: int) -> None:
    """Too many digits, those of other scripts, and zeros in front."""
    assert layout.run_number(f"refs/runs/F/{digits}") == number


def test_refs_of_a_flow_and_of_ours() -> None:
    """They lie below one prefix; what is reserved is no flow's."""
    assert layout.below(layout.TAGS, None) == "refs/runs/@tags/"
    assert layout.below(layout.RUNS, "F") == "refs/runs/F/"
    reserved = [it for it in ("@x", "@tags/F/t/1", "F/1") if layout.is_reserved(f"refs/runs/{it}")]
    assert reserved == ["@x", "@tags/F/t/1"]


def test_refs_in_the_trash() -> None:
    """They say when they were removed and what they were; notes are told from runs and tags."""
    note = layout.note_ref("F", RUN)
    for ref in (layout.run_ref("F", RUN), layout.tag_ref("F", "best", RUN), note):
        there = layout.trash_ref("20251123", ref)
        assert there.startswith("refs/runs-trash/20251123/")
        assert layout.parse_trash_ref(there) == ("20251123", ref)
        assert layout.is_trashed_note(there) is (ref == note)
        assert not layout.is_trashed_note(ref)
    assert layout.parse_run_ref(note) is None


def test_entries_of_a_task() -> None:
    """Output goes on in parts that are counted from 1; pictures are named by their artifact."""
    names = [layout.output_part(layout.STDOUT, part) for part in (1, 2, 10)]
    assert names == [b"stdout", b"stdout.2", b"stdout.10"]
    path = layout.picture_path(TaskName("train", "3"), "a b", ".png")
    assert path == "steps/train/3/pictures/a%20b.png"


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
    assert all(
        map(
            layout.is_safe_component,
            ["start", "_parameters", "12", "3_node_1", "t-1", "x" * MAX_STEP_NAME],
        )
    )
    assert not any(
        map(
            layout.is_safe_component,
            ["", ".git", "a/b", "a.b", "git~1", "-x", "x" * (MAX_STEP_NAME + 1)],
        )
    )


def test_chunks_are_named_by_their_digest() -> None:
    """A chunk's entry is the hexadecimal digest."""
    assert layout.chunk_name(Digest(b"\1" * 32)) == b"01" * 32


@pytest.mark.parametrize(
    "ends",
    [
        ["1", "22", "3"], [],
        ["1", ""], ["1", "07"], ["0"], ["1", "2-3fa29c1"], ["9" * 18, "1"], ["9" * 19], ["\u0661"],
        ["x", "1"],
    ],
)  # fmt: skip
def test_numbers_of_many_refs(ends: list[str]) -> None:
    """They are what they are one by one."""
    refs = [f"refs/runs/F/{end}" for end in ends]
    assert layout.run_numbers(refs) == [layout.run_number(ref) for ref in refs]
