"""A simulation: people who work in clones of a hub, faults in what they do, and a model of what must be there.

Rules are drawn by hypothesis; each does one thing to real repositories and to the model, which are compared at once,
ref by ref. Now and then, and at the end, all that the command line and the client say is compared as well, and git
looks whether the repositories are whole. `-m slow` draws many examples and prints the seeds.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from gitflowrun.client import repository as client_repository
from gitflowrun.failpoints import NAMES
from gitflowrun.git.maintenance import fold
from gitflowrun.git.repository import Repository
from gitflowrun.runs.runs import Status
from tests.faults.simulation.checks import check_content, check_whole, look
from tests.faults.simulation.faulty import Fault, Told
from tests.faults.simulation.model import Place
from tests.faults.simulation.world import Site, World
from tests.helpers.repos import GitRepo, make_repo

SEEDS = st.integers(0, 1 << 30)
TAGS = ["good", "first try", "β", "@odd/one"]
HOUSEKEEPING = [
    ["gc", "-q", "--prune=now"], ["repack", "-a", "-d", "-q"], ["pack-refs", "--all", "--prune"],
    ["gc", "-q"], ["repack", "--geometric=2", "-d", "-q"], ["prune", "--expire=now"],
    ["multi-pack-index", "write"], ["commit-graph", "write", "--reachable"], ["maintenance", "run"],
]  # fmt: skip
JUMPS = [-3 * 86_400, -60, 3_600, 40 * 86_400, 10 * 365 * 86_400]
"""Seconds by which the clock is set."""
POINTS = {
    "write": ("publish", "commit", "ref", "ids", "create", "snapshot", "key", "packed", "live"),
    "flow": (
        "publish",
        "commit",
        "ref",
        "ids",
        "create",
        "snapshot",
        "key",
        "packed",
        "live",
        "payload",
        "dedup",
    ),
    "tag": ("tags", "ref"),
    "fetch": ("fetch", "ref", "packed", "trust", "file", "publish"),
    "push": ("push", "ref", "packed"),
    "remove": ("tags", "ref", "remove", "trash", "notes", "packed"),
    "purge": ("tags", "ref", "file", "purge", "free", "gc", "trash", "notes", "packed"),
    "fold": ("fold",),
    "trust": ("trust", "file", "key"),
}
"""Where a kind of verb may meet a fault: what its failpoints begin with."""


def _template(place: Path) -> Path:
    """A hub, another one, and two clones."""
    first = make_repo(place / "first", files={"README": "a project\n", "code.py": "x = 1\n"})
    worlds = place / "worlds"
    worlds.mkdir()
    for name, options in {"hub": ["--bare"], "backup": ["--bare"], "ada": [], "bob": []}.items():
        target = worlds / name
        subprocess.run(["git", "clone", "-q", *options, str(first.path), str(target)], check=True)
        shutil.rmtree((target if options else target / ".git") / "hooks")
        if not options:
            GitRepo(target).git("remote", "remove", "origin")
    return worlds


class Simulation(RuleBasedStateMachine):
    """The rules. Each draws one number, from which it chooses all it does."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="gitflowrun-simulation-"))
        self.offset = 0.0
        self.steps = 0
        self.flows = 2
        self.untagged: set[tuple[str, str]] = set()
        real = time.time
        self._real = real
        time.time = lambda: real() + self.offset

    @initialize(number=SEEDS)
    def begin(self, number: int) -> None:
        """Make the world."""
        chance = random.Random(number)
        self.world = World(self.template, self.place / "w", chance.choice(["safe", "fast", "fast"]))
        if chance.random() < 0.4:
            hub = self.world.sites["hub"].repo
            assert hub.call("hooks", "install").code == 0
        for site in self.world.clones:
            self.world.burst(site, site.repo, self._tags(chance), chance, None)

    # ---- choices ----

    def _clone(self, chance: random.Random) -> tuple[Site, GitRepo]:
        site = chance.choice(self.world.clones)
        return site, chance.choice(site.trees)

    def _fault(self, chance: random.Random, kind: str, often: float = 0.3) -> Fault | None:
        if chance.random() >= often:
            return None
        points = sorted(name for name in NAMES if name.partition(".")[0] in POINTS[kind])
        return Fault(
            chance.choice(points),
            chance.choice(["kill", "kill", "ENOSPC", "EIO"]),
            chance.choice([1, 1, 2]),
        )

    def _after(self, site: Site) -> Place:
        return self.world.places[site.name].copy()

    def _say(self, *words: object) -> None:
        note(f"# {self.steps}: {' '.join(map(str, words))}")
        self.steps += 1

    def _name(self, site: Site, uid: str) -> str:
        return self.world.places[site.name].ids[uid]

    def _tags(self, chance: random.Random) -> list[str]:
        return chance.sample(TAGS, chance.choice([0, 0, 1, 2]))

    def _run(self, chance: random.Random, site: Site) -> str | None:
        found = self.world.at(site)
        return chance.choice(found) if found else None

    # ---- runs ----

    @rule(number=SEEDS)
    def start(self, number: int) -> None:
        """A run begins, and goes on beside whatever happens."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        tags = self._tags(chance)
        self._say("start", where.path.name, tags)
        self.world.start(site, where, chance.choice(["F", "G"]), tags, None)

    @rule(number=SEEDS)
    def advance(self, number: int) -> None:
        """Tasks of a run end, and at times the run."""
        chance = random.Random(number)
        writings = sorted(self.world.writing, key=self.world.key)
        if writings:
            status = [Status.RUNNING] * 3 + [Status.DONE, Status.FAILED, Status.INTERRUPTED]
            uid, said = chance.choice(writings), chance.choice(status)
            fault = self._fault(chance, "write", 0.3)
            fault = fault and Fault(fault.point, chance.choice(["ENOSPC", "EIO"]))
            self._say("advance", self.world.key(uid), said, fault)
            self.world.advance(self.world.writing[uid], chance, said, fault)

    def _abandon(self, number: int) -> None:
        """The process of a run ends without a last word."""
        chance = random.Random(number)
        writings = sorted(self.world.writing, key=self.world.key)
        if writings:
            uid = chance.choice(writings)
            self._say("abandon", self.world.key(uid))
            self.world.forget(self.world.writing[uid])

    @rule(number=SEEDS)
    def burst(self, number: int) -> None:
        """A whole run, at times killed."""
        chance = random.Random(number)
        (site, where), tags = self._clone(chance), self._tags(chance)
        fault = self._fault(chance, "write", 0.5)
        self._say("burst", where.path.name, tags, fault)
        self.world.burst(site, where, tags, chance, fault)

    @rule(number=SEEDS)
    def flow(self, number: int) -> None:
        """A real flow runs, or is resumed, at times killed: what takes a second is done a few times."""
        chance = random.Random(number)
        if self.flows == 0:
            return
        self.flows -= 1
        site, where = self._clone(chance)
        fault = self._fault(chance, "flow", 0.7)
        found = [
            uid
            for uid in self.world.at(site)
            if self.world.runs[uid].flow == "R" and self.world.runs[uid].home == site.name
        ]
        origin = found[-1] if found and chance.random() < 0.7 else None
        self._say("flow", where.path.name, self.world.key(origin) if origin else "", fault)
        self.world.flow(site, where, fault, origin)

    @rule(number=SEEDS)
    def resume(self, number: int) -> None:
        """A run goes on from what another one has finished, whoever made it."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        origin = self._run(chance, site)
        if origin and origin not in self.world.writing:
            self._say("resume", where.path.name, self._name(site, origin))
            self.world.start(site, where, "", self._tags(chance), origin)

    # ---- marks ----

    @rule(number=SEEDS)
    def tag(self, number: int) -> None:
        """A run gets tags, or loses some."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        if (uid := self._run(chance, site)) is not None:
            self._mark(chance, site, where, uid, self._fault(chance, "tag"))

    def _mark(
        self,
        chance: random.Random,
        site: Site,
        where: GitRepo,
        uid: str,
        fault: Fault | None = None,
    ) -> None:
        after, tags = self._after(site), chance.sample(TAGS, chance.choice([1, 2]))
        own = sorted(after.tags_of(uid))
        removes = bool(own) and chance.random() < 0.5
        tags = chance.sample(own, 1) if removes else tags
        changed = {(uid, it) for it in tags}
        self.untagged |= changed if removes else set()
        after.tags = after.tags - changed if removes else after.tags | changed
        words = ["tag", *(["-d"] if removes else []), self._name(site, uid), *tags]
        self._say(*words, where.path.name, fault)
        self.world.command(where, *words, after=[after], fault=fault)

    def _note(self, number: int) -> None:
        """Somebody writes a git note on a run."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        if (uid := self._run(chance, site)) is not None:
            after, text = self._after(site), f"note {chance.randrange(5)}"
            after.notes[uid] = text
            self._say("note", where.path.name, self._name(site, uid))
            where.git("notes", "--ref=runs", "add", "-f", "-m", text, uid)
            self.world.compare([after], Told(ended=True))

    def _trust(self, number: int) -> None:
        """Somebody trusts a run, or where runs come from, or no more."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        after, uid = self._after(site), self._run(chance, site)
        remote = chance.choice(site.remotes)
        kind = chance.choice(["trust", "trust", "untrust"])
        if uid is not None and chance.random() < 0.6:
            word = self._name(site, uid)
            if kind == "untrust":
                if uid not in after.vouched:
                    return
                after.vouched.pop(uid)
            elif self.world.runs[uid].home == site.name:
                return
            else:
                after.vouched[uid] = max(after.runs[uid], after.vouched.get(uid, -1))
        elif kind == "trust":
            word = remote
            after.sources.add(remote)
        else:
            return
        fault = self._fault(chance, "trust", 0.2)
        self._say(kind, word, where.path.name, fault)
        self.world.command(where, kind, word, after=[after], fault=fault)

    # ---- exchange ----

    @rule(number=SEEDS)
    def push(self, number: int) -> None:
        """Somebody sends runs and tags to a hub, or to a colleague."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        self._send(site, where, self._remote(chance, site), self._fault(chance, "push"))

    def _send(self, site: Site, where: GitRepo, remote: Site, fault: Fault | None = None) -> None:
        here, there = self._after(site), self._after(remote)
        here.push(there, self.world.runs)
        remote.is_mirrored = False
        self._say("push", where.path.name, remote.name, fault)
        self.world.command(where, "push", remote.name, after=[here, there], fault=fault)

    @rule(number=SEEDS)
    def fetch(self, number: int) -> None:
        """Somebody gets runs and tags of a hub, or of a colleague; at times one that was removed here, by name."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        remote = self._remote(chance, site)
        here, there = self.world.places[site.name], self.world.places[remote.name]
        away = (here.gone | {it.uid for it in here.trash}) & there.runs.keys() - here.runs.keys()
        wanted = sorted(away, key=self.world.key)
        asked = [chance.choice(wanted)] if wanted and chance.random() < 0.4 else []
        self._get(site, where, remote, asked, self._fault(chance, "fetch"))

    def _get(
        self,
        site: Site,
        where: GitRepo,
        remote: Site,
        asked: Sequence[str] = (),
        fault: Fault | None = None,
    ) -> None:
        here, there = self._after(site), self.world.places[remote.name]
        here.fetch(there, self.world.runs, asked)
        words = [there.ids[uid] for uid in asked]
        self._say("fetch", where.path.name, remote.name, *words, fault)
        told = self.world.command(where, "fetch", remote.name, *words, after=[here], fault=fault)
        site.is_mirrored |= told.ended

    @rule(number=SEEDS)
    def quarrel(self, number: int) -> None:
        """Two people have the same runs, and each changes tags, or removes or restores one, before they meet again."""
        chance = random.Random(number)
        hub = self.world.sites["hub"]
        for site in self.world.clones:
            self._send(site, site.repo, hub)
        for site in self.world.clones:
            self._get(site, site.repo, hub)
        for site in chance.choices(self.world.clones, k=3):
            place = self.world.places[site.name]
            shared = [uid for uid in self.world.at(site) if uid in self.world.places[hub.name].runs]
            tagged = [uid for uid in shared if place.tags_of(uid)]
            if shared:
                self._mark(chance, site, site.repo, chance.choice(tagged or shared))
            if shared and chance.random() < 0.2:
                after, uid = self._after(site), chance.choice(shared)
                after.remove(uid)
                self._say("rm", site.name, self._name(site, uid))
                words = ("rm", "--force", self._name(site, uid))
                self.world.command(site.repo, *words, after=[after])
            if chance.random() < 0.5:
                self._send(site, site.repo, hub)
            else:
                self._get(site, site.repo, hub)

    def _remote(self, chance: random.Random, site: Site) -> Site:
        return self.world.sites[chance.choice(["hub"] * 4 + site.remotes)]

    def _offline(self, number: int) -> None:
        """A place can't be reached: nothing changes."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        remote = self._remote(chance, site).repo.path
        away = remote.with_name("away")
        self._say("offline", where.path.name, remote.name)
        remote.rename(away)
        try:
            told = where.call(chance.choice(["push", "fetch"]), remote.name)
        finally:
            away.rename(remote)
        assert told.code == 128, told
        self.world.compare([self._after(site)], Told(ended=True))

    def _lose(self, number: int) -> None:
        """A hub is put back to an older state: runs are not there any more."""
        chance = random.Random(number)
        site = self.world.sites["backup"]
        if (uid := self._run(chance, site)) and chance.random() < 0.5:
            after = self._after(site)
            del after.runs[uid]
            after.tags = {it for it in after.tags if it[0] != uid}
            self._say("lose", self._name(site, uid))
            oids = {uid, self.world.runs[uid].states[self.world.places[site.name].runs[uid]].commit}
            rows = site.repo.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/runs")
            for oid, ref in (row.split(" ") for row in rows.splitlines()):
                if oid in oids:
                    site.repo.git("update-ref", "-d", ref)
            self.world.compare([after], Told(ended=True))

    # ---- removal ----

    @rule(number=SEEDS)
    def remove(self, number: int) -> None:
        """Somebody moves a run to the trash."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        if (uid := self._run(chance, site)) is not None:
            after = self._after(site)
            after.remove(uid)
            fault = self._fault(chance, "remove")
            self._say("rm", where.path.name, self._name(site, uid), fault)
            words = ("rm", "--force", self._name(site, uid))
            self.world.command(where, *words, after=[after], fault=fault)

    @rule(number=SEEDS)
    def restore(self, number: int) -> None:
        """Somebody puts a run back."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        after = self._after(site)
        if uids := sorted({it.uid for it in after.trash}, key=self.world.key):
            uid = chance.choice(uids)
            after.restore(uid)
            fault = self._fault(chance, "remove")
            self._say("restore", where.path.name, self.world.key(uid), fault)
            self.world.command(where, "restore", uid, after=[after], fault=fault)

    @rule(number=SEEDS)
    def collect(self, number: int) -> None:
        """Somebody frees the space of removed runs, now or when they are old enough, or of one at once."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        before, after = self._after(site), self._after(site)
        between: list[Place] = []
        known = sorted(before.has_somewhere(), key=self.world.key)
        if known and chance.random() < 0.4:
            uid = chance.choice(known)
            word = before.ids.get(uid, uid)
            between = [self._after(site)] if uid in before.runs else []
            for it in between:
                it.remove(uid)  # whatever kills it, the run is in the trash
            after.purge([uid])
            words = ["purge", "--force", word]
            busy = True
        else:
            after.leave(list(after.trash))
            words, busy = ["gc", "--prune=now"], bool(before.trash)
        fault = self._fault(chance, "purge", 0.4)
        self._say(*words, where.path.name, fault)
        if any(it.site is site for it in self.world.writing.values()):
            done = where.call(*words)
            assert (done.code == 128 and "is running" in done.err) or not busy, done
            self.world.compare([before], Told(ended=True))
            return
        self.world.command(where, *words, after=[after], fault=fault, between=between)

    # ---- what happens to repositories ----

    @rule(number=SEEDS)
    def mishap(self, number: int) -> None:
        """Something else happens."""
        kinds = [
            self._housekeeping, self._housekeeping, self._fold, self._forget, self._jump, self._branch_off,
            self._offline, self._lose, self._note, self._trust, self._trust, self._abandon,
        ]  # fmt: skip
        random.Random(number).choice(kinds)(number)

    def _housekeeping(self, number: int) -> None:
        """Somebody's own git keeps house."""
        chance = random.Random(number)
        site = chance.choice([*self.world.sites.values()])
        words = chance.choice(HOUSEKEEPING)
        self._say(site.name, *words)
        packs = any(site.git_dir.glob("objects/pack/*.pack"))
        site.repo.git(*words, check=packs or words[0] != "multi-pack-index")
        if words[0] == "prune" or "--prune=now" in words:
            site.waste.clear()
        self.world.compare([self._after(site)], Told(ended=True))

    def _fold(self, number: int) -> None:
        """Small packs are folded, at times until the process is killed."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        fault = self._fault(chance, "fold", 0.5)
        self._say("fold", site.name, fault)
        self.world.do(lambda _: _fold(where), [self._after(site)], fault)

    def _forget(self, number: int) -> None:
        """Somebody deletes `.git/gitflowrun`."""
        site, _ = self._clone(random.Random(number))
        self._say("delete .git/gitflowrun", site.name)
        shutil.rmtree(site.git_dir / "gitflowrun", ignore_errors=True)
        self.world.compare([self._after(site)], Told(ended=True))

    def _jump(self, number: int) -> None:
        """The clock is set."""
        self.offset += random.Random(number).choice(JUMPS)
        self._say("clock", self.offset)

    def _branch_off(self, number: int) -> None:
        """Somebody makes a linked work tree, edits files, or loses a commit."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        kind = chance.choice(["tree", "edit", "waste"])
        self._say(kind, where.path.name)
        if kind == "tree" and len(site.trees) == 1:
            target = site.repo.path.parent.parent / f"{site.name}-tree"
            site.repo.git("worktree", "add", "-q", str(target))
            site.trees.append(GitRepo(target))
        elif kind == "edit":
            where.write("code.py", f"x = {chance.randrange(100)}\n")
        elif kind == "waste":
            site.waste.append(where.git("commit-tree", "HEAD^{tree}", "-m", f"{chance.random()}"))

    # ---- looks ----

    @rule(number=SEEDS)
    def look(self, number: int) -> None:
        """All ways to look at a place say the same."""
        chance = random.Random(number)
        site, where = self._clone(chance)
        self._say("look", where.path.name)
        look(self.world, site, where)
        if (uid := self._run(chance, site)) is not None:
            check_content(self.world, site, [uid])

    def teardown(self) -> None:
        """The last looks, unless something was wrong before."""
        try:
            if sys.exc_info()[0] is None and hasattr(self, "world"):
                self.world.close()
                self._finish()
        finally:
            if hasattr(self, "world"):
                with contextlib.suppress(Exception):
                    self.world.close()
            time.time = self._real
            client_repository._open.clear()
            shutil.rmtree(self.place, ignore_errors=True)

    def _finish(self) -> None:
        self._say("the end")
        self._meet()
        for site in self.world.sites.values():
            check_whole(self.world, site)

    def _meet(self) -> None:
        """All exchange what they have: then all have all that nobody has removed."""
        world, hub = self.world, self.world.sites["hub"]
        tags = {it for site in world.clones for it in world.places[site.name].tags} - self.untagged
        for site in [*world.clones, *world.clones]:
            self._get(site, site.repo, hub)
            self._send(site, site.repo, hub)
        for site in world.clones:
            self._get(site, site.repo, hub)
        everything = world.places["hub"]
        for site in world.clones:
            place = world.places[site.name]
            missing = everything.runs.keys() - place.runs.keys() - place.gone
            assert missing <= {it.uid for it in place.trash}
            own = {uid for uid in place.runs if world.runs[uid].home == site.name}
            assert own <= everything.runs.keys()
            assert all(everything.runs[uid] == place.runs[uid] for uid in own)
            for it in tags:
                assert it[0] not in place.runs or it in place.tags, (
                    f"tag {it} was lost at {site.name}"
                )


def _fold(where: GitRepo) -> None:
    fold(Repository.discover(where.path), beyond=0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repositories at the beginning."""
    return _template(tmp_path_factory.mktemp("simulation"))


def _simulate(template: Path, number: int, examples: int, steps: int) -> None:
    machine = type("Machine", (Simulation,), {"template": template})
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=examples, stateful_step_count=steps, database=None, deadline=None,
            derandomize=False, phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False,
        ),
    )  # fmt: skip


def test_nothing_is_lost_whatever_happens(template: Path) -> None:
    """Whatever people, clones, faults and git do: repositories are as the model says, and whole."""
    _simulate(template, 2026, 1, 40)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(100, 140))
def test_nothing_is_lost_in_many_worlds(template: Path, number: int) -> None:
    """The same with other seeds; the name of the test has the seed."""
    _simulate(template, number, 10, 60)
