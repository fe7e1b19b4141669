"""A repository in which everything happens: flows and all commands, each with a fault, beside the user's own git.

After each command git alone says what there is, and that is compared with what the commands have said: a task that was
called finished and has no ref is lost, a dead run that is listed as running is a lie, and so on.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from gitflowrun.errors import GitflowrunError
from gitflowrun.runs.read import StoredRun
from tests.faults.check import acknowledged, executions, git_is_well
from tests.helpers.clones import clone, refs
from tests.helpers.disturb import Fault, disturbed, random_fault, says_why
from tests.helpers.flows import Background, background, foreach_flow
from tests.helpers.repos import GitRepo, Output, make_repo
from tests.helpers.runs import make_run, store_of
from tests.helpers.storm import COMMANDS, RIVALS

__all__ = ["World"]

FLOW = foreach_flow(
    "note(f'work-{self.input}')\nself.own = random.Random(self.input).randbytes(20_000)\nself.big = self.shared\n"
    "while os.environ.get('GO') and not os.path.exists(os.environ['GO']): time.sleep(0.02)",
    items="things(self)",
    head=(
        "import random\n"
        "def note(what):\n    with open(os.environ['MARKER'], 'a') as log: log.write(what + ' ')\n"
        "def things(flow):\n    flow.shared = b'shared' * 40_000\n    note('start')\n    return range(flow.n)\n"
    ),
)
_FLOW_ROLES = ("launcher", "scheduler", "scheduler", "zygote", "task", "any", "group", "all")
_ROLES = ("launcher", "any", "group", "all")
_RUN_POINTS = (
    "publish.",
    "commit.",
    "ref.",
    "ids.",
    "create.",
    "snapshot.",
    "payload.",
    "dedup.",
    "live.",
    "key.",
)
_POINTS = {
    "fetch": ("fetch.", "packed.", "publish.", "ref."),
    "push": ("push.", "ref."),
    "tag": ("tags.", "ref.", "file."),
    "trust": ("trust.", "file."),
    "fold": ("fold.",),
}
_FOLD = (
    "from pathlib import Path; from gitflowrun.cli.errors import FLOW, exit_code_of\n"
    "from gitflowrun.git.maintenance import fold; from gitflowrun.git.repository import Repository\n"
    "raise SystemExit(exit_code_of(lambda: 0 * fold(Repository.discover(Path.cwd()), beyond=2), FLOW))"
)
_RUNS = ("-m", "gitflowrun.cli.git_runs.main")
_expected: dict[int, Counter[tuple[str, str, str]]] = {}


class Lineage:
    """A run and those that went on with it.

    Attributes:
        marker: Where its steps note each execution.
        n: Its parameter.
        done: How often each step had been executed when it was seen to be finished.
        newest: The id of the run that went on last.
    """

    def __init__(self, marker: Path, n: int) -> None:
        self.marker, self.n = marker, n
        self.done: Counter[str] = Counter()
        self.newest = ""


class World:
    """A repository, a server and a colleague's clone.

    Args:
        place: A directory for all.
        chance: Chooses what happens.

    Attributes:
        counts: What has happened.
        wrong: What is lost, broken or a lie, each with that word first.
        story: The commands, with their faults and codes.
    """

    def __init__(self, place: Path, chance: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.story: list[str] = []
        self._place, self._chance, self._number = place, chance, 0
        self._repo = make_repo(place / "repo", files={"f.py": FLOW, ".gitignore": "*.pyc\n"})
        self._server = GitRepo(place / "server.git")
        self._git("clone", "-q", "--bare", "repo", "server.git")
        self._repo.git("remote", "add", "origin", str(self._server.path))
        self._colleague = clone(self._server, "colleague")
        self._known: dict[
            str, str
        ] = {}  # uid -> the newest commit that was seen, here or in the trash
        self._gone: set[str] = set()  # uids that were purged, or have left the trash
        self._trashed: set[str] = set()
        self._twice: set[str] = set()
        self._elsewhere: set[str] = set()  # uids on the server
        self._mine: set[str] = set()
        self._ids: set[str] = set()  # ever given
        self._tags: dict[str, set[str]] = {}
        self._uids: dict[str, str] = {}
        self._lineages: dict[str, Lineage] = {}  # by run id
        self._live: tuple[Background, Lineage, Path] | None = None
        self._next_fault: Fault | None = None
        self._beside = 0.4  # how often the user's own git is at work, too
        self._seconds = {"run": 0.9, "resume": 0.8}

    def go(self, steps: int) -> None:
        """Let so many commands be run, and then all runs come to an end."""
        actions: list[tuple[int, Callable[[], None]]] = [
            (6, self._run), (5, self._resume), (2, self._push), (3, self._fetch), (2, self._tag), (2, self._rm),
            (1, self._restore), (2, self._gc), (2, self._purge), (2, self._fold), (1, self._trust), (1, self._doctor),
            (1, self._begin),
        ]  # fmt: skip
        table = [action for weight, action in actions for _ in range(weight)]
        self._run()
        for _ in range(steps):
            self._chance.choice(table)()
            if self.wrong:
                break
        self._end()

    def kill_runs(self, *roles: str) -> None:
        """Let runs lose a process of these roles at a moment, and resume each; nobody else is about."""
        self._beside = 0.0
        for role in roles:
            lineage = Lineage(self._marker(), 4)
            self._flow("run", ("--n", "4"), lineage, Fault("kill", role))
            self._resumed(Fault())

    def kill_commands(self, *names: str) -> None:
        """Kill commands, by these names, or all their processes, at a moment, and look what they leave."""
        self._beside = 0.0
        does = {
            "fold": self._fold, "fetch": self._fetch, "push": self._push, "trust": self._trust, "tag": self._tag,
            "gc": self._gc, "purge": self._purge, "rm": self._rm, "restore": self._restore,
        }  # fmt: skip
        for name in names:
            make_run(self._repo, "F")
            self._look("a run", Fault())
            self._next_fault = Fault("kill", self._chance.choice(_ROLES))
            does[name]()
        self._end()

    # What is done.

    def _run(self) -> None:
        lineage = Lineage(self._marker(), self._chance.randint(2, 5))
        self._flow("run", ("--n", str(lineage.n)), lineage, self._fault(_FLOW_ROLES, _RUN_POINTS))

    def _resume(self) -> None:
        self._resumed(self._fault(_FLOW_ROLES, _RUN_POINTS))

    def _resumed(self, fault: Fault) -> None:
        listed = self._listed()
        seen: list[Lineage] = []
        for row in listed:
            lineage = self._lineages.get(row["id"])
            if lineage is None or lineage in seen:
                continue
            seen.append(lineage)  # the newest of its lineage comes first
            if row["status"] in {"interrupted", "failed"}:
                self._flow("resume", (row["id"],), lineage, fault)
                return

    def _begin(self) -> None:
        """A run that lives on while other things happen."""
        if self._live is None:
            go, lineage = self._place / f"go-{self._next()}", Lineage(self._marker(), 3)
            env = {"MARKER": str(lineage.marker), "GO": str(go)}
            program = background(self._repo, "f.py", "run", "--n", "3", env=env)
            program.wait_for(r"work/\d+ .*starting")
            self._live = (program, lineage, go)
            (row,) = [row for row in self._listed() if row["status"] == "running"]
            self._made(row["id"], row["uid"], lineage)
            self._look("begin", Fault(), None)

    def _let_end(self) -> None:
        if self._live is None:
            return
        program, lineage, go = self._live
        go.touch()
        code = program.wait(120)
        self._live = None
        self._say("end of the run beside", Fault(), code)
        if code:
            self.wrong.append(f"failed: the run beside ended with {code}:\n{program.text()}")
        self._check_flow(Output(code, program.text(), ""), lineage)

    def _push(self) -> None:
        code = self._command("push", "push")
        uids = set(self._uids_of(self._server, "refs/runs/"))
        if self._elsewhere - uids:
            self.wrong.append(f"lost: the server has no {self._elsewhere - uids} any more")
        if code == 0:
            lacks = set(self._here()) & self._mine - uids
            if lacks and self._live is None:
                self.wrong.append(f"lie: push ended with 0, and the server lacks {lacks}")
        self._elsewhere = uids
        self._well(self._server)

    def _fetch(self) -> None:
        if self._chance.random() < 0.5:
            tags = ("theirs",) if self._chance.random() < 0.5 else ()
            make_run(self._colleague, "F", tags=tags)
            assert self._colleague.runs("push").code == 0
            self._elsewhere = set(self._uids_of(self._server, "refs/runs/"))
        before = dict(self._tags)
        code = self._command("fetch", "fetch", tagged=None)
        lacks = self._elsewhere - set(self._here()) - self._gone - self._trashed
        if code == 0 and lacks:
            self.wrong.append(f"lie: fetch ended with 0, and {lacks} are not here")
        lost = {it for it, tags in before.items() if tags - self._tags.get(it, set())}
        if lost - self._gone - self._trashed:
            self.wrong.append(f"lost: tags of {lost} after a fetch")

    def _tag(self) -> None:
        rows = self._listed()
        if not rows:
            return
        row = self._chance.choice(rows)
        name, have = self._chance.choice(["best", "old", "ärger"]), set(row["tags"])
        delete = ("-d",) if name in have else ()
        code = self._command("tag", "tag", *delete, row["id"], name, tagged=row["uid"])
        if code == 0 and (name in self._tags.get(row["uid"], set())) == bool(delete):
            self.wrong.append(f"lie: tag ended with 0, and {row['id']} has {self._tags}")

    def _rm(self) -> None:
        if row := self._some():
            code = self._command("rm", "rm", "--force", row["id"], moves=row["uid"])
            if code == 0 and row["uid"] not in self._trashed:
                self.wrong.append(f"lie: rm ended with 0, and {row['uid']} is not in the trash")

    def _restore(self) -> None:
        if self._trashed:
            uid = self._chance.choice(sorted(self._trashed))
            code = self._command("restore", "restore", uid[:12], moves=uid)
            if code == 0 and uid not in self._here():
                self.wrong.append(f"lie: restore ended with 0, and {uid} is not here")

    def _gc(self) -> None:
        everything = self._chance.random() < 0.5
        going = set(self._trashed) if everything else set()
        code = self._command("gc", "gc", *(["--prune=now"] if everything else []), goes=going)
        if code == 0 and everything and self._trashed:
            self.wrong.append(f"lie: gc --prune=now ended with 0, and {self._trashed} are there")

    def _purge(self) -> None:
        if row := self._some():
            code = self._command("purge", "purge", "--force", row["id"], goes={row["uid"]})
            if code == 0 and row["uid"] not in self._gone:
                self.wrong.append(f"lie: purge ended with 0, and {row['uid']} is there")

    def _fold(self) -> None:
        self._command("fold", "", args=("-c", _FOLD))

    def _trust(self) -> None:
        self._command("trust", "trust", "origin")

    def _doctor(self) -> None:
        self._command("doctor", "doctor", "--fix")

    def _some(self) -> dict[str, str] | None:
        rows = [row for row in self._listed() if row["status"] != "running"]
        return self._chance.choice(rows) if rows else None

    # How it is done.

    def _fault(self, roles: tuple[str, ...], points: tuple[str, ...]) -> Fault:
        if self._next_fault:
            return self._next_fault
        return random_fault(self._chance, roles, points)

    def _command(
        self, name: str, *words: str, args: tuple[str, ...] = (), tagged: str | None = "",
        moves: str = "", goes: set[str] | None = None,
    ) -> int:  # fmt: skip
        """Run a command of `git runs`; which run's tags it changes (None: any), which moves, which may go for good."""
        fault = self._fault(_ROLES, _POINTS.get(name, ("",)))
        done = self._disturbed(name, args or (*_RUNS, *words), self._marker(), fault)
        self._look(name, fault, tagged, moves, goes or set())
        return done.code

    def _flow(self, verb: str, args: tuple[str, ...], lineage: Lineage, fault: Fault) -> None:
        before = {row["id"] for row in self._listed()}
        done = self._disturbed(verb, ("f.py", verb, *args), lineage.marker, fault)
        for row in self._listed():
            if row["id"] not in before:
                self._made(row["id"], row["uid"], lineage)
        self._look(verb, fault)
        self._check_flow(done, lineage)

    def _made(self, run: str, uid: str, lineage: Lineage) -> None:
        if run in self._ids:
            self.wrong.append(f"broken: the id {run} was given twice")
        self._mine.add(uid)
        self._lineages[run] = lineage

    def _disturbed(self, name: str, args: tuple[str, ...], marker: Path, fault: Fault) -> Output:
        beside = self._chance.random() < self._beside
        usual = self._seconds.get(name, 0.4)
        ended = threading.Event()
        storm = threading.Thread(target=self._storm, args=(ended, self._chance.randrange(1 << 30)))
        if beside:
            storm.start()
        try:
            found = disturbed(self._repo, args, marker, fault, self._chance.uniform(0, 1.1 * usual))
        finally:
            ended.set()
            if beside:
                storm.join()
        done = found.done
        self.counts[f"command {name}"] += 1
        if found.happened:
            where = f"{fault.at} {fault.where}" if fault.at != "failpoint" else fault.at
            self.counts[f"{fault.what} ({where})"] += 1
        if not fault.what and not beside:
            self._seconds[name] = 0.8 * usual + 0.2 * found.seconds
        self._say(f"{name} {args[-2:]}{' in a storm' if beside else ''}", fault, done.code)
        self.wrong += [f"{it}\n{done.out}" for it in found.wrong]
        if "Traceback" in done.err or "internal error" in done.err:
            self.wrong.append(f"lie: {name} with {fault} shows\n{done.err}")
        if done.code > 0 and fault.what.startswith("E") and found.happened:
            # A refusal because of the storm's own gc is as true.
            is_refusal = self._may_refuse(name, beside) and "is at work here" in done.err
            if not is_refusal and not says_why(fault, done.err):
                self.wrong.append(f"lie: {name} with {fault} says only\n{done.err}")
        elif done.code and not found.happened and not self._may_refuse(name, beside):
            self.wrong.append(f"failed: {name} with {fault} ended with {done.code}\n{done.err}")
        return done

    def _may_refuse(self, name: str, beside: bool) -> bool:
        return name in {"gc", "purge", "fold", "doctor"} and (beside or self._live is not None)

    def _storm(self, ended: threading.Event, seed: int) -> None:
        chance = random.Random(seed)
        while not ended.is_set():
            command = chance.choice(COMMANDS)
            for attempt in range(2):
                self.counts["the user's git command"] += 1
                done = subprocess.run(
                    ["git", *command.split()], cwd=self._repo.path, capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode == 0 or any(it in done.stderr.lower() for it in RIVALS):
                    break
                if attempt:
                    self.wrong.append(f"broken: git {command} failed twice: {done.stderr}")
                self.counts["the user's git command failed once"] += 1
            time.sleep(chance.uniform(0, 0.1))

    # What is looked at.

    def _look(
        self, name: str, fault: Fault, tagged: str | None = "", moves: str = "",
        goes: set[str] | None = None,
    ) -> None:  # fmt: skip
        after = f"after {name} with {fault}"
        here, trash = self._here(), self._uids_of(self._repo, "refs/runs-trash/")
        self._look_for_losses(here, trash, {moves}, goes or set(), after)
        rows = self._listed()
        if {row["uid"] for row in rows} != set(here):
            self.wrong.append(f"lie: listed {rows}, there are {sorted(here)} {after}")
        running = [row["id"] for row in rows if row["status"] == "running"]
        if len(running) != (self._live is not None):
            self.wrong.append(f"lie: {running} are listed as running {after}: {rows}")
        tags = {row["uid"]: set(row["tags"]) for row in rows}
        for uid in set(tags) & set(self._tags) - {tagged, moves}:
            if tagged is not None and tags[uid] != self._tags[uid]:
                self.wrong.append(f"lost: tags of {uid}: {self._tags[uid]}, {tags[uid]} {after}")
        self._known = {**trash, **here}
        self._ids |= {row["id"] for row in rows}
        self._trashed, self._tags = set(trash) - set(here), tags
        self._well(self._repo)

    def _look_for_losses(
        self, here: dict[str, str], trash: dict[str, str], moves: set[str], goes: set[str], after: str
    ) -> None:  # fmt: skip
        for uid, tip in self._known.items():
            now = here.get(uid) or trash.get(uid)
            if now is None and uid in goes:
                self._gone.add(uid)
            elif now is None:
                self.wrong.append(f"lost: {uid} {after}")
            elif now != tip and not self._is_older(tip, now):
                self.wrong.append(f"lost: {uid} went back from {tip} to {now} {after}")
        untouched = set(self._known) - moves - goes
        strays = untouched & (set(here) ^ (set(self._known) - self._trashed))
        self._twice |= set(here) & set(trash) & moves  # a removal or its end did not get further
        strays |= set(here) & (set(trash) | self._gone) - self._twice
        if strays:
            self.wrong.append(f"broken: {strays} moved, came back or are twice there {after}")

    def _well(self, repo: GitRepo) -> None:
        self.counts["looked at with the user's git"] += 1
        try:
            git_is_well(repo)
        except AssertionError as error:
            self.wrong.append(f"broken: {repo.path.name}: {error}; {self.story[-1:]}")

    def _check_flow(self, done: Output, lineage: Lineage) -> None:
        """What a flow has said is so, and what is finished was not executed again."""
        store = store_of(self._repo)
        finished = acknowledged(done)
        self.counts["tasks acknowledged"] += len(finished)
        for run, name in finished:
            try:
                if not store.get("F", run).task(name).record.ok:
                    self.wrong.append(f"lie: {run}/{name} was called finished, and failed")
            except GitflowrunError as error:
                self.wrong.append(f"lost: {run}/{name}: {error}")
        mine = [row for row in self._listed() if self._lineages.get(row["id"]) is lineage]
        if mine:
            if lineage.newest not in {row["id"] for row in mine}:
                lineage.done.clear()  # what went on last was removed, or nothing has yet
            self._check_executions(store.get("F", mine[0]["id"]), lineage)
            self._check_end(done, mine[0], lineage)

    def _check_executions(self, newest: StoredRun, lineage: Lineage) -> None:
        times = executions(lineage.marker)
        steps = {
            f"work-{task.record.frames[-1].value}" if task.record.name.step == "work" else "start"
            for task in newest.all_tasks()
            if task.record.ok and task.record.name.step in {"start", "work"}
        }
        lineage.newest = newest.identity.id
        if set(lineage.done) - steps:
            self.wrong.append(f"lost: {set(lineage.done) - steps} of {newest.pathspec}")
        twice = {step for step, count in lineage.done.items() if times[step] > count}
        if twice:
            self.wrong.append(f"broken: {twice} of {newest.pathspec} executed again")
        lineage.done = Counter({step: times[step] for step in steps})

    def _check_end(self, done: Output, row: dict[str, str], lineage: Lineage) -> None:
        """Code, status and values agree."""
        if done.code == 0:
            self.counts["runs ended well"] += 1
            if row["status"] != "done":
                self.wrong.append(f"lie: code 0, and {row['id']} is {row['status']}")
            elif self._digests(self._repo, row["id"]) != self._wanted(lineage.n):
                self.wrong.append(f"broken: {row['id']} has other values than undisturbed")
        elif row["status"] == "done" and done.code > 0:
            self.wrong.append(f"lie: code {done.code}, and {row['id']} is done\n{done.out}")

    def _wanted(self, n: int) -> Counter[tuple[str, str, str]]:
        if n not in _expected:
            repo = make_repo(self._place / f"undisturbed-{n}", files={"f.py": FLOW})
            done = repo.flow("f.py", "run", "--n", str(n), env={"MARKER": os.devnull})
            assert done.code == 0, done.err
            _expected[n] = self._digests(repo, "1")
        return _expected[n]

    def _digests(self, repo: GitRepo, run: str) -> Counter[tuple[str, str, str]]:
        return Counter(
            (task.record.name.step, name, ref.digest.hex())
            for task in store_of(repo).get("F", run).all_tasks()
            for name, ref in task.record.artifacts.items()
        )

    def _end(self) -> None:
        """The run beside ends, whatever can be resumed is, and all is looked at with `git runs fsck`."""
        self._let_end()
        if not self.wrong:
            self._resumed(Fault())
        for command in (("fsck", "--read-data"), ("doctor", "--fix")):
            done = self._repo.runs(*command)
            if done.code:
                self.wrong.append(f"broken: git runs {command}: {done.out}{done.err}")

    # What git says.

    def _here(self) -> dict[str, str]:
        return self._uids_of(self._repo, "refs/runs/")

    def _uids_of(self, repo: GitRepo, prefix: str) -> dict[str, str]:
        """The uids of the runs below a prefix, with the newest commit of each."""
        found = {}
        for name, tip in refs(repo, prefix).items():
            if "/@" in name or "/notes" in name:
                continue
            if tip not in self._uids:
                self._uids[tip] = repo.git("rev-list", "--max-parents=0", tip)
            found[self._uids[tip]] = tip
        return found

    def _listed(self) -> list[dict[str, str]]:
        done = self._repo.runs("list", "--json")
        if done.code:
            self.wrong.append(f"failed: git runs list: {done.err}")
            return []
        rows: list[dict[str, str]] = json.loads(done.out)
        return rows

    def _is_older(self, tip: str, now: str) -> bool:
        args = ["git", "merge-base", "--is-ancestor", tip, now]
        return subprocess.run(args, cwd=self._repo.path, check=False).returncode == 0

    def _git(self, *args: str) -> None:
        subprocess.run(["git", *args], cwd=self._place, check=True)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _marker(self) -> Path:
        return self._place / f"work-{self._next()}-of-{self._place.name}"

    def _say(self, what: str, fault: Fault, code: int) -> None:
        self.story.append(f"{what} with {fault}: {code}")
