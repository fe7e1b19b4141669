"""Tags that are changed here while a push sends them, or after one that was killed: what was said last holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from gitflowrun.errors import RepositoryError
from gitflowrun.git.transport.remote import Remote
from gitflowrun.names import RunId
from gitflowrun.porcelain.deletion.copies import Copies, remove_there
from gitflowrun.porcelain.deletion.trash import Trash
from gitflowrun.porcelain.transfer import fetch as fetching
from gitflowrun.porcelain.transfer import push as pushing
from gitflowrun.porcelain.transfer import sending
from gitflowrun.runs.runs import RunStore
from tests.helpers.clones import add_tag, get, ids, refs, send, tags
from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run, open_repo, store_of

if TYPE_CHECKING:
    from pathlib import Path


class _Killed(BaseException):
    """The push ends where it is."""


@contextlib.contextmanager
def _at(
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[], object],
    *,
    killed: bool = False,
) -> Iterator[None]:
    """Do something once a push or fetch has come to a place; it may end there."""
    module = fetching if place.startswith("fetch") else pushing

    def reached(name: str) -> None:
        if name == place:
            monkeypatch.setattr(module, "reached", lambda _: None)
            meanwhile()
            if killed:
                raise _Killed

    monkeypatch.setattr(module, "reached", reached)
    with contextlib.suppress(_Killed):
        yield


def _does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SENDING_PATIENCE", 0.0)


def _die_before_it_sends(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that is killed when it is about to send the first change of tags."""

    def die(_remote: object, changes: list[object], **_options: object) -> list[object]:
        if changes:
            raise _Killed
        return changes

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "push", die)
        with pytest.raises(_Killed):
            send(repo)


def _files(repo: GitRepo) -> list[Path]:
    """What pushes that died have left."""
    return [*(repo.path / ".git/gitflowrun/sending").glob("*-*")]


def _remove(repo: GitRepo, address: str) -> None:
    repository = open_repo(repo)
    Trash(repository).put([RunStore(repository).find(address)])


def _restore(repo: GitRepo, word: str) -> None:
    trash = Trash(open_repo(repo))
    trash.restore(trash.find_all([word]))


@pytest.mark.parametrize("exchange", [get, send])
@pytest.mark.sample(1)
def test_another_that_merges_tags_meanwhile(
    ada: GitRepo,
    server: GitRepo,
    monkeypatch: pytest.MonkeyPatch,
    exchange: Callable[[GitRepo], object],
) -> None:
    """It waits, and then says for whom, and how to go on; nothing it would have noted is lost."""
    make_run(ada, tags=["good"])
    send(ada)
    add_tag(ada, "MyFlow/1", "more")
    _does_not_wait(monkeypatch)
    said: list[RepositoryError] = []

    def meanwhile() -> None:
        add_tag(ada, "MyFlow/1", "good", remove=True)
        with pytest.raises(RepositoryError, match="has been exchanging tags with origin") as error:
            exchange(ada)
        said.append(error.value)

    with _at("push.tagged", monkeypatch, meanwhile):
        send(ada)
    assert "kill -CONT" in str(said[0].hint)
    assert tags(server) == {"MyFlow/1": ("good", "more")}
    get(ada)
    assert tags(ada) == {"MyFlow/1": ("more",)}
    send(ada)
    assert tags(server) == {"MyFlow/1": ("more",)}


def test_a_run_that_is_removed_there_while_a_push_sends_tags(
    ada: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays, and why is told: no tags are made there for a run that is gone."""
    make_run(ada)
    send(ada)
    add_tag(ada, "MyFlow/1", "good")
    _does_not_wait(monkeypatch)
    copies = Copies(open_repo(ada)).of({store_of(ada).get("MyFlow", RunId("1")).identity.uid})
    said: list[str] = []

    def meanwhile() -> None:
        said.extend(it.reason for it in remove_there(open_repo(ada), copies, {})[0])

    with _at("push.tagged", monkeypatch, meanwhile):
        send(ada)
    assert "has been exchanging tags with origin" in said[0]
    assert ids(server).keys() == {"MyFlow/1"}


def test_a_run_that_was_removed_there_before_a_push_sends_its_tags(
    ada: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No tag is made there without its run; the next push sends both."""
    make_run(ada)
    send(ada)
    add_tag(ada, "MyFlow/1", "good")
    copies = Copies(open_repo(ada)).of({store_of(ada).get("MyFlow", RunId("1")).identity.uid})

    def meanwhile() -> None:
        assert [it.reason for it in remove_there(open_repo(ada), copies, {})[0]] == [""]

    with _at("push.noted", monkeypatch, meanwhile):
        send(ada)
    assert refs(server) == {}
    send(ada)
    assert tags(server) == {"MyFlow/1": ("good",)}


def test_who_is_waited_for_is_told(ada: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, with the process; and when that has ended, the other one goes on."""
    make_run(ada, tags=["good"])
    repository = open_repo(ada)
    one, other = sending.Sending(repository, "x"), sending.Sending(repository, "x")
    monkeypatch.setattr(sending, "SENDING_QUIET", 0.0)
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(one.alone("origin", None))
        assert one.turn() != one.turn()

        def on_wait(words: str) -> None:
            said.append(words)
            stack.close()

        with other.alone("origin", on_wait):
            pass
    assert one.turn() == one.turn()
    (words,) = said
    assert words.startswith("waiting for process ")


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.sample(1)
def test_a_tag_that_is_removed_meanwhile(
    ada: GitRepo, bob: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """It comes back by no fetch, and goes from the remote by the next push; after a kill it is there once more."""
    make_run(ada)
    send(ada)
    add_tag(ada, "MyFlow/1", "good", "stays")

    def meanwhile() -> None:
        add_tag(ada, "MyFlow/1", "good", remove=True)

    with _at("push.tagged", monkeypatch, meanwhile, killed=killed):
        send(ada)
    assert get(ada).tags_added == int(killed)  # nobody knows whether somebody else has made it
    if killed:
        add_tag(ada, "MyFlow/1", "good", remove=True)
    assert tags(ada) == {"MyFlow/1": ("stays",)}
    send(ada)
    assert tags(server) == {"MyFlow/1": ("stays",)}
    get(bob)
    assert (tags(bob), _files(ada)) == ({"MyFlow/1": ("stays",)}, [])


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("exchange", [get, send])
@pytest.mark.sample(1)
def test_a_tag_that_is_made_again_meanwhile(
    ada: GitRepo,
    server: GitRepo,
    monkeypatch: pytest.MonkeyPatch,
    killed: bool,
    exchange: Callable[[GitRepo], object],
) -> None:
    """It does not look like one that somebody has removed there: no fetch takes it away, and a push sends it."""
    make_run(ada, tags=["good"])
    send(ada)
    add_tag(ada, "MyFlow/1", "good", remove=True)

    def meanwhile() -> None:
        add_tag(ada, "MyFlow/1", "good")

    with _at("push.tagged", monkeypatch, meanwhile, killed=killed):
        send(ada)
    assert len(_files(ada)) == int(killed)
    exchange(ada)
    assert tags(ada) == {"MyFlow/1": ("good",)}
    send(ada)
    assert (tags(server), _files(ada)) == ({"MyFlow/1": ("good",)}, [])


@pytest.mark.parametrize("place", ["push.noted", "fetch.moved"])
@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.sample(1)
def test_tags_that_others_exchange_since_the_remote_was_seen(
    ada: GitRepo,
    bob: GitRepo,
    server: GitRepo,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    is_there: bool,
) -> None:
    """Who has seen less than others of this clone looks again, also where all is noted as it was."""
    make_run(ada, tags=[] if is_there else ["good"])
    send(ada)
    get(bob)
    add_tag(bob, "MyFlow/1", "good", remove=not is_there)
    send(bob)
    is_push = place.startswith("push")

    def meanwhile() -> None:
        get(ada)
        add_tag(ada, "MyFlow/1", "good", remove=is_there)
        send(ada)
        if is_push:
            add_tag(ada, "MyFlow/1", "good", remove=not is_there)

    with _at(place, monkeypatch, meanwhile):
        (send if is_push else get)(ada)
    expected = {"MyFlow/1": ("good",)} if is_push is is_there else {}
    assert tags(ada) == expected
    get(ada)
    send(ada)
    assert (tags(ada), tags(server)) == (expected, expected)


def test_a_fetch_beside_a_fetch(
    ada: GitRepo, bob: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has seen the remote before a colleague tagged does not take the tag away that the other one brought."""
    make_run(ada)
    send(ada)
    get(bob)

    def meanwhile() -> None:
        add_tag(bob, "MyFlow/1", "good")
        send(bob)
        get(ada)

    with _at("fetch.moved", monkeypatch, meanwhile):
        assert get(ada).tags_removed == 0
    send(ada)
    assert (tags(ada), tags(server)) == ({"MyFlow/1": ("good",)}, {"MyFlow/1": ("good",)})


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.sample(1)
def test_a_push_that_was_killed_before_it_sent(
    ada: GitRepo, bob: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    """What it was about to do counts for nothing, once the remote was looked at: others' tags come, and stay."""
    make_run(ada, tags=["good"] if removed else [])
    send(ada)
    get(bob)
    add_tag(ada, "MyFlow/1", "good", remove=removed)
    _die_before_it_sends(ada, monkeypatch)
    add_tag(ada, "MyFlow/1", "good", remove=not removed)
    get(ada)
    assert _files(ada) == []
    add_tag(bob, "MyFlow/1", "other")
    if not removed:
        add_tag(bob, "MyFlow/1", "good")
    send(bob)
    get(ada)
    assert tags(ada) == {"MyFlow/1": ("good", "other")}
    send(ada)
    assert tags(server) == {"MyFlow/1": ("good", "other")}


def test_a_colleague_makes_the_tag_that_a_killed_push_had_not_sent(
    ada: GitRepo, bob: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the colleague's: it comes, and no push of ours removes it."""
    make_run(ada)
    send(ada)
    get(bob)
    add_tag(ada, "MyFlow/1", "good")
    _die_before_it_sends(ada, monkeypatch)
    add_tag(ada, "MyFlow/1", "good", remove=True)
    add_tag(bob, "MyFlow/1", "good")
    send(bob)
    get(ada)
    send(ada)
    get(bob)
    good = {"MyFlow/1": ("good",)}
    assert (tags(ada), tags(server), tags(bob)) == (good, good, good)


def test_a_killed_push_removes_when_it_is_done_again(
    ada: GitRepo, server: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tag whose removal was not sent does not come back."""
    make_run(ada, tags=["good", "stays"])
    send(ada)
    add_tag(ada, "MyFlow/1", "good", remove=True)
    _die_before_it_sends(ada, monkeypatch)
    assert get(ada).tags_added == 0
    send(ada)
    assert (tags(ada), tags(server)) == ({"MyFlow/1": ("stays",)}, {"MyFlow/1": ("stays",)})


@pytest.mark.parametrize("exchange", [get, send])
@pytest.mark.sample(1)
def test_a_tag_that_is_removed_after_its_run_was_restored(
    ada: GitRepo, server: GitRepo, exchange: Callable[[GitRepo], object]
) -> None:
    """The next push removes it there, whatever was exchanged while the run was in the trash."""
    make_run(ada, tags=["good"])
    send(ada)
    _remove(ada, "MyFlow/1")
    exchange(ada)
    _restore(ada, "1")
    add_tag(ada, "MyFlow/1", "good", remove=True)
    assert send(ada).tags_removed == 1
    get(ada)
    assert (tags(ada), tags(server)) == ({}, {})


@pytest.mark.parametrize("exchange", [get, send])
@pytest.mark.sample(1)
def test_a_tag_that_is_removed_there_while_its_run_is_in_the_trash(
    ada: GitRepo, bob: GitRepo, server: GitRepo, exchange: Callable[[GitRepo], object]
) -> None:
    """The first fetch after the run was restored removes it; no push makes it again."""
    make_run(ada, tags=["good"])
    send(ada)
    get(bob)
    _remove(ada, "MyFlow/1")
    add_tag(bob, "MyFlow/1", "good", remove=True)
    send(bob)
    exchange(ada)
    _restore(ada, "1")
    send(ada)
    assert get(ada).tags_removed == 1
    assert (tags(ada), tags(server)) == ({}, {})


def test_a_run_in_the_trash_that_is_fetched_by_name(ada: GitRepo, server: GitRepo) -> None:
    """It comes with its tags, and they stay where they are: nobody has removed them."""
    make_run(ada, tags=["good"])
    send(ada)
    _remove(ada, "MyFlow/1")
    get(ada)
    fetching.fetch(open_repo(ada), "origin", ["MyFlow/1"])
    assert tags(ada) == {"MyFlow/1": ("good",)}
    send(ada)
    assert tags(server) == {"MyFlow/1": ("good",)}


def test_a_tag_that_was_removed_before_its_run_and_there(
    ada: GitRepo, bob: GitRepo, server: GitRepo
) -> None:
    """Both have dropped it: who makes it again keeps it when the run comes back without."""
    make_run(ada, tags=["good", "stays"])
    send(ada)
    get(bob)
    add_tag(ada, "MyFlow/1", "good", remove=True)
    _remove(ada, "MyFlow/1")
    add_tag(bob, "MyFlow/1", "good", remove=True)
    send(bob)
    get(ada)
    add_tag(bob, "MyFlow/1", "good")
    send(bob)
    _restore(ada, "1")
    send(ada)
    assert tags(server) == {"MyFlow/1": ("good", "stays")}


def test_files_of_nobody_and_of_others(ada: GitRepo, server: GitRepo) -> None:
    """What lies there that can't be read, or is not a file of ours, keeps nobody from anything."""
    make_run(ada, tags=["good"])
    send(ada)
    label = next(iter((ada.path / ".git/refs/runs-remotes").iterdir())).name
    folder = ada.path / ".git/gitflowrun/sending"
    (folder / f"{label}-1").write_bytes(
        b"12\n\nno line\n- \xff\nzz refs/runs/@tags/MyFlow/good/1\n-"
    )
    (folder / f"{label}-2").mkdir()
    (folder / "other-1").write_text("- refs/runs/@tags/MyFlow/good/1\n")
    (folder / f"{label}.turn").write_bytes(b"\xff" * 1_000)
    get(ada)
    send(ada)
    assert (tags(ada), tags(server)) == ({"MyFlow/1": ("good",)}, {"MyFlow/1": ("good",)})
    assert {it.name for it in _files(ada)} == {f"{label}-2", "other-1"}


@pytest.mark.parametrize("command", ["push", "fetch"])
@pytest.mark.sample(1)
def test_what_a_killed_push_has_left_and_nobody_can_read(ada: GitRepo, command: str) -> None:
    """Without it what was sent looks like what others have done: nothing is merged, and the file is named."""
    make_run(ada, tags=["good"])
    send(ada)
    label = Remote(open_repo(ada), "origin").label
    path = ada.path / f".git/gitflowrun/sending/{label}-removed"
    path.mkdir()
    done = ada.call(command, "origin")
    assert done.code == 128
    assert str(path) in done.err
    path.rmdir()
    assert ada.call(command, "origin").code == 0
