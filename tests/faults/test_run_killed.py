from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

from gitflowrun.names import TaskName
from gitflowrun.runs.runs import Status
from tests.helpers.repos import GitRepo, program_environment
from tests.helpers.runs import make_run, open_repo, store_of
from tests.helpers.warm_popen import WarmPopen

# A scheduler reduced to its writes: says what was acknowledged, as soon as it was.
WRITER = """
import sys
from tests.helpers.runs import finished_task, open_repo, start_run
from tests.helpers.repos import GitRepo
from pathlib import Path

repo = open_repo(GitRepo(Path(sys.argv[1])))
print("go", flush=True)
for _ in range(20):
    with start_run(repo, tags=["killed"]) as run:
        print("created", run.identity.id, flush=True)
        for number in range(3):
            run.commit([finished_task(run.identity, f"train/{number}", {"x": b"%d" % number})])
            print("done", run.identity.id, number, flush=True)
"""
ROUNDS = 12


def killed_writer(repo: GitRepo, words: int, after: float) -> list[list[str]]:
    """What a writer acknowledged that was killed `after` seconds from its acknowledgement `words`.

    Counted in its own words first: on a busy machine a moment of the clock may come before its first write.
    """
    with WarmPopen(
        [sys.executable, "-c", WRITER, str(repo.path)],
        stdout=subprocess.PIPE, text=True, env=program_environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        lines = [process.stdout.readline().rstrip("\n") for _ in range(words)]
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().split("\n")[:-1]
    return [line.split() for line in lines]


def test_a_killed_writer_loses_nothing_it_acknowledged(repo: GitRepo) -> None:
    """Kills at random moments: git finds everything whole, and every acknowledged task is there."""
    chance = random.Random(7)
    acknowledged: list[list[str]] = []
    for _ in range(ROUNDS):
        acknowledged += killed_writer(repo, chance.randrange(6), chance.uniform(0, 0.03))
    repo.fsck()
    store = store_of(repo)
    for word, run, *task in acknowledged:
        stored = store.get("MyFlow", run)
        assert word == "created" or stored.task(TaskName("train", task[0])).record.ok
        assert stored.status is Status.INTERRUPTED
    assert acknowledged


def test_life_goes_on_after_kills(repo: GitRepo) -> None:
    """After kills the next run starts at once, with a number of its own, and housekeeping works."""
    last = 0
    for count, after in ((0, 0.0), (1, 0.01), (2, 0.0), (5, 0.01)):
        for words in killed_writer(repo, count, after):
            assert int(words[1]) >= last
            last = int(words[1])
    assert last
    fresh = make_run(repo)
    assert int(fresh.id) > last
    opened = open_repo(repo)
    opened.packs.sweep(grace=0)
    repo.git("gc", "-q", "--prune=now")
    repo.fsck()
    assert store_of(repo).get("MyFlow", fresh.id).status is Status.DONE


def test_a_stale_ref_lock_is_recovered(repo: GitRepo) -> None:
    """The lock file of a killed process on the run's own ref does not stop its successor."""
    opened = open_repo(repo)
    opened.refs._stale_after = 0.2
    run = make_run(opened)
    lock = repo.path / ".git/refs/runs/MyFlow/2.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    second = make_run(opened)
    assert (run.id, second.id) == ("1", "2")
    assert not lock.exists()
