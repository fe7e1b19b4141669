"""Every failpoint, with a kill, a full disk and a broken one: each protocol can stop or fail at each of its steps."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gitflowrun.failpoints import NAMES
from gitflowrun.git.objects import ObjectType, hash_object
from gitflowrun.limits import FEW_REFS
from gitflowrun.names import TaskName
from gitflowrun.runs.runs import Status
from tests.faults.check import (
    FLOW,
    acknowledged,
    digests,
    executions,
    flow_goes_on,
    git_is_well,
    nobody_is_left,
    nothing_is_lost,
    told_well,
    told_why,
)
from tests.faults.recalls import BATCH_POINT, ITEMS, POINTS, RECALLING, WORKERS
from tests.helpers.clones import clone, ids, refs, send, tags
from tests.helpers.flows import background, eventually, foreach_flow
from tests.helpers.repos import GitRepo, Output, make_repo
from tests.helpers.runs import make_run, store_of
from tests.helpers.same_runs import POOL
from tests.helpers.signing import SshKey, sign_by_ssh

FOLD = (
    "from pathlib import Path; from gitflowrun.cli.errors import FLOW, exit_code_of\n"
    "from gitflowrun.git.maintenance import fold; from gitflowrun.git.repository import Repository\n"
    "raise SystemExit(exit_code_of(lambda: 1 - fold(Repository.discover(Path.cwd())), FLOW))"
)
# What a clone knows of a remote lies under its place, and the scenario's repositories are copies.
REMOVE_THERE = (
    "import sys; from gitflowrun.cli.git_runs.main import main\n"
    "main(['fetch']); sys.exit(main(['rm', '--force', '--remote', '1']))"
)
RUNS = ("-m", "gitflowrun.cli.git_runs.main")
# Where one error costs nobody anything: what is lost is a cache, or for people to look at; or it is tried again.
HARMLESS = ("batch.ended", "cache.", "dedup.", "live.", "packed.", "sign.", "step_cache.")
# A process that nothing depends on, at that moment, or one that another takes the place of.
APART = ("card.", "batch.waits", "agent.recalled")
# What could not be mended is a line of the report.
REPORTED = ("doctor.",)
# At the first time where it is reached once, else in the middle of a run.
THIRD = ("publish.", "commit.", "ref.")


@dataclass(frozen=True)
class Trial:
    """A command that was disturbed: in which repository, what it left, and what tells its processes."""

    repo: GitRepo
    done: Output
    marker: Path


@dataclass(frozen=True)
class Scenario:
    """A command, and what must hold after it was killed or has failed.

    Attributes:
        prefixes: Of the names of the failpoints that it is for.
        make: Makes the repository in a directory.
        args: The command, behind `python`.
        check: Looks at the repository and goes on in it.
    """

    prefixes: tuple[str, ...]
    make: Callable[[Path], GitRepo]
    args: tuple[str, ...]
    check: Callable[[Trial], None]


def _flow_repo(place: Path) -> GitRepo:
    repo = make_repo(place / "repo")
    repo.write("f.py", FLOW)
    return repo


def _remote_repo(place: Path) -> GitRepo:
    """A flow whose tasks are executed by agents that do as if they were on another machine."""
    repo = _flow_repo(place)
    text = FLOW.replace("b'large' * 20_000", "random.Random(5).randbytes(2_000_000)")
    repo.write("f.py", f"import random\n{text}")
    repo.write("pools.py", POOL)
    repo.git("config", "runs.executor", "pools:pool")
    repo.git("config", "runs.executorSharedDisk", "false")
    repo.git("config", "runs.env", "MARKER")
    return repo


def _after_remote(trial: Trial) -> None:
    if not _expected_remote:
        undisturbed = _remote_repo(trial.repo.path.parent / "undisturbed")
        undisturbed.git("config", "runs.executor", "local")
        assert undisturbed.flow("f.py", "run", env={"MARKER": os.devnull}).code == 0
        run = store_of(undisturbed).latest("F")
        assert run is not None
        _expected_remote.update(digests(run))
    flow_goes_on(trial.repo, trial.done, trial.marker, _expected_remote)


def _carded_repo(place: Path) -> GitRepo:
    repo = make_repo(place / "repo")
    repo.write("f.py", FLOW.replace("    @step\n    def start", "    @card\n    @step\n    def start").replace(
        "import FlowSpec", "import card, FlowSpec"
    ))  # fmt: skip
    return repo


_expected: dict[tuple[str, str], str] = {}
_expected_remote: dict[tuple[str, str], str] = {}


def _after_flow(trial: Trial) -> None:
    repo = trial.repo
    if not _expected:
        undisturbed = _flow_repo(repo.path.parent / "undisturbed")
        assert undisturbed.flow("f.py", "run", env={"MARKER": os.devnull}).code == 0
        run = store_of(undisturbed).latest("F")
        assert run is not None
        _expected.update(digests(run))
    flow_goes_on(repo, trial.done, trial.marker, _expected)


def _cached_repo(place: Path) -> GitRepo:
    """A flow whose tasks have been done once."""
    repo = _flow_repo(place)
    assert repo.flow("f.py", "run", "--cache", env={"MARKER": os.devnull}).code == 0
    return repo


def _tried_repo(place: Path) -> GitRepo:
    """A flow whose first task fails, and is tried again when that is published."""
    repo = make_repo(place / "repo")
    fails = "if not current.retry_count: print('first'); raise ValueError('at first')\n        time.sleep(0.4); "
    again = FLOW.replace("self.x = 1;", f"{fails}self.x = 1;")
    head = "import time\nfrom gitflowrun import current, retry\n"
    decorated = again.replace("@step\n    def start", "@retry(times=1)\n    @step\n    def start")
    assert decorated.count("retry(") == 1
    repo.write("f.py", head + decorated)
    return repo


def _after_tried(trial: Trial) -> None:
    """What was published of the first attempt is there, whatever became of the second; a new one has both."""
    for is_after in (False, True):
        if is_after:
            _after_flow(trial)
        run = store_of(trial.repo).latest("F")
        assert run is not None
        (task,) = run.tasks_of("start")
        assert task.at_attempt(0).output("stdout") == b"first\n"
        assert task.at_attempt(0).record.attempts[0].error == "ValueError: at first"
        assert task.record.ok is is_after


def _batched_repo(place: Path) -> GitRepo:
    """A flow with a foreach, whose tasks share processes."""
    repo = make_repo(place / "repo")
    note = "with open(os.environ['MARKER'], 'a') as log: log.write(f'work{self.input} ')"
    repo.write("f.py", foreach_flow(note))
    return repo


def _went_on(
    trial: Trial, *options: str
) -> tuple[set[tuple[str, TaskName]], Counter[str], dict[TaskName, int]]:
    """Have a run resumed that has not ended well, of which nothing may be lost.

    Returns:
        What it had finished before, how often each task had been executed by then, and the item of each `work`.
    """
    nobody_is_left(trial.marker)
    trial.repo.fsck()
    finished = acknowledged(trial.done)
    nothing_is_lost(trial.repo, finished)
    before = executions(trial.marker)
    if not _is_done(trial.repo):
        done = trial.repo.flow("f.py", "resume", *options, env={"MARKER": str(trial.marker)})
        assert done.code == 0, done.err
    run = store_of(trial.repo).latest("F")
    assert run is not None
    return (
        finished,
        before,
        {it.record.name: it.record.frames[-1].index for it in run.tasks_of("work")},
    )


def _after_batch(trial: Trial) -> None:
    """Each task is there once, and none is executed again that was finished."""
    _, _, index = _went_on(trial, "--isolation", "batch")
    assert sorted(index.values()) == [0, 1, 2, 3]
    times = executions(trial.marker)
    assert all(0 < times[f"work{it}"] <= 2 for it in index.values())
    assert sum(times.values()) <= 5, "more than what was lost is done twice"
    git_is_well(trial.repo)


def _recalling_repo(place: Path) -> GitRepo:
    """A flow that recalls a launch from an agent, where agents do as if they were on another machine."""
    repo = _remote_repo(place)
    repo.write("f.py", RECALLING)
    return repo


def _recalling_batch(place: Path) -> GitRepo:
    """The same with processes of batch isolation."""
    return make_repo(place / "repo", files={"f.py": RECALLING})


def _after_recall(trial: Trial) -> None:
    """Each item is there once, and none is executed again that was finished."""
    finished, before, index = _went_on(trial, "--max-workers", WORKERS)
    assert sorted(index.values()) == [*range(ITEMS)]
    after = executions(trial.marker)
    items = {f"work{index[name]}.0" for _, name in finished if name in index}
    assert all(after[it] == before[it] for it in items), "done twice"
    git_is_well(trial.repo)


def _many_packs(place: Path) -> GitRepo:
    repo = make_repo(place / "repo")
    for _ in range(3):
        make_run(repo)
    return repo


def _after_fold(trial: Trial) -> None:
    repo = trial.repo
    nobody_is_left(trial.marker)
    repo.fsck()
    assert len(ids(repo)) == 3
    again = repo.flow("-c", FOLD)
    assert again.code in {0, 1}, again.err
    assert again.err == ""
    git_is_well(repo)


def _one_run(place: Path) -> GitRepo:
    repo = make_repo(place / "repo")
    make_run(repo)
    return repo


def _after_tag(trial: Trial) -> None:
    repo = trial.repo
    nobody_is_left(trial.marker)
    repo.fsck()
    assert repo.call("tag", "1", "good").code == 0
    (found,) = tags(repo).values()
    assert found == ("good",)
    assert len(refs(repo, "refs/tags/runs")) == 1
    git_is_well(repo)


def _noted_run(place: Path) -> GitRepo:
    repo = _one_run(place)
    assert repo.call("note", "1", "-m", "before").code == 0
    return repo


def _after_note(trial: Trial) -> None:
    repo = trial.repo
    nobody_is_left(trial.marker)
    repo.fsck()
    is_told = trial.done.code == 0
    assert repo.call("note", "1").out in {"after\n", *(() if is_told else ("before\n",))}
    assert repo.call("note", "1", "-m", "again").code == 0
    assert repo.git("log", "-1", "--format=%s", "refs/notes/runs") == "Note on run MyFlow/1"
    assert repo.call("note", "1").out == "again\n"
    git_is_well(repo)


def _clones(place: Path) -> GitRepo:
    """Ada's clone with runs that the hub has not, and the hub with as many that she has not."""
    make_repo(place / "first")
    GitRepo(place).git("clone", "-q", "--bare", "first", "hub")
    hub = GitRepo(place / "hub")
    ada, bob = clone(hub, "repo"), clone(hub, "bob")
    for repo, count in ((ada, 2), (bob, FEW_REFS + 1)):
        for _ in range(count):
            make_run(repo)
    assert bob.call("tag", "1", "theirs").code == 0
    send(bob)
    return ada


def _after_fetch(trial: Trial) -> None:
    repo = trial.repo
    nobody_is_left(trial.marker)
    repo.fsck()
    own = set(list(ids(repo).values())[:2])
    assert repo.call("fetch").code == 0
    assert len(set(ids(repo).values())) == FEW_REFS + 3
    assert own <= set(ids(repo).values())
    assert [*tags(repo).values()] == [("theirs",)]
    git_is_well(repo)


def _after_push(trial: Trial) -> None:
    repo = trial.repo
    nobody_is_left(trial.marker)
    repo.fsck()
    hub = GitRepo(repo.path.parent / "hub")
    before = set(ids(hub).values())
    assert repo.call("push").code == 0
    after = set(ids(hub).values())
    assert before <= after
    assert len(after) == FEW_REFS + 3
    git_is_well(hub)
    git_is_well(repo)


def _after_trust(trial: Trial) -> None:
    repo = trial.repo
    nobody_is_left(trial.marker)
    again = repo.call("trust", "origin", "--json")
    assert again.code == 0, again.err
    assert again.out.count('"url"') == 1
    assert repo.call("trust", "--list").err == ""
    assert not list((repo.path / ".git").glob("gitflowrun-trusted.*"))
    git_is_well(repo)


OWN = b"only the removed run has it " * 999
LOST = "the user's own, which no ref leads to"


def _tagged_run(place: Path) -> GitRepo:
    """Two runs, of which the first one has a tag and a note, and a blob of the user's that nothing leads to."""
    repo = make_repo(place / "repo")
    run = make_run(repo, tags=["good"], result=OWN)
    make_run(repo)
    repo.git("notes", "--ref=runs", "add", "-m", "remember", str(run.uid))
    repo.git("hash-object", "-w", "--stdin", stdin=LOST.encode())
    return repo


def _packed_run(place: Path) -> GitRepo:
    """The same in one pack, but for the note, the blob and a second copy of what the run alone has."""
    repo = make_repo(place / "repo")
    oid = repo.git("hash-object", "-w", "--stdin", stdin=OWN)
    loose = repo.path / ".git/objects" / oid[:2] / oid[2:]
    content = loose.read_bytes()
    run = make_run(repo, tags=["good"], result=OWN)
    make_run(repo)
    repo.git("repack", "-a", "-d", "-q")
    loose.parent.mkdir(exist_ok=True)
    loose.write_bytes(content)
    repo.git("notes", "--ref=runs", "add", "-m", "remember", str(run.uid))
    repo.git("hash-object", "-w", "--stdin", stdin=LOST.encode())
    return repo


def _removed_run(place: Path) -> GitRepo:
    repo = _tagged_run(place)
    assert repo.call("rm", "--force", "1").code == 0
    return repo


def _pushed_run(place: Path) -> GitRepo:
    repo = _tagged_run(place)
    repo.git("init", "-q", "--bare", str(place / "hub"))
    repo.git("remote", "add", "origin", "../hub")
    assert repo.call("push").code == 0
    for ref, oid in refs(
        repo, "refs/runs-remotes"
    ).items():  # of a place that the copies know nothing of
        repo.git("update-ref", "-d", ref, oid)
    return repo


def _after_removal_there(trial: Trial) -> None:
    """The run can be restored, and the next one removes there what is left."""
    repo, hub = trial.repo, GitRepo(trial.repo.path.parent / "hub")
    nobody_is_left(trial.marker)
    repo.fsck()
    again = repo.call("rm", "--force", "--remote", "1")
    assert again.code == 0, again.err
    assert [*refs(hub)] == ["refs/runs/MyFlow/2"]
    assert repo.call("restore", "1").code == 0
    assert tags(repo) == {"MyFlow/1": ("good",)}
    git_is_well(hub)
    git_is_well(repo)


def _is_whole(repo: GitRepo) -> None:
    done = repo.call("fsck")
    assert done.code == 0, done.out


def _after_removal(trial: Trial) -> None:
    """The run is here or in the trash, and comes back with what it had."""
    repo = trial.repo
    nobody_is_left(trial.marker)
    repo.fsck()
    _is_whole(repo)
    if refs(repo, "refs/runs-trash"):
        assert repo.call("restore", "1").code == 0
    assert refs(repo, "refs/runs-trash") == {}
    found = ids(repo)
    assert {*found} == {"MyFlow/1", "MyFlow/2"}
    assert tags(repo) == {"MyFlow/1": ("good",)}
    assert repo.git("notes", "--ref=runs", "show", found["MyFlow/1"]) == "remember"
    assert repo.call("rm", "--force", "1").code == 0
    assert {*ids(repo)} == {"MyFlow/2"}
    git_is_well(repo)


def _after_purge(trial: Trial) -> None:
    """The other run and the user's own are whole, `gc` goes on, and what is left of the run can be purged."""
    repo = trial.repo
    nobody_is_left(trial.marker)
    repo.fsck()
    _is_whole(repo)
    again = repo.call("gc")
    assert again.code == 0, again.err
    if {*ids(repo)} != {"MyFlow/2"} or refs(repo, "refs/runs-trash"):
        done = repo.call("purge", "--force", "1")
        assert done.code == 0, done.err
    assert {*ids(repo)} == {"MyFlow/2"}
    assert not refs(repo, "refs/runs-trash")
    assert not tags(repo)
    assert repo.git("notes", "--ref=runs", "list") == ""
    assert not has(repo, OWN)
    assert has(repo, LOST.encode())
    assert not (repo.path / ".git/gitflowrun/freeing").exists()
    packs = repo.path / ".git/objects/pack"
    assert {it.stem for it in packs.glob("*.pack")} == {it.stem for it in packs.glob("*.idx")}
    _is_whole(repo)
    git_is_well(repo)
    assert has(repo, LOST.encode())


def has(repo: GitRepo, data: bytes) -> bool:
    """Whether a blob is there."""
    return repo.git("cat-file", "-t", str(hash_object(ObjectType.BLOB, data)), check=False) != ""


def _ailing(place: Path) -> GitRepo:
    """A run whose ref is empty and whose git tag is gone, and a mark that is too low."""
    repo = _tagged_run(place)
    (mirror,) = refs(repo, "refs/tags/runs")
    repo.git("update-ref", "-d", mirror)
    (repo.path / ".git/refs/runs/MyFlow/2").write_bytes(b"")
    (repo.path / ".git/gitflowrun-mark").write_bytes(b"")
    return repo


def _after_doctor(trial: Trial) -> None:
    """Whatever is left is mended by the next one."""
    repo = trial.repo
    nobody_is_left(trial.marker)
    done = repo.call("doctor", "--fix")
    assert done.code == 0, done.out
    assert repo.call("doctor").out == "Nothing is wrong.\n"
    assert {*ids(repo)} == {"MyFlow/1", "MyFlow/2"}
    assert len(refs(repo, "refs/tags/runs")) == 1
    git_is_well(repo)


def _signing_repo(place: Path) -> GitRepo:
    repo = _flow_repo(place)
    sign_by_ssh(repo, SshKey.make(place / "key"))
    return repo


SCENARIOS = (
    Scenario(
        ("publish.", "commit.", "ref.", "ids.", "create.", "run.", "snapshot.", "payload.", "cache.", "dedup.", "live.",
         "key."),
        _flow_repo, ("f.py", "run", "--tag", "good"), _after_flow,
    ),
    Scenario(("card.", "cards."), _carded_repo, ("f.py", "run"), _after_flow),
    Scenario(POINTS, _recalling_repo, ("f.py", "run", "--max-workers", WORKERS), _after_recall),
    Scenario(
        (BATCH_POINT,), _recalling_batch, ("f.py", "run", "--isolation", "batch", "--max-workers", WORKERS),
        _after_recall,
    ),
    Scenario(("agent.", "remote."), _remote_repo, ("f.py", "run"), _after_remote),
    Scenario(("step_cache.",), _cached_repo, ("f.py", "run", "--cache"), _after_flow),
    Scenario(
        ("batch.",), _batched_repo, ("f.py", "run", "--isolation", "batch", "--max-workers", "1"), _after_batch
    ),
    Scenario(("attempt.",), _tried_repo, ("f.py", "run"), _after_tried),
    Scenario(("fold.",), _many_packs, ("-c", FOLD), _after_fold),
    Scenario(("tags.",), _one_run, (*RUNS, "tag", "1", "good"), _after_tag),
    Scenario(("note.",), _noted_run, (*RUNS, "note", "1", "-m", "after"), _after_note),
    Scenario(("trust.", "file."), _clones, (*RUNS, "trust", "origin"), _after_trust),
    Scenario(("fetch.", "packed."), _clones, (*RUNS, "fetch"), _after_fetch),
    Scenario(("push.",), _clones, (*RUNS, "push"), _after_push),
    Scenario(("trash.",), _tagged_run, (*RUNS, "rm", "--force", "1"), _after_removal),
    Scenario(("rm.",), _pushed_run, ("-c", REMOVE_THERE), _after_removal_there),
    Scenario(("restore.",), _removed_run, (*RUNS, "restore", "1"), _after_removal),
    Scenario(("purge.", "free."), _packed_run, (*RUNS, "purge", "--force", "1"), _after_purge),
    Scenario(("doctor.",), _ailing, (*RUNS, "doctor", "--fix"), _after_doctor),
    Scenario(("sign.",), _signing_repo, ("f.py", "run", "--tag", "good"), _after_flow),
)  # fmt: skip


def scenario_of(name: str) -> Scenario:
    """The scenario that a failpoint is tried in."""
    return next(it for it in SCENARIOS if name.startswith(it.prefixes))


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Scenario, Path], GitRepo]:
    """Makes copies of the scenarios' repositories, each of which is made once."""
    made: dict[Scenario, Path] = {}

    def copy(scenario: Scenario, place: Path) -> GitRepo:
        if scenario not in made:
            made[scenario] = tmp_path_factory.mktemp("template")
            scenario.make(made[scenario])
        shutil.copytree(made[scenario], place, dirs_exist_ok=True, symlinks=True)
        repo = GitRepo(place / "repo")
        if (place / "hub").exists():
            repo.git("remote", "set-url", "origin", str(place / "hub"))
        return repo

    return copy


Templates = Callable[[Scenario, Path], GitRepo]


def _try(scenario: Scenario, repo: GitRepo, marker: Path, points: str) -> tuple[Output, set[str]]:
    """Run a scenario's command with failpoints; what it left, and which places it reached."""
    reached = marker.with_suffix(".reached")
    env = {"MARKER": str(marker), "GITFLOWRUN_FAILPOINTS": f"*=tell:{reached}; {points}"}
    done = repo.flow(*scenario.args, env=env)
    return done, set(reached.read_text().split()) if reached.exists() else set()


def _cases() -> Iterator[object]:
    for number, name in enumerate(sorted(NAMES)):
        times = 3 if name.startswith(THIRD) else 1
        for action in ("kill", "ENOSPC", "EIO"):
            # By default every sixth place is killed at, and every twentieth one has a full or a broken disk.
            default = (
                number % 6 == 0
                if action == "kill"
                else number % 40 == (30 if action == "EIO" else 10)
            )
            marks = [] if default else [pytest.mark.slow]
            yield pytest.param(name, action, times, id=f"{name}-{action}", marks=marks)
            if times > 1:
                yield pytest.param(
                    name, action, 1, id=f"{name}-{action}-first", marks=pytest.mark.slow
                )


@pytest.mark.parametrize(("name", "action", "times"), [*_cases()])
def test_a_fault_at_any_step(
    tmp_path: Path, templates: Templates, name: str, action: str, times: int
) -> None:
    """Whatever happens at whichever step: a true word, no orphan, git well, nothing lost, and life goes on."""
    scenario = scenario_of(name)
    repo = templates(scenario, tmp_path)
    marker = tmp_path / "work"
    done, reached = _try(scenario, repo, marker, f"{name}={action}:{times}")
    assert name in reached
    if name.startswith(APART) or (name.startswith(HARMLESS) and action != "kill"):
        assert done.code == 0, done.err
        assert "Traceback" not in done.err, done.err
    elif scenario.check in {_after_flow, _after_remote} and _is_done(
        repo
    ):  # it was late: the run counts
        assert done.code == 0, done.err
        assert "Done!" in done.out
        told_why(done, "was killed" if action == "kill" else os.strerror(getattr(errno, action)))
    elif action != "kill":
        said = replace(done, err=done.err + done.out) if name.startswith(REPORTED) else done
        told_well(said, os.strerror(getattr(errno, action)))
    else:
        assert done.code != 0
        assert "Traceback" not in done.err, done.err
    scenario.check(Trial(repo, done, marker))


def _is_done(repo: GitRepo) -> bool:
    run = store_of(repo).latest("F")
    return run is not None and run.status is Status.DONE


# Within our own directory `.lock` is the name of what the kernel locks, and of locks that were moved away.
LEFT = re.compile(
    r"(?!gitflowrun/).*\.(?:lock|keep|new|[0-9a-f]{8})"
    r"|gitflowrun/(?:incoming/.*|freeing|[^/]*\.[0-9a-f]{8})"
)


def _left(repo: GitRepo) -> list[Path]:
    """Files of the git directory that belong to a process which is at work, or was."""
    top = repo.path / ".git"
    files = (path for path in top.rglob("*") if path.is_file())
    return [path for path in files if LEFT.fullmatch(str(path.relative_to(top)))]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if number % 16 == 0 else [pytest.mark.slow])
        for number, name in enumerate(sorted(NAMES))
    ],
)
@pytest.mark.sample(
    "create.prepared", "free.deleting", "note.written", "purge.trashed", "restore.planned"
)
def test_what_a_kill_leaves_is_found(tmp_path: Path, templates: Templates, name: str) -> None:
    """Locks, kept packs, temporary files and unfinished work of a killed process: the doctor leaves none of it."""
    repo = templates(scenario_of(name), tmp_path)
    _try(
        scenario_of(name),
        repo,
        tmp_path / "work",
        f"{name}=kill:{3 if name.startswith(THIRD) else 1}",
    )
    nobody_is_left(tmp_path / "work")
    for path in _left(repo):
        os.utime(path, (0, 0))
    done = repo.call("doctor", "--fix")
    assert done.code == 0, done.out
    assert _left(repo) == []
    assert repo.call("doctor").out == "Nothing is wrong.\n"


@pytest.mark.slow
def test_every_failpoint_is_reached(tmp_path: Path, templates: Templates) -> None:
    """The commands of the matrix come by every place that is registered, and succeed when nothing happens there."""
    everywhere = set()
    for number, scenario in enumerate(SCENARIOS):
        repo = templates(scenario, tmp_path / str(number))
        done, reached = _try(scenario, repo, tmp_path / f"work{number}", "")
        assert done.code == 0, done.err
        everywhere |= {name for name in reached if scenario_of(name) is scenario}
    assert everywhere == NAMES


def test_an_unknown_name_is_refused(repo: GitRepo) -> None:
    """A misspelt failpoint never looks like a protocol that stands everything."""
    done = repo.python(*RUNS, "log", env={"GITFLOWRUN_FAILPOINTS": "publish.nowhere=kill"})
    assert done.code != 0
    assert done.err == "error: GITFLOWRUN_FAILPOINTS: there is no failpoint 'publish.nowhere'\n"


def test_a_pause_lasts_until_a_file_appears(repo: GitRepo, tmp_path: Path) -> None:
    """While a process waits at a place, others see what it has done until there, and no more."""
    run = make_run(repo)
    go = tmp_path / "go"
    points = f"tags.planned=tell:{tmp_path / 'there'}; tags.planned=pause:{go}"
    tagging = background(repo, *RUNS, "tag", "1", "late", env={"GITFLOWRUN_FAILPOINTS": points})
    assert eventually((tmp_path / "there").exists)
    assert tags(repo) == {}
    go.touch()
    assert tagging.wait() == 0
    assert tags(repo) == {run.pathspec: ("late",)}
