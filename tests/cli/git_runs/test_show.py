"""`git runs show`, `logs` and `tag`."""

from __future__ import annotations

import json

import pytest

from gitflowrun.artifacts.preview import Preview, pack_preview
from gitflowrun.runs.runs import Status
from gitflowrun.values import replace
from tests.cli.conftest import Runs
from tests.helpers.flows import linear_flow
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, make_run, start_run


def _failed_run(repo: GitRepo) -> None:
    """Run 1 fails in a task of `train`, which said why, in colour, and tried to clear the screen."""
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"one"})])
        task = finished_task(
            writer.identity, "train/2", stdout="a\nb\n", stderr="\x1b[31mbad\x1b[2J\n", ok=False
        )
        attempt = replace(task.record.attempts[-1], error="ValueError: \x1b[2Jbad\nvalue")
        broken = replace(task, record=replace(task.record, attempts=(attempt,)))
        writer.commit([broken], status=Status.FAILED)


def test_a_run(repo: GitRepo, runs: Runs) -> None:
    """A run shows status, code, parameters, steps and what it ended up with."""
    run = make_run(repo, tags=["production"])
    out = runs("show", "1").out
    assert out.startswith("run MyFlow/1\nStatus:   done in ")
    assert "User:     ada on testhost\n" in out
    assert "Tags:     production\n" in out
    assert f"Code:     {repo.git('rev-parse', 'HEAD')} on main\n" in out
    assert f"Uid:      {run.uid}\n" in out
    assert "\nParameters\n  alpha  0.5\n" in out
    assert "\n  train      2  " in out
    assert "_parameters" not in out
    assert "\n  result  bytes   2 B  " in out
    assert "_private" not in out


def test_the_newest_run_is_shown_by_default(repo: GitRepo, runs: Runs) -> None:
    """`git runs show` shows the newest run."""
    make_run(repo)
    make_run(repo, "Other")
    assert runs("show").out.startswith("run Other/2\n")


def test_a_failed_run_says_why(repo: GitRepo, runs: Runs) -> None:
    """The error of a failed task is shown, harmlessly."""
    _failed_run(repo)
    out = runs("show", "1").out
    assert "  train      1  " in out
    assert "1 failed" in out
    assert "\nFailed: train/2\n  ValueError: \\e[2Jbad\\nvalue\n" in out


def test_a_step(repo: GitRepo, runs: Runs) -> None:
    """A step shows a table of its tasks."""
    make_run(repo)
    lines = runs("show", "1/train").out.splitlines()
    assert lines[0] == "step MyFlow/1/train"
    assert lines[1].split()[:3] == ["TASK", "STATUS", "TOOK"]
    assert [line.split()[:2] for line in lines[2:]] == [["2", "done"], ["3", "done"]]


def test_a_task(repo: GitRepo, runs: Runs) -> None:
    """A task shows its attempt and its artifacts."""
    make_run(repo)
    out = runs("show", "MyFlow/1/start/1").out
    assert out.startswith("task MyFlow/1/start/1\nStatus:   done in 1.0 s\n")
    assert "\nArtifacts\n" in out
    assert "\n  x     bytes   3 B  " in out


def test_an_artifact(repo: GitRepo, runs: Runs) -> None:
    """An artifact shows type, size, codec, producer and digest, without being loaded."""
    make_run(repo)
    lines = runs("show", "1/start/1/x").out.splitlines()
    assert lines[:5] == [
        "artifact x", "Type:     builtins.bytes", "Size:     3 B (3 bytes)", "Codec:    bytes/1",
        "Made by:  start/1",
    ]  # fmt: skip


def test_an_artifact_without_its_step_or_task(repo: GitRepo, runs: Runs) -> None:
    """What the run ended up with, or the one task of a step has, as `cat` takes it."""
    make_run(repo)
    for address in ("1/result", "1/end/result", "1/end/4/result"):
        assert runs("show", address).out.startswith("artifact result\n")
    assert "neither an artifact nor a step 'y'" in runs("show", "1/y").err


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("9", "there is no run '9'"),
        ("1/trian", "did you mean train"),
        ("1/train/9", "its tasks are 2, 3"),
        ("1/start/1/y", "it has x"),
    ],
)
def test_what_is_not_there(repo: GitRepo, runs: Runs, address: str, words: str) -> None:
    """Unknown runs, steps, tasks and artifacts are errors that name the nearest."""
    make_run(repo)
    done = runs("show", address)
    assert done.code == 128
    assert words in done.err


def test_json_at_every_level(repo: GitRepo, runs: Runs) -> None:
    """`--json` shows the same facts; several addresses make a list."""
    run = make_run(repo, tags=["t"])
    shown = json.loads(runs("show", "--json", "1").out)
    assert (shown["uid"], shown["status"], shown["tags"]) == (str(run.uid), "done", ["t"])
    assert [step["name"] for step in shown["steps"]] == ["start", "train", "end"]
    shown = json.loads(runs("show", "--json", "1/train", "1/start/1", "1/start/1/x").out)
    assert [task["pathspec"] for task in shown[0]["tasks"]] == [
        "MyFlow/1/train/2",
        "MyFlow/1/train/3",
    ]
    assert shown[1]["artifacts"] == [shown[2]]
    assert shown[2]["size"] == 3


def test_logs_of_a_run(repo: GitRepo, runs: Runs) -> None:
    """Without options the output of all tasks comes as it was written, stdout before stderr."""
    _failed_run(repo)
    assert runs("logs", "1").out == "a\nb\n\x1b[31mbad\x1b[2J\n"
    assert runs("logs", "1/train/2", "--stdout").out == "a\nb\n"
    assert runs("logs", "1/train", "--stderr").out == "\x1b[31mbad\x1b[2J\n"
    assert runs("logs", "--both").out == runs("logs", "1").out


def test_outputs_without_a_last_newline_do_not_run_together(repo: GitRepo, runs: Runs) -> None:
    """Each stream of each task begins a line; nothing is added to one stream alone."""
    repo.write(
        "f.py",
        linear_flow(
            "sys.stderr.write('warning'); sys.stdout.write('result')", "sys.stdout.write('end')"
        ),
    )
    assert repo.flow("f.py", "run").code == 0
    assert runs("logs", "F/@latest").out == "result\nwarning\nend"
    assert runs("logs", "F/@latest/start", "--stdout").out == "result"


def test_logs_with_times(repo: GitRepo, runs: Runs) -> None:
    """--timestamps begins each line with its time."""
    _failed_run(repo)
    lines = runs("logs", "-t", "--stdout", "1/train/2").out.splitlines()
    assert [line[24:] for line in lines] == ["a", "b"]
    assert all(line[4] == line[7] == "-" and line[19] == "." for line in lines)


def test_logs_can_not_command_the_terminal(repo: GitRepo, runs: Runs) -> None:
    """In a pager colours are kept and other escapes shown; several tasks get headings."""
    _failed_run(repo)
    out = runs("logs", "1", env={"GIT_PAGER_IN_USE": "true"}).out
    assert "\x1b[31mbad\\e[2J\x1b[m\n" in out
    assert "==> MyFlow/1/train/2 <==" in out
    assert "start/1" not in out


def test_logs_of_an_artifact_are_refused(repo: GitRepo, runs: Runs) -> None:
    """An artifact has no output."""
    make_run(repo)
    done = runs("logs", "1/start/1/x")
    assert done.code == 128
    assert "names an artifact" in done.err


def test_tags_are_added_removed_and_listed(repo: GitRepo, runs: Runs) -> None:
    """`git runs tag` changes tags, which are git tags, and prints what the run then has."""
    make_run(repo)
    make_run(repo)
    assert runs("tag", "1", "b", "a c").out == "a c\nb\n"
    assert "runs/MyFlow/b/1-" in repo.git("tag", "-l")
    assert runs("tag", "2", "b").out == "b\n"
    assert runs("tag").out == "TAG  RUNS\na c  MyFlow/1\nb    MyFlow/2 MyFlow/1\n"
    assert json.loads(runs("tag", "--json").out) == {
        "a c": ["MyFlow/1"],
        "b": ["MyFlow/2", "MyFlow/1"],
    }
    done = runs("tag", "-d", "1", "b", "absent")
    assert (done.code, done.out) == (1, "a c\n")  # as git tag -d: what is there goes all the same
    assert done.err.startswith("error: MyFlow/1 has no tag 'absent'\nhint: ")
    assert json.loads(runs("tag", "1", "--json").out) == {"run": "MyFlow/1", "tags": ["a c"]}
    assert runs("tag", "2", "--", "-x").out == "-x\nb\n"


def test_tag_mistakes(repo: GitRepo, runs: Runs) -> None:
    """System tags can't be removed, -d needs tags, and no tags is no error."""
    make_run(repo)
    assert "No run has a tag." in runs("tag").out
    done = runs("tag", "-d", "1", "user:ada")
    assert done.code == 128
    assert "can't be removed" in done.err
    assert runs("tag", "-d", "1").code == 129
    done = runs("tag", "-d", "1", "nowhere")
    assert (done.code, "MyFlow/1 has no tag 'nowhere'" in done.err) == (1, True)
    assert runs("tag", "1", "").code == 128


def test_a_run_that_was_killed_is_shown(repo: GitRepo, runs: Runs) -> None:
    """A run without a process is neither running nor lost."""
    make_run(repo, status=Status.RUNNING)
    assert runs("show", "1").out.startswith(
        "run MyFlow/1\nStatus:      interrupted\nGo on with:  python flow.py resume 1\n"
    )


def test_what_a_task_noted_is_its_word(repo: GitRepo) -> None:
    """A small value is shown as it is, whatever its task noted; of a stranger's larger one the note, which is said."""
    with start_run(repo) as writer:
        task = finished_task(writer.identity, "end/1", {"small": b"0.5", "large": b"0.5" * 100})
        forged = {
            name: replace(ref, preview=pack_preview(Preview("b'0.99'", whole=True)))
            for name, ref in task.record.artifacts.items()
        }
        record = replace(task.record, artifacts=forged)
        writer.commit([replace(task, record=record)], status=Status.DONE)
    word = "what is shown of values above 256 bytes is its own word"
    shown = [repo.call("show", address).out for address in ("1", "1/end/1", "1/end/1/large")]
    assert all("b'0.99'" in it and word not in it for it in shown)
    assert all("b'0.5'" in it for it in shown[:2])
    for key in (repo.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()
    shown = [repo.call("show", address).out for address in ("1", "1/end/1", "1/end/1/large")]
    assert all(it.rstrip().endswith(f"{word}.") for it in shown)
    assert word not in repo.call("show", "1/end/1/small").out
    assert "b'0.5'" in repo.call("show", "1/end/1/small").out


def test_a_run_of_very_many_tasks(
    repo: GitRepo, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small steps, and of large ones the first and last tasks are looked at; of the rest it is said how many."""
    for name, value in {"TASKS_COUNTED": 6, "TASKS_SHOWN": 3, "FAILURES_SHOWN": 1}.items():
        monkeypatch.setattr(f"gitflowrun.porcelain.overview.{name}", value)
    with start_run(repo) as writer:
        run = writer.identity
        tasks = [finished_task(run, f"train/{n}", ok=n not in {5, 11, 12}) for n in range(2, 13)]
        writer.commit([finished_task(run, "start/1"), *tasks], status=Status.FAILED)
    out = runs("show", "1").out
    assert "\n  start      1  1.0 s\n  train     11  1.0 s  2 failed, 6 not looked at\n" in out
    assert "Failed: train/11\n  failed\n\nFailed\n  and 1 more tasks\n" in out
    step = json.loads(runs("show", "1", "--json").out)["steps"][1]
    assert (step["tasks"], step["failed"], step["not_counted"]) == (11, 2, 6)
    out = runs("show", "1/train").out
    assert out.endswith(
        "\n4     done    1.0 s\nand 8 more: `git runs show MyFlow/1/train/TASK` shows one\n"
    )
    found = json.loads(runs("show", "1/train", "--json").out)
    assert (len(found["tasks"]), found["more"]) == (3, 8)
    monkeypatch.setattr("gitflowrun.porcelain.overview.TASK_ARTIFACTS_SHOWN", -1)
    assert json.loads(runs("show", "1/train", "--json").out)["more"] == 10
    monkeypatch.setattr("gitflowrun.porcelain.overview.TASKS_SECONDS", 0.0)
    step = json.loads(runs("show", "1", "--json").out)["steps"][1]
    assert (step["failed"], step["not_counted"]) == (0, 10)


def test_a_task_says_where_it_ran_and_which_launches_were_lost(repo: GitRepo, runs: Runs) -> None:
    """Machine and agent of the last attempt are shown, and why earlier launches were lost, harmlessly."""
    with start_run(repo) as writer:
        task = finished_task(writer.identity, "train/1")
        lost = (
            "node3 (agent 2) was lost: \x1b[2Jits process has ended",
            "node4 (agent 5) was lost",
        )
        attempt = replace(task.record.attempts[-1], where="node7 (agent 9)", lost=lost)
        placed = replace(task, record=replace(task.record, attempts=(attempt,)))
        writer.commit([placed, finished_task(writer.identity, "end/2")], status=Status.DONE)
    out = runs("show", "1/train/1").out
    assert "Ran on:   node7 (agent 9)\n" in out
    assert "Lost:     node3 (agent 2) was lost: \\e[2Jits process has ended\n" in out
    assert "node4 (agent 5) was lost\n" in out
    told = json.loads(runs("show", "1/train/1", "--json").out)["tries"][0]
    assert (told["where"], told["lost"]) == ("node7 (agent 9)", list(lost))


def test_a_task_of_this_machine_does_not_say_where_it_ran(repo: GitRepo, runs: Runs) -> None:
    """Tasks that no engine has placed have neither line."""
    make_run(repo)
    out = runs("show", "1/train").out + runs("show", "1/start/1").out
    assert "Ran on" not in out
    assert "Lost" not in out
