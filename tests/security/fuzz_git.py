"""Files and objects of a repository, changed as an attacker or a bad disk would, and read by our own readers.

    python -m tests.security.fuzz_git SEED COUNT PLACE

reads COUNT of them and prints what they came to, as JSON. PLACE is a directory that `prepare` has filled; its file
`current` holds the bytes at hand: where this process ends early, they are what ended it.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun import msgpack
from gitflowrun.artifacts.preview import Preview, pack_preview, read_preview
from gitflowrun.errors import GitflowrunError
from gitflowrun.git.command import Git
from gitflowrun.git.objects import Oid, parse_commit, parse_tree, tree_oids
from gitflowrun.git.pack.format import apply_delta
from gitflowrun.git.pack.index import names_in_multi_pack_index
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.git.refs import RefReader
from gitflowrun.runs.commit_message import parse_message
from gitflowrun.runs.records import INFO, TASK
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, start_run
from tests.security.children import limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SECONDS = 3.0  # of CPU that one may take
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63)  # fmt: skip
_OBJECTS = 40  # that are asked for of a changed pack


def prepare(repo: GitRepo, place: Path) -> None:
    """Fill a directory with what is to be changed.

    Args:
        repo: An empty repository.
        place: The directory.
    """
    text = [f"line {number} {number * 7919 % 1000}\n" for number in range(300)]
    for version in range(8):
        text[version * 30] = f"changed in {version}\n"
        (repo.path / "text").write_text("".join(text))
        (repo.path / f"small {version}").write_text("x" * version)
        repo.git("add", ".")
        repo.git("commit", "-qm", f"version {version}")
    with start_run(repo) as writer:
        writer.commit([finished_task(writer.identity, "start/1", {"x": b"1"})])
    repo.git("-c", "repack.useDeltaBaseOffset=false", "repack", "-adfq", "--depth=5")
    made = {"ref deltas": _pack(repo)}
    repo.git("repack", "-adfq", "--depth=5")
    made["offset deltas"] = _pack(repo)
    for name, (pack, index) in made.items():
        (place / name / "pack").mkdir(parents=True)
        (place / name / "pack" / f"{pack.stem}.pack").write_bytes(pack.read_bytes())
        (place / name / "pack" / f"{pack.stem}.idx").write_bytes(index.read_bytes())
    repo.git("multi-pack-index", "write")
    repo.git("pack-refs", "--all")
    common, run = repo.path / ".git", repo.git("for-each-ref", "--format=%(refname)", "refs/runs/")
    files = {
        "packed-refs": (common / "packed-refs").read_bytes(),
        "multi-pack-index": (common / "objects/pack/multi-pack-index").read_bytes(),
        "commit": _content(repo, run, "commit"),
        "tree": _content(repo, f"{run}^{{tree}}", "tree"),
        "INFO": _content(repo, f"{run}:INFO", "blob"),
        "TASK": _content(repo, f"{run}:steps/start/1/TASK", "blob"),
        "preview": pack_preview(Preview("text", facts={"shape": "(1, 2)"})),
    }
    for name, data in files.items():
        (place / name).write_bytes(data)


def _pack(repo: GitRepo) -> tuple[Path, Path]:
    (index,) = (repo.path / ".git/objects/pack").glob("*.idx")
    kept = repo.path.parent / f"{index.stem}"
    for path in (index, index.with_suffix(".pack")):
        kept.with_suffix(path.suffix).write_bytes(path.read_bytes())
    return kept.with_suffix(".pack"), kept.with_suffix(".idx")


def _content(repo: GitRepo, name: str, kind: str) -> bytes:
    command = ["git", "cat-file", kind, name]
    return subprocess.run(command, cwd=repo.path, check=True, stdout=subprocess.PIPE).stdout


def changed(rng: random.Random, raw: bytes) -> bytes:
    """The bytes with a few changes."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(data) + 1)
        action = rng.randrange(6)
        if action == 0:
            del data[place:]
        elif action == 1:
            data[place : place + rng.randrange(40)] = b""
        elif action == 2:
            data[place:place] = data[place : place + rng.randrange(1, 40)]
        elif action == 3:
            size, form = rng.choice(((1, "B"), (2, ">H"), (4, ">I"), (8, ">Q")))
            number = rng.choice(_NUMBERS) % (1 << 8 * size)
            data[place : place + size] = struct.pack(form, number)
        elif place < len(data):
            data[place] ^= 1 << rng.randrange(8)
    return bytes(data)


class _Fuzzer:
    """Changes one thing after the other in a directory that `prepare` has filled.

    Args:
        place: The directory.
        seed: Decides what is changed, and how.
    """

    def __init__(self, place: Path, seed: int) -> None:
        self._place = place
        self._rng = random.Random(seed)
        self._work = place / f"work {seed}"
        self._files = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
        self._ids: dict[str, list[Oid]] = {}
        self._readers: dict[str, Callable[[bytes], object]] = {
            "packed-refs": self._refs,
            "multi-pack-index": lambda raw: names_in_multi_pack_index(io.BytesIO(raw)),
            "commit": _commit,
            "tree": lambda raw: (list(parse_tree(raw)), tree_oids(raw)),
            "INFO": lambda raw: INFO.load(msgpack.unpack(raw, msgpack.RECORD)),
            "TASK": lambda raw: TASK.load(msgpack.unpack(raw, msgpack.RECORD)),
            "preview": _preview,
            "delta": lambda raw: apply_delta(bytes(range(256)) * 4, raw),
        }
        self._files["delta"] = bytes([0x80, 8, 100, 0x90, 50, 3]) + b"abc" + bytes([0xB1, 9, 47])

    def one(self) -> tuple[str, bytes, Callable[[], object]]:
        """What is changed, its bytes, and what reads them."""
        name = self._rng.choice(
            ("pack", "pack", "pack", "idx", "idx", "loose", "loose ref", *self._readers)
        )
        if name in {"pack", "idx"}:
            return self._pack(name)
        if name == "loose":
            return self._loose()
        if name == "loose ref":
            raw = changed(
                self._rng, b"ref: refs/heads/a" if self._rng.random() < 0.3 else b"1" * 40
            )
            return name, raw, lambda: self._loose_ref(raw)
        raw = changed(self._rng, self._files[name])
        return name, raw, lambda: self._readers[name](raw)

    def _pack(self, suffix: str) -> tuple[str, bytes, Callable[[], object]]:
        kind = self._rng.choice(("ref deltas", "offset deltas"))
        (index,) = (self._place / kind / "pack").glob("*.idx")
        target = self._work / kind / "pack"
        target.mkdir(parents=True, exist_ok=True)
        for path in (index, index.with_suffix(".pack")):
            (target / path.name).write_bytes(path.read_bytes())
        path = index.with_suffix(f".{suffix}")
        raw = changed(self._rng, path.read_bytes())
        (target / path.name).write_bytes(raw)
        wanted = self._rng.sample(self._ids_of(index), k=_OBJECTS)
        return suffix, raw, lambda: _read_all(target.parent, wanted)

    def _ids_of(self, index: Path) -> list[Oid]:
        if index.name not in self._ids:
            raw = index.read_bytes()
            count = int.from_bytes(raw[8 + 255 * 4 : 8 + 256 * 4], "big")
            start = 8 + 256 * 4
            self._ids[index.name] = [
                Oid(raw[start + 20 * row : start + 20 * row + 20]) for row in range(count)
            ]
        return self._ids[index.name]

    def _loose(self) -> tuple[str, bytes, Callable[[], object]]:
        content = self._rng.choice((b"blob 5\0hello", b"tree 0\0", b"blob 4096\0" + bytes(4096)))
        raw = zlib.compress(changed(self._rng, content))
        raw = changed(self._rng, raw) if self._rng.random() < 0.5 else raw
        oid = Oid(self._rng.randbytes(20))
        path = self._work / "loose" / str(oid)[:2] / str(oid)[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        return "loose", raw, lambda: _read_all(path.parent.parent, [oid])

    def _reader(self) -> RefReader:
        return RefReader(Git(self._work, None), self._work)

    def _refs(self, raw: bytes) -> object:
        self._work.mkdir(exist_ok=True)
        (self._work / "packed-refs").write_bytes(raw)
        names = [line.split(" ")[-1] for line in self._files["packed-refs"].decode().splitlines()]
        return [
            self._reader().many(names[1:]), self._reader().get(names[1]),
            self._reader().may_exist("refs/runs/"),
        ]  # fmt: skip

    def _loose_ref(self, raw: bytes) -> object:
        path = self._work / "refs/heads/a"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        return self._reader().get("refs/heads/a"), self._reader().many(["refs/heads/a"])


def _commit(raw: bytes) -> object:
    return parse_message(parse_commit(raw).message.decode(errors="replace"))


def _preview(raw: bytes) -> object:
    shown = read_preview(raw)
    return shown and (shown.line, shown.short)


def _read_all(objects: Path, wanted: Iterable[Oid]) -> None:
    """Read objects in every way that there is; an error with one of them is no reason not to ask for the next."""
    reader = PackReader(objects)
    for oid in wanted:
        for read in (reader.read, reader.size, lambda oid: b"".join(reader.pieces(oid))):
            with contextlib.suppress(GitflowrunError):
                read(oid)


def _outcome(read: Callable[[], object]) -> str:
    try:
        read()
    except GitflowrunError as error:
        return type(error).__name__
    except BaseException as error:  # noqa: BLE001  (that is what is looked for)
        return f"escaped: {type(error).__module__}.{type(error).__name__}: {error}"[:300]
    return "read"


def _many(fuzzer: _Fuzzer, count: int, current: Path) -> Iterator[tuple[str, bytes, str, float]]:
    for _ in range(count):
        name, raw, read = fuzzer.one()
        current.write_bytes(raw)
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        start = time.process_time()
        outcome = _outcome(read)
        spent = time.process_time() - start
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        yield name, raw, outcome, spent


def main() -> None:
    """Read many."""
    seed, count, place = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    limit(120 + count // 10)
    outcomes: Counter[str] = Counter()
    slowest, found = 0.0, []
    fuzzer = _Fuzzer(place, seed)
    for name, raw, outcome, spent in _many(fuzzer, count, place.parent / f"current {seed}"):
        outcomes[f"{name}: {outcome.partition(':')[0]}"] += 1
        slowest = max(slowest, spent)
        if outcome.startswith("escaped"):
            found.append([name, raw.hex(), outcome])
    result: dict[str, Any] = {"outcomes": outcomes, "slowest": slowest, "found": found[:20]}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
