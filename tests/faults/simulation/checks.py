"""What the command line, the client and git say of a clone is what the model says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from gitflowrun import Flow, Run, metadata, namespace
from gitflowrun.artifacts.artifacts import ArtifactReader
from gitflowrun.client import repository as client_repository
from gitflowrun.git.repository import Repository
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trust import Trust
from tests.faults.simulation.faulty import Told
from tests.faults.simulation.world import Site, World
from tests.helpers.repos import GitRepo
from tests.helpers.runs import digest


@contextlib.contextmanager
def _reading(where: GitRepo) -> Iterator[None]:
    """The client reads a repository, with what it has kept in memory since it did so last."""
    metadata(f"local@{where.path}")
    namespace(None)
    try:
        yield
    finally:
        client_repository._chosen.clear()


def statuses(world: World, site: Site) -> dict[str, set[str]]:
    """What each run at a place may be said to be."""
    place, found = world.places[site.name], {}
    for uid, state in place.runs.items():
        status = world.runs[uid].states[state].status
        words = {status.value}
        if status is Status.RUNNING and world.runs[uid].home == site.name:
            words = {"running" if uid in world.writing else "interrupted"}
        elif status is Status.RUNNING:
            lock = site.git_dir / "gitflowrun" / "locks" / f"run-{place.ids[uid].partition('/')[2]}"
            words |= {"interrupted"} if lock.exists() else set()
        found[uid] = words
    return found


def look(world: World, site: Site, where: GitRepo) -> None:
    """Compare what the command line and the client say of a place with the model, and with one another."""
    place, said = world.places[site.name], statuses(world, site)
    listed = _json(where, "list", "--json")
    assert {row["uid"]: f"{row['flow']}/{row['id']}" for row in listed} == place.ids
    for row in listed:
        state = world.runs[row["uid"]].states[place.runs[row["uid"]]]
        assert row["commit"] == state.commit
        assert row["status"] in said[row["uid"]], row
        assert {*row["tags"]} == place.tags_of(row["uid"])
        assert row["tasks"] == sum(ok for it, (ok, _) in state.tasks.items() if it[0] != "_")
    assert [row["uid"] for row in _json(where, "log", "--json")] == [row["uid"] for row in listed]
    tagged: dict[str, set[str]] = {}
    for uid, tag in place.tags:
        tagged.setdefault(tag, set()).add(place.ids[uid])
    assert {tag: {*runs} for tag, runs in _json(where, "tag", "--json").items()} == tagged
    trash = _json(where, "list", "--trash", "--json")
    assert sorted(row["uid"] for row in trash) == sorted(it.uid for it in place.trash)
    _look_as_client(world, site, where, listed)
    opened = Repository.discover(where.path)
    trust = Trust(opened)
    for uid in place.runs:
        stored = RunStore(opened).find(place.ids[uid])
        assert trust.trusts_run(stored) == place.trusts(world.runs[uid]), place.ids[uid]


def _look_as_client(world: World, site: Site, where: GitRepo, listed: list[dict[str, Any]]) -> None:
    place = world.places[site.name]
    with _reading(where):
        for flow in {row["flow"] for row in listed}:
            rows = [row for row in listed if row["flow"] == flow]
            runs = list(Flow(flow))
            assert [run.id for run in runs] == [row["id"] for row in rows]
            for run, row in zip(runs, rows, strict=True):
                assert run.uid == row["uid"]
                assert (run.status, run.commit) == (row["status"], row["commit"])
                assert run.user_tags == place.tags_of(run.uid)
                state = world.runs[run.uid].states[place.runs[run.uid]]
                tasks = {f"{step.id}/{task.id}" for step in run for task in step}
                committed = {name for name in state.tasks if name[0] != "_"}
                # What a scheduler had started when it was killed is shown as well, as far as it is known.
                assert committed <= tasks
                assert tasks == committed or (row["flow"], run.status) == ("R", "interrupted")


def _json(where: GitRepo, *words: str) -> Any:
    done = where.call(*words)
    assert (done.code, done.err) == (0, ""), done
    return json.loads(done.out)


def check_content(world: World, site: Site, uids: list[str]) -> None:
    """Compare all artifacts of runs with what was acknowledged, read by the store and by the client."""
    place = world.places[site.name]
    opened = Repository.discover(site.repo.path)
    reader = ArtifactReader(opened.objects)
    for uid in uids:
        tasks = world.runs[uid].states[place.runs[uid]].tasks
        stored = RunStore(opened).find(place.ids[uid])
        assert str(stored.identity.uid) == uid
        found = {str(task.name): task.record for task in stored.all_tasks()}
        assert found.keys() == tasks.keys()
        for name, record in found.items():
            for artifact, ref in record.artifacts.items():
                data = reader.load(ref, trusted=True)  # which compares what it reads
                assert ref.digest.hex() == tasks[name][1][artifact]
                assert not isinstance(data, bytes) or digest(data) == ref.digest
        with _reading(site.repo):
            run = Run(place.ids[uid])
            for name, (_, artifacts) in tasks.items():
                step, _, task = name.partition("/")
                for artifact, wanted in artifacts.items():
                    data = run[step][task][artifact].data
                    assert not isinstance(data, bytes) or digest(data).hex() == wanted


def check_whole(world: World, site: Site) -> None:
    """The user's git and we find a place whole, with all that it should have, and the user's own git goes on."""
    repo, place = site.repo, world.places[site.name]
    world.compare([place.copy()], Told(ended=True))
    repo.fsck()
    for oid in site.waste:
        repo.git("cat-file", "-e", oid)
    if site.is_clone:
        for words in (["doctor", "--fix"], ["doctor"], ["fsck", "--read-data"]):
            done = repo.call(*words)
            assert done.code == 0, done
        site.is_mirrored = True
        world.compare([place.copy()], Told(ended=True))
        look(world, site, site.trees[-1])
        check_content(world, site, world.at(site))
    copy = repo.path.with_name(f"{site.name}-mirror")
    repo.git("clone", "-q", "--mirror", ".", str(copy))
    GitRepo(copy).fsck()
    repo.git("gc", "-q", "--prune=now")
    world.compare([place.copy()], Told(ended=True))
    repo.fsck()
