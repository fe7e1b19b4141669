"""`git runs logs --timestamps` into a pipe: every line with its time, whatever its bytes."""

from __future__ import annotations

import time

import pytest

from gitflowrun.cli.output.text import clock
from gitflowrun.runs.line_times import encode_times
from gitflowrun.values import replace
from tests.cli.conftest import Runs
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, start_run


@pytest.mark.parametrize(
    "output",
    [
        b"one\ntwo\nthree\nfour\nfive\n",
        b"no end",
        b"\n\n\nempty ones\n\n",
        "long ä ones: ".encode() + "äö€🙂".encode() * 20 + b"\nand short\n" + b"x" * 50,
        b"bytes \xff\xfe of nothing\n\xf0\x9f\nin two lines",
        b"\xe2\x82",
        b"cut off: \xe2\x82",
        b"",
    ],
)
def test_each_line_has_its_time(
    repo: GitRepo, runs: Runs, monkeypatch: pytest.MonkeyPatch, output: bytes
) -> None:
    """The first two lines have one, the others a dash; long lines and cut off characters come whole."""
    monkeypatch.setattr("gitflowrun.cli.git_runs.look.logs.LONGEST_LINE", 7)
    monkeypatch.setattr("gitflowrun.cli.git_runs.look.logs.LINES_AT_ONCE", 2)
    monkeypatch.setattr("gitflowrun.limits.INFLATE_STEP", 5)
    now = time.time()
    with start_run(repo) as writer:
        task = finished_task(writer.identity, "start/1")
        writer.commit([replace(task, stdout=output, times=encode_times([now, now + 1], []))])
    text = output.decode(errors="replace")
    lines = text.removesuffix("\n").split("\n") if text else []
    stamps = [clock(now), clock(now + 1), *["-"] * len(lines)]
    done = runs("logs", "--timestamps", "1/start")
    assert done.out == "".join(f"{it} {line}\n" for it, line in zip(stamps, lines, strict=False))
