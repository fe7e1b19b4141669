"""A run as parts that can be changed, and written as git objects that no code of ours has made.

`RunParts` is read from a real run with stock git. Each part may be replaced by anything: records are what msgpack
makes of them, trees have the names and modes that they are given, messages are bytes.
"""

from __future__ import annotations

import copy
import hashlib
import subprocess
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers.repos import GitRepo
from tests.security.hostile import pack, unpack

TreePath = tuple[bytes, ...]
Content = bytes | Callable[["ObjectWriter"], bytes]
"""A blob's content, an object's id in 40 digits, or what writes an object and says its id."""
Files = dict[TreePath, tuple[bytes, Content]]
FILE, LINK, DIRECTORY, GITLINK = b"100644", b"120000", b"40000", b"160000"
WHO = b"Mallory <mallory@example.org> 1795826217 +0000"


class ObjectWriter:
    """Writes loose objects into a repository, without asking whether they are right."""

    def __init__(self, git_dir: Path) -> None:
        self.git_dir = git_dir

    @staticmethod
    def name(kind: bytes, data: bytes) -> str:
        """The id of an object."""
        return hashlib.sha1(kind + b" %d\0" % len(data) + data).hexdigest()

    def put(self, kind: bytes, data: bytes) -> bytes:
        """Write an object; its id in hexadecimal digits."""
        raw = kind + b" %d\0" % len(data) + data
        name = self.name(kind, data)
        file = self.git_dir / "objects" / name[:2] / name[2:]
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(zlib.compress(raw, 1))
        return name.encode()

    def tree(self, entries: Sequence[tuple[bytes, bytes, bytes]]) -> bytes:
        """Write a tree of (mode, name, id), in git's order."""
        rows = sorted(entries, key=lambda row: row[1] + b"/" * (row[0] == DIRECTORY))
        return self.put(
            b"tree", b"".join(b"%s %s\0%s" % (m, n, bytes.fromhex(o.decode())) for m, n, o in rows)
        )

    def commit(
        self, tree: bytes, parents: Sequence[bytes], message: bytes, who: bytes = WHO
    ) -> bytes:
        """Write a commit."""
        lines = [b"tree " + tree, *(b"parent " + it for it in parents)]
        lines += [b"author " + who, b"committer " + who, b"", message]
        return self.put(b"commit", b"\n".join(lines))


@dataclass
class Chain:
    """What a run's history is made of when it is woven: see `RunParts.weave`."""

    put: ObjectWriter
    first: bytes
    trees: tuple[bytes, bytes]
    message: bytes
    who: bytes


def straight(chain: Chain) -> bytes:
    """A first commit, and one more: as short as runs are."""
    return chain.put.commit(chain.trees[1], [chain.first], chain.message, chain.who)


@dataclass
class RunParts:
    """A run, taken apart.

    Attributes:
        flow: Its flow.
        number: Its id.
        info: What INFO holds; bytes are written as they are.
        records: The same of TASK, by step and task.
        files: All else in its tree: the path to mode and content, or to mode and the id of an object.
        trailers: Of the message of its last commit; `Uid` is set when it is written.
        subject: Of that message.
        who: Author and committer.
        weave: Makes the history, and returns its tip.
        refs: Further refs and what they name: `first`, `tip`, `tree`, `blob`, or an id.
        ref: Its own ref; made of flow and number unless it is set.
        first_tree: What the first commit's tree has beside INFO.
    """

    flow: str
    number: int | str
    info: Any
    records: dict[tuple[bytes, bytes], Any]
    files: Files
    trailers: list[tuple[bytes, bytes]]
    subject: bytes
    who: bytes = WHO
    weave: Callable[[Chain], bytes] = straight
    refs: dict[str, str] = field(default_factory=dict)
    ref: str | None = None
    first_tree: Files = field(default_factory=dict)

    def numbered(self, number: int) -> RunParts:
        """A copy to be changed, under another number."""
        made = copy.deepcopy(self)
        made.number = number
        made.info["run_id"] = str(number)
        made.trailers = [
            (key, b"%s/%d" % (self.flow.encode(), number) if key == b"Run" else value)
            for key, value in made.trailers
        ]
        return made

    def write(self, put: ObjectWriter) -> dict[str, bytes]:
        """Write the run's objects; its refs, by name."""
        info = put.put(b"blob", _packed(self.info))
        beside: Files = {(b"INFO",): (FILE, info), **self.first_tree}
        tree = _tree(put, beside)
        first = put.commit(tree, [], self._message(b"running", b""), self.who)
        uid = bytes.fromhex(first.decode())
        whole: Files = {(b"INFO",): (FILE, info), **self.files}
        for (step, task), record in self.records.items():
            if isinstance(record, dict) and isinstance(record.get("run"), dict):
                run = record["run"]
                if run.get("uid") == b"<uid>":
                    run |= {"uid": uid, "id": str(self.number)}
            blob = put.put(b"blob", _packed(record))
            whole[b"steps", step, task, b"TASK"] = (FILE, blob)
        trees = tree, _tree(put, whole)
        chain = Chain(put, first, trees, self._message(b"", first), self.who)
        tip = self.weave(chain)
        things = {"first": first, "tip": tip, "tree": trees[1], "blob": info}
        own = self.ref or f"refs/runs/{self.flow}/{self.number}"
        return {own: tip} | {
            ref: things.get(what) or what.encode() for ref, what in self.refs.items()
        }

    def _message(self, status: bytes, uid: bytes) -> bytes:
        rows = dict(self.trailers)
        if status:
            rows = {
                b"Run": rows.get(b"Run", b"F/1"),
                b"Status": status,
                b"Started": rows.get(b"Started", b""),
            }
        elif rows.get(b"Uid") == b"<uid>":
            rows[b"Uid"] = uid
        return self.subject + b"\n\n" + b"".join(b"%s: %s\n" % row for row in rows.items())


def _packed(value: Any) -> bytes:
    return value if isinstance(value, bytes) else pack(value)


def _tree(put: ObjectWriter, files: Files) -> bytes:
    rows: dict[tuple[bytes, ...], list[tuple[bytes, bytes, bytes]]] = {(): []}
    for path, (mode, data) in files.items():
        for depth in range(len(path)):
            rows.setdefault(path[:depth], [])
        rows[path[:-1]].append((mode, path[-1], _id(put, data)))
    # The deepest first, and without recursion: paths may have a thousand parts.
    for place in sorted(rows, key=len, reverse=True)[:-1]:
        rows[place[:-1]].append((DIRECTORY, place[-1], put.tree(rows[place])))
    return put.tree(rows[()])


def _id(put: ObjectWriter, data: Content) -> bytes:
    if not isinstance(data, bytes):
        return data(put)
    is_id = len(data) == 40 and not data.strip(b"0123456789abcdef")
    return data if is_id else put.put(b"blob", data)


def take_apart(repo: GitRepo, ref: str) -> RunParts:
    """The parts of a real run."""
    files: Files = {}
    records: dict[tuple[bytes, bytes], Any] = {}
    info: dict[str, Any] = {}
    for path, mode, data in _blobs(repo, ref):
        match path:
            case (b"INFO",):
                info = unpack(data)
            case (b"steps", step, task, b"TASK"):
                records[step, task] = record = unpack(data)
                record["run"]["uid"] = b"<uid>"
            case _:
                files[path] = (mode, data)
    raw = repo.git("log", "-1", "--format=%B", ref)
    subject, _, body = raw.partition("\n\n")
    trailers = [
        (key.encode(), b"<uid>" if key == "Uid" else value.encode())
        for key, _, value in (line.partition(": ") for line in body.split("\n"))
        if key
    ]
    _, _, flow, number = ref.split("/")
    return RunParts(flow, int(number), info, records, files, trailers, subject.encode())


def _blobs(repo: GitRepo, ref: str) -> list[tuple[TreePath, bytes, bytes]]:
    listing = subprocess.run(
        ["git", "ls-tree", "-r", "-z", ref], cwd=repo.path, capture_output=True, check=True
    ).stdout
    rows = [row.partition(b"\t") for row in listing.split(b"\0") if row]
    ids = [head.split(b" ")[2] for head, _, _ in rows]
    contents = subprocess.run(
        ["git", "cat-file", "--batch"], input=b"\n".join(ids) + b"\n", cwd=repo.path,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    found = []
    for head, _, path in rows:
        line, _, contents = contents.partition(b"\n")
        size = int(line.rsplit(b" ", 1)[1])
        found.append((tuple(path.split(b"/")), head.split(b" ")[0], contents[:size]))
        contents = contents[size + 1 :]
    return found


Change = Callable[[RunParts], None]


@dataclass(frozen=True)
class Variant:
    """A forged run to be: what is wrong with it, and what makes it so.

    Attributes:
        label: For people, and for choosing the commands that look at it.
        change: Changes the parts of a run that is otherwise right.
    """

    label: str
    change: Change


def set_part(name: str, value: Any) -> Change:
    """Give a part another content."""
    return lambda parts: setattr(parts, name, value)


def refer(ref: str, what: str) -> Change:
    """Have one more ref."""
    return lambda parts: parts.refs.__setitem__(ref, what)
