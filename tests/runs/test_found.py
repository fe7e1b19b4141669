"""Payloads, code and tasks that were found here, and whose only ref goes before, or while, a run relies on them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.git.objects import Oid
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.create import create_run
from gitflowrun.runs.found import FoundObjects, Reliance
from gitflowrun.runs.maintenance import ensure_dedup_index
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runs.write import RunWriter
from tests.helpers.clones import refs
from tests.helpers.packs import blob, noise
from tests.helpers.repacks import add_bulk, ids_of_packs, missing, stopped_while_writing
from tests.helpers.repos import GitRepo
from tests.helpers.runs import digest, draft, finished_task, open_repo, start_run, with_packs

PAYLOAD = noise(100_000, 7)
REF = "refs/runs/F/1"


@pytest.fixture
def repository(repo: GitRepo) -> Repository:
    """A repository in which run 1 has stored the payload."""
    opened = open_repo(repo)
    ensure_dedup_index(opened)
    with start_run(repo, "F") as run:
        pack = opened.packs.write([blob(PAYLOAD)])
        run.commit([with_packs(finished_task(run.identity, "start/1", {"x": PAYLOAD}), pack.name)])
    return opened


def _find(repository: Repository) -> None:
    index = DedupIndex(repository.state_dir, repository.objects)
    assert index.lookup([digest(PAYLOAD)])


def _use(run: RunWriter, task: str = "start/1") -> None:
    run.commit([with_packs(finished_task(run.identity, task, {"x": PAYLOAD}))])


def _delete(repo: GitRepo) -> None:
    repo.git("update-ref", "-d", REF)


def _remove(repo: GitRepo) -> None:
    assert repo.call("rm", "--force", "F/1").code == 0
    trash = next(ref for ref in refs(repo, "refs/runs-trash/") if ref.endswith("/F/1"))
    repo.git("update-ref", "-d", trash)


def _replace(repo: GitRepo) -> None:
    """As when an older copy of the run took its place."""
    repo.git("update-ref", REF, f"{REF}~")


def _packs(repository: Repository) -> int:
    return len(list(repository.packs.pack_dir.glob("*.pack")))


def _before_move(monkeypatch: pytest.MonkeyPatch, before: Callable[[], object]) -> None:
    move = Refs.transaction

    def patched(*args: object) -> None:
        monkeypatch.undo()
        before()
        move(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Refs, "transaction", patched)


@pytest.mark.parametrize("gone", [_delete, _remove, _replace])
@pytest.mark.sample(1)
def test_a_repack_that_began_before_leaves_what_lost_its_run(
    repo: GitRepo,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    gone: Callable[[GitRepo], None],
) -> None:
    """What no ref reached when it began is stored once more by who relies on it, before that can be seen."""
    add_bulk(repo, 1 << 20)
    gone(repo)
    with start_run(repo, "F") as run:
        _find(repository)
        beside = stopped_while_writing(repo, "repack", "-a", "-d", "-f")
        beside.__enter__()
        _before_move(monkeypatch, lambda: beside.__exit__(None, None, None))
        _use(run)
        assert missing(repo) == []
        _use(run, "train/1")
        run.commit([], status=Status.DONE)
    assert repo.call("fsck", "--read-data").code == 0


@pytest.mark.parametrize("command", [("repack", "-a", "-d", "-f"), ("gc", "--prune=now")])
def test_a_ref_that_goes_as_ours_moves_is_noticed(
    repo: GitRepo,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    """The run goes, and a repack begins, after the last look and before the ref moves; what nothing held is copied."""
    add_bulk(repo, 1 << 20)
    with start_run(repo, "F") as run:
        _find(repository)
        beside = stopped_while_writing(repo, *command)

        def meanwhile() -> None:
            _delete(repo)
            beside.__enter__()

        _before_move(monkeypatch, meanwhile)
        _use(run)
        beside.__exit__(None, None, None)
    assert missing(repo) == []
    assert repo.call("fsck", "--read-data").code == 0


def test_what_is_gone_as_the_ref_moves_is_not_acknowledged(
    repo: GitRepo, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it can't be copied any more, the ref is where it was; stored anew, the same task is taken."""
    with start_run(repo, "F") as run:
        _find(repository)
        before = refs(repo)

        def meanwhile() -> None:
            _delete(repo)
            repo.git("gc", "-q", "--prune=now")

        _before_move(monkeypatch, meanwhile)
        with pytest.raises(RepositoryError, match="was removed with that run"):
            _use(run)
        assert refs(repo) == {name: oid for name, oid in before.items() if name != REF}
        assert not list(repository.packs.pack_dir.glob("*.keep"))
        pack = repository.packs.write([blob(PAYLOAD)])
        run.commit([with_packs(finished_task(run.identity, "start/1", {"x": PAYLOAD}), pack.name)])
    repo.fsck()


def test_what_a_run_holds_is_not_copied(repo: GitRepo, repository: Repository) -> None:
    """A hit costs nothing; the newest run that shares a payload is asked, so older ones may go."""
    for gone in (None, REF):
        if gone:
            repo.git("update-ref", "-d", gone)
        with start_run(repo, "F") as run:
            before = _packs(repository)
            _use(run)
            assert _packs(repository) == before + 1


def test_what_an_earlier_attempt_holds_is_not_copied(repo: GitRepo, repository: Repository) -> None:
    """Its payloads lie beside those of the attempts after it."""
    repo.git("update-ref", "-d", REF)
    with start_run(repo, "F") as run:
        pack = repository.packs.write([blob(PAYLOAD)])
        first = finished_task(run.identity, "start/1", {"x": PAYLOAD}, ok=False, again=True)
        run.commit([with_packs(first, pack.name)])
        run.commit([finished_task(run.identity, "start/1", attempt=1)])
    with start_run(repo, "F") as run:
        before = _packs(repository)
        _use(run)
        assert _packs(repository) == before + 1


def test_what_no_index_knows_the_run_of_is_copied(repo: GitRepo, repository: Repository) -> None:
    """An index that is lost between the hit and the commit leaves nobody to ask."""
    with start_run(repo, "F") as run:
        _find(repository)
        DedupIndex(repository.state_dir, repository.objects).remove()
        _delete(repo)
        add_bulk(repo, 1 << 20)
        with stopped_while_writing(repo, "repack", "-a", "-d", "-f"):
            _use(run)
    assert missing(repo) == []


@pytest.fixture
def lost_code(repo: GitRepo) -> GitRepo:
    """A repository with untracked files that it has in a pack, for nothing: they were staged, packed and taken back."""
    add_bulk(repo, 1 << 20)
    for name in ("sub/one", "sub/two", "three"):
        repo.write(name, f"{name}\n")
    repo.git("add", "-A")
    repo.git("write-tree")
    repo.git("repack", "-a", "-d", "-q")
    repo.git("reset", "-q")
    return repo


def test_code_that_no_ref_reaches_is_recorded_anew(lost_code: GitRepo) -> None:
    """A repack that began before, and ends after the run has begun, leaves what it has found in a pack."""
    with stopped_while_writing(lost_code, "repack", "-a", "-d", "-f"):
        run = start_run(lost_code, "F")
    run.close()
    assert missing(lost_code) == []
    lost_code.fsck()


def _copied(repo: GitRepo) -> int:
    """How many objects a run adds beside its own: two commits, two root trees, INFO."""
    before = ids_of_packs(open_repo(repo).packs.pack_dir)
    start_run(repo, "F").close()
    after = ids_of_packs(open_repo(repo).packs.pack_dir)
    return sum(len(after[name]) for name in after.keys() - before.keys()) - 5


def test_code_that_the_last_run_has_is_not_copied(lost_code: GitRepo) -> None:
    """Of what has changed since, only what is not in its place there is; nothing if nothing has."""
    assert _copied(lost_code) == 5  # three files and two trees
    assert _copied(lost_code) == 0
    lost_code.write("sub/one", "changed\n")
    assert _copied(lost_code) == 3
    lost_code.write("sub/one", "sub/one\n")
    assert _copied(lost_code) == 3  # found, and in the run before last alone
    assert _copied(lost_code) == 0
    for run in ("1", "3", "4", "5"):
        lost_code.git("update-ref", "-d", f"refs/runs/F/{run}")
    with stopped_while_writing(lost_code, "repack", "-a", "-d", "-f"):
        start_run(lost_code, "F").close()
    assert missing(lost_code) == []


@pytest.mark.parametrize(
    "content", [b"", b"refs/heads/main", b"refs/runs/F/9", b"\xff" * 9, b"x" * 2000]
)
@pytest.mark.sample(3)
def test_whatever_the_note_on_code_says_nothing_is_lost(lost_code: GitRepo, content: bytes) -> None:
    """It is a cache: what it names is looked at."""
    start_run(lost_code, "F").close()
    (lost_code.path / ".git" / "gitflowrun" / "code-in").write_bytes(content)
    assert _copied(lost_code) == 5


@pytest.mark.parametrize("when", ["before", "as the ref moves"])
def test_tasks_of_a_run_that_goes_are_copied(
    repo: GitRepo, repository: Repository, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A resumed run is whole whatever becomes of its origin while it begins."""
    add_bulk(repo, 1 << 20)
    origin = RunStore(repository).get("F", RunId("1"))
    names = [TaskName("start", "1")]
    beside = stopped_while_writing(repo, "repack", "-a", "-d", "-f")

    def gone() -> None:
        _delete(repo)
        beside.__enter__()

    def adopt(writer: RunWriter) -> list[FinishedTask]:
        writer.adopt(origin, names, [])
        if when == "before":
            gone()
        else:
            _before_move(monkeypatch, gone)
        return []

    create_run(repository, draft("F"), take_snapshot(repository), adopt).close()
    beside.__exit__(None, None, None)
    assert missing(repo) == []
    assert repo.call("fsck", "--read-data").code == 0


def test_an_origin_that_goes_on_keeps_its_tasks(repo: GitRepo, repository: Repository) -> None:
    """Nothing is copied where it has only got further."""
    with start_run(repo, "G") as first:
        _use(first)
        origin = RunStore(repository).get("G", RunId("2"))
        first.commit([], status=Status.DONE)

    def adopt(writer: RunWriter) -> list[FinishedTask]:
        writer.adopt(origin, [TaskName("start", "1")])
        return []

    before = _packs(repository)
    create_run(repository, draft("G"), take_snapshot(repository), adopt).close()
    assert _packs(repository) == before + 1


def test_packs_of_a_copy_that_fails_are_not_kept(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied before something was found to be gone is git's to drop."""
    monkeypatch.setattr("gitflowrun.runs.found.COPIED_AT_ONCE", 1)
    pack = repository.packs.write([blob(b"here")])
    repository.packs.release([pack.name])
    before = _packs(repository)
    found = Reliance(frozenset({*pack.oids, Oid(bytes(20))}), None, lambda _: ())
    with pytest.raises(RepositoryError, match="was removed with that run"):
        FoundObjects(repository, [found]).copy_unheld()
    assert _packs(repository) == before + 1
    assert not list(repository.packs.pack_dir.glob("*.keep"))


def test_what_is_damaged_keeps_nothing() -> None:
    """A ref that can't be read, or a commit; what is at the commit that was seen is held as it was."""

    def fail(*_: object) -> Collection[Oid]:
        raise CorruptRecord("it is damaged")

    oid, other = Oid(b"1" * 20), Oid(b"2" * 20)
    refs = SimpleNamespace(get=fail)
    found = FoundObjects(cast("Any", SimpleNamespace(refs=refs)), ())
    assert found._tip("refs/runs/F/1") is found._tip(None) is None
    refs.get = lambda _: oid
    assert (found._tip("refs/runs/F/1"), found._tip(None)) == (oid, None)
    reliance = cast("Any", SimpleNamespace(oids={oid, other}, held=lambda tip: {tip}))
    assert found._held(reliance, oid, oid) == {oid, other}
    assert found._held(reliance, oid, other) == found._held(reliance, oid, None) == {oid}
    reliance.held = fail
    assert [*found._held(reliance, oid, other)] == []
