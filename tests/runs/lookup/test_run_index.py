"""The index of runs: a cache that changes nothing of what is listed, whatever becomes of it or of the refs."""

from __future__ import annotations

import os
import random
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.git.ref_update import Refs
from gitflowrun.porcelain.deletion.trash import Trash
from gitflowrun.runs.commit_message import Status
from gitflowrun.runs.lookup import index_file, run_index
from gitflowrun.runs.lookup.facts import read_facts
from gitflowrun.runs.lookup.index_file import OpenIndex
from gitflowrun.runs.lookup.listing import list_all
from gitflowrun.runs.lookup.run_columns import RunTable
from gitflowrun.runs.lookup.run_index import table_of_runs
from gitflowrun.runs.lookup.run_summary import NO_FACTS, DamagedRun, RunFacts, RunSummary
from gitflowrun.runs.tags import Tags
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import make_measured_run, make_run, open_repo

Listed = list[tuple[RunSummary | DamagedRun, RunFacts]]


def listed(repo: GitRepo, flow: str | None = None, limit: int | None = None) -> Listed:
    """The runs and what is known of them, with the index."""
    table = table_of_runs(open_repo(repo), flow, limit)
    return [(table.run(place), table.facts(place)) for place in range(len(table))]


def read(repo: GitRepo, flow: str | None = None, limit: int | None = None) -> Listed:
    """The same without it."""
    repository = open_repo(repo)
    runs = list_all(repository, flow, limit)
    known = read_facts(repository, [run.commit for run in runs if run.commit])
    return [(run, known.get(run.commit, NO_FACTS) if run.commit else NO_FACTS) for run in runs]


def check(repo: GitRepo) -> None:
    """All lists are as without the index: of all runs, of the first ones, of one flow; also once it is written."""
    expected = read(repo)
    for _ in range(2):
        assert listed(repo, limit=2) == expected[:2]
        assert listed(repo) == expected
        for flow in ("MyFlow", "Other"):
            assert listed(repo, flow) == read(repo, flow)
            assert listed(repo, flow, 1) == read(repo, flow, 1)


def index_of(repo: GitRepo, name: str = "runs") -> Path:
    """The file of the index."""
    return repo.path / ".git" / "gitflowrun" / f"{name}-{os.geteuid()}.index"


@pytest.fixture
def certain(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Whoever calls it has waited until what was written counts as old."""
    monkeypatch.setattr("gitflowrun.runs.lookup.stamps._FINE", 0)
    monkeypatch.setattr("gitflowrun.runs.lookup.stamps._COARSE", 0)
    return lambda: time.sleep(0.012)


@pytest.fixture
def refs_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of git about refs, from now on."""
    found: list[str] = []
    rows, below = Refs.rows, Refs.plain_below

    def noting_rows(refs: Refs, *prefixes: str, **options: Any) -> list[tuple[str, ...]]:
        found.extend(prefixes)
        return rows(refs, *prefixes, **options)

    def noting_below(refs: Refs, *words: Any) -> dict[str, str] | None:
        found.append("all")
        return below(refs, *words)

    monkeypatch.setattr(Refs, "rows", noting_rows)
    monkeypatch.setattr(Refs, "plain_below", noting_below)
    return found


class Walk:
    """Random changes of a repository.

    Args:
        repo: The repository.
        seed: Which of them.
    """

    def __init__(self, repo: GitRepo, seed: int) -> None:
        self.repo = repo
        self.random = random.Random(seed)

    def step(self) -> str:
        """Change something; what."""
        kind = self.random.choice(
            (
                self.run, self.run, self.tag, self.untag, self.remove, self.restore, self.pack_refs, self.repack,
                self.move, self.fetched, self.foreign_tag, self.end,
            )
        )  # fmt: skip
        kind()
        return kind.__name__

    def _runs(self) -> list[RunSummary]:
        return [run for run in list_all(open_repo(self.repo)) if isinstance(run, RunSummary)]

    def _any(self) -> RunSummary:
        return self.random.choice(self._runs() or [self.run()])

    def run(self) -> RunSummary:
        """A new run."""
        names = self.random.sample(("lr", "depth", "seed"), self.random.randrange(3))
        parameters = {name: str(self.random.randrange(3)) for name in names}
        values: list[Any] = [0.5, -0.0, 1, True, None, "tree", float("inf")]
        metrics = {name: self.random.choice(values) for name in "abc"[: self.random.randrange(4)]}
        flow = self.random.choice(("MyFlow", "Other"))
        make_measured_run(self.repo, parameters, metrics, flow=flow)
        return self._runs()[0]

    def end(self) -> None:
        """A run that failed."""
        make_measured_run(self.repo, {}, {}, status=Status.FAILED)

    def tag(self) -> None:
        """A tag is added."""
        run = open_run(self.repo, self._any())
        Tags(open_repo(self.repo)).change(run, add=[self.random.choice("xyz")])

    def untag(self) -> None:
        """A tag is taken away, if it is there."""
        run = open_run(self.repo, self._any())
        Tags(open_repo(self.repo)).change(run, remove=[self.random.choice("xyz")])

    def foreign_tag(self) -> None:
        """A tag whose ref holds another run's first commit."""
        run = self._any()
        ref = f"refs/runs/@tags/{run.flow}/w/{run.id}"
        self.repo.git("update-ref", ref, str(self._any().uid))

    def remove(self) -> None:
        """A run goes to the trash."""
        Trash(open_repo(self.repo)).put([open_run(self.repo, self._any())])

    def restore(self) -> None:
        """A run comes back."""
        trash = Trash(open_repo(self.repo))
        if found := trash.runs():
            trash.restore([self.random.choice(found)])

    def pack_refs(self) -> None:
        """Git packs the refs."""
        self.repo.git("pack-refs", "--all")

    def repack(self) -> None:
        """Git packs the objects."""
        self.repo.git("repack", "-q", "-a", "-d")

    def move(self) -> None:
        """A ref goes back to its run's first commit."""
        run = self._any()
        self.repo.git("update-ref", f"refs/runs/{run.pathspec}", str(run.uid))

    def fetched(self) -> None:
        """There are tracking copies from now on, or are none any more: runs are sorted by their times, or numbers."""
        ref = "refs/runs-remotes/0123456789abcdef/MyFlow/7"
        run = self._any()
        if self.repo.git("for-each-ref", ref):
            self.repo.git("update-ref", "-d", ref)
            shutil.rmtree(self.repo.path / ".git/refs/runs-remotes", ignore_errors=True)
        else:
            self.repo.git("update-ref", ref, str(run.commit))


def open_run(repo: GitRepo, run: RunSummary) -> Any:
    """The run of a list, to be changed."""
    from gitflowrun.runs.runs import RunStore

    return RunStore(open_repo(repo)).get(run.flow, run.id)


@pytest.mark.parametrize("seed", [0, *(pytest.param(it, marks=pytest.mark.slow) for it in (1, 2))])
def test_lists_are_what_they_are_without_an_index(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, certain: Callable[[], None], seed: int
) -> None:
    """Whatever happens to runs and refs in between."""
    repo.commit()
    monkeypatch.setattr(run_index, "RUNS_IN_A_BLOCK", 2 + seed)
    walk, steps = Walk(repo, seed), list[str]()
    for _ in range(30 if seed else 6):
        steps.append(walk.step())
        certain()
        try:
            check(repo)
        except AssertionError as error:
            raise AssertionError(steps) from error


def test_what_has_just_changed_is_read_again(repo: GitRepo) -> None:
    """The clock of the file system may not have moved since: without a pause no change is missed either."""
    repo.commit()
    walk = Walk(repo, 11)
    for _ in range(10):
        step = walk.step()
        assert listed(repo) == read(repo), step


def test_a_list_that_holds_asks_git_nothing_about_refs(
    repo: GitRepo, certain: Callable[[], None], refs_read: list[str]
) -> None:
    """Neither that of all runs, nor the first ones of it, nor that of a flow."""
    for number in range(5):
        make_measured_run(repo, {"n": str(number)}, {"m": number})
    certain()
    refs_read.clear()
    assert len(listed(repo)) == 5
    assert refs_read[0] == "all"
    refs_read.clear()
    assert [len(listed(repo)), len(listed(repo, limit=3)), len(listed(repo, "MyFlow"))] == [5, 3, 5]
    assert refs_read == []


def test_the_first_runs_are_kept_by_themselves(
    repo: GitRepo, certain: Callable[[], None], refs_read: list[str]
) -> None:
    """Where nobody has listed all, these alone are read, and kept; more than these are asked for anew."""
    for number in range(5):
        make_measured_run(repo, {"n": str(number)}, {"m": number})
    certain()
    assert [len(listed(repo, limit=3)), len(listed(repo, limit=2))] == [3, 2]
    assert [name for name in refs_read if name.startswith("refs/runs/MyFlow/")] == [
        "refs/runs/MyFlow/3", "refs/runs/MyFlow/4", "refs/runs/MyFlow/5",
    ]  # fmt: skip
    assert not index_of(repo).exists()
    refs_read.clear()
    assert len(listed(repo, limit=4)) == 4
    assert refs_read


def test_only_the_head_is_read_for_the_first_runs(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, certain: Callable[[], None]
) -> None:
    """Of blocks that are not needed no byte is."""
    monkeypatch.setattr(run_index, "RUNS_IN_A_BLOCK", 2)
    for _ in range(9):
        make_run(repo)
    certain()
    listed(repo)
    sizes: list[int] = []
    pread = os.pread

    def noting(file: int, size: int, place: int) -> bytes:
        sizes.append(size)
        return pread(file, size, place)

    monkeypatch.setattr(os, "pread", noting)
    assert [run.id for run, _ in listed(repo, limit=3)] == ["9", "8", "7"]
    with OpenIndex(index_of(repo)) as index:
        blocks = [len(block.data) for block in index.blocks()]
    assert len(blocks) > 2
    assert sizes[2:4] == blocks[:2]
    assert sizes[4] not in blocks[2:]  # the header again


def test_only_what_is_new_is_read(
    repo: GitRepo, certain: Callable[[], None], refs_read: list[str]
) -> None:
    """A commit never changes, so of the other runs nothing is asked."""
    for _ in range(3):
        make_run(repo)
    certain()
    listed(repo)
    make_run(repo)
    refs_read.clear()
    assert len(listed(repo)) == 4
    assert [it for it in refs_read if it != "all"] == ["refs/runs/MyFlow/4"]


def test_what_was_not_wanted_is_read_when_it_is(
    repo: GitRepo, certain: Callable[[], None], refs_read: list[str]
) -> None:
    """A list without parameters reads none; the next one with them does, and keeps them."""
    make_measured_run(repo, {"n": "1"}, {"m": 1})
    certain()
    table = table_of_runs(open_repo(repo), facts=False)
    assert table.facts(0) == NO_FACTS
    check(repo)
    refs_read.clear()
    assert [facts.metrics for _, facts in listed(repo)] == [{"m": 1}]
    assert refs_read == []


def test_what_a_killed_list_leaves_is_found(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor removes it, and lists are none the worse for it."""
    make_run(repo)
    monkeypatch.setenv("GITFLOWRUN_FAILPOINTS", "file.written=kill")
    assert repo.python("-m", "gitflowrun.cli.git_runs.main", "list").code != 0
    monkeypatch.delenv("GITFLOWRUN_FAILPOINTS")
    (left,) = index_of(repo).parent.glob("runs-*")
    os.utime(left, (0, 0))
    check(repo)
    assert left.name in repo.runs("doctor").out
    repo.runs("doctor", "--fix")
    assert not left.exists()


def test_rows_of_removed_runs_go(repo: GitRepo) -> None:
    """With the next list."""
    make_run(repo)
    make_run(repo)
    listed(repo)
    repo.git("update-ref", "-d", "refs/runs/MyFlow/2")
    listed(repo)
    with OpenIndex(index_of(repo)) as index:
        assert sum(block.count for block in index.blocks()) == 1
    assert b"MyFlow/2" not in index_of(repo).read_bytes()


def test_a_run_that_was_ended_is_seen(repo: GitRepo, certain: Callable[[], None]) -> None:
    """That it runs is asked each time, and not what the index was told."""
    from gitflowrun.names import RunId
    from gitflowrun.runs.locks import Locks

    make_run(repo, status=Status.RUNNING)
    certain()
    with Locks(open_repo(repo).state_dir).run(RunId("1")):
        assert [run.status for run, _ in listed(repo)] == [Status.RUNNING]
        assert [run.status for run, _ in listed(repo)] == [Status.RUNNING]
    assert [run.status for run, _ in listed(repo)] == [Status.INTERRUPTED]


def test_a_ref_that_was_changed_in_place_is_seen(
    repo: GitRepo, certain: Callable[[], None]
) -> None:
    """By whoever writes into the file of a ref, where git would replace it."""
    make_run(repo)
    make_run(repo)
    certain()
    assert len(listed(repo)) == 2
    first, second = (repo.git("rev-parse", f"runs/MyFlow/{number}") for number in "12")
    path = repo.path / ".git/refs/runs/MyFlow/2"
    before = path.read_text()
    path.write_text(f"{first}\n")
    certain()
    check(repo)
    path.write_text("garbage\n")
    certain()
    check(repo)
    assert [run.status.value for run, _ in listed(repo)] == ["damaged", "done"]
    path.write_text(before)
    certain()
    check(repo)
    assert second in {str(run.commit) for run, _ in listed(repo)}


def flipped(content: bytes, place: int) -> bytes:
    """The same with another byte at a place."""
    return content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :]


def test_a_damaged_index_costs_nothing_but_time(repo: GitRepo, certain: Callable[[], None]) -> None:
    """Whichever byte is another one, and wherever it ends."""
    for number in range(3):
        make_measured_run(repo, {"n": str(number)}, {"m": number})
    certain()
    expected = listed(repo)
    content = index_of(repo).read_bytes()
    places = random.Random(1).sample(range(len(content)), 20)
    for place in [*range(0, 60, 9), *places]:
        for damaged in (flipped(content, place), content[:place]):
            index_of(repo).write_bytes(damaged)
            assert listed(repo) == expected, place
    index_of(repo).write_bytes(content + b"more")
    assert listed(repo) == expected


@pytest.mark.parametrize("form", ["version", "types", "shape", "names"])
def test_an_index_that_somebody_made_is_refused(
    repo: GitRepo, certain: Callable[[], None], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Its checksum is right, and what is in it is not what this program writes."""
    make_measured_run(repo, {"n": "1"}, {"m": 1})
    certain()
    expected = listed(repo)
    with monkeypatch.context() as patched:
        if form == "version":
            patched.setattr(index_file, "_FORM", "another")
        index_of(repo).unlink()
        listed(repo)
    data = index_of(repo).read_bytes()
    if form != "version":
        changes = {
            "types": (b"\xa6MyFlow", b"\xc4\x05aFlow"), "shape": (b"\xa5shape", b"\xa5shapf"),
            "names": (b"\xa3p:n", b"\xa3p:q"),
        }  # fmt: skip
        data = resealed(data.replace(*changes[form]))
        index_of(repo).write_bytes(data)
    assert listed(repo) == expected


def resealed(data: bytes) -> bytes:
    """An index with the checksums of what is in it."""
    from gitflowrun import msgpack

    length = int.from_bytes(data[8:12], "big")
    form, values, places = msgpack.unpack_message(data[16 : 16 + length])
    blocks = data[16 + length :]
    for place in places:
        place[1] = min(place[1], len(blocks) - place[0])
        place[2] = zlib.crc32(blocks[place[0] : place[0] + place[1]])
    head = msgpack.pack_message([form, values, places])
    start = data[:8] + len(head).to_bytes(4, "big") + zlib.crc32(head).to_bytes(4, "big")
    return start + head + blocks


def test_an_index_of_another_repository_is_not_used(
    tmp_path: Path, certain: Callable[[], None]
) -> None:
    """Nor one that came along with a copy of the whole directory."""
    one, other = make_repo(tmp_path / "one"), make_repo(tmp_path / "other")
    make_measured_run(one, {"n": "1"}, {})
    make_measured_run(other, {"n": "2"}, {})
    certain()
    listed(one)
    listed(other)
    shutil.copy2(index_of(one), index_of(other))
    check(other)
    copy = GitRepo(tmp_path / "copy")
    shutil.copytree(one.path, copy.path)
    copy.git("update-ref", "-d", "refs/runs/MyFlow/1")
    check(copy)
    assert listed(copy) == []


@pytest.mark.parametrize("kind", ["directory", "link", "second name", "pipe"])
def test_what_lies_in_its_place_is_not_used(
    repo: GitRepo, certain: Callable[[], None], kind: str
) -> None:
    """Lists go on without it where it can't be replaced."""
    make_run(repo)
    certain()
    expected = listed(repo)
    path = index_of(repo)
    kept = path.rename(repo.path / "kept")
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(kept)
    elif kind == "second name":
        os.link(kept, path)
    else:
        os.mkfifo(path)
    if kind == "link":  # of what is ours none is followed
        path.unlink()
    assert listed(repo) == expected
    assert listed(repo) == expected


def test_where_nothing_can_be_written(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are read from git each time, and nothing is said of it."""
    make_run(repo)
    expected = read(repo)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gitflowrun.runs.lookup.own_file.make_directory", refuse)
    assert listed(repo) == listed(repo, limit=1) == expected
    assert not index_of(repo).exists()


def test_a_write_that_fails_leaves_nothing(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half an index nor a temporary file."""
    make_run(repo)
    monkeypatch.setenv("GITFLOWRUN_FAILPOINTS", "file.written=ENOSPC")
    done = repo.python("-m", "gitflowrun.cli.git_runs.main", "list", "-z")
    assert (done.code, done.out) == (0, "MyFlow/1\0")
    assert [it.name for it in index_of(repo).parent.glob("runs-*")] == []


def test_what_changes_while_it_is_read(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, certain: Callable[[], None]
) -> None:
    """A run that comes while refs are read is in the next list, though this one knew nothing of it."""
    make_run(repo)
    certain()
    below = Refs.plain_below

    def late(refs: Refs, *words: Any) -> dict[str, str] | None:
        found = below(refs, *words)
        monkeypatch.setattr(Refs, "plain_below", below)
        make_run(repo)
        return found

    monkeypatch.setattr(Refs, "plain_below", late)
    assert len(listed(repo)) == 1
    certain()
    check(repo)
    assert len(listed(repo)) == 2


def test_two_lists_at_once(repo: GitRepo, certain: Callable[[], None]) -> None:
    """Each writes an index of its own in the place of the other's, and both are right."""
    make_run(repo)
    certain()
    index = run_index._Index(open_repo(repo))
    with index._begun("runs") as new:
        make_run(repo)
        certain()
        assert len(listed(repo)) == 2
        order = run_index._Order(by_time=False, highest=1)
        assert new is not None
        index._publish(new, [], order)  # what the other has read before the second run was there
    check(repo)


def test_numbers_that_fit_nowhere_are_listed_all_the_same(
    repo: GitRepo, certain: Callable[[], None]
) -> None:
    """What anybody's message says of its run must not keep others out of the index, nor be cut."""
    make_run(repo)
    make_run(repo)
    text = repo.git("cat-file", "commit", "runs/MyFlow/1").replace(
        "\nTasks: ", f"\nTasks: {10**30}"
    )
    forged = repo.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode() + b"\n")
    repo.git("update-ref", "refs/runs/MyFlow/7", forged)
    certain()
    check(repo)
    tasks = {str(run.id): run.state.tasks for run, _ in listed(repo) if isinstance(run, RunSummary)}
    assert tasks["7"] >= 10**30


def test_a_run_from_the_future_is_not_the_newest_for_ever(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, certain: Callable[[], None]
) -> None:
    """Where runs are sorted by time its time counts as soon as it has come, whenever the index was written."""
    make_run(repo)
    make_run(repo)
    text = repo.git("cat-file", "commit", "runs/MyFlow/1")
    year = time.gmtime().tm_year
    text = text.replace(f"\nStarted: {year}", f"\nStarted: {year + 10}")
    forged = repo.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode() + b"\n")
    repo.git("update-ref", "refs/runs/MyFlow/1", forged)
    repo.git("update-ref", "refs/runs-remotes/0123456789abcdef/MyFlow/7", forged)
    certain()
    check(repo)
    assert [run.id for run, _ in listed(repo)] == ["2", "1"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 11 * 366 * 86_400)
    check(repo)
    assert [run.id for run, _ in listed(repo)] == ["1", "2"]
    check(repo)


def test_very_many_names_fill_no_memory(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, certain: Callable[[], None]
) -> None:
    """Runs that have no name in common lie in blocks of their own, where most cells of one block would be empty."""
    monkeypatch.setattr(run_index, "CELLS_IN_A_BLOCK", 20)
    for number in range(4):
        make_measured_run(repo, {}, {f"m{number}{place}": place for place in range(6)})
    certain()
    check(repo)
    with OpenIndex(index_of(repo)) as index:
        assert [block.count for block in index.blocks()] == [1, 1, 1, 1]


def test_modes_of_a_shared_repository(repo: GitRepo, certain: Callable[[], None]) -> None:
    """What others must write to they can, and the index is its user's alone."""
    make_run(repo)
    repo.git("config", "core.sharedRepository", "group")
    shutil.rmtree(index_of(repo).parent)
    certain()
    check(repo)
    assert index_of(repo).parent.stat().st_mode & 0o2070 == 0o2070
    assert index_of(repo).stat().st_mode & 0o077 == 0


def test_what_is_from_the_future_keeps_no_index_from_holding(
    repo: GitRepo, certain: Callable[[], None], refs_read: list[str]
) -> None:
    """Nobody's run makes everybody's lists slow by saying that it will start in ten years."""
    make_run(repo)
    text = repo.git("cat-file", "commit", "runs/MyFlow/1")
    year = time.gmtime().tm_year
    text = text.replace(f"\nStarted: {year}", f"\nStarted: {year + 10}")
    forged = repo.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode() + b"\n")
    repo.git("update-ref", "refs/runs/MyFlow/1", forged)
    make_run(repo)
    certain()
    listed(repo)
    refs_read.clear()
    assert [run.id for run, _ in listed(repo)] == ["2", "1"]
    assert refs_read == []


def test_tables_hold_what_was_put_in(repo: GitRepo) -> None:
    """Every type comes back as it was, and what a run lacks is not there."""
    values: dict[str, Any] = {
        "a": True,
        "b": 1,
        "c": 1.0,
        "d": -0.0,
        "e": None,
        "f": "text",
        "g": 2**63 - 1,
    }
    make_measured_run(repo, {"x": "1"}, values)
    make_measured_run(repo, {}, {"a": 1})
    table: RunTable = table_of_runs(open_repo(repo))
    assert {name: repr(it) for name, it in table.facts(1).metrics.items()} == {
        name: repr(it) for name, it in values.items()
    }
    assert repr(table.metric("a")) == "[1, True]"
    assert repr(table.metric("b")) == "[ABSENT, 1]"
    assert table.metric_texts("b") == ["", "1"]
    assert table.parameter("x") == [None, "1"]
    assert table.take([1]).metric_names == [*values]
