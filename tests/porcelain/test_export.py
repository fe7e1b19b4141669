"""`git runs cat -o FILE`: artifacts as files that other programs open."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import pytest

from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.artifacts.codecs.pickle import plain_pickle
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo

_VALUES = """
self.settings, self.number, self.nothing = {"a": [1, 2.5], "b": None}, 0.5, {"a": float("nan")}
self.text, self.picture, self.rows = "h\\u00e9\\n", b"\\x89PNG", [{"a": 1, "b": "x"}, {"a": 3, "b": "y"}]
self.model = Model()
"""
_CLASS = "class Model:\n    def __init__(self):\n        self.rate = 0.5\n"


def _stored(repo: GitRepo, values: str = _VALUES, head: str = _CLASS) -> None:
    repo.write("flows/f.py", linear_flow(values, head=head))
    assert repo.flow("flows/f.py", "--quiet", "run").code == 0


def _written(repo: GitRepo, artifact: str, name: str) -> Path:
    done = repo.runs("cat", f"1/{artifact}", "-o", name)
    assert (done.code, done.out) == (0, ""), done.err
    return repo.path / name


def test_values_in_formats_that_hold_them(repo: GitRepo) -> None:
    """JSON, CSV, pickles and text are read back by what reads such files as the values that they were."""
    _stored(repo)
    assert json.loads(_written(repo, "settings", "s.json").read_text()) == {
        "a": [1, 2.5],
        "b": None,
    }
    assert pickle.loads(_written(repo, "settings", "s.pkl").read_bytes()) == {
        "a": [1, 2.5],
        "b": None,
    }
    assert json.loads(_written(repo, "text", "t.json").read_text()) == "hé\n"
    with _written(repo, "rows", "r.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"a": "1", "b": "x"}, {"a": "3", "b": "y"}]
    assert _written(repo, "number", "n.txt").read_text() == "0.5\n"
    assert _written(repo, "text", "t.md").read_bytes() == "hé\n".encode()
    assert _written(repo, "picture", "p.png").read_bytes() == b"\x89PNG"


def test_a_pickle_needs_nothing_to_be_written(repo: GitRepo) -> None:
    """A pickle is written without the class that it is of, and `data/` has it as a file that pickle reads."""
    _stored(repo)
    content = _written(repo, "model", "m.pkl").read_bytes()
    with pytest.raises(AttributeError, match="Model"):  # of this program's main module
        pickle.loads(content)
    assert content.endswith(b".")


@pytest.mark.parametrize(
    ("artifact", "name", "words"),
    [
        ("nothing", "n.json", "JSON has no such value"),
        ("settings", "s.csv", "it is no table"),
        ("settings", "s.png", "it is no figure"),
        ("settings", "s.npy", "it is no array"),
        ("settings", "s.abc", "nothing is known of that format"),
        ("settings", "s", "its name has no suffix"),
        ("settings", "no/such/s.json", "can't be written: No such file"),
    ],
)
def test_no_file_is_something_else_than_the_value(
    repo: GitRepo, artifact: str, name: str, words: str
) -> None:
    """What a format can't hold is refused, with what would do; the file that was there stays."""
    _stored(repo)
    if "/" not in name:
        repo.write(name, "before")
    done = repo.runs("cat", f"1/{artifact}", "-o", name)
    assert done.code == 129
    assert words in done.err
    assert "/" in name or (repo.path / name).read_text() == "before"
    assert not [path for path in repo.path.iterdir() if path.name.startswith(f".{name}")]


def test_frames_and_arrays(repo: GitRepo) -> None:
    """Frames and arrays are written by their libraries, an index only where it says something."""
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    _stored(
        repo,
        "self.f = pd.DataFrame({'a': [1, 2]})\nself.g = self.f.set_index(pd.Index(['k', 'l']))\n"
        "self.a = np.arange(6.0).reshape(2, 3)\nself.d = {'x': self.a}",
        head="import numpy as np, pandas as pd\n",
    )
    assert _written(repo, "f", "f.csv").read_text() == "a\n1\n2\n"
    assert _written(repo, "g", "g.csv").read_text() == ",a\nk,1\nl,2\n"
    assert pd.read_pickle(_written(repo, "f", "f.pkl"))["a"].tolist() == [1, 2]
    assert np.load(_written(repo, "a", "a.npy")).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.load(_written(repo, "d", "d.npz"))["x"].shape == (2, 3)
    assert _written(repo, "a", "a.csv").read_text() == "0.0,1.0,2.0\n3.0,4.0,5.0\n"


class Holder:
    """What is pickled, with arrays of all sizes."""

    def __init__(self, size: int) -> None:
        np = pytest.importorskip("numpy")
        self.array = np.arange(float(size))
        self.again = self.array
        self.fixed = np.arange(float(size))
        self.fixed.flags.writeable = False


@pytest.mark.parametrize("size", [3, 20_000, 300_000])
def test_large_buffers_are_part_of_the_file(size: int) -> None:
    """Any Python reads the pickle, buffers included, which are what they were: shared, writable or not."""
    made = encode(Holder(size))
    payload = made.payload()
    found = pickle.loads(plain_pickle(memoryview(payload)))
    assert found.array.tolist() == Holder(size).array.tolist()
    assert found.again is found.array
    assert found.array.flags.writeable
    assert not found.fixed.flags.writeable
    if made.size <= 1 << 20:
        assert pickle.loads(payload).array.shape == (size,)
    assert decode(made.codec, payload, trusted=True).again.shape == (size,)
