"""A malicious colleague, a shared repository and a victim: how forged runs get there, and what is done with them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import click
import pytest

from gitflowrun.cli.git_runs import verbs
from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.security.exerciser import Command, Done
from tests.security.generator import variants
from tests.security.parts import ObjectWriter, RunParts, Variant, take_apart

_EXERCISE = """
import runpy, sys
sys.path[:] = filter(None, sys.path)  # what lies in the repository is not imported; 3.10 has no `-P`
runpy.run_module("tests.security.exerciser", run_name="__main__")
"""
FLOW = """
import dataclasses, os, sys, time
from collections import Counter
import numpy as np
from gitflowrun import Config, FlowSpec, Parameter, card, current, parallel, retry, step


class MyFlow(FlowSpec):
    p = Parameter("p", default="text", help="a parameter")
    n = Parameter("n", default=2)
    config = Config("config", default_value={"deep": {"a": [1, 2]}})

    @card
    @retry(times=1)
    @step
    def start(self):
        print("hello")
        print("to stderr", file=sys.stderr)
        self.x = 1
        self.text = "text " * 300
        self.raw = bytes(range(256))
        self.plain = {"a": [1, 2.5, None, (3, 4)], "b": {1, 2}, "c": 10**30, "d": 1j}
        self.array = np.arange(2000.0).reshape(20, 100)
        self.scalar = np.float32(2.5)
        self.pickled = Counter("hello world")
        self.items = ["one", "two"]
        if current.retry_count == 0:
            return  # which fails, without a traceback
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.made = self.input * 2
        print("works on", self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.all = [one.made for one in inputs]
        self.rounds = 0
        self.next(self.loop)

    @step
    def loop(self):
        self.rounds += 1
        self.go = "more" if self.rounds < 2 else "done"
        self.next({"more": self.loop, "done": self.fan}, condition="go")

    @step
    def fan(self):
        self.next(self.node, num_parallel=2)

    @parallel
    @step
    def node(self):
        self.mine = current.parallel.node_index
        self.next(self.gather)

    @step
    def gather(self, inputs):
        self.all = inputs[0].all
        self.next(self.end)

    @step
    def end(self):
        self.result = {"score": 0.5, "names": list(self.all)}
        if os.environ.get("FAIL"):
            raise ValueError("an error\\nof two lines")


if __name__ == "__main__":
    MyFlow()
"""
_PLANTED = (
    "msgpack",
    "numpy",
    "click",
    "pygit2",
    "blake3",
    "pandas",
    "pyarrow",
    "cloudpickle",
    "readline",
)
_SUFFIXES = ("pkl", "joblib", "json", "csv", "parquet", "npy", "npz", "png", "html", "txt")
FIRST = 1_000
"""The number of the first forged run of a batch."""
_READS_EVERYTHING = ("list", "log")
_CHANGES = (
    "trust",
    "push",
    "fetch",
    "hooks",
    "hook",
    "purge",
    "gc",
    "textconv",
    "checkout",
    "rerun",
    "resume",
    "init",
)
"""Verbs that are called otherwise than with the address of a forged run."""


@dataclass(frozen=True)
class Placed:
    """A forged run and the address at which the victim has it."""

    variant: Variant
    address: str
    says_it_runs: bool


class World:
    """Repositories below one directory: `hub.git`, `attacker`, `forge.git`, `victim`, `mirror`.

    `victim` fetches with `git runs fetch`, `mirror` is the victim's other clone, which fetches with stock git.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.canaries = path / "canaries"
        for name in ("home", "tmp", "canaries", "written"):
            (path / name).mkdir(parents=True)
        shutil.copy(os.environ["GIT_CONFIG_GLOBAL"], path / "home" / ".gitconfig")
        source = make_repo(path / "attacker", files={"flow.py": FLOW, "README": "a project\n"})
        for name in ("hub.git", "guarded.git"):
            source.git("clone", "-q", "--bare", ".", str(path / name))
        self.hub, self.guarded = GitRepo(path / "hub.git"), GitRepo(path / "guarded.git")
        self.attacker, self.victim = source, self._clone("victim")
        self._make_runs()

    def _clone(self, name: str) -> GitRepo:
        self.hub.git("clone", "-q", ".", str(self.path / name))
        made = GitRepo(self.path / name)
        made.git("remote", "set-url", "origin", str(self.path / "shared.git"))
        return made

    def _make_runs(self) -> None:
        """An honest run of the victim's, and one of the colleague's, number 2, that was honest once."""
        assert self.victim.flow("flow.py", "run").code == 0
        (self.attacker.path / ".git/gitflowrun").mkdir(exist_ok=True)
        self.attacker.flow("flow.py", "run")
        done = self.attacker.flow("flow.py", "run", env={"FAIL": "1"})
        assert done.code == 1, done.err
        self.attacker.git("push", "-q", str(self.hub.path), "refs/runs/MyFlow/2")
        for (
            name
        ) in _PLANTED:  # where Python looks first if it is started with this directory on its path
            trap = f"open({str(self.canaries / f'import-{name}')!r}, 'w')\n"
            self.victim.write(f"{name}.py", trap)
        self.victim.write(".git/info/exclude", "".join(f"{name}.py\n" for name in _PLANTED))
        self.guarded_hook()

    def guarded_hook(self) -> None:
        """The hook that makes a shared repository append-only."""
        assert self.guarded.call("hooks", "install").code == 0

    @cached_property
    def parts(self) -> RunParts:
        """The colleague's run, taken apart."""
        return take_apart(self.attacker, "refs/runs/MyFlow/1")

    @cached_property
    def variants(self) -> list[Variant]:
        """All that is to be forged."""
        return variants(self.parts, str(self.canaries))

    # ---- How they get there ----

    def forge(self, batch: Sequence[Variant]) -> dict[str, Variant]:
        """Write forged runs into a repository of their own; their refs, and which variant each is of."""
        path = self.path / "forge.git"
        shutil.rmtree(path, ignore_errors=True)
        self.hub.git("init", "-q", "--bare", str(path))
        put = ObjectWriter(path)
        rows: dict[str, str] = {}
        made: dict[str, Variant] = {}
        for number, variant in enumerate(batch, start=FIRST):
            parts = self.parts.numbered(number)
            variant.change(parts)
            refs = {ref: oid.decode() for ref, oid in parts.write(put).items()}
            rows |= refs
            made |= dict.fromkeys(refs, variant)
        (path / "packed-refs").write_bytes(
            b"".join(f"{oid} {ref}\n".encode() for ref, oid in sorted(rows.items()))
        )
        return made

    def transfer(self, refs: Sequence[str], where: GitRepo, *words: str) -> list[str]:
        """Let git take these refs from the forger, as many at once as it takes; those that it refuses."""
        if not refs:
            return []
        specs = "\n".join(f"+{ref}:{ref}" for ref in refs).encode()
        done = subprocess.run(
            ["git", *words, "fetch", "-q", "--no-tags", "--stdin", str(self.path / "forge.git")],
            cwd=where.path, input=specs, capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        if not done.returncode:
            return []
        if len(refs) == 1:
            return list(refs)
        half = len(refs) // 2
        return self.transfer(refs[:half], where) + self.transfer(refs[half:], where)

    def plant(self, refs: Sequence[str], where: GitRepo) -> None:
        """Put refs, and all that the forger has written, straight into a repository: git refuses to carry them."""
        git_dir = where.path / ".git" if (where.path / ".git").is_dir() else where.path
        (git_dir / "objects/info/alternates").write_text(f"{self.path}/forge.git/objects\n")
        named = dict(
            line.split(" ", 1)[::-1]
            for line in (self.path / "forge.git/packed-refs").read_text().splitlines()
        )
        for ref in refs:
            file = git_dir / ref
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(named[ref] + "\n")
            except OSError:
                continue  # no such name on this file system

    def mirror(self, name: str) -> GitRepo:
        """Another copy of the victim's clone."""
        shutil.rmtree(self.path / name, ignore_errors=True)
        shutil.copytree(self.path / "victim", self.path / name, symlinks=True)
        return GitRepo(self.path / name)

    # ---- What is done with them ----

    def environment(self) -> dict[str, str]:
        """The victim's environment."""
        return {
            **os.environ, "HOME": str(self.path / "home"), "TMPDIR": str(self.path / "tmp"), "GIT_PAGER": "cat",
            "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "TERM": "xterm",
            "GIT_CONFIG_GLOBAL": str(self.path / "home" / ".gitconfig"),
        }  # fmt: skip

    def exercise(self, repo: GitRepo, commands: Iterable[Command]) -> list[Done]:
        """Do commands in a repository."""
        job = {
            "commands": [asdict(it) for it in commands],
            "watched": [str(self.path / it) for it in ("home", "tmp", "canaries")]
            + [str(repo.path)],
        }
        done = subprocess.run(
            [sys.executable, "-c", _EXERCISE], cwd=repo.path, env=self.environment(),
            input=json.dumps(job).encode(), capture_output=True, check=False, timeout=3_000,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return [Done(**{**row, "command": Command(**row["command"])}) for row in rows]

    def program(
        self, repo: GitRepo, *command: str, timeout: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """A whole program in the victim's environment."""
        if command[0] == sys.executable and sys.version_info < (3, 11):
            pytest.skip("3.10 has no -P, so what lies beside a program is imported by it")
        return subprocess.run(
            command, cwd=repo.path, env=self.environment(), capture_output=True, check=False,
            stdin=subprocess.DEVNULL, timeout=timeout,
        )  # fmt: skip


def reading_commands(run: Placed, index: int, count: int) -> list[Command]:
    """What is done with one run: some commands always, `count` others by turns, on a terminal or in a pipe."""
    address, label = run.address, run.variant.label
    always = [
        Command("runs", ["show", address], "show", tty=True), Command("client", [address], "client"),
        Command("runs", ["diff", "MyFlow/1", address], "diff", tty=True), Command("runs", ["logs",
        address], "logs", tty=True),
        Command("flow", ["dump", f"{address.partition('/')[2]}/start"], "dump", tty=True),
    ]  # fmt: skip
    # Who watches a run that says it runs does so until it says that it has ended.
    others = [it for it in _others(address) if not (run.says_it_runs and it.words[0] == "watch")]
    start = index * count
    chosen = [others[(start + n) % len(others)] for n in range(min(count, len(others)))]
    made = [*always, *chosen]
    for command in made:
        command.label = label
    return made


def _others(address: str) -> list[Command]:
    run = address.partition("/")[2]
    made = []
    addresses = [
        address,
        f"{address}/start",
        f"{address}/start/1",
        f"{address}/work/2",
        f"{address}/end/5",
    ]
    names = ("x", "text", "raw", "plain", "array", "scalar", "pickled", "made", "result", "p")
    addresses += [f"{address}/start/1/{name}" for name in names] + [f"{address}/result"]
    of = {"show": addresses, "cat": addresses, "logs": addresses[:4]}
    for words in _command_lines():
        tty = not {"--raw", "--json", "-z"} & set(words)
        for one in of.get(words[0], [address]):
            line = [one if word == "<run>" else word for word in words]
            made.append(Command("runs", line, " ".join(words), tty=tty))
    for suffix, name in itertools.product(_SUFFIXES, names):
        line = ["cat", "-o", f"../written/x.{suffix}", f"{address}/start/1/{name}"]
        made.append(Command("runs", line, f"cat -o {suffix}", tty=True))
    for number, flag in enumerate(([], ["--plain"], ["--json"])):
        place = f"../written/{address.replace('/', '-')}-{number}"
        kind = " ".join(["checkout", *flag])
        made.append(Command("runs", ["checkout", *flag, address, place], kind, tty=not flag))
    for number, place in itertools.product((0, 1, 7), addresses[:3]):
        words = ["logs", "--attempt", str(number), place]
        made.append(Command("runs", words, "logs --attempt", tty=True))
    of_flow = [
        ["logs", f"{run}/start", "--attempt", "0"],
        ["dump", f"{run}/start/1"], ["dump", "--private", f"{run}/work"], ["logs", f"{run}/start"],
        ["dump", f"{run}/end"], ["card", "list"], ["card", "list", f"{run}/start/1", "--as-json"],
        ["card", "get", f"{run}/start/1"],
        ["logs", f"{run}/work"], ["tag", "list", "--run-id", run], ["tag", "list", "--all"], ["tag", "add",
        "--run-id", run, "new"],
    ]  # fmt: skip
    kinds = [" ".join(words).replace(run, "RUN") for words in of_flow]
    return made + [Command("flow", *row, tty=True) for row in zip(of_flow, kinds, strict=True)]


def _command_lines() -> list[list[str]]:
    """Every verb of `git runs`, alone and with each of its flags; `<run>` stands for the run's address."""
    lines = []
    for verb in verbs.COMMANDS:
        if verb in _CHANGES:
            continue
        command = verbs.load(verb)
        flags = [""] + [
            option.opts[-1]
            for option in command.params
            if isinstance(option, click.Option) and (option.is_flag or option.flag_value) and not option.multiple
            and not {"--follow", "--delete"} & set(option.opts)
        ]  # fmt: skip
        takes = any(isinstance(it, click.Argument) for it in command.params)
        if verb == "rm":
            flags = ["--force"]  # else it asks; `restore`, which comes next, puts the run back
        for flag in flags:
            words = [verb, *([flag] if flag else [])]
            if verb in _READS_EVERYTHING:
                lines.append([*words, "-n", "20"] if flag else words)
            elif verb in {"diff", "compare"}:
                lines += [[*words, "MyFlow/1", "<run>"], [*words, "<run>", "MyFlow/1"]]
            else:
                lines.append([*words, "<run>"] if takes else words)
    return lines


def honest(command: Command, address: str, forged: str) -> Command:
    """The same command for an honest run."""
    one, other = forged.partition("/")[2], address.partition("/")[2]
    words = [word.replace(forged, address).replace(one, other) for word in command.words]
    return Command(command.kind, words, command.verb, tty=command.tty)


def placed(made: Mapping[str, Variant], repo: GitRepo) -> list[Placed]:
    """Where a repository has the forged runs, by the commits that its refs name."""
    rows = repo.git("for-each-ref", "--format=%(refname)", "refs/runs/", check=False).split("\n")
    found = [ref for ref in rows if ref in made and not ref.startswith("refs/runs/@")]
    return [
        Placed(
            made[ref], ref.removeprefix("refs/runs/"), "\nStatus: running\n" in _message(repo, ref)
        )
        for ref in found
    ]


def _message(repo: GitRepo, ref: str) -> str:
    return repo.git("log", "-1", "--format=%B", "--end-of-options", ref, check=False) + "\n"
