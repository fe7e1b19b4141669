"""Flows whose runs are to be the same wherever their tasks are executed, and what is compared of two runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gitflowrun.names import NODE, TaskName
from gitflowrun.runs.read import StoredRun, StoredTask
from tests.compat.compare import FLOWS
from tests.helpers.flows import foreach_flow, latest, linear_flow
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import store_of

__all__ = ["OWN", "POOL", "THEIRS", "Executed", "differences", "execute", "flow_repo", "told"]

POOL = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def pool():
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
"""
"""A module whose `pool` makes an executor, as users may write one."""

OWN = {
    "segfault": linear_flow("print('before', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)"),
    "exit_status": linear_flow("print('half'); sys.stdout.flush(); os._exit(3)"),
    "sys_exit": linear_flow("sys.exit('words')"),
    "exit_handlers": linear_flow(
        "import atexit\natexit.register(print, 'at exit')\nself.x = 1\nprint('in the step')",
        "print(self.x)",
    ),
    "large": linear_flow(
        "self.blob = random.Random(7).randbytes(9_000_000)\nself.text = 'word ' * 400_000",
        "self.size = len(self.blob) + len(self.text)\nself.again = self.blob[::-1]",
        head="import random",
    ),
    "lines": linear_flow(
        "for i in range(3000):\n    print('out', i)\n    print('err', i, file=sys.stderr)",
        "os.system('echo from a child; echo its error >&2')\nsys.stdout.write('half a line')",
    ),
    # The last of two: which of others have begun then is a matter of time.
    "sibling_fails": foreach_flow(
        "print('item', self.x)\nif self.x == 1: raise ValueError('one')"
    ).replace("default=4", "default=2"),
    "crash_and_retry": foreach_flow(
        "if self.x == 1 and not current.retry_count: os.kill(os.getpid(), 9)\n"
        "if self.x == 2 and current.retry_count < 2: os._exit(7)\nprint('at last', self.x)",
        head="from gitflowrun import retry",
    ).replace("    @step\n    def work", "    @retry(times=2, minutes_between_retries=0)\n    @step\n    def work"),
    "modules": linear_flow(
        "self.said = helper.words.said()\nself.here = open('data/list.txt').read()",
        head="import helper.words",
    ),
}  # fmt: skip
"""Flows that Metaflow has no counterpart of, by their names."""

THEIRS = (
    "branch", "cards_components", "cards_failing", "cards_many", "catch_foreach", "catch_kill", "catch_retry",
    "config_environment", "config_file", "current_facts", "custom_ends", "deploy_time", "environment", "exit_in_step",
    "failing", "includefile", "inherited", "merge_conflict", "nested", "num_parallel", "parameters", "recursion",
    "retry_spent", "secrets", "stdout_stderr", "switch", "switch_in_foreach", "timeout_caught", "tutorial_statistics",
    "unpicklable", "user_decorators",
)  # fmt: skip
"""Files of `tests/compat/flows`."""

_FILES = {
    "helper/__init__.py": "",
    "helper/words.py": "def said():\n    return 'said'\n",
    "data/list.txt": "a\nb\n",
    "pools.py": POOL,
}
# What two runs never have alike: ids, process numbers, addresses, temporary names and files.
_VARYING = re.compile(r"0x[0-9a-f]+|\b\d{13,}\b|/[^\s'\"]*/|\(pid \d+\)|\b[0-9a-f]{40}\b")
# What cards show: when, how long, how much, by which process of which run.
_NUMBER = re.compile(r"\b[0-9a-f]{7,}\b|[\d.,:]*\d( (ms|s|min|[kMG]i?B))?")


def flow_repo(place: Path, name: str) -> GitRepo:
    """A repository with one of the flows as `flow.py`, and what it needs beside it."""
    repo = make_repo(place)
    text = OWN.get(name)
    if text is None:
        text = (FLOWS / f"{name}.py").read_text()
        text = text.replace("from metaflow", "from gitflowrun")
        for data in FLOWS.glob(f"{name}.*"):
            if data.suffix != ".py":
                shutil.copy(data, repo.path)
        if (FLOWS / name).is_dir():
            shutil.copytree(FLOWS / name, repo.path, dirs_exist_ok=True)
    repo.write("flow.py", text)
    for path, content in _FILES.items():
        repo.write(path, content)
    repo.commit()
    return repo


class Executed:
    """A run, and what its program said.

    Args:
        code: The program's exit code.
        run: What is stored of it.
        words: What the program has written.
    """

    def __init__(self, code: int, run: StoredRun, words: str) -> None:
        self.code = code
        self.run = run
        self.words = words


def execute(repo: GitRepo, env: Mapping[str, str], *words: str, timeout: float = 300) -> Executed:
    """Run the flow of `flow_repo`."""
    done = repo.flow("flow.py", *(words or ("run",)), env=dict(env), timeout=timeout)
    assert store_of(repo).latest() is not None, done.err
    return Executed(done.code, latest(repo), done.out + done.err)


def told(made: Executed) -> dict[str, Any]:
    """What is the same of every run of a flow, wherever its tasks have been executed."""
    keys = dict(_keys(made.run))
    return {
        "exit": made.code,
        "status": made.run.state.status.value,
        "tasks": {keys[task.record.name]: _of_task(task, keys) for task in made.run.all_tasks()},
    }


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Where what is told of two runs is not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from differences(one.get(key), other.get(key), f"{place}/{key}")
    elif one != other:
        begin = next(
            (
                at
                for at, pair in enumerate(zip(str(one), str(other), strict=False))
                if pair[0] != pair[1]
            ),
            0,
        )
        begin = max(0, begin - 100)
        yield f"{place}: {str(one)[begin : begin + 500]!r} and {str(other)[begin : begin + 500]!r}"


def _keys(run: StoredRun) -> Iterator[tuple[TaskName, str]]:
    """What tells a task from others of its run, without its number: which is given as tasks are begun."""
    for task in run.all_tasks():
        record = task.record
        place = [f"{it.step}[{it.index}]" for it in record.frames]
        place += [f"x{number}" for number in record.iterations]
        node = record.name.task.partition(NODE)[2]
        yield record.name, " ".join([record.name.step, *place, *([f"node {node}"] if node else [])])


def _of_task(task: StoredTask, keys: Mapping[TaskName, str]) -> dict[str, Any]:
    record = task.record
    made = record.transition
    return {
        "parents": sorted(keys[name] for name in record.parents),
        "frames": [(it.step, it.var, it.num_splits, it.index, it.value) for it in record.frames],
        "transition": made and (made.targets, made.foreach, made.num_splits, made.case),
        "attempts": [
            {
                "number": it.number,
                "ok": it.ok,
                "exit": it.exit_code,
                "error": _plain(it.error),
                "stdout": _written(task, it.number, "stdout"),
                "stderr": _written(task, it.number, "stderr"),
            }
            for it in record.attempts
        ],
        "artifacts": {
            name: {"digest": ref.digest.hex(), "type": ref.type, "producer": keys.get(ref.producer)}
            for name, ref in record.artifacts.items()
        },
        "cards": {name: _of_card(task, name) for name in sorted(task.cards)},
        "metadata": sorted((it.name, it.type, it.attempt) for it in record.metadata),
    }


def _written(task: StoredTask, number: int, stream: str) -> str | None:
    return _plain(task.at_attempt(number).output(stream).decode(errors="replace"))


def _of_card(task: StoredTask, name: str) -> str:
    text = task.run.objects.blob(task.cards[name], 1 << 26).decode(errors="replace")
    return _NUMBER.sub("~", _plain(text) or "")


def _plain(text: str | None) -> str | None:
    return _VARYING.sub("~", text) if text else text
