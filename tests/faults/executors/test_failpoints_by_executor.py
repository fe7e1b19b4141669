"""The failpoints that runs pass, with a kill and a full disk, on every executor: forks are in `test_failpoints`."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path

import pytest

from gitflowrun.failpoints import NAMES
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.runs import Status
from tests.faults.check import acknowledged, executions, nobody_is_left, nothing_is_lost
from tests.faults.executors.conftest import Workplaces
from tests.faults.executors.workplaces import ENGINES, Workplace
from tests.faults.recalls import BATCH_POINT, POINTS, RECALLING, WORKERS
from tests.helpers.flows import foreach_flow
from tests.helpers.repos import GitRepo, Output, copy_repo, make_repo
from tests.helpers.runs import store_of
from tests.helpers.signing import SshKey, sign_by_ssh

RETRY = "    @retry(times=1, minutes_between_retries=0)\n"
FLOW = (
    foreach_flow(
        "note(f'work{self.x}.{current.retry_count}')\n"
        "if not self.x + current.retry_count: print('first'); raise ValueError('at first')\n"
        "if current.retry_count: time.sleep(0.4)\n"
        "print('item', self.x)\nself.own = random.Random(self.x).randbytes(2_000_000)",
        items="begun(self)",
        head="import random\nfrom gitflowrun import card, retry\n"
        "def note(what):\n    with open(os.environ['MARKER'], 'a') as log: log.write(what + ' ')\n"
        "def begun(flow):\n    note(f'start.{current.retry_count}')\n"
        "    flow.shared = random.Random(9).randbytes(2_000_000)\n    return range(3)\n",
    )
    .replace("    @step\n    def work", f"{RETRY}    @step\n    def work")
    .replace("    @step\n    def start", f"{RETRY}    @step\n    def start")
    .replace("self.total = ", "note('join.0'); self.parts = [i.own[:9] for i in inputs]; self.total = ")
    .replace("print('total'", "note('end.0'); print('total'")
)  # fmt: skip
RUN = (
    "publish.", "commit.", "attempt.", "ref.", "ids.", "create.", "run.", "snapshot.", "payload.", "cache.opened",
    "dedup.", "live.", "key.", "file.", "card.", "cards.", "step_cache.", "sign.",
)  # fmt: skip
"""The beginnings of the names of what any run passes."""
REMOTE = ("agent.", "remote.")
OWN = {
    "batch": (*RUN, "batch."),
    "one disk": (*RUN, "agent.copied", "agent.ready", "agent.sending", "remote.launched", *POINTS),
}
"""What else runs pass by one way."""
ON_WORKERS = (
    "publish.",
    "payload.",
    "cache.opened",
    "agent.",
    "remote.received",
    "remote.published",
)
"""What a task or an agent passes as well, or alone."""
THIRD = ("publish.", "commit.", "ref.")
"""At the third time in each process: in the middle of a run."""


def names_of(way: str) -> list[str]:
    """The failpoints that runs by one way pass."""
    begin = OWN.get(way, (*RUN, *REMOTE) if way in ENGINES else RUN)
    return [name for name in sorted(NAMES) if name.startswith(begin) and name not in NOT_PASSED]


NOT_PASSED = {"file.written", "file.replaced"}


def _kind(name: str) -> str:
    if name in {*POINTS, BATCH_POINT}:
        return "recall"
    kind = name.partition(".")[0]
    return kind if kind in {"card", "cards", "step_cache", "sign"} else ""


def _words(kind: str) -> tuple[str, ...]:
    cache = ("--cache",) if kind == "step_cache" else ()
    return ("f.py", "run", "--tag", "good", "--max-workers", _workers(kind), *cache)


def _workers(kind: str) -> str:
    return WORKERS if kind == "recall" else "1"


def _make(place: Path, kind: str) -> GitRepo:
    repo = make_repo(place / "repo")
    text = RECALLING if kind == "recall" else FLOW
    if kind.startswith("card"):
        text = text.replace("    @step\n    def join", "    @card\n    @step\n    def join")
    repo.write("f.py", text)
    if kind == "sign":
        sign_by_ssh(repo, SshKey.make(place / "key"))
    if kind == "step_cache":
        assert repo.flow(*_words(kind), env={"MARKER": os.devnull}).code == 0
    return repo


Templates = Callable[[str, Path], GitRepo]
Expected = Callable[[str], dict[str, str]]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Copies of repositories, by what is special in their runs."""
    made: dict[str, GitRepo] = {}

    def copy(kind: str, place: Path) -> GitRepo:
        if kind not in made:
            made[kind] = _make(tmp_path_factory.mktemp("template"), kind)
        return copy_repo(made[kind], place)

    return copy


@pytest.fixture(scope="module")
def expected(templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """The digests of all artifacts of an undisturbed run by forks, by what is special in it."""
    made: dict[str, dict[str, str]] = {}

    def digests(kind: str) -> dict[str, str]:
        kind = kind if kind == "recall" else ""  # all others have the same values
        if kind not in made:
            place = tmp_path_factory.mktemp("undisturbed")
            repo = templates(kind, place / "repo")
            done = repo.flow(*_words(kind), env={"MARKER": str(place / "work")})
            assert done.code == 0, done.err
            made[kind] = _digests(_latest(repo))
        return made[kind]

    return digests


def _latest(repo: GitRepo) -> StoredRun:
    run = store_of(repo).latest("F")
    assert run is not None
    return run


def _digests(run: StoredRun) -> dict[str, str]:
    """The digests of all artifacts, by the step, the item and the name."""
    found = {}
    for task in run.all_tasks():
        place = f"{task.record.name.step}{[it.index for it in task.record.frames]}"
        for name, ref in task.record.artifacts.items():
            found[f"{place} {name}"] = ref.digest.hex()
    return found


class Trial:
    """A run that is disturbed.

    Args:
        repo: Where.
        way: How its tasks are executed.
        marker: What tells its processes, and where steps note that they are executed.
        kind: What is special in it.
    """

    def __init__(self, repo: GitRepo, way: Workplace, marker: Path, kind: str = "") -> None:
        self.repo = repo
        self.way = way
        self.marker = marker
        self._kind = kind
        self._words = _words(kind)
        way.prepare(repo)

    def go(self, points: str = "", *, workers: str = "") -> tuple[Output, set[str]]:
        """Start a run with failpoints, on workers with others; what it left, and which places were reached."""
        reached = self.marker.with_suffix(".reached")
        told = f"*=tell:{reached}; "
        self.way.let_workers(told + workers if workers else told + points)
        done = self._run(*self._words, GITFLOWRUN_FAILPOINTS=told + points)
        self.way.let_workers()
        return done, set(reached.read_text().split()) if reached.exists() else set()

    def _run(self, *words: str, **env: str) -> Output:
        given = {**self.way.env, "MARKER": str(self.marker), **env}
        return self.repo.flow(*words, env=given)

    def is_done(self) -> bool:
        """Whether the newest run is."""
        run = store_of(self.repo).latest("F")
        return run is not None and run.status is Status.DONE

    def goes_on(self, done: Output, expected: Expected) -> None:
        """Nothing is left or lost, and what goes on with the run does what is left, once."""
        repo = self.repo
        nobody_is_left(self.marker)
        assert self.way.is_free()
        repo.fsck()
        finished = acknowledged(done)
        nothing_is_lost(repo, finished)
        before = executions(self.marker)
        run = store_of(repo).latest("F")
        was_done = run is not None and run.status is Status.DONE
        if not was_done:
            assert run is None or run.status is not Status.RUNNING, "a dead run counts as running"
            verb = "resume" if run else "run"
            again = self._run("f.py", verb, "--max-workers", _workers(self._kind))
            assert again.code == 0, again.err
        latest = _latest(repo)
        assert latest.status is Status.DONE
        assert _digests(latest) == expected(self._kind)
        after = executions(self.marker)
        for number, name in finished:
            for note in _notes(store_of(repo).get("F", number), name):
                assert after[note] == before[note], "done twice"
        nothing_is_lost(repo, finished)
        repo.fsck()
        nobody_is_left(self.marker)
        # Of an agent that was killed the next one of the same cache removes it; Dask's workers have one each.
        if not was_done and self.way.name != "dask":
            assert self.way.left() == []

    def launches(self) -> Counter[str]:
        """How often each attempt of the newest run was launched, by its own record, as steps note themselves."""
        return Counter({
            f"{_place(task.record)}.{it.number}": 1 + len(it.lost)
            for task in _latest(self.repo).all_tasks()
            for it in task.record.attempts
        })  # fmt: skip


def _place(record: object) -> str:
    step = record.name.step  # type: ignore[attr-defined]
    frames = record.frames  # type: ignore[attr-defined]
    return f"{step}{frames[-1].index if frames and step == 'work' else ''}"


def _notes(run: StoredRun, name: object) -> Iterator[str]:
    record = run.task(name).record  # type: ignore[arg-type]
    for attempt in record.attempts:
        yield f"{_place(record)}.{attempt.number}"


Trials = Callable[..., Trial]


@pytest.fixture
def trials(workplaces: Workplaces, templates: Templates, tmp_path: Path) -> Trials:
    """Makes a trial: by which way, and for which failpoint."""

    def make(way: str, name: str = "") -> Trial:
        repo = templates(_kind(name), tmp_path / "repo")
        shutil.rmtree(repo.path.parent / "cache", ignore_errors=True)
        return Trial(repo, workplaces(way), tmp_path / "work", _kind(name))

    return make


WAYS = ("fresh", "batch", *ENGINES)
DEFAULT = {("batch", "payload.sending")}


def _is_tried(way: str, name: str, number: int, every: int) -> bool:
    """Whether a way is tried at a place: what is the driver's own is the same by any, so some of it will do."""
    if name.startswith(ON_WORKERS if way in ENGINES else ("batch.", "payload.")):
        return True
    return name.startswith("remote.") or number % every == 0


def _cases(actions: tuple[str, ...], every: Mapping[str, int]) -> Iterator[object]:
    for way in WAYS:
        for number, name in enumerate(names_of(way)):
            action = actions[number % len(actions)]
            if _is_tried(way, name, number, every.get(way, 7)):
                marks = () if (way, name) in DEFAULT and action == "kill" else pytest.mark.slow
                yield pytest.param(way, name, action, id=f"{way}-{name}-{action}", marks=marks)


@pytest.mark.parametrize(
    ("way", "name", "action"), [*_cases(("kill",), {"pool": 1, "fresh": 3, "batch": 3})]
)
def test_a_kill_at_any_step(
    trials: Trials, expected: Expected, way: str, name: str, action: str
) -> None:
    """Of the driver, an agent or a task: no orphan, nothing lost, and the run goes on, doing nothing again."""
    trial = trials(way, name)
    done, reached = trial.go(f"{name}={action}:{3 if name.startswith(THIRD) else 1}")
    assert name in reached
    assert (done.code == 0) == trial.is_done(), done.err
    assert "Traceback" not in done.err, done.err
    trial.goes_on(done, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "name", "action"), [*_cases(("ENOSPC", "EIO"), {"fresh": 5, "batch": 5})]
)
def test_an_error_at_any_step(
    trials: Trials, expected: Expected, way: str, name: str, action: str
) -> None:
    """A full or broken disk, from then on: a run that can't end says why, and goes on when there is space."""
    trial = trials(way, name)
    done, reached = trial.go(f"{name}={action}:{3 if name.startswith(THIRD) else 1}")
    assert name in reached
    assert (done.code == 0) == trial.is_done(), done.err
    assert "internal error" not in done.err, done.err
    assert "Traceback" not in done.err, done.err
    if done.code:
        assert os.strerror(getattr(errno, action)) in done.err, done.err
    trial.goes_on(done, expected)


@pytest.mark.parametrize(
    ("way", "name"),
    [
        pytest.param(way, name, marks=() if (way, name) == ("pool", "agent.sending") else pytest.mark.slow)
        for way in ENGINES
        for name in names_of(way)
        if name.startswith(ON_WORKERS if way in {"pool", "one disk"} else ("agent.", "payload."))
    ],
)  # fmt: skip
def test_a_worker_that_is_killed_once(
    trials: Trials, expected: Expected, tmp_path: Path, way: str, name: str
) -> None:
    """At any step of an agent or a task: the run ends well by itself, and tells of each launch and attempt."""
    trial = trials(way, name)
    done, reached = trial.go(workers=f"{name}=kill:{tmp_path / 'killed'}")
    assert name in reached
    assert done.code == 0, done.err
    trial.goes_on(done, expected)
    told = trial.launches()
    for note, times in executions(trial.marker).items():
        assert times <= told[note], (note, done.err)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "kind"),
    [
        *product(WAYS, ("", "card.rendered", "step_cache.found", "sign.asked")),
        *product(ENGINES, ("agent.recalled",)),
    ],
)
def test_every_failpoint_is_passed(trials: Trials, expected: Expected, way: str, kind: str) -> None:
    """What the cases above take for passed by a run is, and such a run is the same as one by forks."""
    trial = trials(way, kind)
    done, reached = trial.go()
    assert done.code == 0, done.err
    assert {name for name in names_of(way) if _kind(name) == _kind(kind)} <= reached
    trial.goes_on(done, expected)
