"""`git runs cat -o FILE`: artifacts as files that other programs open."""

from __future__ import annotations

import csv
import json
import pickle
import shlex
import sys
from pathlib import Path

import pytest

from gitflowrun.artifacts.codecs import decode, encode
from gitflowrun.artifacts.codecs.pickle import plain_pickle
from tests.helpers.clones import clone, get
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo, make_repo, run_program

_VALUES = """
self.settings, self.number, self.nothing = {"a": [1, 2.5], "b": None}, 0.5, {"a": float("nan")}
self.text, self.picture, self.rows = "h\\u00e9\\n", b"\\x89PNG\\r\\n\\x1a\\n", [{"a": 1, "b": "x"}, {"a": 3, "b": "y"}]
self.model = Model()
"""
_CLASS = "class Model:\n    def __init__(self):\n        self.rate = 0.5\n"


def _stored(repo: GitRepo, values: str = _VALUES, head: str = _CLASS) -> None:
    repo.write("flows/f.py", linear_flow(values, head=head))
    assert repo.flow("flows/f.py", "--quiet", "run").code == 0


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run of values of many kinds; each test writes files of other names."""
    repo = make_repo(tmp_path_factory.mktemp("stored") / "a repo")
    _stored(repo)
    return repo


def _written(repo: GitRepo, artifact: str, name: str) -> Path:
    done = repo.call("cat", f"1/{artifact}", "-o", name)
    assert (done.code, done.out) == (0, ""), done.err
    return repo.path / name


def test_values_in_formats_that_hold_them(stored: GitRepo) -> None:
    """JSON, CSV, pickles and text are read back by what reads such files as the values that they were."""
    assert json.loads(_written(stored, "settings", "s.json").read_text()) == {
        "a": [1, 2.5],
        "b": None,
    }
    assert pickle.loads(_written(stored, "settings", "s.pkl").read_bytes()) == {
        "a": [1, 2.5],
        "b": None,
    }
    assert json.loads(_written(stored, "text", "t.json").read_text()) == "hé\n"
    with _written(stored, "rows", "r.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"a": "1", "b": "x"}, {"a": "3", "b": "y"}]
    assert _written(stored, "number", "n.txt").read_text() == "0.5\n"
    assert _written(stored, "text", "t.md").read_bytes() == "hé\n".encode()
    assert _written(stored, "picture", "p.png").read_bytes() == b"\x89PNG\r\n\x1a\n"


def test_a_link_stays_a_link(stored: GitRepo) -> None:
    """The file that it leads to is written, whether it is there or not, and keeps its mode."""
    (stored.path / "deep").mkdir()
    target, link = stored.path / "deep" / "target", stored.path / "link.json"
    link.symlink_to("deep/target")
    for number in (0o644, 0o600):
        _written(stored, "number", "link.json")
        assert link.is_symlink()
        assert json.loads(target.read_text()) == 0.5
        if number == 0o600:
            assert target.stat().st_mode & 0o777 == number
        target.chmod(0o600)
    link.unlink()
    link.symlink_to("nowhere/target")
    done = stored.call("cat", "1/number", "-o", "link.json")
    assert done.code == 129
    assert "can't be written" in done.err
    assert link.is_symlink()


def test_pipes_and_devices_are_written_to(stored: GitRepo) -> None:
    """`-o /dev/stdout` and what a shell makes of `>(...)` get the content; no file takes their place."""
    program = f"{shlex.quote(sys.executable)} -m gitflowrun.cli.git_runs.main"
    done = run_program(["sh", "-c", f"{program} cat 1/picture -o /dev/stdout | od -c"], stored.path)
    assert (done.out.split()[1:5], done.err) == (["211", "P", "N", "G"], "")


def test_a_pickle_needs_nothing_to_be_written(stored: GitRepo) -> None:
    """A pickle is written without the class that it is of, and `data/` has it as a file that pickle reads."""
    content = _written(stored, "model", "m.pkl").read_bytes()
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
    stored: GitRepo, artifact: str, name: str, words: str
) -> None:
    """What a format can't hold is refused, with what would do; the file that was there stays."""
    if "/" not in name:
        stored.write(name, "before")
    done = stored.call("cat", f"1/{artifact}", "-o", name)
    assert done.code == 129
    assert words in done.err
    assert "/" in name or (stored.path / name).read_text() == "before"
    assert not [path for path in stored.path.iterdir() if path.name.startswith(f".{name}")]


_FRAMES = """
self.f, self.a = pd.DataFrame({'a': [1, 2]}), np.arange(6.0).reshape(2, 3)
self.g, self.d = self.f.set_index(pd.Index(['k', 'l'])), {'x': self.a}
self.masked = np.ma.array([1, 2], mask=[0, 1])
self.odd = pd.DataFrame({('a', 1): [1.5]}, index=['r'])

at = pd.to_datetime(['2020-01-02T03:04:05.123456789', None]).tz_localize('Europe/Berlin')
text = pd.Series(['a\\ud800', None], dtype=object)
self.exact = pd.DataFrame({'x': [1e-15, 0.1 + 0.2], 'at': at, 's': text, 3: [2**63, 1],
    'n': pd.array([1, None], dtype='Int64'), 'd': [datetime.date(2020, 1, 2), [1, None]]})
self.key = pd.DataFrame({'v': [1]}, index=pd.Index(['k'], name='key'))
self.tiny, self.part = pd.DataFrame({'v': [1e-15]}), pd.DataFrame({'v': range(3)})[1:]

self.nan = pd.DataFrame({'a': [1], 'b': [float('nan')]})
self.twice = pd.DataFrame([[1, 2]], columns=['a', 'a'])
self.period = pd.DataFrame({'p': pd.period_range('2020', periods=1)})
self.complex, self.mixed = pd.DataFrame({'c': [1j]}), pd.DataFrame({'m': [1, 'x', b'y']})
self.keys, self.times = {1: 'a', '1': 'b'}, pd.array(['2020-01-01'], dtype='datetime64[ns]').to_numpy()
self.text, self.texts = 'a\\ud800', pd.DataFrame({'t': ['a\\ud800']}, dtype=object)
self.pair = ['\\ud83d' + '\\ude00']
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run of frames and arrays; each test writes files of other names."""
    pytest.importorskip("pandas")
    repo = make_repo(tmp_path_factory.mktemp("frames") / "a repo")
    _stored(repo, _FRAMES, head="import datetime, numpy as np, pandas as pd\n")
    return repo


def test_frames_and_arrays(frames: GitRepo) -> None:
    """Frames and arrays are written by their libraries, an index only where it says something."""
    np, pd, repo = pytest.importorskip("numpy"), pytest.importorskip("pandas"), frames
    assert _written(repo, "f", "f.csv").read_text() == "a\n1\n2\n"
    assert _written(repo, "g", "g.csv").read_text() == ",a\nk,1\nl,2\n"
    assert pd.read_pickle(_written(repo, "f", "f.pkl"))["a"].tolist() == [1, 2]
    assert np.load(_written(repo, "a", "a.npy")).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.load(_written(repo, "d", "d.npz"))["x"].shape == (2, 3)
    assert _written(repo, "a", "a.csv").read_text() == "0.0,1.0,2.0\n3.0,4.0,5.0\n"


def test_frames_as_json_are_exact(frames: GitRepo) -> None:
    """Records give back the numbers to the last bit, times with zone and nanoseconds, the index first."""
    assert json.loads(_written(frames, "exact", "exact.json").read_text()) == [
        {"x": 1e-15, "at": "2020-01-02T03:04:05.123456789+01:00", "s": "a\ud800", "3": 2**63, "n": 1,
         "d": "2020-01-02"},
        {"x": 0.1 + 0.2, "at": None, "s": None, "3": 1, "n": None, "d": [1, None]},
    ]  # fmt: skip
    assert json.loads(_written(frames, "key", "key.json").read_text()) == [{"key": "k", "v": 1}]
    assert json.loads(_written(frames, "part", "p.json").read_text())[0] == {"index": 1, "v": 1}
    assert _written(frames, "part", "p.csv").read_text() == ",v\n1,1\n2,2\n"
    assert "<td>1e-15</td>" in _written(frames, "tiny", "tiny.html").read_text()


def test_what_libraries_can_not_write_is_refused(frames: GitRepo) -> None:
    """Whatever a library raises for a value, and whatever JSON would change silently, is a refusal that says what."""
    for artifact, suffix, words in (
        ("nan", ".json", "column 'b': JSON has no such value"),
        ("twice", ".json", "two of its columns are named 'a'"),
        ("period", ".json", "column 'p': JSON has no pandas.Period"),
        ("complex", ".json", "column 'c': JSON has no builtins.complex"),
        ("mixed", ".json", "column 'm': JSON has no builtins.bytes"),
        ("twice", ".parquet", "can't be written as .parquet: "),
        ("complex", ".parquet", "can't be written as .parquet: "),
        ("mixed", ".parquet", "can't be written as .parquet: "),
        ("keys", ".json", 'two of its keys are "1" in JSON'),
        ("times", ".json", "JSON has no datetime64[ns]"),
        ("pair", ".json", "JSON reads two halves of a surrogate pair as one"),
        *((name, suffix, "half of a surrogate pair")
          for name, suffix in (("text", ".txt"), ("text", ".md"), ("texts", ".csv"), ("texts", ".parquet"),
                               ("texts", ".html"))),
    ):  # fmt: skip
        done = frames.call("cat", f"1/{artifact}", "-o", f"o{suffix}")
        assert (done.code, words in done.err) == (129, True), (artifact, suffix, done.err)
        assert "hint: name a file .pkl" in done.err
    for artifact, value in (("text", "a\ud800"), ("texts", [{"t": "a\ud800"}])):
        assert json.loads(_written(frames, artifact, "o.json").read_text()) == value


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


def test_text_and_bytes_are_no_formats_that_they_are_not(repo: GitRepo) -> None:
    """A text is no picture whatever the file is called, nor are bytes that don't begin as one; the hint works."""
    _stored(
        repo,
        "self.text, self.bytes, self.png, self.json = 'a', b'ab', b'\\x89PNG\\r\\n\\x1a\\n..', b'[1]'",
        head="",
    )
    for artifact, name, hint in (
        ("text", "o.npy", "name a file .pkl, .json or .txt"),
        ("text", "o.png", "name a file .pkl, .json or .txt"),
        ("bytes", "o.png", "name a file .bin for its content"),
        ("bytes", "o.parquet", "name a file .bin for its content"),
        ("bytes", "o.json", "name a file .bin for its content"),
    ):
        done = repo.call("cat", f"1/{artifact}", "-o", name)
        assert (done.code, done.err.strip().split("hint: ")[-1]) == (129, hint)
        assert not (repo.path / name).exists()
    assert _written(repo, "png", "o.png").read_bytes() == b"\x89PNG\r\n\x1a\n.."
    assert _written(repo, "json", "o.json").read_bytes() == b"[1]"
    assert _written(repo, "bytes", "o.bin").read_bytes() == b"ab"
    assert _written(repo, "text", "o.log").read_bytes() == b"a"


def test_a_mask_is_not_dropped(frames: GitRepo) -> None:
    """An array with a mask is no `.npy`, which has none; what works is named."""
    for name in ("x.npy", "x.npz"):
        done = frames.call("cat", "1/masked", "-o", name)
        assert (done.code, done.err.strip().split("hint: ")[-1]) == (
            129,
            "name a file .pkl or .json",
        )
    assert json.loads(_written(frames, "masked", "x.json").read_text()) == [1, None]


def test_frames_as_pandas_reads_them(frames: GitRepo) -> None:
    """An Arrow or Parquet file of a frame gives pandas the same frame, index and names of columns included."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({("a", 1): [1.5]}, index=["r"])
    pandas.testing.assert_frame_equal(
        pandas.read_feather(_written(frames, "odd", "odd.arrow")), frame
    )
    pandas.testing.assert_frame_equal(
        pandas.read_parquet(_written(frames, "odd", "odd.parquet")), frame
    )
    refused = frames.call("cat", "1/odd", "-o", "odd.npy")
    assert refused.err.endswith("hint: name a file .pkl, .csv, .parquet or .arrow\n")


def test_shared_parts_that_would_be_written_without_end(repo: GitRepo) -> None:
    """A few bytes whose text has no end are refused at once; a list that shares a little is written."""
    _stored(
        repo,
        """
bomb = ["a"]
for _ in range(40): bomb = [bomb, bomb]
self.bomb, self.table, self.few = bomb, [bomb], [["x" * 1000] * 1000] * 2
""",
    )
    for artifact, name in (("bomb", "b.json"), ("table", "b.csv"), ("bomb", "b.xyz")):
        done = repo.call("cat", f"1/{artifact}", "-o", name)
        assert done.code == 129
        assert "can't be written" in done.err
        assert not (repo.path / name).exists()
    assert json.loads(_written(repo, "few", "f.json").read_text())[1][999] == "x" * 1000


def test_files_that_may_run_what_a_stranger_wrote_are_told(stored: GitRepo, tmp_path: Path) -> None:
    """Pages, vector graphics and pickles of a run that is not trusted are written, with a note; other files without."""
    theirs = clone(stored, f"theirs {tmp_path.name}")
    get(theirs)
    for name, is_told in (
        ("t.html", True), ("t.HTM", True), ("t.svg", True), ("t.xml", True), ("t", True),
        ("t.txt", False), ("t.json", False), ("t.md", False),
    ):  # fmt: skip
        done = theirs.call("cat", "1/text", "-o", name)
        assert (theirs.path / name).exists()
        assert (done.code, done.err.startswith(f"note: '{name}' may run what a stranger")) == (
            0,
            is_told,
        )
        assert ("git runs trust F/1\n" in done.err) == is_told
    assert "may run" in theirs.call("cat", "1/model", "-o", "m.pkl").err
    theirs.call("trust", "1")
    assert theirs.call("cat", "1/text", "-o", "t.html").err == ""
