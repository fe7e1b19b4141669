from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitflowrun.git.objects import Oid
from gitflowrun.limits import MAX_TIME
from gitflowrun.runs.commit_message import (
    RunState,
    Status,
    duration,
    first_subject,
    format_message,
    parse_message,
    parse_time,
)
from gitflowrun.values import field_names, replace

STATE = RunState(
    run="MyFlow/12",
    status=Status.DONE,
    started=1_700_000_000.123,
    finished=1_700_000_003.4,
    tasks=5,
    user="ada",
    uid=Oid(b"\1" * 20),
    code_commit=Oid(b"\2" * 20),
    dirty=True,
    origin="resume MyFlow/11 0101",
)


def subject(**changes: object) -> str:
    """The subject of STATE with changes."""
    fields = {name: getattr(STATE, name) for name in field_names(STATE)}
    return format_message(RunState(**{**fields, **changes})).decode().split("\n")[0]


def test_a_message_says_the_state() -> None:
    """What was formatted is parsed back, field by field."""
    assert parse_message(format_message(STATE).decode()) == STATE
    colons = replace(STATE, user="a: b: c")
    assert parse_message(format_message(colons).decode()) == colons


def test_what_nobody_says_is_not_said() -> None:
    """A state without more has a message without more."""
    plain = RunState("A/7", Status.RUNNING, 0.0, code_commit=Oid(b"\2" * 20))
    head, _, trailers = format_message(plain).decode().partition("\n\n")
    assert head == "A/7: running"
    assert [line.partition(":")[0] for line in trailers.splitlines()] == [
        "Run", "Status", "Tasks", "Started", "Code-Commit",
    ]  # fmt: skip
    assert trailers.endswith(f"{plain.code_commit}\n")


def test_subjects_read_well() -> None:
    """Each status has a sentence of its own for `git log --oneline`."""
    assert subject() == "MyFlow/12: done, 5 tasks in 3.3 s"
    assert subject(tasks=1, finished=STATE.started + 65) == "MyFlow/12: done, 1 task in 1 min 5 s"
    assert subject(status=Status.RUNNING, tasks=0) == "MyFlow/12: running"
    assert subject(status=Status.RUNNING) == "MyFlow/12: running, 5 tasks done"
    assert subject(status=Status.FAILED, failed_step="train") == (
        "MyFlow/12: failed in train, 5 tasks done in 3.3 s"
    )
    assert subject(status=Status.INTERRUPTED, finished=STATE.started + 7300) == (
        "MyFlow/12: interrupted, 5 tasks done in 2 h 1 min"
    )
    assert subject(status=Status.FAILED) == "MyFlow/12: failed, 5 tasks done in 3.3 s"
    assert "train" not in subject(status=Status.INTERRUPTED, failed_step="train")
    assert subject(finished=None) == "MyFlow/12: done, 5 tasks in 0 ms"
    assert subject(finished=STATE.started + 119.7) == "MyFlow/12: done, 5 tasks in 2 min"


def test_git_reads_the_trailers() -> None:
    """`git interpret-trailers` finds the same trailers."""
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse"],
        input=format_message(STATE), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.decode().splitlines() == [
        "Run: MyFlow/12",
        f"Uid: {'01' * 20}",
        "Status: done",
        "Tasks: 5",
        "Started: 2023-11-14T22:13:20.123Z",
        "Finished: 2023-11-14T22:13:23.400Z",
        f"Code-Commit: {'02' * 20}+dirty",
        "Origin: resume MyFlow/11 0101",
        "User: ada",
    ]


@given(user=st.text(max_size=400))
@settings(max_examples=200)
def test_no_name_can_add_lines(user: str) -> None:
    """Whatever a user is called, the message has the same lines, and no status but its own."""
    fields = {name: getattr(STATE, name) for name in field_names(STATE)}
    message = format_message(RunState(**{**fields, "user": user})).decode()
    parsed = parse_message(message)
    assert parsed is not None
    assert parsed.status is Status.DONE
    assert len(message.splitlines()) in {10, 11}


@pytest.mark.parametrize(
    "user", ["a\nStatus: failed", "a\r\n\r\nStatus: failed", "a\u2028b", "---"]
)
def test_git_agrees_that_nothing_was_injected(user: str) -> None:
    """One status is what git finds, however the user's name is written."""
    fields = {name: getattr(STATE, name) for name in field_names(STATE)}
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse"],
        input=format_message(RunState(**{**fields, "user": user})), capture_output=True, check=True,
    )  # fmt: skip
    lines = done.stdout.decode().split("\n")
    assert [line for line in lines if line.startswith("Status:")] == ["Status: done"]


@pytest.mark.parametrize("seconds", [0, 0.001, MAX_TIME])
def test_times_from_1970_on(seconds: float) -> None:
    """The first and the last moment that a run may have are read back; others, and what is no time, are none."""
    text = format_message(replace(STATE, started=seconds, finished=None)).decode()
    assert parse_message(text) == replace(STATE, started=seconds, finished=None)


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59.999Z", "9999-01-01T00:00:00.001Z", "", "0"])
def test_what_is_no_time_of_a_run(text: str) -> None:
    """Before 1970, beyond what is shown, and other words."""
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


_WRITTEN = format_message(STATE).decode()
_KEYS = [line.partition(": ")[0] for line in _WRITTEN.split("\n")[2:-1]]


@given(st.sampled_from(_KEYS), st.text(max_size=12))
def test_any_message_can_be_parsed(key: str, value: str) -> None:
    """A message with another word in it is no run's, or tells of the others what it told before; it is no error."""
    lines = [f"{key}: {value}" if it.startswith(f"{key}:") else it for it in _WRITTEN.split("\n")]
    found = parse_message("\n".join(lines))
    if found is not None and "\n" not in value:
        field = {"Failed-Step": "failed_step", "Code-Commit": "code_commit"}.get(key, key.lower())
        own = {field} | ({"dirty"} if key == "Code-Commit" else set())
        for name in field_names(STATE):
            assert name in own or getattr(found, name) == getattr(STATE, name)


@given(st.integers(0, len(_WRITTEN)), st.integers(0, 60), st.text(max_size=12))
def test_any_damaged_message_can_be_parsed(start: int, count: int, text: str) -> None:
    """A message of a run in which something was overwritten is a run's or none; it is no error."""
    parse_message(_WRITTEN[:start] + text + _WRITTEN[start + count :])


@pytest.mark.parametrize(
    "message",
    [
        "fix a bug\n",
        "x\n\nRun: F/1\nStatus: odd\nStarted: 2023-11-14T22:13:20.123Z\n",
        "x\n\nRun: F/1\nStatus: done\nStarted: yesterday\n",
        "x\n\nRun: F/1\nStatus: done\nStarted: 2023-11-14T22:13:20.123Z\nUid: 12\n",
        "x\n\nRun: F/1\nStatus: done\nStarted: 2023-11-14T22:13:20.123Z\n\nnot the last paragraph\n",
    ],
)
def test_foreign_messages_are_no_runs(message: str) -> None:
    """A message that lacks a field, or has a malformed one, is not a run's."""
    assert parse_message(message) is None


def test_times_are_utc() -> None:
    """A written time is read as UTC wherever it is read."""
    assert parse_time("1970-01-01T00:00:01.500Z") == 1.5


def test_which_statuses_are_final() -> None:
    """A running run, and one that died, have not written their last commit."""
    assert [status for status in Status if not status.is_final] == [Status.RUNNING]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 ms"),
        (0.0404, "40 ms"),
        (0.9994, "999 ms"),
        (0.9995, "1.0 s"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (3.24, "3.2 s"),
        (12.4, "12 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (86400 * 3 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    """A duration is as exact as a person wants it."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "no parameters"),
        ({"a": "1", "b": "x" * 40}, f"a=1 b={'x' * 40}"),
        ({"a": "x" * 41}, f"a={'x' * 39}…"),
    ],
)
def test_the_first_subject_has_the_parameters(parameters: dict[str, str], words: str) -> None:
    """Each as short as people read it."""
    assert first_subject(parameters) == words
    message = format_message(replace(STATE, uid=None), first_subject(parameters)).decode()
    assert message.startswith(f"MyFlow/12: {words}\n\nRun: MyFlow/12\nStatus: done\n")


def test_lines_are_cut() -> None:
    """No word of anybody's makes a long line: 200 characters are kept."""
    message = format_message(replace(STATE, user="u" * 201)).decode()
    assert f"\nUser: {'u' * 200}\n" in message


def test_code_that_was_not_changed() -> None:
    """A commit without a mark is what ran; where there is none, all differs from it."""
    clean = replace(STATE, dirty=False)
    assert parse_message(format_message(clean).decode()) == clean
    unborn = replace(STATE, dirty=False, code_commit=None)
    assert parse_message(format_message(unborn).decode()) == replace(unborn, dirty=True)
    marked = format_message(STATE).decode().replace("+dirty", "+other")
    assert parse_message(marked) == clean
