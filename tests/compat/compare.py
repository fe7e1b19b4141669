"""Runs flow files under real Metaflow and under us, and compares what comes of them.

    python -m tests.compat.compare [--drop-in] PYTHON [FLOW...]

PYTHON is an interpreter that has Metaflow; FLOW are files in `flows/`, all of them without any. With --drop-in they
run unmodified by `python -m gitflowrun`, else with our name in Metaflow's place. A file begins with comments for this
program:

    # run: --x 3 --with retry      words behind the file, several lines for several runs ("run" when there is none)
    # differs: steps.end.0.stdout: why   a place where the two differ on purpose (docs/metaflow.md says it)
    # only: drop-in                what it imports is there by Metaflow's names alone

A directory of its name beside it lies where it is run. Compared are exit codes, and what the client says of the newest
run, or of what was spun (`probe`): artifacts, statuses, output, tags, who follows whom, cards. Places that differ are
printed, and the exit code is how many flows have any that are not declared.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EVERYWHERE = (
    r".*\.artifacts\.name$",
)  # Metaflow stores the flow's name with each task; docs/metaflow.md
HERE = Path(__file__).resolve().parent
FLOWS = HERE / "flows"
ROOT = HERE.parents[1]


def flow_name(text: str) -> str:
    """The flow that a file runs."""
    found: list[str] = re.findall(r"^    (\w+)\(\)\s*$", text, re.MULTILINE)
    return found[-1]


def declared(text: str, word: str) -> list[str]:
    """What the comments of a file say."""
    return re.findall(rf"^# {word}: (.*)$", text, re.MULTILINE)


class Side:
    """One of the two: where it runs flows, and with what.

    Args:
        package: `metaflow` or `gitflowrun`.
        python: The interpreter.
        place: A directory of its own.
        drop_in: Whether ours runs files as they are.
    """

    def __init__(self, package: str, python: str, place: Path, *, drop_in: bool = False) -> None:
        self.package = package
        self._drop_in = drop_in
        self.python = python
        self.place = place
        self.env = {
            "HOME": str(place), "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
            "USERNAME": "ada", "METAFLOW_USER": "ada", "USER": "ada",
            "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT) if package == "gitflowrun" else "",
            "GIT_CONFIG_NOSYSTEM": "1", "PYTHONHASHSEED": "0", "METAFLOW_FEAT_ALWAYS_UPLOAD_CODE_PACKAGE": "0",
        }  # fmt: skip
        if package == "gitflowrun":
            for words in (
                ["init", "-q"],
                ["config", "user.name", "Ada"],
                ["config", "user.email", "ada@example.org"],
            ):
                subprocess.run(["git", *words], cwd=place, check=True, env=self.env)

    def tell(self, flow: Path) -> list[Any]:
        """What comes of the runs of a flow: the exit code and the client's answers of each."""
        text = flow.read_text()
        if self.package == "gitflowrun" and not self._drop_in:
            text = text.replace("from metaflow import", "from gitflowrun import").replace(
                "from metaflow.", "from gitflowrun."
            )
        (self.place / flow.name).write_text(text)
        for data in FLOWS.glob(f"{flow.stem}.*"):
            if data != flow:
                shutil.copy(data, self.place)
        if flow.with_suffix("").is_dir():
            shutil.copytree(flow.with_suffix(""), self.place, dirs_exist_ok=True)
        told = []
        for words in declared(text, "run") or ["run"]:
            before = shlex.split(words)
            quiet = ["--no-pylint"] if self.package == "metaflow" else []
            done = self._python(
                flow.name,
                *quiet,
                *(before if {"run", "resume", "spin"} & {*before} else ["run", *before]),
            )
            which = ["spin"] if "spin" in before else []
            package = "metaflow" if self._drop_in else self.package
            answers = self._python(str(HERE / "probe.py"), package, flow_name(text), *which)
            try:
                client = json.loads(answers.stdout.splitlines()[-1])
            except (IndexError, ValueError):
                client = {"none": True}
            told.append(
                {"exit": done.returncode, "client": client, "output": done.stdout + done.stderr}
            )
        return told

    def _python(self, *words: str) -> subprocess.CompletedProcess[str]:
        through = ["-m", "gitflowrun"] if self._drop_in else []
        return subprocess.run(
            [self.python, *through, *words], cwd=self.place, env=self.env, capture_output=True, text=True, check=False,
            timeout=600,
        )  # fmt: skip


def differences(theirs: Any, ours: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Where two answers differ, and how."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in {**theirs, **ours}:
            if key != "output":
                yield from differences(theirs.get(key), ours.get(key), f"{place}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, pair in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(*pair, f"{place}.{index}")
    elif theirs != ours:
        yield place.removeprefix("."), f"{theirs!r} | {ours!r}"


def compare(python: str, flow: Path, *, drop_in: bool = False) -> list[str]:
    """The differences of one flow that are not declared."""
    text = flow.read_text()
    if "drop-in" in declared(text, "only") and not drop_in:
        return []
    allowed = [line.partition(": ")[0] for line in declared(text, "differs")]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        theirs = Side("metaflow", python, Path(one)).tell(flow)
        ours = Side("gitflowrun", sys.executable, Path(other), drop_in=drop_in).tell(flow)
    rules = [re.compile(rule) for rule in (*EVERYWHERE, *allowed)]
    found = [
        f"{place}: {words}"
        for place, words in differences(theirs, ours)
        if not any(rule.match(place) for rule in rules)
    ]
    if found:
        for which, told in (("metaflow", theirs), ("gitflowrun", ours)):
            found += [f"--- {which}:\n{it['output'][-1500:]}" for it in told if it["exit"]]
    return found


def main() -> int:
    """Compare and print."""
    drop_in = "--drop-in" in sys.argv
    python, *names = [word for word in sys.argv[1:] if word != "--drop-in"]
    flows = [FLOWS / name for name in names] or sorted(FLOWS.glob("*.py"))
    differing = 0
    for flow in flows:
        found = compare(python, flow, drop_in=drop_in)
        differing += bool(found)
        print(f"{'differs' if found else 'same   '} {flow.name}", *found, sep="\n    ", flush=True)  # noqa: T201
    print(f"{len(flows) - differing} of {len(flows)} flows are the same")  # noqa: T201
    return differing


if __name__ == "__main__":
    sys.exit(main())
