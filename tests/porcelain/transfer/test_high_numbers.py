"""Runs with numbers far from ours: made up by somebody, or honest ones of a clone that has counted for years."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from gitflowrun.porcelain.transfer.sync import Outcome
from tests.helpers.clones import get, outcomes, refs, send
from tests.helpers.runs import make_run, store_of
from tests.security import forge

if TYPE_CHECKING:
    from tests.helpers.repos import GitRepo

_AHEAD = 1_000_000


def put(server: GitRepo, *numbers: int) -> dict[int, str]:
    """Let the server have runs with these numbers; the beginnings of their uids."""
    writer = forge.Forge(server)
    made = {it: writer.write(forge.Forgery(forge.info("Far", str(it)))) for it in numbers}
    return {number: run.first[:7] for number, run in made.items()}


def names(repo: GitRepo) -> set[str]:
    """The ids of all runs here."""
    return {str(run) for _, run in store_of(repo).names()}


def test_a_number_far_above_ours_comes_with_its_uid(server: GitRepo, bob: GitRepo) -> None:
    """More than a million above the last number given, it arrives as `<number>-<uid7>` and never counts.

    It is found by its number, and known again by the next fetch and push.
    """
    assert str(make_run(bob).id) == "1"
    uids = put(server, 1 + _AHEAD, 2 + _AHEAD, 999_999_999_999)
    told = bob.call("fetch", "origin").out.split("\n")
    name = f"999999999999-{uids[999999999999]}"
    assert " * [new run]   Far/1000001" in told
    assert (
        f" * [new run]   Far/999999999999 -> Far/{name}  (999999999999 is far above the numbers here)"
    ) in told
    there = {"1", "1000001", f"1000002-{uids[1000002]}", name}
    assert names(bob) == there
    assert str(store_of(bob).find("999999999999").identity.uid)[:7] == uids[999_999_999_999]
    assert str(make_run(bob).id) == "1000002"  # though 1000002 is at hand with a uid
    assert outcomes(get(bob)) == 3 * [Outcome.CURRENT]
    before = refs(server)
    assert {*outcomes(send(bob))} == {Outcome.CURRENT, Outcome.NEW}
    assert before.items() < refs(server).items()
    assert str(make_run(bob).id) == "1000003"
    bob.fsck()


@pytest.mark.parametrize("how", ["fetched by us", "fetched by git"])
@pytest.mark.parametrize("gone", ["gitflowrun", "gitflowrun-mark", "gitflowrun*"])
@pytest.mark.sample(1)
def test_ours_go_on_whatever_is_deleted(server: GitRepo, bob: GitRepo, how: str, gone: str) -> None:
    """No file that is deleted lets a made-up number count, and a run that begins then has a ref of its own."""
    assert [str(make_run(bob).id) for _ in range(2)] == ["1", "2"]
    put(server, 999_999_999_998, 999_999_999_999, 10**18 - 1)
    if how == "fetched by us":
        get(bob)
    else:
        bob.git("fetch", "-q", "origin", "refs/runs/*:refs/runs/*")
    for path in (bob.path / ".git").glob(gone):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert [str(make_run(bob).id) for _ in range(2)] == ["3", "4"]
    assert outcomes(get(bob)) == 3 * [Outcome.CURRENT]
    bob.fsck()


def test_clones_that_have_counted_far_apart(server: GitRepo, ada: GitRepo, bob: GitRepo) -> None:
    """A machine that has made three million runs and a young clone exchange runs, and each goes on with its own."""
    (ada.path / ".git/gitflowrun-mark").write_text("2999999 none\n")
    first, mine = make_run(ada), make_run(bob)
    assert (str(first.id), str(mine.id)) == ("3000000", "1")
    send(ada)
    send(bob)
    assert {*outcomes(get(bob))} == {*outcomes(get(ada))} == {Outcome.CURRENT, Outcome.NEW}
    assert names(ada) == {"1", "3000000"}
    assert names(bob) == {"1", f"3000000-{str(first.uid)[:7]}"}
    assert (str(make_run(ada).id), str(make_run(bob).id)) == ("3000001", "2")
    send(ada)
    send(bob)
    get(ada)
    get(bob)
    assert len(names(ada)) == len(names(bob)) == len(refs(server)) == 4


def test_names_that_are_no_numbers_come_to_nothing(server: GitRepo, bob: GitRepo) -> None:
    """Leading zeros, more digits than a number has and digits of other scripts are no ids, and stop no other run."""
    put(server, 7)
    tip = refs(server)["refs/runs/Far/7"]
    strange = ("007", "0", 19 * "9", 240 * "9", "\u0667", "7-", "7-xyz", "-7")
    packed = "".join(f"{tip} refs/runs/Far/{name}\n" for name in (*strange, 5_000 * "9"))
    (server.path / "packed-refs").write_text(packed)
    report = get(bob)
    assert outcomes(report) == [Outcome.NEW]
    assert names(bob) == {"7"}
    assert str(make_run(bob).id) == "8"
    send(bob)
    assert "refs/runs/MyFlow/8" in refs(server)
