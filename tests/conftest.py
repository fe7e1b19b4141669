"""Keeps every test apart from the machine: git config, HOME, PATH, identity, time zone, hooks; offers repositories."""

from __future__ import annotations

import atexit
import compileall
import contextlib
import gc
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.helpers.repos import ROOT, GitRepo, make_repo
from tests.helpers.warm_python import keep_environment

for name, examples in {"few": 20, "many": 500}.items():
    settings.register_profile(
        name, deadline=None, derandomize=True, max_examples=examples, suppress_health_check=[HealthCheck.too_slow]
    )  # fmt: skip
settings.load_profile("few")


def pytest_configure(config: pytest.Config) -> None:
    """Draw many examples where slow tests are asked for."""
    if config.option.markexpr == "slow":
        settings.load_profile("many")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `-m slow` tests of properties run again, with more examples, and those of forks in other processes."""
    _mark_likes_of_forks(items)
    _mark_likes_of_samples(items)
    items.sort(key=_turn)
    if config.option.markexpr == "slow":
        for item in items:
            if is_hypothesis_test(getattr(item, "obj", None)):
                item.add_marker(pytest.mark.slow)


ISOLATIONS = ("batch", "fresh", "inline")
IN_ALL_PROCESSES = {
    "test_a_foreach_gives_the_same_in_every_isolation", "test_a_run_of_which_a_task_died_is_resumed",
    "test_a_step_is_tried_again_until_it_succeeds", "test_a_task_that_dies_has_failed", "test_all_kinds_of_processes",
    "test_catch_lets_the_flow_go_on", "test_errors_say_nothing", "test_steps_and_client_see_the_content",
    "test_what_a_step_assigns_is_what_the_next_one_reads",
}  # fmt: skip
"""Those of the default run that see what any isolation may break: values, output, retries, failures, secrets."""
OF_PROCESSES = tuple(
    f"{ROOT}/tests/{it}/"
    for it in ("faults", "runtime/executors", "runtime/remote", "runtime/worker")
)


QUICK = ("artifacts/codecs/", "flow/config/", "runs/query/", "runtime/ipc/")


def _turn(item: pytest.Item) -> int:
    # Workers share what comes last test by test: that should be short, and have nothing that modules set up once.
    name = item.path.relative_to(ROOT / "tests").as_posix()
    return 2 * name.startswith(QUICK) + ("/" in name)


def _mark_likes_of_forks(items: list[pytest.Item]) -> None:
    # Which processes execute the tasks is a parameter of many tests; what differs by it is tested in other folders.
    by_isolation: dict[str, list[pytest.Item]] = {it: [] for it in ("fork", *ISOLATIONS)}
    for item in items:
        made = getattr(item, "callspec", None)
        for it in made.params.values() if made else ():
            if isinstance(it, str) and it in by_isolation:
                by_isolation[it].append(item)
    in_forks = {(it.path, getattr(it, "originalname", "")) for it in by_isolation["fork"]}
    for item in (it for isolation in ISOLATIONS for it in by_isolation[isolation]):
        name = getattr(item, "originalname", "")
        if (
            (item.path, name) in in_forks
            and name not in IN_ALL_PROCESSES
            and not str(item.path).startswith(OF_PROCESSES)
        ):
            item.add_marker(pytest.mark.slow)


def _mark_likes_of_samples(items: list[pytest.Item]) -> None:
    # Of a test with `sample`: a number of cases, the first, the last and some between, or those that it names.
    cases: dict[tuple[Path, str], list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("sample") and not item.get_closest_marker("slow"):
            cases.setdefault((item.path, getattr(item, "originalname", "")), []).append(item)
    for found in cases.values():
        sample = found[0].get_closest_marker("sample")
        wanted = sample.args if sample else ()
        if isinstance(wanted[0], int):
            count, last = wanted[0], len(found) - 1
            kept = {round(it * last / max(1, count - 1)) for it in range(count)}
        else:
            kept = {number for number, it in enumerate(found) if _case_of(it) in wanted}
        for number, item in enumerate(found):
            if kept and number not in kept:
                item.add_marker(pytest.mark.slow)


def _case_of(item: pytest.Item) -> str:
    case: str = item.callspec.id if hasattr(item, "callspec") else ""
    return case


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Keep Python from looking for garbage among thousands of tests and modules: now, and again and again later."""
    gc.disable()
    try:
        leads = getattr(
            session.config.option, "numprocesses", None
        )  # other processes, and tests nothing itself
        if not leads and [Path(it).resolve() for it in session.config.args] == [ROOT / "tests"]:
            _import_a_share()
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def _import_a_share() -> None:
    # All workers need all modules, whose assertions pytest writes anew at the first time: each begins elsewhere, and
    # finds the others' compiled.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    for path in files[len(files) * number // workers : len(files) * (number + 1) // workers]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # told when it is collected
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three workers for two processors: each waits for a part of its time."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


ROOM_IN_MEMORY = 4 << 30
"""Bytes that must be free there: the large repositories of a few modules stay until the end."""


def _in_memory() -> None:
    # Thousands of repositories live for half a second each: no disk needs to see them, unless TMPDIR says so.
    place = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(place, os.W_OK):
        return
    system = os.statvfs(place)
    if not system.f_flag & os.ST_NOEXEC and system.f_bavail * system.f_frsize > ROOM_IN_MEMORY:
        os.environ["TMPDIR"] = str(place)
        tempfile.tempdir = None  # what was found before


_OF_TESTS = "GITFLOWRUN_TEST_"
"""What names of variables begin with that say what to test, and nothing to the package."""


def _isolate() -> None:
    # At import, before libgit2 reads HOME for the first time.
    home = Path(tempfile.mkdtemp(prefix="gitflowrun-home-"))
    atexit.register(_remove, home, os.getpid())
    config = home / ".gitconfig"
    template = home / "template"  # without samples of hooks, half of the files of a repository
    for name in ("hooks", "info"):
        (template / name).mkdir(parents=True)
    config.write_text(
        "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n"
        f"[init]\n\tdefaultBranch = main\n\ttemplateDir = {template}\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
        '[protocol "file"]\n\tallow = always\n'
    )
    for name in list(os.environ):
        is_ours = name.startswith("GITFLOWRUN_") and not name.startswith(_OF_TESTS)
        if is_ours or name.startswith(("GIT_", "METAFLOW_")):
            del os.environ[name]
    os.environ.update(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / ".config"),
        GIT_CONFIG_GLOBAL=str(config),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_TERMINAL_PROMPT="0",
        GIT_EDITOR="false",
        TZ="UTC",
        LC_ALL="C.UTF-8",
        USER="ada",
        PYTHONDONTWRITEBYTECODE="1",
    )
    for name in ("SUDO_USER", "USERNAME", "LOGNAME", "PAGER", "NO_COLOR", "FORCE_COLOR"):
        os.environ.pop(name, None)
    # The programs of an active virtual environment: a test says itself which git-runs it wants.
    programs = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(it for it in programs if not Path(it, "git-runs").exists())
    if paths := os.environ.get("PYTHONPATH"):  # `.` would be a test's repository
        absolute = [str(Path(path).absolute()) for path in paths.split(os.pathsep) if path]
        os.environ["PYTHONPATH"] = os.pathsep.join(absolute)


def _remove(home: Path, maker: int) -> None:
    if os.getpid() == maker:  # and no child of it
        shutil.rmtree(home, ignore_errors=True)


def _compile() -> None:
    # Else each of the thousands of programs that tests start compiles a hundred modules anew, where the environment
    # forbids to write bytecode (as the one of the tests does: a work tree's modules change within a second).
    if "PYTEST_XDIST_WORKER" not in os.environ:
        compileall.compile_dir(ROOT / "gitflowrun", quiet=2)
    else:  # pytest's own: what it made of the tests, sixty thousand lines
        sys.dont_write_bytecode = False


_in_memory()
_isolate()
keep_environment()
_compile()


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path) -> Iterator[None]:
    os.chdir(tmp_path)
    yield
    os.chdir(ROOT)  # wherever a test has gone: its directories go now


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A repository with one commit, in a directory whose name has a space."""
    return make_repo(tmp_path / "a repo")
