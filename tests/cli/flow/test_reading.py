"""Commands of a flow file that read runs: dump, logs, tag."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.artifacts import codecs
from gitflowrun.cli.flow.main import main
from gitflowrun.flow import FlowSpec, step
from gitflowrun.runs.runs import Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runs.trust import Trust
from gitflowrun.runtime.launch.launcher import Launcher
from gitflowrun.values import replace
from tests.client.samples import CANARY, Pickled
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, make_run, start_run
from tests.security.forge import Forge, Forgery, info

# ruff: noqa: D101, D102  (a flow as users write them)


class MyFlow(FlowSpec):
    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _inside(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.path)


def _flow(*words: str) -> int:
    return main(MyFlow, Launcher(MyFlow, "no scheduler"), list(words))


def _task(run: Any, name: str, values: dict[str, Any], **more: Any) -> FinishedTask:
    encoded = {key: codecs.encode(value) for key, value in values.items()}
    task = finished_task(run, name, {key: it.payload() for key, it in encoded.items()}, **more)
    refs = {
        key: replace(ref, codec=encoded[key].codec, type=encoded[key].type)
        for key, ref in task.record.artifacts.items()
    }
    return replace(task, record=replace(task.record, artifacts=refs))


@pytest.fixture
def run(repo: GitRepo) -> None:
    """Run 1: `start/1`, and `train/2` and `train/3` that printed something."""
    with start_run(repo) as writer:
        ident = writer.identity
        writer.commit([_task(ident, "start/1", {"x": 1, "text": "héllo", "_private": 2})])
        tasks = [
            _task(ident, f"train/{n}", {"n": n}, stdout=f"out {n}\n", stderr=f"err {n}\n")
            for n in (2, 3)
        ]
        writer.commit(tasks, status=Status.FAILED)


@pytest.mark.usefixtures("run")
def test_dump_prints_artifacts(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each public artifact says name, size, type and value; chatter goes to stderr."""
    assert _flow("dump", "1/start/1") == 0
    out, err = capsys.readouterr()
    assert out == (
        "text [size: 6 type: <class 'str'>] = héllo\nx [size: 1 type: <class 'int'>] = 1\n"
    )
    assert "Dumping output of run_id=1 step=start task_id=1\n" in err


@pytest.mark.usefixtures("run")
def test_dump_of_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    """All tasks of a step are dumped, --include chooses names, --max-value-size hides values."""
    assert _flow("dump", "1/train", "--include", "n,absent") == 0
    assert capsys.readouterr().out == (
        "n [size: 1 type: <class 'int'>] = 2\nn [size: 1 type: <class 'int'>] = 3\n"
    )
    assert _flow("dump", "1/start", "--max-value-size", "2", "--include", "text") == 0
    assert capsys.readouterr().out.endswith("= < artifact too large >\n")
    assert _flow("dump", "1/start", "--max-value-size", "0", "--include", "x") == 0
    assert capsys.readouterr().out.endswith("= < artifact too large >\n")


@pytest.mark.usefixtures("run")
def test_dump_of_private_artifacts(capsys: pytest.CaptureFixture[str]) -> None:
    """--private adds what begins with an underscore, Metaflow's bookkeeping included."""
    assert _flow("dump", "MyFlow/1/start/1", "--private") == 0
    out = capsys.readouterr().out
    assert "_private [size: 1 type: <class 'int'>] = 2\n" in out
    assert "_task_ok [" in out
    assert "_success [" in out


@pytest.mark.usefixtures("run")
def test_dump_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--file writes one pickle keyed run/step/task; an unknown name gives an empty task."""
    assert _flow("--quiet", "dump", "1/train", "--file", str(tmp_path / "x")) == 0
    assert capsys.readouterr() == ("", "")
    assert pickle.loads((tmp_path / "x").read_bytes()) == {
        "1/train/2": {"n": 2},
        "1/train/3": {"n": 3},
    }
    assert _flow("dump", "1/start", "--include", "no", "--file", str(tmp_path / "y")) == 0
    assert pickle.loads((tmp_path / "y").read_bytes()) == {"1/start/1": {}}


_GONE = """
import enum
class Model:
    pass
class Color(enum.Enum):
    RED = 1
"""


def test_dump_of_values_whose_class_is_gone(
    repo: GitRepo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each says what it needs, in its own line, and the others are printed; a file lacks them, which is told."""
    (tmp_path / "gone.py").write_text(_GONE)
    monkeypatch.syspath_prepend(tmp_path)
    gone = importlib.import_module("gone")
    with start_run(repo) as writer:
        values = {"a": 1, "color": gone.Color.RED, "many": [gone.Model()], "z": 2}
        writer.commit([_task(writer.identity, "start/1", values)], status=Status.DONE)
    (tmp_path / "gone.py").unlink()
    monkeypatch.delitem(sys.modules, "gone")
    importlib.invalidate_caches()
    assert _flow("dump", "1/start/1") == 0
    rows = [line.partition(" = ")[2] for line in capsys.readouterr().out.splitlines()]
    assert (rows[0], rows[3]) == ("1", "2")
    assert rows[1].startswith("< not loaded: the value needs gone.Color, which does not exist here")
    assert rows[2].startswith("< not loaded: the value needs gone.Model, which does not exist here")
    file = tmp_path / "some"
    assert _flow("--quiet", "dump", "1/start/1", "--file", str(file)) == 1
    assert pickle.loads(file.read_bytes()) == {"1/start/1": {"a": 1, "z": 2}}
    told = capsys.readouterr().err
    assert "MyFlow/1/start/1/color: the value needs gone.Color" in told
    assert "MyFlow/1/start/1/many: the value needs gone.Model" in told


def test_dump_of_strangers_values(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What runs code when it is loaded is named, and not loaded; all else is printed."""
    with start_run(repo) as writer:
        values = {"a": 1, "b": Pickled(), "c": ""}
        writer.commit([_task(writer.identity, "start/1", values)], status=Status.DONE)
    monkeypatch.setattr(Trust, "trusts_artifact", lambda *_: False)
    assert _flow("dump", "1/start/1") == 0
    rows = [line.partition(" = ")[2] for line in capsys.readouterr().out.splitlines()]
    assert rows == ["1", "< not loaded: its run is not trusted, see `git runs trust` >", ""]
    assert _flow("dump", "1/start/1", "--max-value-size", "0") == 0
    assert capsys.readouterr().out.count("= < artifact too large >\n") == 3
    assert _flow("dump", "1/start/1", "--max-value-size", "1", "--include", "a") == 0
    assert capsys.readouterr().out == "a [size: 1 type: <class 'int'>] = 1\n"
    assert CANARY == []


@pytest.mark.usefixtures("run")
def test_dump_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not there is said on stderr and is no error, as in Metaflow; a run alone is one."""
    assert _flow("dump", "99/start") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "there is no run" in err
    assert _flow("dump", "1/trian") == 0
    assert "did you mean train" in capsys.readouterr().err
    assert _flow("dump", "1") == 1
    assert "RUN/STEP" in capsys.readouterr().err


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("words", [["logs"], ["logs", "show"]])
def test_logs_print_both_streams(words: list[str], capsysbinary: Any) -> None:
    """Stdout comes before stderr, task by task; `show` is the default."""
    assert _flow(*words, "1/train") == 0
    out, err = capsysbinary.readouterr()
    assert out == b"out 2\nerr 2\nout 3\nerr 3\n"
    assert b"Dumping logs of run_id=1 step=train task_id=3\n" in err


@pytest.mark.usefixtures("run")
def test_logs_of_one_stream(capsysbinary: Any) -> None:
    """--stdout and --stderr choose, --timestamps adds times, --attempt names one."""
    assert _flow("logs", "1/train/2", "--stderr") == 0
    assert capsysbinary.readouterr()[0] == b"err 2\n"
    assert _flow("logs", "1/train/2", "--stdout", "--timestamps", "--attempt", "0") == 0
    assert capsysbinary.readouterr()[0].endswith(b" out 2\n")
    assert _flow("logs", "1/train/2", "--attempt", "1") == 1
    assert b"it has 0" in capsysbinary.readouterr()[1]


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(("path", "code"), [("9/start", 1), ("1/nope", 1), ("1", 1)])
def test_logs_of_nothing(path: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown tasks are an error here, as in Metaflow."""
    assert _flow("logs", path) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("words", [["1/train/2"], ["--both", "--all", "1/train"]])
def test_logs_can_not_be_scrubbed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is in git stays there: the command says so, and what removes the run; nothing has changed."""
    assert _flow("logs", "scrub", *words) == 1
    err = capsys.readouterr().err
    assert "never change" in err
    assert " runs purge 1`" in err
    assert _flow("logs", "1/train/2", "--stdout") == 0
    assert capsys.readouterr().out == "out 2\n"


def test_logs_need_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a path `logs` is used wrongly."""
    assert _flow("logs") == 2
    assert "Missing argument" in capsys.readouterr().err


def test_tags_are_changed(repo: GitRepo, capsys: pytest.CaptureFixture[str]) -> None:
    """add, remove and replace change tags and print what the run then has on stdout."""
    make_run(repo, tags=["a"])
    assert _flow("tag", "add", "--run-id", "1", "b c", "user:ada") == 0
    assert capsys.readouterr().out == "a\nb c\nruntime:dev\nuser:ada\n"
    assert _flow("tag", "remove", "--run-id", "MyFlow/1", "a", "absent") == 0
    assert capsys.readouterr().out == "b c\nruntime:dev\nuser:ada\n"
    words = ["--namespace", "user:ada", "--remove", "b c", "--add", "d"]
    assert _flow("tag", "replace", "--run-id", "1", *words) == 0
    assert capsys.readouterr().out == "d\nruntime:dev\nuser:ada\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["add", "x"], 1, "--run-id 2"),
        (["remove", "--run-id", "1", "user:ada"], 1, "Tagging error"),
        (["add", "--run-id", "9", "x"], 1, "there is no run '9'"),
        (["add", "--run-id", "1", "--namespace", "user:bob", "x"], 1, "not in the namespace"),
        (["replace", "--run-id", "1", "--add", "x"], 2, "--remove"),
        (["add", "--run-id", "1"], 2, "Missing argument"),
        (["list", "1", "--run-id", "2"], 2, "name one run"),
        (["list", "--group-by-tag", "--group-by-run"], 2, "exclude each other"),
    ],
)
def test_tag_mistakes(
    repo: GitRepo, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong is told, and no tag is changed."""
    make_run(repo)
    make_run(repo)
    assert _flow("tag", *words) == code
    assert said in capsys.readouterr().err
    assert repo.git("tag", "-l") == ""


def test_tag_alone_lists_what_it_can_do(repo: GitRepo, capsys: pytest.CaptureFixture[str]) -> None:
    """Its help is no mistake."""
    assert repo
    assert _flow("--quiet", "tag") == 0
    told = capsys.readouterr()
    assert "replace" in told.out
    assert told.err == ""


def test_tags_are_listed(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tag list` shows the tags of a run or of all, with or without the system's, grouped or flat.

    People see stars at those that users gave.
    """
    make_run(repo, tags=["a"])
    make_run(repo, tags=["b"])
    make_run(repo, "Other", tags=["c"])

    def listed(*words: str) -> list[str]:
        assert _flow("tag", "list", *words) == 0
        return capsys.readouterr().out.splitlines()

    assert listed() == ["a", "b", "runtime:dev", "user:ada"]
    assert listed("1", "--hide-system-tags") == ["a"]
    assert listed("--run-id", "2", "--hide-system-tags") == ["b"]
    assert listed("--my-runs", "--hide-system-tags") == ["a", "b"]
    assert listed("--hide-system-tags", "--group-by-run") == ["MyFlow/2", "b", "MyFlow/1", "a"]
    assert listed("--hide-system-tags", "--group-by-tag") == [
        "a",
        "    MyFlow/1",
        "b",
        "    MyFlow/2",
    ]
    monkeypatch.setenv("GIT_PAGER_IN_USE", "true")  # as on a terminal
    assert [line.split() for line in listed("1")] == [["a", "*", "runtime:dev", "user:ada"]]


def test_tags_of_my_runs(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--my-runs leaves out what other people have run."""
    make_run(repo, tags=["a"])
    monkeypatch.setenv("METAFLOW_USER", "bob")
    for words, expected in (([], "a\n"), (["--my-runs"], "")):
        assert _flow("tag", "list", "--hide-system-tags", *words) == 0
        assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (["x" * 501], "500"),
        ([""], "0 characters"),
        ([str(n) for n in range(51)], "50"),
        (["user:ada"], ""),
    ],
)
def test_a_replacement_is_all_or_nothing(
    repo: GitRepo, bad: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tag that can't be, or one too many, keeps the others from being removed; a system tag is passed over."""
    make_run(repo, tags=["a"])
    words = [word for tag in (*bad, "good") for word in ("--add", tag)]
    code = _flow("tag", "replace", "--run-id", "1", "--remove", "a", *words)
    assert code == (1 if said else 0)
    assert said in capsys.readouterr().err
    assert _flow("tag", "list", "1", "--hide-system-tags") == 0
    assert capsys.readouterr().out.split() == (["a"] if said else ["good"])


def test_flat_lists_are_for_programs(repo: GitRepo, capsys: pytest.CaptureFixture[str]) -> None:
    """--flat writes to stderr: the banner, then a tag a line; quiet, a line a run."""
    make_run(repo, tags=["a"])
    assert _flow("tag", "list", "--flat", "--run-id", "1") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1:] == ["a", "runtime:dev", "user:ada"]
    assert _flow("--quiet", "tag", "list", "--flat") == 0
    assert capsys.readouterr().err == "1 ; user:ada,runtime:dev ; a\n"


def test_names_of_strangers_command_no_terminal(
    repo: GitRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tags, which anybody may have pushed, are written with escapes; what no class can be called is no flow."""
    made = make_run(repo)
    repo.git("update-ref", "refs/runs/Other\x9b2J/7", f"refs/runs/MyFlow/{made.id}")
    repo.git("update-ref", f"refs/runs/@tags/MyFlow/%1b%0afake/{made.id}", str(made.uid))
    assert _flow("dump", "7/start") == 0
    assert _flow("tag", "list", "--flat", "--all") == 0
    said = capsys.readouterr().err
    assert "Other" not in said
    assert "\\e\\nfake" in said
    assert not {"\x9b", "\x1b"} & set(said)


def test_a_run_that_can_not_be_read_hides_no_tags(
    repo: GitRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stranger's run without a readable INFO is left out of lists of tags, with a warning."""
    make_run(repo, tags=["good"])
    forged = Forgery(info={**info(), "flow_name": "MyFlow", "run_id": "5"}, raw_info=b"no record")
    Forge(repo).write(forged, "refs/runs/MyFlow/5")
    assert _flow("--quiet", "tag", "list", "--flat", "--all") == 0
    said = capsys.readouterr().err
    assert "warning: MyFlow/5 is damaged" in said
    assert "1 ; user:ada,runtime:dev ; good" in said
