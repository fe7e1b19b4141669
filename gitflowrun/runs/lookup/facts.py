"""What lists and queries ask of many runs besides their messages: parameters, metrics, branch.

Two small blobs a run, INFO and `data/metrics.json`, read by two processes of git for all runs together: a reader that
walks from each commit to its blobs takes ten times as long. A run's blobs are those of its newest commit, and a commit
never changes, so what was read is kept in the index of runs (`index`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.git.objects import Oid
from gitflowrun.runs import layout
from gitflowrun.runs.lookup.run_summary import RunFacts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitflowrun.git.repository import Repository

INFO_SIZE = 1 << 20
"""Bytes of an INFO or a tree that is read for a list: of one that is larger, a list knows no parameters."""
_BATCH = 8 << 20
"""Bytes of blobs that are read at once."""
_ANSWER = 100
"""Bytes of git's answer to a question after one object."""
_ROUNDS = 100
"""How often git is asked on after what it could not read."""
_PARAMETERS = 16 << 10
"""Characters of the parameters of one run, together, that a list keeps: the first ones of longer ones."""
_PATHS = (layout.INFO, b"%s/%s" % (layout.DATA, layout.METRICS))


def read_facts(repo: Repository, commits: Sequence[Oid]) -> dict[Oid, RunFacts]:
    """What the runs with these newest commits say whose INFO and metrics can be read."""
    rows = _blobs(repo, commits)
    for commit in _with_lost_metrics(
        repo, [it for it, row in rows.items() if _PATHS[1] not in row]
    ):
        del rows[commit]
    sizes = {oid: size for row in rows.values() for oid, size in row.values()}
    contents = dict(_contents(repo, sizes))
    return {
        commit: _facts({path: contents[oid] for path, (oid, _) in row.items()})
        for commit, row in rows.items()
        if all(oid in contents for oid, _ in row.values())
    }


def _blobs(repo: Repository, commits: Sequence[Oid]) -> dict[Oid, dict[bytes, tuple[Oid, int]]]:
    """The blobs of each run that has an INFO, and their sizes, by path."""
    found: dict[Oid, dict[bytes, tuple[Oid, int]]] = {}
    for commit, row in _checked(repo, commits, _PATHS):
        if not row[0].endswith(b" missing"):
            blobs = {path: _sized(it, b"blob") for path, it in zip(_PATHS, row, strict=True)}
            found[commit] = {path: it for path, it in blobs.items() if it}
    return found


def _with_lost_metrics(repo: Repository, commits: Sequence[Oid]) -> list[Oid]:
    """Those of some runs without metrics that have them in a tree or a blob which is not here.

    git says the same of both. What is not here may come back, from a backup or by a fetch.
    """
    folder, _, name = _PATHS[1].partition(b"/")
    listed = _trees(repo, commits, folder)
    roots = _trees(repo, [it for it in commits if it not in listed], b"")
    lost = b" %s\0" % folder
    return [
        it
        for it in commits
        if (b" %s\0" % name in listed[it] if it in listed else lost in roots.get(it, lost))
    ]


def _trees(repo: Repository, commits: Sequence[Oid], path: bytes) -> dict[Oid, bytes]:
    """The content of a tree of each run, where it can be read."""
    checked = {commit: _sized(row[0], b"tree") for commit, row in _checked(repo, commits, (path,))}
    trees = {commit: it for commit, it in checked.items() if it}
    contents = dict(_contents(repo, dict(trees.values())))
    return {commit: contents[oid] for commit, (oid, _) in trees.items() if oid in contents}


def _checked(
    repo: Repository, commits: Sequence[Oid], paths: Sequence[bytes]
) -> Iterator[tuple[Oid, list[bytes]]]:
    """What git says of paths in commits: id, type and size, or that it has no such thing."""
    check = ("cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)")
    for left in _in_rounds(commits):
        lines = b"".join(
            b"%s:%s\n" % (str(it).encode(), path) for it in left.items for path in paths
        )
        most = _ANSWER * len(left.items) * len(paths)
        answers = repo.git.read(*check, most=most, stdin=lines).out.splitlines()
        left.done = len(answers) // len(paths)
        for number, commit in enumerate(left.items[: left.done]):
            yield commit, answers[number * len(paths) : (number + 1) * len(paths)]


class _Round:
    """What is still to be asked of git, which ends at what it can't read; `done` says how many it has answered."""

    def __init__(self, items: Sequence[Oid]) -> None:
        self.items = items
        self.done = 0


def _in_rounds(items: Sequence[Oid]) -> Iterator[_Round]:
    """All of them, and after each at which git has ended the rest: one run that is damaged hides no other."""
    for _ in range(_ROUNDS):
        if not items:
            return
        now = _Round(items)
        yield now
        items = items[now.done + 1 :] if now.done < len(items) else ()


def _sized(answer: bytes, kind: bytes) -> tuple[Oid, int] | None:
    words = answer.split()
    if len(words) != 3 or words[1] != kind or int(words[2]) > INFO_SIZE:  # noqa: PLR2004
        return None
    return Oid.from_hex(words[0].decode()), int(words[2])


def _contents(repo: Repository, sizes: Mapping[Oid, int]) -> Iterator[tuple[Oid, bytes]]:
    """The content of blobs that can be read, some megabytes at a time."""
    for batch in _batches(sizes):
        for left in _in_rounds(batch):
            lines = b"".join(b"%s\n" % str(oid).encode() for oid in left.items)
            most = sum(sizes[oid] + _ANSWER for oid in left.items)
            out = repo.git.read("cat-file", "--batch", most=most, stdin=lines).out
            place = 0
            for oid in left.items:
                start = out.find(b"\n", place) + 1
                end = start + sizes[oid]
                if not start or len(out) <= end:
                    break
                yield oid, out[start:end]
                place = end + 1
                left.done += 1


def _batches(sizes: Mapping[Oid, int]) -> Iterator[list[Oid]]:
    batch: list[Oid] = []
    size = 0
    for oid, more in sizes.items():
        if batch and size + more > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(oid)
        size += more
    if batch:
        yield batch


def _facts(contents: Mapping[bytes, bytes]) -> RunFacts:
    from gitflowrun.runs.metrics import read_metrics

    info = _info(contents.get(_PATHS[0], b""))
    git = info.get("git")
    branch = git.get("branch") if isinstance(git, dict) else None
    metrics = contents.get(_PATHS[1], b"")
    return RunFacts(
        dict(_texts(info.get("parameters"))),
        read_metrics(metrics) if metrics else {},
        branch if isinstance(branch, str) else "",
    )


def _info(data: bytes) -> Mapping[str, Any]:
    """The map in an INFO; an empty one where there is none: a list shows the run all the same."""
    from gitflowrun import msgpack
    from gitflowrun.errors import CorruptRecord

    try:
        found = msgpack.unpack(data) if data else {}
    except CorruptRecord:
        return {}
    return found if isinstance(found, dict) else {}


def _texts(parameters: object) -> Iterator[tuple[str, str]]:
    left = _PARAMETERS
    for name, text in parameters.items() if isinstance(parameters, dict) else ():
        if not isinstance(name, str) or not isinstance(text, str) or len(name) > left:
            continue
        left -= len(name)
        yield name, text[:left]
        left -= min(len(text), left)
