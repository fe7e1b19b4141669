"""Frames and tensors of a stranger's run: what their tasks noted is shown, and loading them takes trust."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.helpers.clones import get
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo

if TYPE_CHECKING:
    from pathlib import Path

_VALUES = """
import numpy as np
import pandas as pd
self.frame = pd.DataFrame({"speed": [float(NUMBER), 2.5], "name": ["x", "y"]})
self.inside = {"frame": self.frame, "when": pd.Timestamp("2020-01-01")}
self.array = np.arange(3.0)
"""


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A clone that has fetched two runs of somebody else."""
    pytest.importorskip("pyarrow")
    from tests.helpers.repos import make_repo

    place = tmp_path_factory.mktemp("frames")
    theirs = make_repo(place / "theirs")
    for number in (1, 2):
        theirs.write("f.py", linear_flow(_VALUES.replace("NUMBER", str(number))))
        done = theirs.flow("f.py", "--quiet", "run")
        assert done.code == 0, done.err
    theirs.git("clone", "-q", ".", str(place / "ours"))
    ours = GitRepo(place / "ours")
    get(ours)
    return ours


@pytest.mark.parametrize(("name", "noted"), [("frame", "speed float64"), ("inside", "Timestamp(")])
@pytest.mark.sample(1)
def test_what_was_noted_is_shown(strangers: GitRepo, name: str, noted: str) -> None:
    """`show` and `cat` read it, and `cat` says what would give the value itself."""
    for verb in ("show", "cat"):
        done = strangers.call(verb, f"1/start/1/{name}" if verb == "show" else f"1/{name}")
        assert done.code == 0
        assert noted in done.out
    assert "git runs trust" in done.err


def test_differences_are_those_of_what_was_noted(strangers: GitRepo) -> None:
    """Statistics of columns, though nobody loads the frames."""
    done = strangers.call("diff", "1", "2")
    assert done.code == 0
    assert "speed: min 1.0" in done.out


def test_arrays_need_no_trust(strangers: GitRepo, tmp_path: Path) -> None:
    """They are written as files of numpy's own."""
    assert "2.0" in strangers.call("show", "1").out
    assert strangers.call("cat", "1/array", "-o", str(tmp_path / "a.npy")).code == 0


def test_the_hint_is_a_command_that_works(strangers: GitRepo, tmp_path: Path) -> None:
    """A frame is written once its run is trusted, by the command that the refusal names."""
    wanted = ("cat", "1/frame", "-o", str(tmp_path / "frame.csv"))
    refused = strangers.call(*wanted)
    assert refused.code == 128
    assert "Traceback" not in refused.err
    hint = next(line for line in refused.err.splitlines() if "git runs trust" in line)
    command = shlex.split(hint[hint.index("git runs trust") :])
    assert strangers.call(*command[2:]).code == 0
    assert strangers.call(*wanted).code == 0
    assert (tmp_path / "frame.csv").read_text().startswith("speed,name")
