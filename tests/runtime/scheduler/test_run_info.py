"""What is recorded of the environment, and above all what is not."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blake3 import blake3

from gitflowrun._version import __version__
from gitflowrun.artifacts.reference import ArtifactRef
from gitflowrun.errors import GitflowrunError, UntrustedArtifact, UsageError
from gitflowrun.git.objects import Oid
from gitflowrun.names import RunId, TaskName
from gitflowrun.runs.records import Attempt, RunIdentity, RunInfo, RunOrigin, TaskRecord
from gitflowrun.runtime.ipc.messages import SecretValue, StartRun, StoredParameters
from gitflowrun.runtime.ipc.request import RunKind, RunRequest
from gitflowrun.runtime.scheduler import run_info
from gitflowrun.runtime.scheduler.run_info import (
    announce,
    check_files,
    describe,
    environment_variables,
    installed_packages,
    lock_files,
    machine,
    parameters_task,
    redacted,
    without_credentials,
)
from gitflowrun.settings import Isolation
from gitflowrun.values import replace
from tests.helpers.repos import GitRepo
from tests.helpers.runs import artifact, open_repo
from tests.helpers.runs import digest as digest_of


def test_packages_are_read_from_their_dist_info(tmp_path: Path) -> None:
    """Names and versions come from directory names; the first on the path wins; origins are kept."""
    for folder, names in (("a", ["numpy-2.0", "my-pkg-1.0+cpu"]), ("b", ["numpy-1.0", "Zoo-0.3"])):
        for name in names:
            (tmp_path / folder / f"{name}.dist-info").mkdir(parents=True)
    direct = tmp_path / "a" / "my-pkg-1.0+cpu.dist-info" / "direct_url.json"
    direct.write_text('{"url": "https://u:secret@host/x.git"}')
    path = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "missing")]
    assert [*installed_packages(path).items()] == [
        ("my-pkg", "1.0+cpu @ https://host/x.git"), ("numpy", "2.0"), ("Zoo", "0.3"),
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["", "[]", "{}", "[1]"])
def test_what_is_no_package_is_not_listed(tmp_path: Path, content: str) -> None:
    """Other directories, and names without a package; an origin that can't be read is none."""
    for name in ("numpy-2.0.egg", "numpy", "-1.0.dist-info", "odd.dist-info", "a-1.dist-info"):
        (tmp_path / name).mkdir()
    (tmp_path / "a-1.dist-info" / "direct_url.json").write_text(content)
    assert installed_packages([str(tmp_path)]) == {"a": "1"}


def test_only_allowed_variables_are_recorded() -> None:
    """The allow-list and what the user adds, but nothing whose name speaks of a secret."""
    environ = {
        "TZ": "UTC",
        "HOME": "/h",
        "AWS_SECRET_ACCESS_KEY": "x",
        "MODEL": "m",
        "API_TOKEN": "t",
    }
    assert environment_variables(environ, ["MODEL", "API_TOKEN"]) == {"MODEL": "m", "TZ": "UTC"}


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://user:token@host/a.git", "https://host/a.git"),
        ("https://token@host/a.git", "https://host/a.git"),
        ("git@host:a.git", "git@host:a.git"),
        ("/a/b@c", "/a/b@c"),
    ],
)
def test_remotes_lose_their_credentials(url: str, clean: str) -> None:
    """User, password and token are stripped from URLs; scp-like addresses and paths stay."""
    assert without_credentials(url) == clean


def test_secrets_on_the_command_line_are_hidden() -> None:
    """What options whose names speak of a secret were given is not recorded."""
    argv = [
        "f.py",
        "run",
        "--api-key",
        "abc",
        "--alpha",
        "3",
        "--auth-token=xyz",
        "https://u:p@h/x",
    ]
    assert redacted(argv) == [
        "f.py", "run", "--api-key", "***", "--alpha", "3", "--auth-token=***", "https://h/x",
    ]  # fmt: skip
    argv = ["secret", "tokens=1", "--alpha=key", "--key", "--pass", "x", "--key=", "y", "--token"]
    assert redacted(argv) == [
        "secret", "tokens=1", "--alpha=key", "--key", "***", "***", "--key=***", "y", "--token",
    ]  # fmt: skip


def test_lock_files_are_digested(tmp_path: Path) -> None:
    """Files that pin dependencies are recorded by digest; a bare repository has none."""
    (tmp_path / "uv.lock").write_text("x")
    (tmp_path / "setup.py").mkdir()
    assert lock_files(tmp_path) == {"uv.lock": blake3(b"x").hexdigest()}
    assert lock_files(None) == {}


def test_the_machine() -> None:
    """Platform, processor, cores, memory and interpreter are recorded."""
    found = machine()
    memory = Path("/proc/meminfo").read_text().split()[1]
    assert found["memory"] == int(memory) << 10
    assert found["cores"] == os.cpu_count()
    assert found["cpu"]
    assert (found["python"], found["executable"]) == (sys.version, sys.executable)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Fast One \nmodel name\t: Other\n", "Fast One "),
        ("x\nHardware : Board\n", "Board"),
        ("nothing of the kind", os.uname().machine),
    ],
)
def test_the_processor(monkeypatch: pytest.MonkeyPatch, text: str, name: str) -> None:
    """As the system names it, or else by its architecture."""
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert machine()["cpu"] == name


def test_a_machine_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc the architecture stands for the processor, and some C libraries know no memory."""

    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(os, "sysconf", missing)
    assert (machine()["cpu"], machine()["memory"]) == (os.uname().machine, 0)


@pytest.mark.parametrize(
    ("remotes", "expected"),
    [
        ({}, {}),
        ({"mine": "https://t@h/a"}, {"remote": "https://h/a"}),
        ({"mine": "a", "yours": "b"}, {}),
        ({"mine": "a", "origin": "b"}, {"remote": "b"}),
    ],
)
def test_where_the_code_comes_from(
    repo: GitRepo, remotes: dict[str, str], expected: dict[str, str]
) -> None:
    """It is `origin`, or the only remote there is."""
    for name, url in remotes.items():
        repo.git("remote", "add", name, url)
    assert run_info._remote(open_repo(repo)) == expected


def test_paths_are_those_within_the_work_tree(tmp_path: Path) -> None:
    """Of a script outside, and where there is no work tree, the path as it was given."""
    top = tmp_path / "top"
    inside = str(top / "a" / ".." / "b" / "f.py")
    outside = str(tmp_path / "f.py")
    assert run_info._within(inside, top) == "b/f.py"
    assert run_info._within(outside, top) == outside
    assert run_info._within(inside, None) == inside
    assert run_info._from(top, str(top / "a")) == "a"
    assert run_info._from(top, None) is run_info._from(None, "a") is None


def test_files_that_announce_a_run_are_looked_at_before_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever can't be written is refused: a directory, a file in none, a file in one that is not ours."""
    check_files(None, tmp_path / "new", tmp_path / "new2")
    for bad in (tmp_path, tmp_path / "none" / "x"):
        with pytest.raises(UsageError, match="can't be written"):
            check_files(None, tmp_path / "new", bad)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="can't be written"):
        check_files(tmp_path / "new")


def test_who_waits_for_a_run_is_told(repo: GitRepo) -> None:
    """The id alone goes into one file, the facts into another; one that can't be written says how to go on."""
    run, opened = RunIdentity("MyFlow", RunId("3"), Oid(b"u" * 20)), open_repo(repo)
    number, facts = repo.path / "id", repo.path / "facts"
    announce(run, opened, None, None)
    assert not number.exists()
    announce(run, opened, number, facts)
    assert number.read_text() == "3"
    expected = {"run_id": "3", "flow_name": "MyFlow", "metadata": f"local@{opened.common_dir}"}
    assert json.loads(facts.read_text()) == expected
    with pytest.raises(
        GitflowrunError, match=r"run MyFlow/3 was made, .* Is a directory"
    ) as caught:
        announce(run, opened, None, repo.path)
    assert caught.value.hint == "name another file and resume run 3"


def test_a_fifo_that_nobody_reads(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what announces a run nor its end waits for ever; who comes in time reads all of it."""
    run, opened = RunIdentity("MyFlow", RunId("3"), Oid(b"u" * 20)), open_repo(repo)
    fifo = repo.path / "fifo"
    os.mkfifo(fifo)
    monkeypatch.setattr(run_info, "_LATE_READER", 0.01)
    waiting = announce(run, opened, fifo, None)
    run_info.wait_for_readers(waiting)
    assert [lock.locked() for lock in waiting] == [True]
    assert fifo.read_text() == "3"
    monkeypatch.setattr(run_info, "_LATE_READER", 60)
    run_info.wait_for_readers(waiting)
    assert announce(run, opened, repo.path / "id", None) == []


RUN = RunIdentity("F", RunId("3"), Oid(b"u" * 20))
ORIGIN = RunIdentity("F", RunId("2"), Oid(b"o" * 20))
GRAPH = {"parameters": [{"name": "rate", "option": "learn"}, {"name": "size"}]}
BEFORE = {"parameters": [{"name": "lr", "attribute": "rate"}, {"name": "gone"}]}
STORED = StoredParameters({"size": "7"}, {}, (), {}, (), 1.0, 2.0)


def start_of(kind: RunKind, **changes: Any) -> StartRun:
    """What a launcher process says of a run."""
    start = StartRun(
        flow="F", graph=GRAPH, request=RunRequest(kind, 1, 1, tags=("best",), argv=("f.py", "run")),
        parameters=None, script="/elsewhere/f.py", command=(), typed=("f.py",), directory=None,
        outside=(), path=(), why_not_fork=None, hash_seed="7", seeds={}, repository={}, config={},
    )  # fmt: skip
    return replace(start, **changes)


def origin_of(
    texts: dict[str, str], artifacts: dict[str, ArtifactRef] | None = None, **more: Any
) -> tuple[Any, Any]:
    """A run to go on from, and its `_parameters` task."""
    info = RunInfo("F", "bob", "h", {}, texts, {}, {}, BEFORE, **more)
    run = SimpleNamespace(info=info, identity=ORIGIN, objects=None)
    record = TaskRecord(TaskName("_parameters", "0"), ORIGIN, artifacts=artifacts or {})
    return run, SimpleNamespace(record=record, run=run)


def test_what_a_run_says_of_itself(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who, where, with what and from which command, and nothing of a secret parameter."""
    repo.git("remote", "add", "origin", "https://t@h/a")
    repo.git("config", "runs.env", "ONE_RUN_MODEL")
    repo.git("config", "--add", "runs.env", "ONE_RUN_OTHER")
    for name in ("ONE_RUN_MODEL", "ONE_RUN_OTHER"):
        monkeypatch.setenv(name, "x")
    request = RunRequest(RunKind.RUN, 1, 1, tags=("best",), argv=("f.py", "--m", "hunter2-hunter2"))
    start = start_of(
        RunKind.RUN, request=request, script=str(repo.path / "f.py"), typed=("f.py", "--token=t"),
        directory=str(repo.path / "sub"), outside=("mod",), seeds={"numpy": 255},
    )  # fmt: skip
    secret = {"model": SecretValue("c", b"", (b"hunter2-hunter2",))}
    stored = replace(STORED, secrets=secret, hashes={"model": "abc"})
    info = describe(start, open_repo(repo), "ada", Isolation.FORK, None, None, frozenset(), stored)
    python = ".".join(map(str, sys.version_info[:3]))
    assert (info.flow, info.user, info.host) == ("F", "ada", os.uname().nodename)
    assert info.versions == {"gitflowrun": __version__, "metaflow": "2.19", "python": python}
    assert (info.parameters, info.secrets) == ({"size": "7"}, {"model": "abc"})
    assert (info.git, info.graph, info.tags) == ({"remote": "https://h/a"}, GRAPH, ("best",))
    tags = ("user:ada", "runtime:dev", f"python_version:{python}", "metaflow_version:2.19")
    assert info.system_tags == tags
    assert (info.origin, info.script) == (None, "f.py")
    said = info.environment
    assert (said["argv"], said["command"]) == (["f.py", "--m", "***"], ["f.py", "--token=***"])
    assert (said["directory"], said["outside"], said["isolation"]) == ("sub", ["mod"], "fork")
    assert (said["hash_seed"], said["random_seeds"]) == ("7", {"numpy": f"{255:016x}"})
    assert said["packages"] == said["lock_files"] == {}
    variables = said["variables"]
    assert variables["ONE_RUN_OTHER"] == "x"
    assert "ONE_RUN_MODEL" not in variables
    monkeypatch.setattr(run_info, "fresh_hash_seed", lambda: "fresh")
    fresh = describe(
        start, open_repo(repo), "ada", Isolation.FRESH, None, None, frozenset(), STORED
    )
    assert fresh.environment["hash_seed"] == "fresh"
    assert fresh.environment["argv"][-1] == "hunter2-hunter2"


@pytest.mark.parametrize(
    ("kind", "texts", "secrets"),
    [
        (RunKind.RESUME, {"learn": "0.1", "gone": "x", "size": "7"}, {"learn": "a", "gone": "b"}),
        (RunKind.CLONE, {"learn": "0.1", "size": "7"}, {}),
    ],
)
def test_what_a_run_has_from_its_origin(
    repo: GitRepo, kind: RunKind, texts: dict[str, str], secrets: dict[str, str]
) -> None:
    """Texts and hashes by the names that options have now; a clone has none of what the flow has no more."""
    hashes = {"lr": "a", "gone": "b"}
    origin, inherited = origin_of({"lr": "0.1", "gone": "x"}, secrets=hashes)
    trusted = frozenset({ORIGIN.uid, RUN.uid})
    info = describe(
        start_of(kind), open_repo(repo), "ada", Isolation.FORK, origin, inherited, trusted, STORED
    )
    assert (info.parameters, info.secrets) == (texts, secrets)
    assert info.origin == RunOrigin(kind.value, ORIGIN, tuple(sorted(trusted)))
    assert info.script == "/elsewhere/f.py"


def test_a_strangers_parameters_are_shown_as_they_are_stored(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as its INFO says; what would have to be unpickled is shown by its type. Constants are no parameters."""
    names = ("rate", "gone", "size", "constant", "other")
    refs = {name: artifact(name.encode(), TaskName("_parameters", "0")) for name in names}
    origin, inherited = origin_of({"lr": "a lie"}, refs)

    class Reader:
        def __init__(self, objects: object) -> None:
            assert objects is None

        def load(self, ref: ArtifactRef, *, trusted: bool) -> object:
            assert not trusted
            if ref == refs["gone"]:
                raise UntrustedArtifact("a pickle")
            return [name for name in names if refs[name] == ref]

    monkeypatch.setattr("gitflowrun.artifacts.artifacts.ArtifactReader", Reader)
    stored = replace(STORED, texts={}, inherited=names[:-1])
    info = describe(
        start_of(RunKind.RESUME), open_repo(repo), "ada", Isolation.FORK, origin, inherited,
        frozenset(), stored,
    )  # fmt: skip
    assert info.parameters == {
        "learn": '["rate"]', "gone": "<builtins.bytes>", "size": '["size"]',
    }  # fmt: skip


@pytest.mark.parametrize("is_trusted", [True, False])
def test_the_parameters_task(is_trusted: bool) -> None:
    """It has what was stored, and of its origin what is inherited, as what that is: trusted or not."""
    mine, old = (artifact(it, TaskName("_parameters", "0")) for it in (b"new", b"old"))
    _, inherited = origin_of({}, {"rate": old, "gone": old})
    stored = replace(
        STORED, artifacts={"size": mine}, inherited=("rate",), packs=("a.pack",),
        inline={digest_of(b"new"): b"new"},
    )  # fmt: skip
    trusted = frozenset({ORIGIN.uid} if is_trusted else ())
    task = parameters_task(RUN, stored, inherited, trusted)
    record = task.record
    assert (record.name, record.run) == (TaskName("_parameters", "0"), RUN)
    assert record.attempts == (Attempt(0, 1.0, 2.0, ok=True),)
    assert record.artifacts == {"rate": replace(old, untrusted=not is_trusted), "size": mine}
    assert (task.inline, task.packs) == (stored.inline, ("a.pack",))
    alone = parameters_task(RUN, replace(stored, inherited=()), None, frozenset())
    assert alone.record.artifacts == {"size": mine}
