"""Runs as a stranger makes them: objects of git put together by hand, every field of every record replaceable.

Nothing of the package is used, so nothing that it checks while it writes stands in a stranger's way. A `Forgery` is
described by plain dictionaries, as they stand in the blobs; `changed` replaces a value anywhere in one:

    run = Forgery(tasks=[task("start/1", {"x": canary(path)}), ...])
    run.info = changed(run.info, "origin/run/uid", uid)
    Forge(repo).write(run)
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from tests.helpers.repos import GitRepo
from tests.security.hostile import pack
from tests.security.parts import ObjectWriter

__all__ = [
    "Forge",
    "ForgedTask",
    "Forgery",
    "Written",
    "canary",
    "changed",
    "info",
    "plain",
    "record",
    "task",
]

Record = dict[str, Any]
_TIME = 1795826217.0


@dataclass(frozen=True)
class Payload:
    """The payload of an artifact, and what its reference says of it."""

    data: bytes
    codec: str
    type: str = "builtins.object"
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the reference that are to say something else."""

    def ref(self, producer: str, blob: str) -> Record:
        """The reference, where the payload lies in a blob."""
        digest, size = blake3(self.data).digest(), len(self.data)
        return {
            "blake3": digest,
            "size": size,
            "codec": self.codec,
            "type": self.type,
            "task": producer,
            "chunks": digest + bytes.fromhex(blob) + size.to_bytes(8, "big"),
            **self.fields,
        }


class _Touch:
    """What, pickled, makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self._path),)  # a second call fails: that is loud, too


def canary(path: Path, codec: str = "pickle/5", **fields: Any) -> Payload:
    """A pickle that makes a directory when it is loaded."""
    return Payload(pickle.dumps(_Touch(path), 5), codec, fields=fields)


def plain(value: object, type_: str = "builtins.list", **fields: Any) -> Payload:
    """A value that needs no trust: of None, flags, numbers, texts, lists and maps."""
    return Payload(pack(value), "plain/1", type_, fields)


@dataclass
class ForgedTask:
    """A task: its record as it is stored, its payloads by artifact, and other files of its tree."""

    record: Record
    payloads: dict[str, Payload] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    place: str = ""
    """Where it lies in the tree, `step/task`, if that is not what its record says."""


def record(name: str, **fields: Any) -> Record:
    """The content of a TASK blob. Its run is filled in when it is written, unless it is given."""
    return {
        "schema": 2,
        "name": name,
        "parents": [],
        "attempts": [
            {
                "number": 0, "started": _TIME, "finished": _TIME + 1, "ok": True, "exit_code": 0, "cpu": 0.1,
                "max_rss": 1, "error": None,
            }
        ],
        "foreach": [],
        "transition": None,
        "artifacts": {},
        "metadata": [],
        **fields,
    }  # fmt: skip


def task(name: str, payloads: Mapping[str, Payload] | None = None, **fields: Any) -> ForgedTask:
    """A task that has succeeded. `to` is where it went on to, `foreach` the artifact and number of items."""
    to, foreach = fields.pop("to", ()), fields.pop("foreach", (None, None))
    if to:
        fields["transition"] = {
            "targets": list(to),
            "foreach": foreach[0],
            "num_splits": foreach[1],
        }
    return ForgedTask(record(name, **fields), dict(payloads or {}))


def info(flow: str = "MyFlow", number: str = "7", **fields: Any) -> Record:
    """The content of an INFO blob."""
    return {
        "schema": 2,
        "flow_name": flow,
        "run_id": number,
        "versions": {"gitflowrun": "0.1.0", "metaflow": "2.19", "python": "3.11.7"},
        "nonce": os.urandom(16).hex(),
        "created": _TIME,
        "user": "mallory",
        "host": "elsewhere",
        "script": "f.py",
        "parameters": {},
        "tags": [],
        "system_tags": ["user:mallory", "runtime:dev"],
        "origin": None,
        "git": {"branch": "main", "commit": None, "dirty": [], "left_out": []},
        "environment": {"platform": "Linux", "packages": {}},
        "graph": {},
        **fields,
    }


@dataclass
class Forgery:
    """A run that is to be written. What is None follows from the rest.

    Attributes:
        info: INFO.
        tasks: Its tasks.
        code: The files of its code.
        status: What its last commit says.
        trailers: Lines of its last commit's message that are to say something else; None leaves one out.
        parents: The parents of its last commit; its first one when None.
        tree: Rows of its last tree besides INFO, `code` and `steps`: mode, name, object.
        raw_info: What is stored as INFO instead, as it is.
    """

    info: Record = field(default_factory=info)
    tasks: Sequence[ForgedTask] = ()
    code: Mapping[str, bytes] = field(default_factory=lambda: {"f.py": b"print(1)\n"})
    status: str = "failed"
    trailers: Mapping[str, str | None] = field(default_factory=dict)
    parents: Sequence[str] | None = None
    tree: Sequence[tuple[str, str, str]] = ()
    raw_info: bytes | None = None


@dataclass(frozen=True)
class Written:
    """A run that was written: its first and its last commit."""

    first: str
    tip: str


class Forge:
    """Writes objects into a repository, loose, as git stores them, and nothing else."""

    def __init__(self, repo: GitRepo) -> None:
        self.repo = repo
        self._objects = ObjectWriter(repo.path / repo.git("rev-parse", "--git-dir"))

    def put(self, kind: str, data: bytes) -> str:
        """Write an object; its id."""
        return self._objects.put(kind.encode(), data).decode()

    def record(self, content: Record | bytes) -> str:
        """Write a record; bytes are taken as they are."""
        return self.put("blob", content if isinstance(content, bytes) else pack(content))

    def tree(self, rows: Sequence[tuple[str, str, str]]) -> str:
        """Write a tree of rows of mode, name and id, in git's order."""
        return self._objects.tree(
            [(mode.encode(), os.fsencode(name), oid.encode()) for mode, name, oid in rows]
        ).decode()

    def commit(self, tree: str, parents: Sequence[str], message: str) -> str:
        """Write a commit."""
        above = [it.encode() for it in parents]
        return self._objects.commit(tree.encode(), above, os.fsencode(message)).decode()

    def files(self, content: Mapping[str, bytes]) -> str:
        """Write a tree of files without directories."""
        return self.tree(
            [("100644", name, self.put("blob", data)) for name, data in content.items()]
        )

    def task(self, forged: ForgedTask, run: Record) -> tuple[str, str, str]:
        """Write a task; the step and the id that it lies under, and its tree."""
        content = {"run": run, **forged.record}
        blobs = {name: self.put("blob", it.data) for name, it in forged.payloads.items()}
        made = {name: it.ref(content["name"], blobs[name]) for name, it in forged.payloads.items()}
        content["artifacts"] = {**made, **content["artifacts"]}
        rows = [("100644", "TASK", self.record(content))]
        rows += [("100644", name, self.put("blob", data)) for name, data in forged.files.items()]
        stored = {blake3(it.data).hexdigest(): blobs[name] for name, it in forged.payloads.items()}
        if stored:
            rows.append(("40000", "blake3", self.tree([("100644", *it) for it in stored.items()])))
        step, _, name = (forged.place or content["name"]).partition("/")
        return step, name, self.tree(rows)

    def steps(self, tasks: Sequence[ForgedTask], run: Record) -> str:
        """Write the tree `steps`."""
        found: dict[str, list[tuple[str, str, str]]] = {}
        for forged in tasks:
            step, name, tree = self.task(forged, run)
            found.setdefault(step, []).append(("40000", name, tree))
        return self.tree([("40000", step, self.tree(rows)) for step, rows in found.items()])

    def write(self, forged: Forgery, ref: str | None = None) -> Written:
        """Write a run and point a ref to it; its own one unless another is given."""
        flow, number = str(forged.info.get("flow_name")), str(forged.info.get("run_id"))
        rows = [("100644", "INFO", self.record(forged.raw_info or forged.info))]
        first = self.commit(self.tree(rows), (), message(flow, number, "running"))
        run = {"flow": flow, "id": number, "uid": bytes.fromhex(first)}
        rows += [("40000", "code", self.files(forged.code)), *forged.tree]
        if forged.tasks:
            rows.append(("40000", "steps", self.steps(forged.tasks, run)))
        text = message(flow, number, forged.status, {"Uid": first, **forged.trailers})
        parents = [first] if forged.parents is None else forged.parents
        tip = self.commit(self.tree(rows), parents, text)
        self.repo.git("update-ref", ref or f"refs/runs/{flow}/{number}", tip)
        return Written(first, tip)


def message(
    flow: str, number: str, status: str, trailers: Mapping[str, str | None] | None = None
) -> str:
    """The message of a run's commit."""
    lines = {
        "Run": f"{flow}/{number}",
        "Status": status,
        "Tasks": "1",
        "Started": "2026-11-28T00:36:56.536Z",
    }
    if status != "running":
        lines["Finished"] = "2026-11-28T00:36:57.221Z"
    found = {**lines, "User": "mallory", **(trailers or {})}
    shown = [f"{key}: {value}" for key, value in found.items() if value is not None]
    return "\n".join([f"{flow}/{number}: {status}", "", *shown, ""])


def changed(value: Any, path: str, new: Any) -> Any:
    """A copy of a record with another value at a path such as `attempts/0/started`; maps are made where none is."""
    key, _, rest = path.partition("/")
    if isinstance(value, list):
        copy: Any = list(value)
        copy[int(key)] = changed(copy[int(key)], rest, new) if rest else new
        return copy
    inner = value.get(key) if isinstance(value, dict) else None
    return {**(value or {}), key: changed(inner, rest, new) if rest else new}
