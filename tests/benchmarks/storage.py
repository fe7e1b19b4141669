"""What storing and reading artifacts costs: against this machine's limits and against other stores.

    python -m tests.benchmarks.storage [--size 1g] [--rounds 5] [--huge 4g] [--metaflow-python PATH]
                                       [--directory DIR] [--only ingest,kinds,...]

Ours is the product's own path: codec, BLAKE3, dedup index, chunks, one published pack, everything synced.
Contenders take turns, the best of the rounds counts, and what is compared is printed as a ratio. Unit of
ingest is S, one pass of hashlib's SHA-1 over the same bytes: a pack needs two. Peers that are not installed
are left out. Directories: the current one must lie on the file system to be measured, or `--directory`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from gitflowrun.artifacts import codecs
from gitflowrun.artifacts.artifacts import ArtifactReader, ArtifactWriter, Saved
from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.git.pack.publish import PackStore
from gitflowrun.git.pack.reader import PackReader
from gitflowrun.names import TaskName
from gitflowrun.settings import Durability, parse_size
from tests.benchmarks import samples
from tests.benchmarks.machine import describe, repository
from tests.benchmarks.race import Best, Contender, peak_of, race, timed
from tests.benchmarks.storage_peers import Peers, memcpy, page_cache_read, sha1, write_and_sync

MB = 1e6
TASK = TaskName("start", "1")
COLUMNS = 100


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line. Sizes are bytes."""

    size: int
    huge: int
    rounds: int
    directory: Path
    metaflow_python: str | None


class Store:
    """A repository of ours to be measured in."""

    def __init__(self, path: Path) -> None:
        self.path = repository(path, {"README": "measured here\n"})
        self.objects_dir = self.path / ".git" / "objects"
        self._state = self.path / ".git" / "gitflowrun"
        self.reader = PackReader(self.objects_dir)
        self.packs = PackStore(
            self.objects_dir, self._state / "incoming", durability=Durability.SAFE
        )
        self.index = DedupIndex(self._state, self.reader)

    def save(self, value: object) -> Saved:
        """Save as a task does, and take it up into the index as the scheduler does."""
        saved = ArtifactWriter(self.packs, self.index).save({"value": codecs.encode(value)}, TASK)
        self.index.add(saved.refs.values(), "refs/runs/F/1")
        return saved

    def load(self, saved: Saved) -> Any:
        """Load as a task does."""
        return ArtifactReader(self.reader).load(saved.refs["value"], trusted=True)

    def clear(self) -> None:
        """Forget everything."""
        self.index.remove()
        for path in self.packs.pack_dir.iterdir():
            path.unlink()

    @property
    def stored(self) -> int:
        """Bytes of all packs."""
        return sum(path.stat().st_size for path in self.packs.pack_dir.glob("*.pack"))


def heading(text: str) -> None:
    """Begin a table."""
    print(f"\n{text}\n\n| what | measured | target | |\n|---|---|---|---|")


def row(what: str, measured: str, target: str = "", *, met: bool | None = None) -> None:
    """A line of the table."""
    print(
        f"| {what} | {measured} | {target} | {'' if met is None else 'met' if met else 'MISSED'} |"
    )


def speed(size: int, best: Best) -> str:
    """Megabytes a second, and the memory it took."""
    return f"{size / best.seconds / MB:,.0f} MB/s, +{best.peak:.0f} MB"


def ingest(options: Options) -> None:
    """A new incompressible array: in passes of SHA-1, and against writing and saving it plainly."""
    store, array = Store(options.directory / "ingest"), samples.make("floats", options.size)
    view, plain = memoryview(array).cast("B"), options.directory / "plain"
    peers = Peers(options.directory, options.metaflow_python)

    def ours() -> float:
        store.clear()
        samples.refresh(array)
        return timed(lambda: store.save(array))

    best = race(
        [
            Contender("ours", ours),
            Contender("sha1", lambda: sha1(view)),
            Contender("write", lambda: write_and_sync(view, plain)),
            Contender("numpy.save", lambda: peers.numpy_save(array)),
            Contender("joblib", lambda: peers.joblib_dump(array)),
            Contender("dvc", lambda: peers.dvc_add(array), 2),
        ],
        options.rounds,
    )
    plain.unlink()
    took = best["ours"].seconds
    heading(f"Ingest of {options.size >> 20} MiB of random doubles")
    passes = took / best["sha1"].seconds
    row("ours", speed(options.size, best["ours"]))
    row("in passes of hashlib.sha1", f"{passes:.2f}", "<= 3.0 (2.2)", met=passes <= 3.0)
    row(
        "memory beyond the array",
        f"{best['ours'].peak:.0f} MB",
        "<= 96",
        met=best["ours"].peak <= 96,
    )
    targets = {"write": 0.4, "numpy.save": 0.6, "joblib": None, "dvc": 6.0}
    for name, target in targets.items():
        if name in best:
            ratio = best[name].seconds / took
            row(f"times the speed of {name} ({speed(options.size, best[name])})", f"{ratio:.2f}",
                f">= {target}" if target else "", met=ratio >= target if target else None)  # fmt: skip


def peers(options: Options) -> None:
    """The same, of a quarter of the size, against stores that are slow."""
    size = options.size // 4
    store, array = Store(options.directory / "peers"), samples.make("floats", size)
    numbers = samples.make("categories", size)
    others = Peers(options.directory, options.metaflow_python)
    loads: dict[str, list[float]] = {"floats": [], "categories": []}

    def ours(value: Any) -> Callable[[], float]:
        def run() -> float:
            store.clear()
            return timed(lambda: store.save(value))

        return run

    def metaflow(kind: str, value: Any) -> float:
        stored, loaded = others.metaflow(value)
        loads[kind].append(loaded)
        return stored

    best = race(
        [
            Contender("ours", ours(array)),
            Contender("git hash-object -w", lambda: others.hash_object(array, None), 2),
            Contender("git hash-object -w, compression 0", lambda: others.hash_object(array, 0)),
            Contender(
                "pygit2 create_blob", lambda: others.pygit2_blob(memoryview(array).cast("B")), 2
            ),
            Contender("Metaflow", lambda: metaflow("floats", array), 2),
            Contender("MLflow log_artifact", lambda: others.mlflow_artifact(array)),
            Contender("ours, categories", ours(numbers)),
            Contender("Metaflow, categories", lambda: metaflow("categories", numbers), 2),
        ],
        options.rounds,
    )
    heading(f"Ingest of {size >> 20} MiB against others")
    targets = {
        "git hash-object -w": 15, "git hash-object -w, compression 0": 2.7, "pygit2 create_blob": 12,
        "Metaflow": 18, "Metaflow, categories": 6, "MLflow log_artifact": None,
    }  # fmt: skip
    for name in ("ours", "ours, categories"):
        row(name, speed(size, best[name]))
    for name, target in targets.items():
        if name in best:
            ours_name = "ours, categories" if "categories" in name else "ours"
            ratio = best[name].seconds / best[ours_name].seconds
            row(f"times the speed of {name} ({size / best[name].seconds / MB:,.0f} MB/s)", f"{ratio:.1f}",
                f">= {target}" if target else "", met=ratio >= target if target else None)  # fmt: skip
    for kind, seconds in loads.items():
        if seconds:
            row(f"Metaflow loads {kind}", f"{size / min(seconds) / MB:,.0f} MB/s")


def kinds(options: Options) -> None:
    """Half the size of every kind of payload, stored and loaded."""
    size = options.size // 2
    store = Store(options.directory / "kinds")
    heading(f"Kinds of payloads, {size >> 20} MiB")
    for kind in samples.KINDS:
        value = samples.make(kind, size)
        payload = codecs.encode(value).size
        saved: list[Saved] = []

        def save(value: Any = value, saved: list[Saved] = saved) -> float:
            store.clear()
            return timed(lambda: saved.append(store.save(value)))

        def load(saved: list[Saved] = saved) -> float:
            return timed(lambda: store.load(saved[-1]))

        save()
        best = race([Contender("save", save), Contender("load", load)], options.rounds)
        row(kind, f"store {speed(payload, best['save'])}; load {speed(payload, best['load'])}; "
            f"{store.stored / payload:.1%} of the size")  # fmt: skip


def again(options: Options) -> None:
    """The same array again, and changed ones: what they cost, and how many new bytes."""
    store = Store(options.directory / "again")
    table: Any = np.random.default_rng(0).random((options.size // 8 // COLUMNS, COLUMNS))
    heading(f"{options.size >> 20} MiB that are stored already, whole or for the most part")
    again_inserted(options, store, table)
    again_identical(options, store, table)
    again_column(options, store, table)


def again_inserted(options: Options, store: Store, table: Any) -> None:
    """The array with some rows more, against the first time that it is stored."""
    longer = with_rows_inserted(table)
    new: list[float] = []
    first: list[float] = []
    second: list[float] = []
    for _ in range(options.rounds):
        store.clear()
        first.append(timed(lambda: store.save(table)))
        before = store.stored
        second.append(timed(lambda: store.save(longer)))
        new.append((store.stored - before) / options.size)
    row("1000 rows inserted: new bytes", f"{max(new):.2%}", "<= 2 %", met=max(new) <= 0.02)
    ratio = min(first) / min(second)
    row("1000 rows inserted: times the speed of the first", f"{ratio:.1f}", ">= 2", met=ratio >= 2)


def again_column(options: Options, store: Store, table: Any) -> None:
    """A list of columns, of which one is another."""
    columns = [np.ascontiguousarray(table[:, number]) for number in range(COLUMNS)]
    store.save(columns)
    before = store.stored
    columns[COLUMNS // 2] = columns[COLUMNS // 2] + 1
    took = timed(lambda: store.save(columns))
    row("one of 100 columns changed: new bytes", f"{(store.stored - before) / options.size:.2%}")
    row("one of 100 columns changed", f"{options.size / took / MB:,.0f} MB/s")


def again_identical(options: Options, store: Store, table: Any) -> None:
    """An array that is stored already, against BLAKE3 with all threads."""
    view = memoryview(table).cast("B")

    def hash_it() -> float:
        return timed(lambda: blake3(view, max_threads=blake3.AUTO).digest())

    def save_it() -> float:
        return timed(lambda: store.save(table))

    best = race([Contender("again", save_it), Contender("blake3", hash_it)], options.rounds)
    ratio = best["blake3"].seconds / best["again"].seconds
    row("identical again", speed(options.size, best["again"]))
    row("identical again: of BLAKE3's speed", f"{ratio:.2f}", ">= 0.9", met=ratio >= 0.9)


def with_rows_inserted(table: Any) -> Any:
    """A copy with a thousand new rows in the middle."""
    half = len(table) // 2
    rows = np.random.default_rng(1).random((1000, COLUMNS))
    return np.concatenate([table[:half], rows, table[half:]])


class Stored:
    """An array that is stored, and ways to read it into memory that is warm."""

    def __init__(self, store: Store, saved: Saved) -> None:
        ref = saved.refs["value"]
        self._store = store
        self._chunks = ref.chunks
        self._ends = list(accumulate(chunk.size for chunk in ref.chunks))
        target: Any = np.zeros(ref.size, np.uint8)
        self.target = target
        self.view = memoryview(target)

    def by_us(self) -> None:
        """Our reader, by threads as loading does, without checking."""
        threads = min(4, os.cpu_count() or 1)
        waiting = deque(range(len(self._chunks)))
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(self._fill, [waiting] * threads))

    def _fill(self, waiting: deque[int]) -> None:
        with contextlib.suppress(IndexError):
            while True:
                number = waiting.popleft()
                chunk, end = self._chunks[number], self._ends[number]
                self._store.reader.read_into(chunk.oid, self.view[end - chunk.size : end])

    def by_pygit2(self) -> None:
        """pygit2's `.data` of every chunk."""
        import pygit2

        repo: Any = pygit2.Repository(str(self._store.path))
        for chunk in self._chunks:
            len(repo[str(chunk.oid)].data)

    def by_cat_file(self) -> None:
        """`git cat-file --batch`, read through its pipe."""
        wanted = self._store.path / "wanted"
        wanted.write_text("".join(f"{chunk.oid}\n" for chunk in self._chunks))
        with wanted.open() as stdin, subprocess.Popen(
            ["git", "cat-file", "--batch"], cwd=self._store.path, stdin=stdin, stdout=subprocess.PIPE
        ) as process:  # fmt: skip
            pipe: Any = process.stdout
            for chunk in self._chunks:
                pipe.readline()
                pipe.readinto(self.view[: chunk.size])
                pipe.read(1)


def reading(options: Options) -> None:
    """The array back, from the page cache, with and without checking it."""
    store, size = Store(options.directory / "read"), options.size
    array = samples.make("floats", size)
    saved = store.save(array)
    path, numbers = options.directory / "plain.npy", options.directory / "plain"
    np.save(path, array)
    array.tofile(numbers)
    stored = Stored(store, saved)
    source: Any = np.zeros_like(stored.target)
    stored.by_us()
    best = race(
        [
            Contender("into warm memory", lambda: timed(stored.by_us)),
            Contender("memcpy", lambda: memcpy(source, stored.target)),
            Contender("read()", lambda: page_cache_read(path, stored.view[:size])),
            Contender("load", lambda: timed(lambda: store.load(saved))),
            Contender("np.fromfile", lambda: timed(lambda: np.fromfile(numbers))),
            Contender("np.load", lambda: timed(lambda: np.load(path))),
            Contender("pygit2 .data", lambda: timed(stored.by_pygit2), 2),
            Contender("git cat-file --batch", lambda: timed(stored.by_cat_file), 2),
        ],
        options.rounds,
    )
    heading(f"Reading {size >> 20} MiB of random doubles, cached")
    for name, found in best.items():
        row(name, speed(size, found))
    for ours, other, least in [
        ("into warm memory", "memcpy", 0.8), ("into warm memory", "read()", 1.5), ("load", "np.fromfile", 0.7),
        ("load", "pygit2 .data", 15), ("load", "git cat-file --batch", 5),
    ]:  # fmt: skip
        if other in best:
            ratio = best[other].seconds / best[ours].seconds
            what = f"{ours}: times the speed of {other}"
            row(what, f"{ratio:.2f}", f">= {least}", met=ratio >= least)


def small(options: Options) -> None:
    """Ten thousand payloads of 1 KB, durable."""
    from gitflowrun.git.objects import ObjectType
    from gitflowrun.git.pack.writer import PackObject

    store, count = Store(options.directory / "small"), 10_000
    noise = np.random.default_rng(0).bytes(count * 1000)
    datas = [noise[start : start + 1000] for start in range(0, len(noise), 1000)]
    objects = [PackObject(ObjectType.BLOB, data) for data in datas]
    others, few = Peers(options.directory, None), datas[: count // 20]
    best = race(
        [
            Contender("one pack, synced", lambda: timed(lambda: store.packs.write(objects))),
            Contender("loose by pygit2", lambda: others.small_loose(datas, synced=False), 3),
            Contender(
                "loose by pygit2, synced", lambda: 20 * others.small_loose(few, synced=True), 2
            ),
            Contender(
                "ten objects, one pack", lambda: timed(lambda: store.packs.write(objects[:10]))
            ),
        ],
        options.rounds,
    )
    heading(f"{count:,} payloads of 1 KB")
    took = best["one pack, synced"].seconds
    row("one pack, synced", f"{took:.3f} s, {count / took:,.0f}/s")
    for name, target in (("loose by pygit2", 4), ("loose by pygit2, synced", 150)):
        if name in best:
            ratio = best[name].seconds / took
            row(f"times the speed of {name} ({best[name].seconds:.2f} s)", f"{ratio:.0f}", f">= {target}",
                met=ratio >= target)  # fmt: skip
    row("a pack of ten objects, synced", f"{best['ten objects, one pack'].seconds * 1e3:.1f} ms")


def huge(options: Options) -> None:
    """Once, an array of several gigabytes: the memory that storing and reading it takes beyond it."""
    store, size = Store(options.directory / "huge"), options.huge
    heading(f"Once {size >> 20} MiB")
    saved = huge_store(store, size)
    took, peak = peak_of(lambda: timed(lambda: store.load(saved)))
    beyond = peak - size / MB
    row("load, partly from the disk", f"{size / took / MB:,.0f} MB/s")
    row("load: memory beyond the array", f"{beyond:.0f} MB", "<= 96", met=beyond <= 96)


def huge_store(store: Store, size: int) -> Saved:
    """Make and store the array; it is gone when this returns."""
    array = samples.make("floats", size)
    saved: list[Saved] = []
    took, peak = peak_of(lambda: timed(lambda: saved.append(store.save(array))))
    row("store", f"{size / took / MB:,.0f} MB/s")
    row("store: memory beyond the array", f"{peak:.0f} MB", "<= 96", met=peak <= 96)
    return saved[0]


SECTIONS = {
    "ingest": ingest, "peers": peers, "kinds": kinds, "again": again, "reading": reading, "small": small,
    "huge": huge,
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=parse_size, default=1 << 30)
    parser.add_argument("--huge", type=parse_size, default=4 << 30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    parser.add_argument("--metaflow-python", help="an interpreter that has metaflow installed")
    args = parser.parse_args()
    print(f"{describe()}, size {args.size >> 20} MiB, best of {args.rounds}")
    for name in args.only.split(","):
        directory = Path(tempfile.mkdtemp(prefix="gitflowrun-benchmark-", dir=args.directory))
        options = Options(args.size, args.huge, args.rounds, directory, args.metaflow_python)
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
            SECTIONS[name](options)


if __name__ == "__main__":
    main()
