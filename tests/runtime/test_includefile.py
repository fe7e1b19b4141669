"""Included and streamed files from end to end: real flows, real repositories, files larger than memory."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitflowrun.artifacts.codecs.bytes import FileArtifact
from gitflowrun.client import Run, Task
from gitflowrun.client import repository as sources
from tests.helpers.repos import GitRepo

NOTES = '''
import os
from pathlib import Path
from gitflowrun import FlowSpec, IncludeFile, Parameter, step

def spoil(context):
    if "SPOIL" in os.environ:
        Path(os.environ["SPOIL"]).write_text("changed")
    return "-"

class Notes(FlowSpec):
    """Shows what it was given."""

    text = IncludeFile("text", help="Some notes.")
    raw = IncludeFile("raw", is_text=False)
    rows = IncludeFile("rows", parser="json.loads")
    latin = IncludeFile("old-text", encoding="latin-1")
    last = Parameter("last", default=spoil)

    @step
    def start(self):
        if "FAIL" in os.environ:
            raise ValueError("as asked")
        print("start:", ascii((self.text, self.raw, self.rows, self.latin)))
        if self.text is not None and os.path.exists("notes.txt"):
            Path("notes.txt").write_text("overwritten by a step")
        self.next(self.end)

    @step
    def end(self):
        print("end:", ascii(self.text))

if __name__ == "__main__":
    Notes()
'''

STREAMS = '''
import os
import resource
LIMIT = int(os.environ.get("DATA_LIMIT", "0"))
if LIMIT:
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
from gitflowrun import FlowSpec, IncludeFile, from_chunks, from_file, step

class Streams(FlowSpec):
    """Stores files that are larger than what it may have of memory."""

    raw = IncludeFile("raw", is_text=False)
    text = IncludeFile("text")

    @step
    def start(self):
        if LIMIT:
            try:
                bytearray(LIMIT)
            except MemoryError:
                print("memory is limited")
        self.corpus = from_file(os.environ["CORPUS"])
        self.chunks = from_chunks(str(number).encode() for number in range(5))
        self.next(self.middle)

    @step
    def middle(self):
        self.again = self.corpus
        with self.corpus.open() as stream:
            stream.seek(-3, os.SEEK_END)
            print("the end:", stream.read())
        self.next(self.end)

    @step
    def end(self):
        with self.again.open() as stream:
            print("bytes:", sum(map(len, iter(lambda: stream.read(1 << 20), b""))))

if __name__ == "__main__":
    Streams()
'''


CUT = """
import os
from gitflowrun import FlowSpec, from_file, step

class Corpus:
    def __reduce__(self):  # called when the step has ended, after the corpus was mapped
        os.truncate("corpus", 100)
        return str, ()

class Cut(FlowSpec):
    @step
    def start(self):
        self.corpus = from_file("corpus")
        self.spoils = Corpus()
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Cut()
"""


@pytest.fixture(autouse=True)
def _inside(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(repo.path)
    repo.write("notes.py", NOTES)
    repo.write("streams.py", STREAMS)
    repo.commit("flows")
    yield
    sources._chosen.clear()
    sources._open.clear()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files outside of the repository, by the option that takes them."""
    contents = {
        "text": "h\u00e9\r\nllo\n".encode(),
        "raw": b"\xff\x00",
        "rows": b"[1, 2]",
        "old-text": b"caf\xe9",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {f"--{name}": str(tmp_path / name) for name in contents}


def words(files: dict[str, str]) -> list[str]:
    """The files as words of a command line."""
    return [word for pair in files.items() for word in pair]


def payload_oid(repo: GitRepo, run: str, artifact: str) -> str:
    """The blob that git finds an artifact's payload in."""
    return repo.git("rev-parse", f"runs/{run}:data/{artifact}")


@pytest.mark.parametrize("isolation", ["fork", "batch", "fresh", "inline"])
@pytest.mark.sample("fork", "batch", "inline")
def test_steps_and_client_see_the_content(
    repo: GitRepo, files: dict[str, str], isolation: str
) -> None:
    """Text, bytes and what a parser makes are plain values everywhere, however tasks are isolated."""
    done = repo.flow("notes.py", "run", *words(files), env={"GITFLOWRUN_ISOLATION": isolation})
    assert done.code == 0, done.err
    assert r"start: ('h\xe9\r\nllo\n', b'\xff\x00', [1, 2], 'caf\xe9')" in done.out
    data = Run("Notes/1").data
    assert data is not None
    assert (data.text, data.raw) == ("h\u00e9\r\nllo\n", b"\xff\x00")
    assert (data.rows, data.latin) == ([1, 2], "caf\u00e9")
    assert Task("Notes/1/end/2")["raw"].open().read() == b"\xff\x00"


def test_git_and_dump_read_the_content(repo: GitRepo, files: dict[str, str]) -> None:
    """The stored blob is the file's own content; `dump` gives plain values, printed and pickled."""
    repo.flow("notes.py", "run", *words(files))
    assert repo.git("show", "runs/Notes/1:data/text.txt") == "h\u00e9\r\nllo"
    assert payload_oid(repo, "Notes/1", "raw.bin") == repo.git("hash-object", files["--raw"])
    printed = repo.flow("notes.py", "dump", "1/end").out
    assert "latin [size: 5 type: <class 'str'>] = caf\u00e9\n" in printed
    assert "raw [size: 2 type: <class 'bytes'>] = b'\\xff\\x00'\n" in printed
    repo.flow("notes.py", "dump", "--file", "values", "1/end")
    (values,) = pickle.loads((repo.path / "values").read_bytes()).values()
    assert (values["text"], values["rows"]) == ("h\u00e9\r\nllo\n", [1, 2])
    repo.fsck()


def test_equal_files_are_stored_once(repo: GitRepo, files: dict[str, str], tmp_path: Path) -> None:
    """A file of a later run, under another name and parameter, is the same blob."""
    copy = tmp_path / "copy"
    copy.write_bytes(Path(files["--text"]).read_bytes())
    repo.flow("notes.py", "run", *words(files))
    repo.flow("notes.py", "run", "--raw", str(copy))
    assert payload_oid(repo, "Notes/1", "text.txt") == payload_oid(repo, "Notes/2", "raw.bin")


def test_without_a_file_the_value_is_none(repo: GitRepo) -> None:
    """What is not given and not required is None."""
    done = repo.flow("notes.py", "run")
    assert "start: (None, None, None, None)" in done.out
    data = Run("Notes/1").data
    assert data is not None
    assert data.text is None


@pytest.mark.parametrize(
    ("option", "path", "told"),
    [
        ("--text", "no/such", "can't read the file 'no/such': No such file or directory"),
        ("--raw", ".", "'.' is not a file"),
        ("--text", "raw", "'raw' is no utf-8 text: invalid start byte at byte 0"),
        ("--rows", "README", "the parser can't read the file 'README': JSONDecodeError"),
    ],
)
def test_bad_files_are_usage_errors(repo: GitRepo, option: str, path: str, told: str) -> None:
    """Exit code 2, the parameter and the path are named, and there is no run."""
    repo.write("raw", b"\xff\x00")
    done = repo.flow("notes.py", "run", option, path)
    assert done.code == 2
    assert f"Invalid value for '{option}': " in done.err
    assert told in " ".join(done.err.split())
    assert not repo.git("for-each-ref", "refs/runs")


def test_a_bad_file_of_the_environment_is_a_usage_error(repo: GitRepo) -> None:
    """The variable is named, too."""
    done = repo.flow("notes.py", "run", env={"METAFLOW_RUN_TEXT": "no/such"})
    assert done.code == 2
    assert "parameter 'text': can't read the file 'no/such'" in done.err
    assert "METAFLOW_RUN_TEXT" in done.err
    assert not repo.git("for-each-ref", "refs/runs")


def test_a_path_may_hold_blanks_and_newlines(repo: GitRepo) -> None:
    """Whatever a path looks like, the file is found."""
    repo.write("two words\nand lines", "found")
    done = repo.flow("notes.py", "run", "--text", "two words\nand lines")
    assert done.code == 0, done.err
    assert "start: ('found'," in done.out


def test_later_steps_see_what_was_there_when_the_run_started(repo: GitRepo) -> None:
    """A step that overwrites the file changes nothing for those that follow."""
    repo.write("notes.txt", "original")
    done = repo.flow("notes.py", "run", "--text", "notes.txt")
    assert "end: 'original'" in done.out
    assert (repo.path / "notes.txt").read_text() == "overwritten by a step"


def test_a_file_that_changes_while_the_run_begins_fails_it(repo: GitRepo) -> None:
    """What was looked at and what is stored can't differ: the run says why it fails instead."""
    repo.write("notes.txt", "original")
    done = repo.flow("notes.py", "run", "--text", "notes.txt", env={"SPOIL": "notes.txt"})
    assert done.code == 1
    expected = (
        "parameter 'text' can't be stored: the file 'notes.txt' was not stored: it was changed"
    )
    assert expected in " ".join((done.out + done.err).split())
    repo.fsck()


def test_a_file_that_is_cut_off_while_it_is_stored_fails_its_task(repo: GitRepo) -> None:
    """The system kills whoever reads pages that are gone; the log says what that may mean."""
    repo.write("cut.py", CUT)
    repo.write("corpus", bytes(8 << 20))
    done = repo.flow("cut.py", "run")
    assert done.code == 1
    assert "killed by SIGBUS: did a file become shorter" in done.out
    repo.fsck()


def test_resume_and_clone_take_the_content_from_the_origin(
    repo: GitRepo, files: dict[str, str]
) -> None:
    """The files may be gone by then; of a clone, a file that is given wins."""
    assert repo.flow("notes.py", "run", *words(files), env={"FAIL": "1"}).code == 1
    for path in files.values():
        Path(path).unlink()
    repo.write("other", "other")
    seen = r"b'\xff\x00', [1, 2], 'caf\xe9')"
    resumed = repo.flow("notes.py", "resume")
    assert rf"start: ('h\xe9\r\nllo\n', {seen}" in resumed.out, resumed.err
    cloned = repo.flow("notes.py", "run", "--clone", "1", "--text", "other")
    assert rf"start: ('other', {seen}" in cloned.out, cloned.err
    assert payload_oid(repo, "Notes/2", "raw.bin") == payload_oid(repo, "Notes/3", "raw.bin")


def test_streams_pass_from_step_to_step(repo: GitRepo) -> None:
    """`from_file` and `from_chunks` give values that later steps, the client and `dump` open."""
    repo.write("corpus", "a corpus")
    done = repo.flow("streams.py", "run", env={"CORPUS": "corpus"})
    assert done.code == 0, done.err
    assert "the end: b'pus'" in done.out
    data = Run("Streams/1").data
    assert data is not None
    assert isinstance(data.again, FileArtifact)
    assert (data.again.read(), data.chunks.read()) == (b"a corpus", b"01234")
    artifact = Task("Streams/1/end/3")["again"]
    with artifact.open() as stream:
        stream.seek(2)
        assert stream.read(3) == b"cor"
    assert artifact.sha == Task("Streams/1/start/1")["corpus"].sha
    repo.flow("streams.py", "dump", "--file", "values", "1/end")
    (values,) = pickle.loads((repo.path / "values").read_bytes()).values()
    assert values["again"] == b"a corpus"


def test_a_missing_stream_fails_its_step(repo: GitRepo) -> None:
    """The step's log has the path."""
    done = repo.flow("streams.py", "run", env={"CORPUS": "no/such"})
    assert done.code == 1
    assert "'no/such' can't be stored: No such file or directory" in done.out + done.err


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux counts data this way")  # noqa: PTH110
def test_files_of_any_size_take_no_memory(repo: GitRepo, tmp_path: Path) -> None:
    """With half of a file's size as memory, it is included, inherited, renamed and read.

    What is limited is what a process has for itself: pages of files are the system's to drop at any time.
    """
    size = 256 << 20
    noise = random.Random(7)
    for name in ("raw", "corpus", "text"):
        with (tmp_path / name).open("wb") as file:
            for place in range(0, size, 64 << 20):
                file.seek(place)
                file.write(noise.randbytes(2 << 20).hex().encode())
            file.truncate(size)
    env = {"DATA_LIMIT": str(size // 2), "CORPUS": str(tmp_path / "corpus")}
    options = ["--raw", str(tmp_path / "raw"), "--text", str(tmp_path / "text")]
    done = repo.flow("streams.py", "run", *options, env=env)
    assert done.code == 0, done.out + done.err
    assert "memory is limited" in done.out
    assert f"bytes: {size}" in done.out
    kept = Task("Streams/1/end/3")["raw"]
    assert (kept.size, kept.type) == (size, "builtins.bytes")
    with kept.open() as stored, (tmp_path / "raw").open("rb") as file:
        for place in (0, (4 << 20) - 5, size - 10):
            stored.seek(place)
            file.seek(place)
            assert stored.read(10) == file.read(10)
    repo.fsck()
