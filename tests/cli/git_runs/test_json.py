"""docs/json.md says what each command prints with --json: every key, with its type, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import click
import pytest

from gitflowrun import __version__
from gitflowrun.cli.git_runs.main import JSON_SCHEMA
from gitflowrun.cli.git_runs.verbs import COMMANDS, load
from tests.helpers.flows import foreach_flow
from tests.helpers.repos import ROOT, GitRepo, make_repo

DOCUMENT = (ROOT / "docs" / "json.md").read_text()
PLAIN = {
    "text": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
WITHOUT = {
    "logs": "prints what is stored",
    "cat": "prints what is stored",
    "completion": "prints a program",
}
"""The verbs that print no document, and why."""
FLOWS = {
    "hello.py": (ROOT / "docs/examples/hello.py").read_text(),
    "each.py": foreach_flow("if self.input > 2: raise ValueError('too much')", name="Each"),
}
SAMPLES = {
    "note": ["note 1 -m words", "note 1", "note 2"],
    "list": ["list", "list --params", "list --where status=failed"],
    "list --group-by NAME": ["list --group-by name"],
    "log": ["log", "log --stat", "log -p"],
    "show RUN": ["show 1", "show 2", "show 4"],
    "show RUN/STEP": ["show 4/work"],
    "show RUN/STEP/TASK": ["show 4/work/5", "show 1/end/3", "show 5/start/1"],
    "show RUN/STEP/TASK/ARTIFACT": ["show 1/shout/2/greeting"],
    "show ADDRESS ADDRESS": ["show 1 2", "show 1/start 1/start/1 1/start/1/greeting"],
    "show RUN..RUN": ["show 1..2", "show 1..1"],
    "diff": ["diff 1 2", "diff 3 4", "diff -p 1 2"],
    "compare": ["compare 1 2", "compare 1 2 --all --baseline 1"],
    "card": ["card 1", "card 1/start"],
    "watch": ["watch 1", "watch 4"],
    "tag": ["tag"],
    "tag RUN": ["tag 1", "tag 1 good", "tag --move good 2", "tag -d 2 good"],
    "tag RUN..RUN": ["tag 1..2", "tag 1..1"],
    "checkout": ["checkout 1"],
    "rerun": ["rerun 1 --name Bob"],
    "resume": ["resume 4"],
    "push": ["push", "push"],
    "rm QUERY": ["rm id<2", "rm --keep-last 1"],
    "rm": ["rm 3 --force --remote"],
    "list --trash": ["list --trash"],
    "fetch": ["fetch", "fetch origin Hello/1"],
    "restore": ["restore"],
    "restore RUN": ["restore 3"],
    "purge": ["purge 3 --force"],
    "gc": ["gc", "gc --prune=now"],
    "trust": ["trust origin", "trust -l", "trust 1"],
    "untrust": ["untrust origin"],
    "verify": ["verify 1 2"],
    "hooks": ["hooks", "hooks install"],
    "textconv": ["textconv", "textconv --install"],
    "version": ["version"],
    "init": ["init"],
    "fsck": ["fsck", "EMPTY fsck"],
    "doctor": ["doctor", "doctor --fix"],
}
"""Each line of the table of commands, and what is called for it, in this order."""


def objects() -> dict[str, dict[str, str]]:
    """The types of the keys of each object that the document describes."""
    parts = re.split(r"^### (.*)\n", DOCUMENT.partition("## Objects")[2], flags=re.MULTILINE)
    rows = re.compile(r"^\| `(\w+)` \| (.*?) \| .+ \|$", re.MULTILINE)
    return {
        title: dict(rows.findall(text))
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def commands() -> dict[str, str]:
    """The type that the table of commands gives for each of its lines."""
    table = DOCUMENT.partition("## Commands")[2].partition("## Objects")[0]
    return dict(re.findall(r"^\| `(.*?)` \| (.*) \|$", table, re.MULTILINE))


OBJECTS = objects()


class Reader:
    """Compares values with types, and remembers the keys that it met."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    def faults(self, value: Any, type_: str, where: str) -> Iterator[str]:
        """What of a value is not as the type says."""
        type_ = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", type_).partition(",")[0]
        kind, _, rest = type_.partition(" of ")
        if not rest:
            yield from min(
                ([*self._one(value, one, where)] for one in type_.split(" or ")), key=len
            )
        elif not isinstance(value, list if kind == "list" else dict):
            yield f"{where} is no {kind}"
        else:
            for index, one in enumerate(value) if isinstance(value, list) else value.items():
                yield from self.faults(one, rest, f"{where}[{index}]")

    def _one(self, value: Any, type_: str, where: str) -> Iterator[str]:
        if type_ not in PLAIN:
            yield from self._object(value, type_, where)
        elif not PLAIN[type_](value):
            yield f"{where} is {value!r}, not {type_}"

    def _object(self, value: Any, name: str, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} is no {name}"
            return
        keys = OBJECTS[name]
        self.seen |= {(name, key) for key in value}
        yield from (
            f"{where} has {key!r}, of which {name} says nothing" for key in value.keys() - keys
        )
        for key, type_ in keys.items():
            if key in value:
                yield from self.faults(value[key], type_, f"{where}.{key}")
            elif "," not in type_:
                yield f"{where} has no {key!r}"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What each command of `SAMPLES` prints, one after the other in one repository."""
    repo = make_repo(tmp_path_factory.mktemp("json") / "r", files=FLOWS)
    for words in (
        "hello.py run",
        "hello.py card create 1/start/1",
        "hello.py run --name Ada --tag first",
        "each.py run --n 2",
        "each.py run",
        "hello.py run --cache",
    ):
        if "--name" in words:
            repo.write("hello.py", FLOWS["hello.py"] + "\n# changed\n")
        repo.flow(*words.split())
    repo.git("init", "-q", "--bare", "../team.git")
    repo.git("remote", "add", "origin", "../team.git")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHELL", "/bin/bash")
        return {label: [_printed(repo, line) for line in lines] for label, lines in SAMPLES.items()}


def _printed(repo: GitRepo, line: str) -> Any:
    words = line.split()
    if words[0] == "EMPTY":  # a ref that a power cut has left empty
        (repo.path / ".git/refs/runs/Hello/99").write_text("")
        words = words[1:]
    call = repo.runs if words[0] in {"rerun", "resume"} else repo.call
    done = call(words[0], "--json", *words[1:])
    assert done.out, f"{line}\n{done.err}"
    return json.loads(done.out)


def test_what_is_printed_is_what_is_documented(documents: dict[str, list[Any]]) -> None:
    """Each document has the keys and types of docs/json.md, and each key there is in one of them."""
    reader, table = Reader(), commands()
    assert list(documents) != []
    faults = [
        fault
        for label, values in documents.items()
        for value in values
        for fault in reader.faults(value, table[label], f"`{label}`")
    ]
    assert faults == []
    assert {(name, key) for name, keys in OBJECTS.items() for key in keys} - reader.seen == set()


def test_every_command_is_in_the_table() -> None:
    """docs/json.md has each verb that takes --json, each has an example above, and the others have a reason."""
    with_json = {
        verb
        for verb, entry in COMMANDS.items()
        if entry.help
        and any("--json" in it.opts for it in load(verb).params if isinstance(it, click.Option))
    }
    assert {label.split()[0] for label in commands()} - {"version"} == with_json - WITHOUT.keys()
    assert commands().keys() == SAMPLES.keys()
    verbs = {verb for verb, entry in COMMANDS.items() if entry.help}
    assert verbs - with_json <= WITHOUT.keys()


def test_the_reader_sees_faults() -> None:
    """A key too many or too few, and a value of another type, are told."""
    row = {"version": "1", "schema": 1}
    assert [*Reader().faults(row, "program", "x")] == []
    assert [*Reader().faults({**row, "more": 1}, "program", "x")] == [
        "x has 'more', of which program says nothing"
    ]
    assert [*Reader().faults({"version": 1, "schema": 1}, "program", "x")] == [
        "x.version is 1, not text"
    ]
    assert [*Reader().faults({"version": "1"}, "program", "x")] == ["x has no 'schema'"]
    assert [*Reader().faults([row, 3], "list of [program](#program)", "x")] == [
        "x[1] is no program"
    ]
    assert [*Reader().faults(None, "text or null", "x")] == []
    assert [*Reader().faults({"a": ["b", 1]}, "map of list of text", "x")] == [
        "x[a][1] is 1, not text"
    ]


def test_the_schema_has_a_number(repo: GitRepo) -> None:
    """`version --json` prints it, beside the version."""
    assert json.loads(repo.call("version", "--json").out) == {
        "version": __version__,
        "schema": JSON_SCHEMA,
    }
    assert repo.call("version").out == f"git-runs version {__version__}\n"
