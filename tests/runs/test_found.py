"""Payloads that were found stored, and whose only ref goes before, or while, somebody publishes them again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gitflowrun.artifacts.dedup import DedupIndex
from gitflowrun.errors import RepositoryError
from gitflowrun.git.ref_update import Refs
from gitflowrun.git.repository import Repository
from gitflowrun.runs.maintenance import ensure_dedup_index
from gitflowrun.runs.runs import Status
from gitflowrun.runs.write import RunWriter
from tests.helpers.clones import refs
from tests.helpers.packs import blob, noise
from tests.helpers.repacks import add_bulk, missing, stopped_while_writing
from tests.helpers.repos import GitRepo
from tests.helpers.runs import digest, finished_task, open_repo, start_run, with_packs

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
