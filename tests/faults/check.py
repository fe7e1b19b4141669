"""What must hold in a repository after any fault: git finds it whole, nothing acknowledged is lost, life goes on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from gitflowrun.names import TaskName
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.runs import Status
from gitflowrun.runs.trust import Trust
from tests.helpers.flows import at_most, eventually, family, linear_flow
from tests.helpers.repos import GitRepo, Output
from tests.helpers.runs import store_of

FLOW = linear_flow(
    "self.x = 1; self.large = b'large' * 20_000; note('start')",
    "self.y = self.x + 1; note('end')",
    head="def note(what):\n    with open(os.environ['MARKER'], 'a') as log: log.write(what + ' ')\n",
)
_FINISHED = re.compile(r"\[(\w+)/(\w+)/(\w+) \(pid \d+\)\] Task finished successfully")
_GIT = (
    "if test -e .git; then git status --porcelain >/dev/null || exit 1; fi\n"
    "git fsck --strict --full --no-dangling && git pack-refs --all && git gc -q && git repack -adq"
    " && git clone -q --mirror . {copy} && git -C {copy} fsck --strict --no-dangling"
)


def git_is_well(repo: GitRepo) -> None:
    """The user's own git: status, fsck, pack-refs, gc, repack and a mirror succeed, and complain of nothing."""
    copy = repo.path.parent / "mirror"
    shutil.rmtree(copy, ignore_errors=True)
    script = _GIT.format(copy="../mirror")
    done = subprocess.run(
        ["sh", "-c", script], cwd=repo.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not re.search("error|fatal|warning", done.stderr), done.stderr


def nobody_is_left(marker: Path) -> None:
    """All processes that have `marker` in their environment are gone after two seconds."""
    assert eventually(lambda: not family(str(marker)), at_most(2)), [
        (pid, Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in family(str(marker))
    ]


def told_well(done: Output, reason: str) -> None:
    """A command that failed says why, in the system's words, and shows no traceback."""
    assert done.code != 0, done.out
    told_why(done, reason)


def told_why(done: Output, reason: str) -> None:
    """A command tells of an error in the system's words, and shows no traceback."""
    assert "Traceback" not in done.err, done.err
    assert "internal error" not in done.err, done.err
    assert reason in done.err, done.err


def acknowledged(done: Output) -> set[tuple[str, TaskName]]:
    """The tasks that a flow's program has said are finished: run id and name."""
    return {(run, TaskName(step, task)) for run, step, task in _FINISHED.findall(done.out)}


def nothing_is_lost(repo: GitRepo, tasks: set[tuple[str, TaskName]]) -> None:
    """Every acknowledged task is there and is finished."""
    store = store_of(repo)
    for run, name in tasks:
        assert store.get("F", run).task(name).record.ok, f"{run}/{name} was lost"


def executions(marker: Path) -> Counter[str]:
    """How often each step was executed, as they noted themselves."""
    return Counter(marker.read_text().split()) if marker.exists() else Counter()


def digests(run: StoredRun) -> dict[tuple[str, str], str]:
    """The digests of all artifacts, by step and name."""
    return {
        (task.record.name.step, name): ref.digest.hex()
        for task in run.all_tasks()
        for name, ref in task.record.artifacts.items()
    }


def flow_goes_on(
    repo: GitRepo, done: Output, marker: Path, expected: dict[tuple[str, str], str]
) -> None:
    """After a flow's program died or failed: nothing is lost, and a resume ends as an undisturbed run does.

    Args:
        repo: Where it ran.
        done: What it said.
        marker: Where its steps noted that they were executed, and what tells its processes.
        expected: The digests of an undisturbed run.
    """
    nobody_is_left(marker)
    repo.fsck()
    finished = acknowledged(done)
    nothing_is_lost(repo, finished)
    run = store_of(repo).latest("F")
    if run is not None:
        assert run.status is not Status.RUNNING, "a dead run counts as running"
    listed = repo.call("log", "--json")
    assert listed.code == 0, listed.err
    json.loads(listed.out)
    times = executions(marker)
    again = ("resume",) if run is not None and run.status is not Status.DONE else ("run",)
    after = repo.flow("f.py", *again, env={"MARKER": str(marker)})
    assert after.code == 0, after.err
    latest = store_of(repo).latest("F")
    assert latest is not None
    assert latest.status is Status.DONE
    assert digests(latest) == expected
    assert Trust(latest.repo).trusts(latest.commit), "a run of ours counts as a stranger's"
    if again == ("resume",):
        steps = {name.step for _, name in finished}
        assert all(executions(marker)[step] == times[step] == 1 for step in steps), "done twice"
    nothing_is_lost(repo, finished)
    git_is_well(repo)
