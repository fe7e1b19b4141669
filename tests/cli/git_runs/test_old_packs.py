"""Packs whose index is of version 1, which only git reads: their content is shown, and freed after a repack."""

from __future__ import annotations

import re

import pytest

from tests.helpers.repos import GitRepo
from tests.helpers.runs import make_run


@pytest.fixture
def packed(repo: GitRepo) -> GitRepo:
    """Two runs of different code, all of it in such a pack."""
    for code in ("one\n", "two\n"):
        repo.write("code.txt", code)
        repo.commit()
        make_run(repo, result=code.encode())
    repo.git("-c", "pack.indexVersion=1", "repack", "-a", "-d", "-f", "-q")
    return repo


@pytest.mark.parametrize(
    ("words", "shown"),
    [("list", "MyFlow/2"), ("show 1", "done"), ("logs 1", ""), ("diff 1 2", "code.txt"), ("diff -p 1 2", "+two"),
     ("cat 1/result", "one"), ("fsck", "nothing is damaged"), ("doctor", "Nothing is wrong")],
)  # fmt: skip
@pytest.mark.sample(4)
def test_all_of_a_run_is_read_by_git(packed: GitRepo, words: str, shown: str) -> None:
    """Nothing is called damaged that is not."""
    done = packed.call(*words.split())
    assert (done.code, done.err) == (0, "")
    assert shown in done.out


def test_a_purge_does_not_claim_to_have_freed_what_it_can_not_see(packed: GitRepo) -> None:
    """It says what to do first, and that works."""
    refused = packed.call("purge", "--force", "1")
    assert refused.code == 128
    assert "is an index that only git reads" in refused.err
    assert packed.call("show", "1").code == 0
    hint = re.search(r"`git (.*?)`", refused.err)
    assert hint is not None
    packed.git(*hint[1].split(), "-q")
    assert packed.call("purge", "--force", "1").code == 0
    packed.fsck()
