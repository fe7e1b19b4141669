"""What `git runs` costs with very many runs: first screens, whole lists, orders, queries; beside git on the same refs.

CPU of the program and its children, less that of `python -c pass`, taken in turns; the least of several rounds. The
runs are synthetic: two commits each, INFO with four parameters, `data/metrics.json` with ten values, refs packed.

    python -m tests.benchmarks.cli [--counts 1000,10000,100000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gitflowrun import msgpack
from gitflowrun.git.objects import Mode, ObjectType, Oid, TreeEntry, hash_object, tree_bytes
from gitflowrun.names import RunId
from gitflowrun.runs.commit_message import RunState, Status, first_subject, format_message
from gitflowrun.runs.metrics import dump_metrics
from gitflowrun.runs.records import INFO
from gitflowrun.values import replace
from tests.benchmarks import machine
from tests.helpers.runs import draft

_BEGUN = 1_750_000_000
_WHO = b"Ada <ada@example.org>"
_FIRST = "first screen (git runs -50)"
_SETTLED = 2.5  # seconds


def stream(count: int, head: Oid, code: Oid) -> Iterator[bytes]:
    """Runs as `git fast-import` reads them."""
    mark = 0
    for number in range(1, count + 1):
        parameters = {
            "lr": f"{10 ** -(number % 5 + 1):g}", "depth": str(number % 17), "seed": str(number), "model": "tree",
        }  # fmt: skip
        info = replace(
            draft("Train"), parameters=parameters, id=RunId(str(number)), nonce=str(number),
            git={"commit": str(head), "branch": "main"}, created=float(_BEGUN + 60 * number),
        )  # fmt: skip
        metrics = {f"m{n}": (number * 7919 * (n + 1)) % 1000 / 1000 for n in range(9)}
        metrics["accuracy"] = (number * 7919) % 10_007 / 10_007
        blob = dump_metrics(metrics) or b""
        state = RunState(
            f"Train/{number}", Status.RUNNING, _BEGUN + 60.0 * number, user="ada", code_commit=head
        )
        ref = b"refs/runs/Train/%d" % number
        packed = msgpack.pack(INFO.dump(info), msgpack.RECORD)
        mark += 3
        yield b"blob\nmark :%d\ndata %d\n%s\n" % (mark - 1, len(packed), packed)
        yield b"blob\nmark :%d\ndata %d\n%s\n" % (mark, len(blob), blob)
        files = b"M 100644 :%d INFO\n" % (mark - 1)
        message = format_message(state, first_subject(parameters))
        yield _commit(ref, number, message, files, b"mark :%d\n" % (mark - 2))
        ended = replace(
            state,
            status=Status.FAILED if number % 10 == 0 else Status.DONE,
            finished=_BEGUN + 60.0 * number + 30,
            tasks=3,
            uid=_first_commit(packed, number, message),
        )
        files = b"M 100644 :%d data/metrics.json\nM 040000 %s code\n" % (mark, str(code).encode())
        yield _commit(ref, number, format_message(ended), files)
        if number % 50 == 1:
            tag = b"refs/runs/@tags/Train/t%d/%d" % (number % 3, number)
            yield b"reset %s\nfrom :%d\n\n" % (tag, mark - 2)


def _first_commit(info: bytes, number: int, message: bytes) -> Oid:
    """The oid of the commit that holds INFO alone."""
    blob = hash_object(ObjectType.BLOB, info)
    tree = hash_object(ObjectType.TREE, tree_bytes([TreeEntry(Mode.BLOB, b"INFO", blob)]))
    who = b"%s %d +0000" % (_WHO, _BEGUN + 60 * number)
    lines = b"tree %s\nauthor %s\ncommitter %s\n\n" % (str(tree).encode(), who, who)
    return hash_object(ObjectType.COMMIT, lines + message)


def _commit(ref: bytes, number: int, message: bytes, files: bytes, mark: bytes = b"") -> bytes:
    when = b"%d +0000" % (_BEGUN + 60 * number)
    head = b"commit %s\n%sauthor %s %s\ncommitter %s %s\n" % (ref, mark, _WHO, when, _WHO, when)
    return head + b"data %d\n%s\n%s\n" % (len(message), message, files)


def make_runs(work: Path, count: int) -> None:
    """Synthetic runs in a repository, packed."""
    names = ["git", "rev-parse", "HEAD", "HEAD^{tree}"]
    found = subprocess.run(names, cwd=work, check=True, capture_output=True).stdout.decode().split()
    head, code = map(Oid.from_hex, found)
    importer = subprocess.Popen(
        ["git", "fast-import", "--quiet", "--force"], cwd=work, stdin=subprocess.PIPE
    )
    assert importer.stdin is not None
    for piece in stream(count, head, code):
        importer.stdin.write(piece)
    importer.stdin.close()
    assert importer.wait() == 0
    subprocess.run(["git", "pack-refs", "--all"], cwd=work, check=True)


def commands(count: int) -> dict[str, list[str]]:
    """What is measured, by name."""
    runs = [sys.executable, "-m", "gitflowrun.cli.git_runs.main"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "git runs -h": [*runs, "-h"],
        _FIRST: [*runs, "list", "-n", "50"],
        "whole list": [*runs, "list"],
        "sorted by a metric, 10": [*runs, "list", "--sort", "-accuracy", "-n", "10"],
        "query of metrics": [*runs, "list", "-z", "accuracy > 0.9 and lr < 0.01 or tag = t1"],
        "show": [*runs, "show", str(count // 2)],
        "diff": [*runs, "diff", str(count // 2), str(count // 2 - 1)],
        "git for-each-ref": ["git", "for-each-ref", "--format=%(refname) %(contents)", "refs/runs/Train"],
        "git log": ["git", "log", "--no-walk", "--oneline", "--glob=refs/runs/Train/*"],
    }  # fmt: skip


def main() -> None:
    """Print milliseconds of CPU beyond a bare Python, and the ratio to `git for-each-ref`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--counts", default="1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine.describe())
    for count in map(int, options.counts.split(",")):
        with tempfile.TemporaryDirectory() as place:
            work = machine.repository(Path(place, "repo"), {"a": "1"})
            make_runs(work, count)
            _measure(work, count, options.rounds)


def _measure(work: Path, count: int, rounds: int) -> None:
    all_of_it = commands(count)
    environ = machine.environment()
    state = work / ".git" / "gitflowrun"
    bare = min(machine.measure(all_of_it["python -c pass"], work, environ).cpu for _ in range(3))
    for name in (_FIRST, "whole list"):
        shutil.rmtree(state, ignore_errors=True)
        cold = machine.measure(all_of_it[name], work, environ).cpu - bare
        print(f"{count:,} runs; {name}, when none was listed before: {cold * 1000:.0f} ms")
    time.sleep(_SETTLED)  # what has just changed is not relied on
    costs: dict[str, list[float]] = {name: [] for name in all_of_it}
    for _ in range(rounds):
        for name, command in all_of_it.items():
            costs[name].append(machine.measure(command, work, environ).cpu * 1000)
    least = {name: min(found) for name, found in costs.items()}
    peer = least["git for-each-ref"]
    bare = min(1000 * bare, least.pop("python -c pass"))
    for name, found in least.items():
        ours = found if name.startswith("git ") and "runs" not in name else found - bare
        print(f"  {name:<28} {ours:8.0f} ms   {ours / peer:6.1f} x for-each-ref")


if __name__ == "__main__":
    main()
