"""Real repositories beside the model of them: each verb is done to both, and they are compared.

Where a verb met a fault, the repository may be as before or as after, ref by ref, and the model goes on from what is
there.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitflowrun.errors import GitflowrunError
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.git.transport.remote import Remote
from gitflowrun.porcelain.deletion.trash import RemovedRuns
from gitflowrun.runs import layout
from gitflowrun.runs.create import create_run
from gitflowrun.runs.records import RunOrigin
from gitflowrun.runs.runs import RunStore, Status
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runs.trust import Trust
from gitflowrun.runs.vouched import VouchedKind
from gitflowrun.runs.write import RunWriter
from gitflowrun.values import replace
from tests.faults.simulation.faulty import Fault, Told, armed, attempt, family_is_gone
from tests.faults.simulation.model import Place, Run, State, Trashed, unlike
from tests.helpers.flows import foreach_flow
from tests.helpers.packs import blob
from tests.helpers.repos import GitRepo
from tests.helpers.runs import digest, draft, finished_task, with_packs

POOL = [b"value %d" % number for number in range(4)]
LARGE = [random.Random(number).randbytes(9_000) for number in range(3)]
"""Payloads that tasks share: small ones, which travel with the record, and large ones, which have packs."""
FLOW = foreach_flow(
    "note('work')",
    items="range(3)",
    name="R",
    head="def note(what):\n    with open(os.environ['MARKER'], 'a') as log: log.write(what + ' ')\n",
).replace("print('total', self.total)", "note('end')")


@dataclass
class Writing:
    """A run that is being written in this process, as its scheduler does."""

    writer: RunWriter
    site: Site
    next_task: int = 1


@dataclass
class Site:
    """A repository of the simulation.

    Attributes:
        repo: It.
        is_clone: Whether people work in it.
        trees: Its work trees.
        remotes: The sites that it has as remotes.
        labels: The names of remotes, by what their tracking copies lie below.
        is_mirrored: Whether all its tags have git tags.
        low: No run that is made here gets a number up to this one.
        high: Nor one above the next.
        waste: The digests and ids of a user's own lost objects.
    """

    repo: GitRepo
    is_clone: bool
    trees: list[GitRepo]
    remotes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    is_mirrored: bool = True
    low: int = 0
    high: int = 0
    waste: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name."""
        return self.repo.path.name

    @property
    def git_dir(self) -> Path:
        """Its git directory."""
        return self.repo.path / ".git" if self.is_clone else self.repo.path


class World:
    """The repositories, and the model of them.

    Args:
        template: A directory with `hub`, `backup`, `ada` and `bob`, repositories that have one another as remotes.
        durability: The setting of the clones.
    """

    def __init__(self, template: Path, place: Path, durability: str) -> None:
        shutil.copytree(template, place, symlinks=True)
        self.sites: dict[str, Site] = {}
        self.places: dict[str, Place] = {}
        self.runs: dict[str, Run] = {}
        self.commits: dict[str, tuple[str, int]] = {}
        self.writing: dict[str, Writing] = {}
        names = sorted(it.name for it in place.iterdir())
        for name in names:
            repo = GitRepo(place / name)
            is_clone = (repo.path / ".git").exists()
            site = Site(repo, is_clone, [repo] if is_clone else [])
            self.sites[name], self.places[name] = site, Place(name)
            if is_clone:
                repo.git("config", "runs.durability", durability)
                site.remotes = [it for it in names if it != name]
                for other in site.remotes:
                    repo.git("config", f"remote.{other}.url", str(place / other))
                opened = Repository.discover(repo.path)
                site.labels = {Remote(opened, it).label: it for it in site.remotes}

    @property
    def clones(self) -> list[Site]:
        """Where people work."""
        return [site for site in self.sites.values() if site.is_clone]

    def key(self, uid: str) -> tuple[str, int]:
        """What runs are sorted by: the same in each repetition, which uids are not."""
        return self.runs[uid].home, self.runs[uid].number

    def at(self, site: Site) -> list[str]:
        """The runs that are at a place, in a fixed order."""
        return sorted(self.places[site.name].runs, key=self.key)

    def close(self) -> None:
        """End what is open."""
        for it in self.writing.values():
            it.writer.close()
        self.writing.clear()

    # ---- what is there ----

    def see(self, site: Site) -> Place:
        """A place as git has it."""
        now = Place(site.name)
        rows = [
            line.split(" ")
            for line in site.repo.git(
                "for-each-ref", "--format=%(refname) %(objectname)",
                layout.RUNS, layout.REMOTES, layout.TRASH, layout.TAG_MIRROR, layout.NOTES,
            ).splitlines()
        ]  # fmt: skip
        refs = dict(rows)
        assert len(refs) == len(rows)
        for name, oid in refs.items():
            if run := layout.parse_run_ref(name):
                uid, state = self._known(site, run[0], run[1], oid)
                assert uid not in now.runs, f"{uid} is at {site.name} twice: {name}, {now.ids[uid]}"
                now.runs[uid], now.ids[uid] = state, f"{run[0]}/{run[1]}"
                site.low = max(site.low, run[1].number)
        at = {(name, uid): None for uid, name in now.ids.items()}
        for name, oid in refs.items():
            if tag := layout.parse_tag_ref(name):
                assert (f"{tag[0]}/{tag[2]}", oid) in at, f"{site.name}: {name} is no run's"
                now.tags.add((oid, tag[1]))
        self._see_trash(site, now, refs)
        self._see_copies(site, now, refs)
        if layout.NOTES in refs:
            for line in site.repo.git("notes", f"--ref={layout.NOTES}", "list").splitlines():
                note, _, oid = line.partition(" ")
                now.notes[oid] = site.repo.git("cat-file", "blob", note)
        if site.is_mirrored and site.is_clone:
            self._check_mirror(site, now, refs)
        self._see_files(site, now)
        site.high = max(site.high, site.low)
        return now

    def _known(self, site: Site, flow: str, run_id: str, commit: str) -> tuple[str, int]:
        if commit not in self.commits:
            self.learn(site, flow, run_id, commit)
        return self.commits[commit]

    def learn(self, site: Site, flow: str, run_id: str, commit: str) -> Run:
        """Read a run that has been made, or has gone on, at a place."""
        uid, *states = site.repo.git("rev-list", "--reverse", commit).splitlines()
        number = int(run_id.partition("-")[0])
        run = self.runs.setdefault(uid, Run(uid, flow, number, site.name))
        assert run.home == site.name, f"{flow}/{run_id} of {run.home} went on at {site.name}"
        assert (run.flow, run.number) == (flow, number)
        opened = RunStore(Repository.discover(site.repo.path)).repo
        for count, oid in enumerate(states):
            if count < len(run.states):
                assert run.states[count].commit == oid, f"{flow}/{run_id} is another one"
                continue
            self.commits[oid] = uid, count
            run.states.append(read_state(opened, flow, run_id, oid))
        return run

    def _see_trash(self, site: Site, now: Place, refs: Mapping[str, str]) -> None:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for name, oid in refs.items():
            if not name.startswith(layout.TRASH):
                continue
            removed, ref = layout.parse_trash_ref(name)
            site.low = max(site.low, layout.run_number(ref))
            run_id = ref.rpartition("/")[2]
            entry = found.setdefault((removed, run_id), {"tags": set(), "note": ""})
            if run := layout.parse_run_ref(ref):
                entry["run"] = self._known(site, run[0], run[1], oid)
            elif tag := layout.parse_tag_ref(ref):
                entry["tags"].add(tag[1])
            else:
                entry["note"] = site.repo.git("cat-file", "blob", oid)
        for (_, run_id), it in sorted(found.items()):
            assert "run" in it, f"{site.name}: the trash has something of {run_id}, and no run"
            uid, state = it["run"]
            now.trash.append(Trashed(uid, state, frozenset(it["tags"]), it["note"]))

    def _see_copies(self, site: Site, now: Place, refs: Mapping[str, str]) -> None:
        for name, oid in refs.items():
            if not name.startswith(layout.REMOTES):
                continue
            label, _, rest = name.removeprefix(layout.REMOTES).partition("/")
            remote, ref = site.labels[label], layout.RUNS + rest
            site.low = max(site.low, layout.run_number(ref))
            if tag := layout.parse_tag_ref(ref):
                now.base.setdefault(remote, set()).add((oid, tag[1]))
                now.seen.setdefault(remote, set()).add(f"{tag[0]}/{tag[2]}")
            else:
                now.seen.setdefault(remote, set()).add(rest)
                assert oid in self.commits, f"{name} is a state of no run"

    def _check_mirror(self, site: Site, now: Place, refs: Mapping[str, str]) -> None:
        shown = {name: oid for name, oid in refs.items() if name.startswith(layout.TAG_MIRROR)}
        wanted = {}
        for uid, tag in now.tags:
            run = self.runs[uid]
            encoded = layout.tag_component(tag)
            wanted[f"{layout.TAG_MIRROR}{run.flow}/{encoded}/{run.number}-{uid[:7]}"] = uid
        assert shown == wanted, f"git tags of {site.name}"

    def _see_files(self, site: Site, now: Place) -> None:
        if (site.git_dir / "gitflowrun-removed").exists():
            opened = Repository.discover(site.repo.path)
            now.gone = {it.uid for it in RemovedRuns(opened).read()}
        if (site.git_dir / "gitflowrun-trusted").exists():
            trust = Trust(Repository.discover(site.repo.path))
            assert trust.damaged == 0
            for it in trust.vouched:
                if it.kind is VouchedKind.COMMIT:
                    uid, state = self.commits[it.value]
                    now.vouched[uid] = max(state, now.vouched.get(uid, -1))
                else:
                    now.sources.add(Path(it.value).name)

    # ---- what is done ----

    def do(
        self,
        work: Callable[[Callable[[Any], None]], None],
        after: Iterable[Place],
        fault: Fault | None,
        between: Sequence[Place] = (),
    ) -> Told:
        """Do a verb and compare: the places are as they should be afterwards, or, after a fault, on the way there."""
        told = attempt(work, fault)
        self.compare(after, told, fault, between)
        return told

    def compare(
        self,
        after: Iterable[Place],
        told: Told,
        fault: Fault | None = None,
        between: Sequence[Place] = (),
    ) -> None:
        """Compare places with what they should be after a verb, or, where it was interrupted, before or `between`."""
        assert told.ended or fault, told.error
        assert "Traceback" not in told.error, told.error
        assert "internal error" not in told.error, told.error
        for expected in after:
            site, before = self.sites[expected.name], self.places[expected.name]
            if not told.ended:
                site.is_mirrored = False
                site.high += 3
            now = self.see(site)
            wrong = unlike([expected] if told.ended else [before, *between, expected], now)
            wrong += self._names(before, now, site)
            assert not wrong, "\n".join([f"{site.name}, {fault}, {told}:", *wrong])
            self.places[site.name] = now

    def _names(self, before: Place, now: Place, site: Site) -> list[str]:
        """What is wrong with the ids of runs: they never change, and are others only where theirs was taken."""
        wrong = []
        for uid, name in now.ids.items():
            run, (flow, _, run_id) = self.runs[uid], name.partition("/")
            number, _, digits = run_id.partition("-")
            if (flow, int(number)) != (run.flow, run.number) or not uid.startswith(digits):
                wrong.append(f"{uid} of {run.flow}/{run.number} is {name}")
            if uid in before.ids and before.ids[uid] != name:
                wrong.append(f"{before.ids[uid]} became {name}")
        ids = [name.partition("/")[2] for name in now.ids.values()]
        if site.is_clone and len({*ids}) < len(ids):
            wrong.append(f"ids come twice: {sorted(now.ids.values())}")
        return wrong

    def command(
        self,
        where: GitRepo,
        *words: str,
        after: Sequence[Place],
        fault: Fault | None = None,
        between: Sequence[Place] = (),
    ) -> Told:
        """Do `git runs WORDS`."""

        def work(tell: Callable[[Any], None]) -> None:
            done = where.call(*words)
            tell(done)
            if done.code:
                raise GitflowrunError(f"{words}: {done}")

        return self.do(work, after, fault, between)

    # ---- writing ----

    def start(
        self, site: Site, where: GitRepo, flow: str, tags: Sequence[str], origin: str | None
    ) -> Writing:
        """Start a run, from another one's tasks if one is named."""
        opened = Repository.discover(where.path)
        stored = None
        if origin is not None:
            named = self.places[site.name].ids[origin]
            stored = RunStore(opened).find(named)
            flow = stored.flow
        writer = self._created(opened, flow, tags, stored)
        writing = Writing(writer, site)
        uid = str(writer.identity.uid)
        expected: dict[str, Any] = {}
        if origin is not None:
            expected = self._adopted(origin, self.places[site.name].runs[origin])
            ids = [int(name.partition("/")[2]) for name in expected]
            writing.next_task = max(ids, default=0) + 1
        run = self.learn(site, flow, writer.identity.id, str(writer.commit_oid))
        assert run.states[-1].tasks == expected
        assert site.low < run.number <= site.high + 1, f"{run.number} follows {site.low}"
        self.writing[uid] = writing
        after = self.places[site.name].copy()
        after.runs[uid] = 0
        after.tags |= {(uid, tag) for tag in tags}
        self.compare([after], Told(ended=True))
        return writing

    def _created(
        self, opened: Repository, flow: str, tags: Sequence[str], stored: Any
    ) -> RunWriter:
        info = draft(flow, tags=tags)
        if stored is None:
            return create_run(opened, info, take_snapshot(opened))
        info = replace(info, origin=RunOrigin("resume", stored.identity))
        names = [it.name for it in stored.all_tasks() if it.record.ok]

        def first(writer: RunWriter) -> Sequence[FinishedTask]:
            writer.adopt(stored, names)
            return ()

        return create_run(opened, info, take_snapshot(opened), first)

    def _adopted(self, origin: str, state: int) -> dict[str, Any]:
        tasks = self.runs[origin].states[state].tasks
        return {name: it for name, it in tasks.items() if it[0]}

    def advance(
        self, writing: Writing, chance: random.Random, status: Status, fault: Fault | None
    ) -> None:
        """Let a group of tasks of a run end, or the run; after an error of the system, the same group once more."""
        writer, site = writing.writer, writing.site
        uid = str(writer.identity.uid)
        run = self.runs[uid]
        tasks = self._tasks(writing, chance)
        expected = {**run.states[-1].tasks, **described(tasks)}
        ref = layout.run_ref(run.flow, writer.identity.id)
        here = site.repo.git("for-each-ref", "--format=%(objectname)", ref)
        before = self.places[site.name]
        with armed(fault):
            told = attempt(lambda _: _commit(writer, tasks, status), None)
        if fault and not told.ended and here == run.states[-1].commit:
            now = site.repo.git("for-each-ref", "--format=%(objectname)", ref)
            if now == here:  # nothing was acknowledged: it may be done again
                told = attempt(lambda _: _commit(writer, tasks, status), None)
            else:  # the writer can't know: its process ends, and the tasks count
                self.learn(site, run.flow, writer.identity.id, now)
                after = before.copy()
                after.runs[uid] = len(run.states) - 1
                assert run.states[-1].tasks == expected
                self.forget(writing)
                self.compare([after], Told(ended=True))
                return
        if here != run.states[-1].commit:  # it was removed, or its name is another run's by now
            assert not told.ended
            assert before.runs.get(uid) is None or before.ids[uid] != f"{run.flow}/{run.number}"
            self.forget(writing)
            self.compare([before], Told(ended=True))
            return
        assert told.ended, told.error
        after = before.copy()
        after.runs[uid] = len(run.states)
        self.compare([after], told)
        assert run.states[-1].tasks == expected
        assert run.states[-1].status is status
        if status.is_final:
            self.forget(writing)

    def forget(self, writing: Writing) -> None:
        """End the process of a run, whatever became of it."""
        del self.writing[str(writing.writer.identity.uid)]
        writing.writer.close()

    def _tasks(self, writing: Writing, chance: random.Random) -> list[FinishedTask]:
        """Tasks that have finished: small payloads, large ones in packs of their own, ones that are there already."""
        found = []
        for _ in range(chance.randrange(1, 3)):
            name = f"{chance.choice(['start', 'train', 'end'])}/{writing.next_task}"
            writing.next_task += 1
            found.append(make_task(writing, name, chance))
        return found

    def burst(
        self,
        site: Site,
        where: GitRepo,
        tags: Sequence[str],
        chance: random.Random,
        fault: Fault | None,
    ) -> None:
        """A whole run by a process of its own, which a fault may end at any moment."""
        groups = [[f"train/{4 * group + task}" for task in range(2)] for group in range(3)]
        values = {name: chance.choice(POOL) for group in groups for name in group}

        def work(tell: Callable[[Any], None]) -> None:
            opened = Repository.discover(where.path)
            with create_run(opened, draft("F", tags=tags), take_snapshot(opened)) as writer:
                tell((str(writer.identity.uid), str(writer.commit_oid)))
                for group in groups:
                    status = Status.DONE if group is groups[-1] else Status.RUNNING
                    tasks = [finished_task(writer.identity, it, {"x": values[it]}) for it in group]
                    writer.commit(tasks, status=status)
                    tell(str(writer.commit_oid))

        low, high = site.low, site.high
        before, told = self.places[site.name], attempt(work, fault)
        site.high += 3 * (not told.ended)
        site.is_mirrored &= told.ended
        now = self.see(site)
        new = [uid for uid in now.runs if uid not in before.runs]
        assert len(new) <= 1
        after = before.copy()
        if told.words:
            assert new == [told.words[0][0]], f"a run was lost: {told}"
        for uid in new:
            run = self.runs[uid]
            known = [told.words[0][1], *told.words[1:]] if told.words else []
            assert [it.commit for it in run.states[: len(known)]] == known, (
                "an acknowledged task was lost"
            )
            assert len(known) <= len(run.states) <= len(known) + 1
            for count, state in enumerate(run.states):
                names = [name for group in groups[:count] for name in group]
                wanted = {it: (True, {"x": digest(values[it]).hex()}) for it in names}
                assert state.tasks == wanted, "a task is not as it was"
            assert low < run.number <= high + 1
            after.runs[uid] = len(run.states) - 1
            after.tags |= {(uid, tag) for tag in tags}
        self.compare([after], Told(ended=True) if told.ended else told, fault)

    def flow(self, site: Site, where: GitRepo, fault: Fault | None, origin: str | None) -> None:
        """A real flow runs, or one is resumed, whose processes a fault may end at any moment.

        What it has said is finished is there, and is never executed again.
        """
        where.write("flow.py", FLOW)
        marker = site.repo.path.parent.parent / f"{site.name}-executed"
        faults = {"GITFLOWRUN_FAILPOINTS": fault.text} if fault else {}
        words = (
            ["resume", self.places[site.name].ids[origin].partition("/")[2]] if origin else ["run"]
        )
        finished = self._adopted(origin, self.places[site.name].runs[origin]) if origin else {}
        marker.unlink(missing_ok=True)
        done = where.flow("flow.py", *words, env={"MARKER": str(marker), **faults})
        before, told = self.places[site.name], Told(done.code == 0, (done,), done.err)
        assert told.ended or fault, done
        assert family_is_gone(marker), "a process outlived its run"
        low, high = site.low, site.high
        site.high += 3
        site.is_mirrored &= told.ended
        now = self.see(site)
        new = [uid for uid in now.runs if uid not in before.runs]
        assert len(new) <= 1
        tasks = self.runs[new[0]].states[-1].tasks if new else {}
        for name in re.findall(r"/(\w+/\w+) \(pid \d+\)\] Task finished successfully", done.out):
            assert tasks[name][0], f"{name} was lost: {done}"
        executed = marker.read_text().split() if marker.exists() else []
        assert not {*executed} & {name.partition("/")[0] for name in finished} - {"work"}, done
        if told.ended:
            assert self.runs[new[0]].states[-1].status is Status.DONE
            taken_over = sum(name.startswith("work/") for name in finished)
            assert executed.count("work") == 3 - taken_over, done
        for uid in new:
            assert low < self.runs[uid].number <= high + 1
            assert finished.items() <= dict(tasks).items()
            before = before.copy()
            before.runs[uid] = len(self.runs[uid].states) - 1
        self.compare([before], Told(ended=True))


def read_state(repo: Repository, flow: str, run_id: str, commit: str) -> State:
    """A state of a run, all records read."""
    from gitflowrun.git.objects import Oid
    from gitflowrun.names import RunId
    from gitflowrun.runs.commit_message import parse_message
    from gitflowrun.runs.read import StoredRun

    oid = Oid.from_hex(commit)
    stored = StoredRun(repo, flow, RunId(run_id), oid)
    state = parse_message(repo.objects.commit(oid).message.decode())
    assert state is not None
    records = [task.record for task in stored.all_tasks()]
    tasks = {
        str(it.name): (it.ok, {name: ref.digest.hex() for name, ref in it.artifacts.items()})
        for it in records
    }
    return State(commit, state.status, tasks)


def described(tasks: Sequence[FinishedTask]) -> dict[str, tuple[bool, dict[str, str]]]:
    """What tasks should look like when they are read."""
    return {
        str(it.record.name): (
            it.record.ok,
            {name: ref.digest.hex() for name, ref in it.record.artifacts.items()},
        )
        for it in tasks
    }


def _commit(writer: RunWriter, tasks: Sequence[FinishedTask], status: Status) -> None:
    writer.commit(tasks, status=status)


def make_task(writing: Writing, name: str, chance: random.Random) -> FinishedTask:
    """A task that has finished, or failed."""
    writer, repo = writing.writer, writing.writer._repo
    if chance.random() < 0.15:
        return finished_task(writer.identity, name, ok=False, stderr="it failed\n")
    kind = chance.choice(["small", "small", "pack", "known"])
    if kind == "small":
        values = {f"x{count}": chance.choice(POOL) for count in range(chance.randrange(1, 4))}
        return finished_task(writer.identity, name, values, stdout="hello\n")
    data = chance.choice(LARGE)
    task = finished_task(writer.identity, name, {"large": data})
    if kind == "known" and repo.objects.exists(hash_object(ObjectType.BLOB, data)):
        return with_packs(task)
    return with_packs(task, repo.packs.write([blob(data)]).name)
