"""The step cache: what an earlier run has done is taken from there, and executed where anything that counts differs."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gitflowrun.git.objects import Oid
from gitflowrun.porcelain.overview import RunOverview, run_overview, task_overview
from gitflowrun.runs.lookup.cache_index import CacheIndex
from gitflowrun.runs.read import StoredRun
from tests.helpers.clones import clone, get, send
from tests.helpers.flows import latest, one_task, value_of
from tests.helpers.packs import objects_dir
from tests.helpers.repos import GitRepo, Output, copy_repo, make_repo

FLOW = """
import json, os, pathlib, sys
from gitflowrun import FlowSpec, IncludeFile, Parameter, card, catch, retry, secrets, step
import features
{head}

class F(FlowSpec):
    n = Parameter("n", default=3)

    @step
    def start(self):
        print("start runs")
        self.base = len(os.environ.get("NOBODY", "12345"))
        self.next(self.split)

    {above}
    @step
    def split(self):
        {split}
        self.items = [features.scale(i + self.base) for i in range(self.n)]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.x = self.input * 2
        print("work", self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.xs = [it.x for it in inputs]
        self.merge_artifacts(inputs, include=["base"])
        self.next(self.end)

    @step
    def end(self):
        print(self.xs, self.base)

if __name__ == "__main__":
    F()
"""
STEPS = ("start", "split", "work", "join", "end")


def flow(*, head: str = "", above: str = "", split: str = "pass") -> str:
    """The flow of these tests."""
    return FLOW.format(head=head, above=above, split=split)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a run of the flow."""
    repo = make_repo(tmp_path_factory.mktemp("cache") / "made")
    repo.write("f.py", flow())
    repo.write("features.py", "def scale(x):\n    return x * 10\n")
    repo.write("data/table.csv", "1,2\n")
    repo.write("README", "words\n")
    repo.commit()
    run(repo)
    return repo


@pytest.fixture
def repo(made: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of it."""
    return copy_repo(made, tmp_path / "repo")


def run(repo: GitRepo, *options: str, env: dict[str, str] | None = None) -> Output:
    """Run the flow with the cache."""
    done = repo.flow("f.py", "run", "--cache", *options, env=env)
    assert done.code == 0, done.err
    return done


def seen(repo: GitRepo) -> RunOverview:
    """The newest run as it is shown."""
    return run_overview(latest(repo), ())


def executed(repo: GitRepo) -> dict[str, list[str]]:
    """The steps whose tasks the newest run has executed, and why."""
    return {step.name: [*step.executed] for step in seen(repo).steps if step.executed}


def taken(repo: GitRepo) -> list[str]:
    """The steps all of whose tasks it has taken from earlier runs."""
    return [step.name for step in seen(repo).steps if sum(step.taken.values()) == step.tasks]


def test_what_an_earlier_run_has_done_is_taken_from_there(repo: GitRepo) -> None:
    """Nothing is executed; records, artifacts, output and what follows from them are those of the run that did."""
    first = latest(repo)
    assert executed(repo) == {it: ["no earlier run has done it with the cache on"] for it in STEPS}
    done = run(repo)
    assert taken(repo) == [*STEPS]
    assert "start runs" not in done.out
    assert "Taken from F/1/work/4: same code, inputs and parameters" in done.err + done.out
    second = latest(repo)
    assert second.state.tasks == first.state.tasks == 7
    for task in second.all_tasks():
        before = first.task(task.name)
        mine = {name: ref.identity for name, ref in task.record.artifacts.items()}
        assert mine == {name: ref.identity for name, ref in before.record.artifacts.items()}
        assert task.output("stdout") == before.output("stdout")
        assert [*task.lines("stdout")] == [*before.lines("stdout")]
        assert task.record.run == second.identity
    assert one_task(second, "end").output("stdout") == b"[100, 120, 140] 5\n"
    assert value_of(one_task(second, "end"), "xs") == [100, 120, 140]
    repo.fsck()
    assert repo.call("fsck").code == 0
    shown = repo.call("show", "2/split")
    assert "(reused)" in shown.out
    lines = repo.call("show", "2/split/2").out
    assert re.search(r"^Origin: +F/1$", lines, re.MULTILINE)
    assert re.search(r"^Cache: +taken from F/1/split/2$", lines, re.MULTILINE)
    code = (
        "from gitflowrun import Task; t = Task('F/2/join/6'); print(t.metadata_dict['origin-run-id'],"
        " t.metadata_dict['origin-task-id'], t.data.xs, [it.id for it in t.parent_tasks])"
    )
    assert repo.flow("-c", code).out == "1 6 [100, 120, 140] ['3', '4', '5']\n"


def test_it_serves_when_its_origin_is_gone(repo: GitRepo) -> None:
    """What was taken belongs to the run that took it: the other may be purged, and a third run takes it from there."""
    run(repo)
    assert repo.call("purge", "--force", "1").code == 0
    repo.fsck()
    assert value_of(one_task(latest(repo), "end"), "xs") == [100, 120, 140]
    assert repo.call("fsck").code == 0
    run(repo)
    assert taken(repo) == [*STEPS]
    cache = task_overview(one_task(latest(repo), "end")).cache
    assert cache is not None
    assert cache.taken_from == "F/1/end/7"


CHANGES: dict[str, tuple[Callable[[GitRepo], object], tuple[str, ...], list[str], list[str]]] = {
    "a step": (
        lambda repo: repo.write("f.py", flow().replace("input * 2", "input * 3")), (),
        ["start", "split"],
        ["code of step work changed since F/1", "input x changed since F/1", "input xs changed since F/1"],
    ),
    "a step that computes the same": (
        lambda repo: repo.write("f.py", flow(split="self.gone = 1; del self.gone")), (),
        ["start", "work", "join", "end"], ["code of step split changed since F/1"],
    ),
    "what is around the steps": (
        lambda repo: repo.write("f.py", flow(head="LIMIT = 3")), (), [],
        ["code of f.py outside of its steps changed since F/1"] * 5,
    ),
    "a module": (
        lambda repo: repo.write("features.py", "def scale(x):\n    return x * 11\n"), (), [],
        ["code of features.py changed since F/1", "code of features.py changed since F/1",
         "input items changed since F/1", "inputs items, x changed since F/1", "input xs changed since F/1"],
    ),
    "a parameter": (
        lambda _: None, ("--n", "2"), [], ["parameter n changed since F/1"] * 5,
    ),
    "decorators": (
        lambda _: None, ("--with", "retry"), [],
        ["its decorators, or what they were given, changed since F/1"] * 5,
    ),
    "a file that nothing reads": (
        lambda repo: repo.write("README", "others\n"), (), [*STEPS], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=[*CHANGES])
def test_what_differs_is_executed_and_what_depends_on_it(
    repo: GitRepo,
    change: tuple[Callable[[GitRepo], object], tuple[str, ...], list[str], list[str]],
) -> None:
    """Nothing else is, and the run says why."""
    edit, options, same, reasons = change
    edit(repo)
    run(repo, *options)
    assert taken(repo) == same
    assert [why for found in executed(repo).values() for why in found] == reasons
    for step, found in executed(repo).items():
        assert f"{step} " in repo.call("show").out
        assert f"executed: {found[0]}" in repo.call("show").out


@pytest.mark.slow
def test_files_that_a_step_opens_count(repo: GitRepo, tmp_path: Path) -> None:
    """Those of the repository by content, others by size and time; a directory that it lists; what its code names."""
    outside, ignored = tmp_path.parent / "outside.csv", "data/ignored.csv"
    outside.write_text("1")
    repo.write(".gitignore", "ignored.csv\n")
    repo.write(ignored, "1")
    split = (
        "self.table = open('data/table.csv').read() + pathlib.Path(sys.argv[0]).with_name('data').joinpath("
        f"'ignored.csv').read_text() + open({str(outside)!r}).read(); self.found = os.listdir('data')"
    )
    head = (
        "try:\n    import extras\nexcept ImportError:\n    extras = None\n"
        "EARLY = json.loads(pathlib.Path(__file__).with_name('.early.json').read_text())"
    )
    repo.write(".early.json", "1")
    repo.write("f.py", flow(split=split, head=head))
    run(repo)
    for path, text, why in (
        (str(repo.path / "README"), "other words", ""),
        ("data/table.csv", "1,3\n", "data/table.csv"),
        ("data/new.csv", "", "data/new.csv"),
        (ignored, "10", ignored),
        (str(outside), "10", str(outside)),
        (".early.json", "2", ".early.json"),
        ("extras.py", "", "code of extras.py"),
    ):
        (repo.path / path).write_text(text)
        run(repo)
        if not why:
            assert taken(repo) == [*STEPS]
            continue
        (reason,) = executed(repo)["split"]
        assert reason.startswith(f"{why} changed since F/"), (path, reason)
        assert ("start" in taken(repo)) is (path not in {".early.json", "extras.py"})


def test_a_package_of_another_version_counts(repo: GitRepo, tmp_path: Path) -> None:
    """It may compute otherwise."""
    info = tmp_path / "lib" / "fake-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "direct_url.json").write_text('{"url": "file:///fake"}')
    env = {"PYTHONPATH": str(tmp_path / "lib")}
    run(repo, env=env)
    assert executed(repo)["start"] == ["package fake (not installed) changed since F/1"]
    (info / "RECORD").write_text("fake.py,sha256=another,1\n")  # pip install . has been done again
    run(repo, env=env)
    assert executed(repo)["start"][0].startswith("the interpreter, a package, ")
    info.rename(info.with_name("fake-2.0.dist-info"))
    run(repo, env=env)
    assert executed(repo)["start"] == ["package fake 1.0 @ file:///fake changed since F/3"]
    run(repo)
    assert taken(repo) == [*STEPS]


UNFIT = {
    "its step says so": ({"above": "@step(node_info={'cache': False})"}, "its step says cache: False"),
    "it writes into the repository": (
        {"split": "open('result.txt', 'w').write('1')"},
        "it writes to result.txt, which is in the repository",
    ),
    "its exception was caught": (
        {"head": "CATCHES = True"},
        "@catch has caught an exception",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        pytest.param(*it, id=name, marks=[pytest.mark.slow] if "exception" in name else [])
        for name, it in UNFIT.items()
    ],
)
@pytest.mark.sample(1)
def test_some_tasks_are_always_executed(repo: GitRepo, parts: dict[str, str], why: str) -> None:
    """Nobody else can have what they do; the others are taken."""
    text = flow(**parts)
    if "@step(" in text:
        text = text.replace("    @step\n    def split", "    def split")
    step = "split"
    if "catch" in why:
        step = "end"
        text = text.replace(
            "    @step\n    def end(self):",
            "    @catch\n    @step\n    def end(self):\n        assert not sys.argv",
        )
    repo.write("f.py", text)
    for _ in range(2):
        run(repo)
    task = one_task(latest(repo), step)
    cache = task_overview(task).cache
    assert cache is not None
    assert (cache.unfit, cache.taken_from) == (why, None)
    assert "start" in taken(repo)
    assert f"no other run can have it: {why}" in repo.call("show", task.pathspec).out


def test_it_is_off_unless_somebody_wants_it(repo: GitRepo) -> None:
    """Runs without it are recorded as ever, and serve nobody; a setting turns it on, an option off."""
    for setting, options in (("", ()), ("true", ()), ("true", ("--no-cache",))):
        if setting:
            repo.git("config", "runs.cache", setting)
        assert repo.flow("f.py", "run", *options).code == 0
        is_used = bool(setting) and not options
        assert (taken(repo) == [*STEPS]) is is_used
        record = one_task(latest(repo), "end").record
        assert (record.reuse is not None) is is_used


def test_rerun_executes_everything(repo: GitRepo) -> None:
    """It is there to see whether the same comes out."""
    repo.git("config", "runs.cache", "true")
    assert repo.runs("rerun", "1").code == 0
    assert taken(repo) == []
    assert executed(repo)["end"] == ["git runs rerun executes every task"]


def test_a_resumed_run_takes_from_others_what_its_origin_has_not(repo: GitRepo) -> None:
    """Tasks of its origin stay; what failed there another run may have done."""
    repo.write("f.py", flow(split="assert not os.environ.get('FAIL')"))
    run(repo)
    assert repo.flow("f.py", "run", "--no-cache", env={"FAIL": "1"}).code == 1
    done = repo.flow("f.py", "resume", "--cache")
    assert done.code == 0, done.err
    found = latest(repo)
    assert one_task(found, "start").record.reuse is None
    assert taken(repo) == ["split", "work", "join", "end"]


def test_a_strangers_run_never_serves(repo: GitRepo, tmp_path: Path) -> None:
    """One that was fetched does not before it is trusted, also where there is an index already; then it does."""
    GitRepo(tmp_path).git("clone", "-q", "--bare", str(repo.path), "hub")
    hub = GitRepo(tmp_path / "hub")
    repo.git("remote", "add", "origin", str(hub.path))
    send(repo)
    bob = clone(hub, "bob")
    get(bob)
    run(bob)
    assert executed(bob) == {it: ["F/1 is not trusted"] for it in STEPS}
    run(repo, "--n", "2")
    send(repo)
    get(bob)
    run(bob, "--n", "2")
    assert taken(bob) == []
    fetched = next(it for it in ids_of(bob) if "-" in it)
    assert bob.call("trust", f"F/{fetched}").code == 0
    assert bob.call("rm", "--force", str(latest(bob).id)).code == 0
    run(bob, "--n", "2")
    assert taken(bob) == [*STEPS]


def ids_of(repo: GitRepo) -> list[str]:
    """The ids of the runs of a repository."""
    rows = repo.git("for-each-ref", "--format=%(refname)", "refs/runs/F").split()
    return [row.rpartition("/")[2] for row in rows]


def test_a_damaged_payload_is_made_again(repo: GitRepo) -> None:
    """The task is executed, and the run says what was damaged."""
    before = latest(repo)
    repo.git("repack", "-adq")
    ref = one_task(before, "join").record.artifacts["xs"]
    _damage(repo, ref.chunks[0].oid)
    done = run(repo)
    assert taken(repo) == ["start", "split", "work", "end"]
    assert executed(repo) == {"join": ["F/1/join/6 is damaged"]}
    assert "F/1/join/6/xs: " in done.err
    assert "; join/6 is executed again." in done.err


def _damage(repo: GitRepo, oid: Oid) -> None:
    """Make all objects loose, and one of them another one."""
    packs = [*(objects_dir(repo) / "pack").glob("*.pack")]
    data = [pack.read_bytes() for pack in packs]
    for path in (objects_dir(repo) / "pack").iterdir():
        path.unlink()
    for content in data:
        repo.git("unpack-objects", "-q", stdin=content)
    name = str(oid)
    loose = objects_dir(repo) / name[:2] / name[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"damaged")


@pytest.mark.slow
def test_the_index_is_disposable(repo: GitRepo) -> None:
    """Where it is lost, the newest runs are read; where it is damaged, the task is executed or found again."""
    state = repo.path / ".git/gitflowrun"
    (index,) = state.glob("step-cache-*.sqlite")
    index.unlink()
    run(repo)
    assert taken(repo) == [*STEPS]
    index.write_bytes(b"nonsense" * 1000)
    run(repo)
    run(repo)
    assert taken(repo) == [*STEPS]
    index.unlink()
    with closing(sqlite3.connect(index)) as database:  # of another version
        database.execute("CREATE TABLE tasks (number INTEGER PRIMARY KEY, key BLOB, place BLOB)")
    cache = CacheIndex(state)
    for there in (True, False):
        assert cache.exists is there
        assert cache.find(b"key", b"place") == ([], [])


@pytest.mark.slow
def test_tasks_have_other_numbers_in_another_order(repo: GitRepo) -> None:
    """Inherited artifacts name the tasks of this run that made them, though the tasks had other numbers there."""
    assert repo.flow("f.py", "run", "--no-cache", "--max-workers", "1").code == 0
    text = flow().replace(
        "self.next(self.split)", "self.next(self.other, self.split)"
    )  # one more step before: all others get other numbers
    text = (
        text.replace(
            "    @step\n    def split",
            "    @step\n    def other(self):\n        self.next(self.meet)\n\n    @step\n    def split",
        )
        .replace(
            "def end(self):",
            "def meet(self, inputs):\n        self.xs = inputs.join.xs\n"
            "        self.base = 5\n        self.next(self.end)\n\n    @step\n    def end(self):",
        )
        .replace(
            'include=["base"])\n        self.next(self.end)',
            'include=["base"])\n        self.next(self.meet)',
        )
    )
    repo.write("f.py", text)
    run(repo)
    assert "work" in taken(repo)
    found: StoredRun = latest(repo)
    for task in found.all_tasks():
        for ref in task.record.artifacts.values():
            assert found.task(ref.producer).record.artifacts
    assert value_of(one_task(found, "end"), "xs") == [100, 120, 140]
    assert repo.call("fsck").code == 0


GRAPHS = """
from gitflowrun import FlowSpec, Parameter, card, current, parallel, retry, step

class F(FlowSpec):
    token = Parameter("token", secret=True)

    @card(type="blank")
    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        self.n = 0
        assert current.retry_count
        self.next(self.count)

    @step
    def count(self):
        self.n += 1
        self.go = "more" if self.n < 2 else "done"
        self.next({"more": self.count, "done": self.gang}, condition="go")

    @step
    def gang(self):
        self.next(self.node, num_parallel=2)

    @parallel
    @step
    def node(self):
        self.k = current.parallel.node_index
        self.next(self.join)

    @step
    def join(self, inputs):
        self.ks = [it.k for it in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    F()
"""


def test_attempts_cards_loops_gangs_and_secrets(repo: GitRepo) -> None:
    """The last attempt is taken, with its cards; rounds one by one; a gang is executed; a secret counts by its hash."""
    repo.write("f.py", GRAPHS)
    for token in ("open sesame", "open sesame", "close sesame"):
        run(repo, "--token", token)
        first = token.startswith("close") or str(latest(repo).id) == "2"
        assert taken(repo) == ([] if first else ["start", "count", "gang", "join", "end"])
        if not first:
            task = one_task(latest(repo), "start")
            assert [it.number for it in task.record.attempts] == [0]
            assert "0-blank.html" in task.cards
    assert executed(repo)["start"] == ["parameter token changed since F/3"]
    assert executed(repo)["node"] == ["it is a node of a gang"]
    assert repo.call("fsck").code == 0
