"""A stranger's run stays data: however it came here and whatever it claims, nothing of it is executed."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gitflowrun import DataArtifact, Run, metadata
from gitflowrun.artifacts.codecs import encode
from gitflowrun.artifacts.preview import Preview, pack_preview
from gitflowrun.client import repository
from gitflowrun.errors import GitflowrunError, UntrustedArtifact
from gitflowrun.git.objects import Oid
from gitflowrun.git.transport.remote import Remote
from gitflowrun.names import TaskName
from gitflowrun.porcelain.transfer.fetch import fetch
from gitflowrun.runs.read import StoredRun
from gitflowrun.runs.trust import Trust
from tests.helpers.repos import GitRepo, make_repo
from tests.helpers.runs import open_repo, store_of
from tests.security.forge import Forge, Forgery, Payload, canary, changed, info, plain, task

FLOW = """
import os
from functools import partial
from gitflowrun import FlowSpec, Parameter, step

class MyFlow(FlowSpec):
    p = Parameter("p", default="v")

    @step
    def start(self):
        self.items = [1, 2]
        self.model = partial(int, "3")
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.mine = partial(int, self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs, include=["model"])
        self.own = partial(int, "4")
        self.next(self.end)

    @step
    def end(self):
        if os.environ.get("READ"):
            print(self.model)
        if not os.environ.get("OK"):
            1 / 0

if __name__ == "__main__":
    MyFlow()
"""


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    """A repository with a failed run 1 and a run 2 that resumed it, both its own."""
    repo = make_repo(tmp_path_factory.mktemp("victim") / "repo", files={"f.py": FLOW})
    assert repo.flow("f.py", "run").code == 1
    assert repo.flow("f.py", "resume", env={"OK": "1"}).code == 0
    return repo


@pytest.fixture
def mallory(tmp_path: Path) -> GitRepo:
    """Where a stranger makes runs."""
    return make_repo(tmp_path / "mallory")


@pytest.fixture
def bird(tmp_path: Path) -> Iterator[Path]:
    """What is there once something of a stranger's was executed; it must not be at the end of a test."""
    path = tmp_path / "CANARY"
    yield path
    assert not path.exists()


@pytest.fixture(autouse=True)
def _no_repository_chosen() -> Iterator[None]:
    yield
    repository._chosen.clear()
    repository._open.clear()


def uid_of(repo: GitRepo, run: str) -> str:
    """The uid of a run, in hexadecimal."""
    return str(store_of(repo).find(run).identity.uid)


def tip_of(repo: GitRepo, run: str) -> str:
    """The newest commit of a run."""
    return str(store_of(repo).find(run).commit)


def evil(path: Path, number: str = "7", **fields: Any) -> Forgery:
    """A failed run whose start, parameters and items are ready for `FLOW`, and whose values are pickles."""
    return Forgery(
        info(number=number, **fields),
        [
            task("_parameters/0", {"p": canary(path)}),
            task(
                "start/1",
                {"items": plain([1, 2]), "model": canary(path)},
                to=["work"],
                foreach=("items", 2),
            ),
        ],
    )


def bring(repo: GitRepo, source: GitRepo, spec: str = "+refs/runs/*:refs/runs/*") -> None:
    """Fetch with stock git, over whatever is there."""
    repo.git("fetch", "-q", str(source.path), spec)


def load_all(repo: GitRepo, run: str) -> dict[str, bool]:
    """Try to load each artifact of a run; whether each was."""
    metadata(repo.path)
    stored = store_of(repo).find(run)
    loaded = {}
    for found in stored.all_tasks():
        for name in found.record.artifacts:
            address = f"{stored.pathspec}/{found.name}/{name}"
            try:
                _ = DataArtifact(address, _namespace_check=False).data
            except UntrustedArtifact:
                loaded[f"{found.name.step}/{name}"] = False
            else:
                loaded.setdefault(f"{found.name.step}/{name}", True)
    return loaded


def theirs(repo: GitRepo, run: str) -> set[str]:
    """The artifacts of a run by the names that are a stranger's in `evil`, whatever task lists them."""
    return {name for name in load_all(repo, run) if name.endswith(("/p", "/model"))}


def refused(repo: GitRepo, run: str) -> set[str]:
    """The artifacts of a run that are not loaded, as `step/name`."""
    return {name for name, is_loaded in load_all(repo, run).items() if not is_loaded}


def test_own_runs_and_own_resumed_runs_load(victim: GitRepo) -> None:
    """With all that they made, took over, merged and split."""
    for run in ("1", "2"):
        loaded = load_all(victim, run)
        assert {"start/model", "work/mine", "join/model", "join/own"} <= loaded.keys()
        assert all(loaded.values())
    assert (
        store_of(victim).find("2").task(TaskName.parse("join/4")).record.artifacts["own"].codec
        == "pickle/5"
    )


CLAIMS: dict[str, Callable[[Forgery, GitRepo], Forgery]] = {}


def claim(function: Callable[[Forgery, GitRepo], Forgery]) -> Callable[[Forgery, GitRepo], Forgery]:
    """One way to look like a run of the victim's."""
    CLAIMS[function.__name__.replace("_", " ").strip()] = function
    return function


@claim
def _nothing(run: Forgery, _victim: GitRepo) -> Forgery:
    return run


@claim
def _our_run_as_executor(run: Forgery, victim: GitRepo) -> Forgery:
    ours = {"flow": "MyFlow", "id": "1", "uid": bytes.fromhex(uid_of(victim, "1"))}
    for it in run.tasks:
        it.record = changed(it.record, "run", ours)
    return run


@claim
def _our_run_as_origin(run: Forgery, victim: GitRepo) -> Forgery:
    uids = [bytes.fromhex(uid_of(victim, it)) for it in ("1", "2")]
    origin = {
        "kind": "resume",
        "run": {"flow": "MyFlow", "id": "2", "uid": uids[1]},
        "trusted_runs": uids,
    }
    run.info = changed(run.info, "origin", origin)
    return _our_run_as_executor(run, victim)


@claim
def _our_uid_in_the_message(run: Forgery, victim: GitRepo) -> Forgery:
    run.trailers = {"Uid": uid_of(victim, "1")}
    return _our_run_as_executor(run, victim)


@claim
def _our_info(run: Forgery, victim: GitRepo) -> Forgery:
    run.raw_info = own_info(victim, "1")
    return _our_uid_in_the_message(run, victim)


@claim
def _our_mac(run: Forgery, victim: GitRepo) -> Forgery:
    run.trailers = {"Mac": mac_of(victim, "1")}
    return run


@claim
def _on_top_of_our_run(run: Forgery, victim: GitRepo) -> Forgery:
    run.parents = [tip_of(victim, "1")]
    run.trailers = {"Uid": uid_of(victim, "1"), "Mac": mac_of(victim, "1")}
    return _our_run_as_executor(run, victim)


@claim
def _below_our_run(run: Forgery, victim: GitRepo) -> Forgery:
    run.parents = [uid_of(victim, "1"), tip_of(victim, "2")]
    return _our_mac(run, victim)


def own_info(repo: GitRepo, run: str) -> bytes:
    """The INFO of a run as it is stored."""
    oid = repo.git("rev-parse", f"{tip_of(repo, run)}:INFO")
    return open_repo(repo).objects.blob(Oid.from_hex(oid))


def mac_of(repo: GitRepo, run: str) -> str:
    """The MAC of the newest commit of a run."""
    return repo.git(
        "log", "-1", "--format=%(trailers:key=Mac,valueonly)", tip_of(repo, run)
    ).strip()


@pytest.fixture
def own(victim: GitRepo, tmp_path: Path) -> GitRepo:
    """A copy of the victim's repository to be attacked, with the key: the same clone."""
    subprocess.run(["cp", "-a", str(victim.path), str(tmp_path / "own")], check=True)
    return GitRepo(tmp_path / "own")


def forge_claim(own: GitRepo, mallory: GitRepo, bird: Path, how: str, number: str) -> None:
    """Put a stranger's run into the victim's repository that looks like one of the victim's in some way."""
    bring(mallory, own, "+refs/runs/*:refs/theirs/*")
    run = CLAIMS[how](evil(bird, number), own)
    Forge(mallory).write(run, f"refs/runs/MyFlow/{number}")
    bring(own, mallory, f"+refs/runs/MyFlow/{number}:refs/runs/MyFlow/{number}")


def test_no_claim_is_believed(own: GitRepo, mallory: GitRepo, bird: Path) -> None:
    """Whatever its records, its message and its history say, a stranger's pickles are refused, and ours load."""
    for number, how in enumerate(CLAIMS, 10):
        forge_claim(own, mallory, bird, how, str(number))
        address = f"MyFlow/{number}"
        assert refused(own, address) == theirs(own, address) == {"_parameters/p", "start/model"}
    assert refused(own, "MyFlow/1") == refused(own, "MyFlow/2") == set()


@pytest.mark.parametrize("how", ["our run as executor", "our info", "on top of our run"])
def test_no_claim_is_believed_once_taken_over(
    own: GitRepo, mallory: GitRepo, bird: Path, how: str
) -> None:
    """A run of ours that goes on from it passes on what is the stranger's, and marks it."""
    forge_claim(own, mallory, bird, how, "7")
    done = own.flow("f.py", "resume", "7")
    assert done.code == 1, done.err
    assert refused(own, "@latest") == theirs(own, "@latest") >= {"join/model", "end/model"}


def test_what_was_taken_over_stays_a_strangers(own: GitRepo, mallory: GitRepo, bird: Path) -> None:
    """Through a foreach, a merge, a resume, a resume of that and a clone of it; one's own values load in all."""
    Forge(mallory).write(evil(bird))
    bring(own, mallory)
    done = own.flow("f.py", "resume", "7")
    assert "MyFlow/7 is not trusted: what it has" in done.out + done.err
    first = store_of(own).find("@latest")
    done = own.flow("f.py", "resume", first.id, env={"READ": "1"})
    assert "UntrustedArtifact" in done.out + done.err
    assert "git runs trust MyFlow/" in done.out + done.err
    assert own.flow("f.py", "resume", env={"OK": "1"}).code == 0
    assert own.flow("f.py", "resume", "end", env={"OK": "1"}).code == 0
    resumed = store_of(own).find("@latest")
    assert own.flow("f.py", "run", "--clone", resumed.id, env={"OK": "1"}).code == 0
    cloned = store_of(own).find("@latest")
    for run in (first, resumed):
        assert refused(own, run.pathspec) == theirs(own, run.pathspec)
        loaded = load_all(own, run.pathspec)
        assert loaded["work/mine"]
        assert loaded["join/own"]
    assert refused(own, cloned.pathspec) == {
        name for name in load_all(own, cloned.pathspec) if name.endswith("/p")
    }
    assert load_all(own, cloned.pathspec)["start/model"]


def test_a_foreach_over_a_strangers_list(own: GitRepo, mallory: GitRepo, bird: Path) -> None:
    """Items that only a pickle has are refused in the task; a number of items that fills the memory is not believed."""
    run = evil(bird)
    run.tasks[1].payloads["items"] = canary(bird)
    Forge(mallory).write(run)
    for number, width in (("8", 10**11), ("9", None)):
        endless = evil(bird, number)
        start = changed(endless.tasks[1].record, "transition/num_splits", width)
        endless.tasks[1].record = changed(start, "split_values", 7)
        Forge(mallory).write(endless)
    bring(own, mallory)
    done = own.flow("f.py", "resume", "7")
    assert "UntrustedArtifact" in done.out + done.err
    for number in ("8", "9"):
        done = own.flow("f.py", "resume", number, env={"OK": "1"})
        assert done.code == 0, done.err  # it ran `start` again
        assert refused(own, "@latest") == {it for it in theirs(own, "@latest") if it.endswith("/p")}


def test_a_tag_named_as_a_uid_leads_nowhere(own: GitRepo, mallory: GitRepo, bird: Path) -> None:
    """The uid of a stranger's run on a run of ours does not make ours speak for theirs."""
    forge = Forge(mallory)
    written = forge.write(evil(bird))
    bring(mallory, own, "refs/runs/MyFlow/1:refs/theirs/1")
    for name in (written.first, written.first[:12]):
        mallory.git("update-ref", f"refs/runs/@tags/MyFlow/{name}/1", uid_of(own, "1"))
    bring(own, mallory)
    assert own.flow("f.py", "resume", "7").code == 1
    assert "start/model" in refused(own, "@latest")


def test_a_run_kept_as_an_artifact_is_found_by_its_uid(
    own: GitRepo, mallory: GitRepo, bird: Path
) -> None:
    """Neither its number, nor a tag called like its uid, gives it a stranger's values."""
    metadata(own.path)
    kept = Run("MyFlow/1")
    uid = kept.uid
    state = pickle.dumps(kept)
    own.git("update-ref", "-d", "refs/runs/MyFlow/1")
    Forge(mallory).write(evil(bird, "1"))
    mallory.git("update-ref", f"refs/runs/@tags/MyFlow/{uid}/1", "refs/runs/MyFlow/1")
    bring(own, mallory)
    repository._open.clear()
    again = pickle.loads(state)
    with pytest.raises(GitflowrunError, match=uid):
        _ = again["start"].task.data.model


WAYS: dict[str, Callable[[GitRepo, GitRepo], object]] = {
    "every ref of theirs": lambda own, it: own.git("fetch", "-q", str(it.path), "+refs/*:refs/*", "--update-head-ok"),
    "tracking copies": lambda own, it: own.git("fetch", "-q", str(it.path), "+refs/*:refs/runs-remotes/x/*"),
    "a pull": lambda own, it: own.git(
        "pull", "-q", "--no-rebase", "--allow-unrelated-histories", "-X", "ours", str(it.path), "main", check=False
    ) + own.git("fetch", "-q", str(it.path), "+refs/runs/*:refs/runs/*"),
    "a bundle": lambda own, it: (
        it.git("bundle", "create", "-q", "runs.bundle", "--all"),
        own.git("fetch", "-q", str(it.path / "runs.bundle"), "+refs/runs/*:refs/runs/*"),
    ),
    "a mirror": lambda own, it: (
        own.git("remote", "add", "--mirror=fetch", "theirs", str(it.path)),
        own.git("fetch", "-q", "--refmap=", "theirs", "+refs/runs/*:refs/runs/*"),
    ),
    "borrowed objects": lambda own, it: (
        (own.path / ".git/objects/info/alternates").write_text(f"{it.path}/.git/objects\n"),
        own.git("update-ref", "refs/runs/MyFlow/7", it.git("rev-parse", "refs/runs/MyFlow/7")),
    ),
    "replaced objects": lambda own, it: (
        own.git("fetch", "-q", str(it.path), "+refs/runs/*:refs/runs/*"),
        own.git("replace", it.git("rev-parse", "refs/runs/MyFlow/7"), tip_of(own, "1")),
        own.git("replace", tip_of(own, "2"), it.git("rev-parse", "refs/runs/MyFlow/7")),
        own.git("pack-refs", "--all"),
    ),
    "grafts and a rewritten URL": lambda own, it: (
        own.git("config", f"url.{it.path}.insteadOf", "https://trusted.example/"),
        own.git("fetch", "-q", "https://trusted.example/", "+refs/runs/*:refs/runs/*"),
        (own.path / ".git/info/grafts").write_text(
            f"{tip_of(own, '1')} {it.git('rev-parse', 'refs/runs/MyFlow/7')}\n"
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.sample(4)
def test_no_way_of_git_brings_trust(own: GitRepo, mallory: GitRepo, bird: Path, way: str) -> None:
    """Stock git writes any ref and any object that it is told to; that is no evidence."""
    repo = open_repo(own)
    trust = Trust(repo)
    trust.vouch_for_url("https://trusted.example")
    trust.vouch_for_run(store_of(own).find("1"))
    Forge(mallory).write(evil(bird))
    before = {it.pathspec: it.commit for it in map(store_of(own).find, ("1", "2"))}
    WAYS[way](own, mallory)
    found = [
        StoredRun(repo, "MyFlow", it.id, it.commit) for it in store_of(own).summaries("MyFlow")
    ]
    for run in found:
        expected = before.get(run.pathspec) == run.commit
        assert Trust(open_repo(own)).trusts(run.commit) is expected
        if not expected:
            assert refused(own, run.pathspec) >= {"_parameters/p", "start/model"}


def test_the_repository_of_a_submodule_is_another_one(
    own: GitRepo, mallory: GitRepo, bird: Path
) -> None:
    """Its runs are a stranger's, seen from within as from without."""
    Forge(mallory).write(evil(bird))
    own.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(mallory.path), "sub")
    sub = GitRepo(own.path / "sub")
    bring(sub, mallory)
    assert refused(sub, "MyFlow/7") >= {"start/model"}
    for command in (["show", "7"], ["cat", "7/start/1/model"], ["diff", "7", "7"], ["log"]):
        assert "Traceback" not in sub.call(*command).err


def test_runs_of_a_trusted_url_load(own: GitRepo, mallory: GitRepo, tmp_path: Path) -> None:
    """As the next fetch finds them there, and in runs that go on from them; what is added elsewhere does not."""
    sung = tmp_path / "sung"
    Forge(mallory).write(evil(sung))
    own.git("remote", "add", "team", str(mallory.path))
    repo = open_repo(own)
    Trust(repo).vouch_for_url(Remote(repo, "team").place)
    assert fetch(repo, "team").trusted == 1
    run = store_of(own).find("MyFlow/7")
    assert Trust(repo).trusts(run.commit)
    assert own.flow("f.py", "resume", "7", env={"OK": "1"}).code == 0
    resumed = store_of(own).find("@latest")
    assert resumed.info.origin is not None
    assert resumed.info.origin.trusted_runs == (run.identity.uid,)
    metadata(own.path)
    _ = DataArtifact(f"{resumed.pathspec}/start/1/model", _namespace_check=False).data
    assert sung.exists()


@pytest.mark.parametrize("verb", [("run", "--clone"), ("resume", "--origin-run-id")])
@pytest.mark.sample(1)
def test_parameters_of_strangers_are_shown_as_they_are_stored(
    own: GitRepo, mallory: GitRepo, verb: tuple[str, ...]
) -> None:
    """Not as the stranger's record says: what one's own run says it was given is what its steps were given."""
    claims = {"p": "good", "seed": "1"}
    stored = task("_parameters/0", {"p": Payload(b"evil", "str/1", "builtins.str")})
    Forge(mallory).write(Forgery(info(parameters=claims), [stored]))
    bring(own, mallory, "refs/runs/MyFlow/7:refs/runs/MyFlow/7")
    assert own.flow("f.py", "--quiet", *verb, "7", env={"OK": "1"}).code == 0
    run = store_of(own).find("@latest")
    assert run.info.parameters == {"p": "evil"}
    metadata(own.path)
    assert DataArtifact(f"{run.pathspec}/_parameters/0/p").data == "evil"


def test_small_values_of_strangers_are_shown_as_they_are_stored(
    own: GitRepo, mallory: GitRepo
) -> None:
    """Whatever the stranger's task has noted: what one's own run shows is what its steps read."""
    note = {"preview": pack_preview(Preview("0.99", whole=True))}
    number, array = (encode(it) for it in (0.01, np.array([1.5])))
    payloads = {
        "low": Payload(number.payload(), "plain/1", "builtins.float", note),
        "array": Payload(array.payload(), "npy/1", "numpy.ndarray", note),
    }
    params = task("_parameters/0", {"p": Payload(b"evil", "str/1", "builtins.str", note)})
    first = task(
        "start/1",
        {"items": plain([1, 2]), "model": plain(3), **payloads},
        to=["work"],
        foreach=("items", 2),
    )
    Forge(mallory).write(Forgery(info(), [params, first]))
    bring(own, mallory, "refs/runs/MyFlow/7:refs/runs/MyFlow/7")
    assert own.flow("f.py", "--quiet", "resume", "--origin-run-id", "7", env={"OK": "1"}).code == 0
    run = store_of(own).find("@latest")
    for place, name, expected in (
        ("start/1", "low", "0.01"), ("start/1", "array", "1.5"), ("_parameters/0", "p", "evil"),
        ("work/2", "low", "0.01"),
    ):  # fmt: skip
        found = run.shown(run.task(TaskName.parse(place)).record.artifacts[name])
        assert found
        assert expected in found.line
        assert "0.99" not in found.line


def test_resume_without_an_id_takes_ones_own(own: GitRepo, mallory: GitRepo, bird: Path) -> None:
    """However new a stranger's run is, and whatever it says; where one has none, those are named that there are."""
    forged = evil(bird, "99")
    forged.trailers = {"User": "ada", "Mac": mac_of(own, "2")}
    Forge(mallory).write(forged)
    bring(own, mallory)
    done = own.flow("f.py", "resume", "end", env={"OK": "1"})
    assert "Cloning MyFlow/2" in done.out + done.err
    for key in (own.path / ".git").glob("gitflowrun-key-*"):
        key.unlink()
    done = own.flow("f.py", "resume")
    assert done.code == 1
    assert "was made by you in this clone" in done.err
    assert " f.py resume 99` or " in done.err


def test_a_strangers_command_is_not_offered(own: GitRepo, mallory: GitRepo) -> None:
    """What its record says was typed would be typed again by whoever reads "Go on with"."""
    environment = {"command": ["sh", "-c", "id"], "directory": "../elsewhere"}
    Forge(mallory).write(Forgery(info(environment=environment)))
    Forge(mallory).write(Forgery(info(number="8", script="/tmp/elsewhere.py")))
    bring(own, mallory)
    assert "Go on with:  python f.py resume 7" in own.call("show", "7").out
    assert "Go on with" not in own.call("show", "8").out
    assert " f.py resume 1\n" in own.call("show", "1").out


BOMB = """
import os
from gitflowrun import FlowSpec, step

class Bomb:
    def __reduce__(self):
        return (os.system, ("echo sung > " + os.environ["BIRD"],))

class MyFlow(FlowSpec):
    @step
    def start(self):
        self.data = {"a": Bomb()}
        self._exception = {"a": Bomb()}
        self.next(self.end)

    @step
    def end(self):
        1 / 0

if __name__ == "__main__":
    MyFlow()
"""


@pytest.mark.parametrize("isolation", ["fork", "batch", "inline"])
def test_a_step_that_fails_loads_nothing_of_a_strangers(tmp_path: Path, isolation: str) -> None:
    """What a failed step inherits under the name of its own exception is not loaded to be compared with that."""
    bird = tmp_path / "bird"
    mallory = make_repo(tmp_path / "mallory", files={"f.py": BOMB})
    environment = {"BIRD": str(bird), "GITFLOWRUN_ISOLATION": isolation}
    assert mallory.flow("f.py", "run", env=environment).code == 1
    bird.unlink(missing_ok=True)
    mallory.git("clone", "-q", str(mallory.path), str(tmp_path / "victim"))
    victim = GitRepo(tmp_path / "victim")
    bring(victim, mallory)
    done = victim.flow("f.py", "resume", "MyFlow/1", env=environment)
    assert "ZeroDivisionError" in done.out + done.err
    assert not bird.exists()
