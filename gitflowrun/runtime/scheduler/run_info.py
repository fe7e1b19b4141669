"""What a run begins with: its INFO, its `_parameters` task, and the files that announce its id.

Refs get pushed, so what is recorded of machine and environment is treated as public: environment variables by an
allow-list that deny patterns overrule, remote URLs without credentials, never the whole environment. Installed
packages are read from the names of `*.dist-info` directories (0.3 ms; `importlib.metadata` takes 29, `pip freeze`
324). Nothing is executed.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun._version import __version__
from gitflowrun.artifacts.digest import digest
from gitflowrun.errors import GitflowrunError, UsageError
from gitflowrun.masking import SHOWN, Mask
from gitflowrun.names import PARAMETERS_STEP, TaskName
from gitflowrun.runs.records import (
    Attempt,
    Metadatum,
    RunIdentity,
    RunInfo,
    RunOrigin,
    TaskRecord,
    parameter_options,
    parameter_text,
)
from gitflowrun.runs.trees import FinishedTask
from gitflowrun.runtime.executors.local import fresh_hash_seed
from gitflowrun.settings import LOCAL, Isolation
from gitflowrun.utilities import threads
from gitflowrun.values import replace

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Collection, Iterable, Mapping

    from gitflowrun.git.objects import Oid
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun, StoredTask
    from gitflowrun.runtime.ipc.messages import StartRun, StoredParameters
    from gitflowrun.runtime.ipc.request import Spin

_LATE_READER = 5.0
"""Seconds for which a run that has ended waits for those who are to read of it from a FIFO."""
ALLOWED = (
    "PYTHONHASHSEED", "PYTHONPATH", "PYTHONOPTIMIZE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "TZ", "LANG",
    "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "SLURM_JOB_ID", "CI",
)  # fmt: skip
_DENIED = re.compile(r"KEY|TOKEN|SECRET|PASS|CRED|AUTH|COOKIE", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_LOCK_FILES = (
    "uv.lock", "poetry.lock", "pdm.lock", "pixi.lock", "Pipfile.lock", "conda-lock.yml", "requirements.txt",
    "environment.yml", "pyproject.toml", "setup.cfg", "setup.py",
)  # fmt: skip


def without_credentials(url: str) -> str:
    """A remote's URL without the user name, password or token that may stand in front of its host."""
    return _CREDENTIALS.sub("", url)


def redacted(argv: Iterable[str]) -> list[str]:
    """A command line without what options whose names speak of a secret were given."""
    shown: list[str] = []
    hides_next = False
    for word in argv:
        name, equals, _ = word.partition("=")
        is_secret = word.startswith("-") and bool(_DENIED.search(name))
        if hides_next:
            shown.append(SHOWN)
        elif is_secret and equals:
            shown.append(f"{name}={SHOWN}")
        else:
            shown.append(without_credentials(word))
        hides_next = is_secret and not equals
    return shown


def installed_packages(path: Iterable[str]) -> dict[str, str]:
    """Name to version of every distribution found on an interpreter's path, the first of a name.

    A package installed from a directory or a version-control system has its origin behind the version,
    as `1.0 @ file:///...`.
    """
    found: dict[str, str] = {}
    for folder in path:
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = os.listdir(folder)  # noqa: PTH208  (half the time of pathlib's)
        for name in names:
            package, _, version = name.removesuffix(".dist-info").rpartition("-")
            if name.endswith(".dist-info") and package and package not in found:
                found[package] = version + _direct_url(f"{folder}/{name}/direct_url.json")
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _direct_url(file: str) -> str:
    try:
        with open(file, "rb") as opened:  # noqa: PTH123  (few packages have one, and pathlib's way takes 3 ms)
            import json

            url = json.load(opened)["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" @ {without_credentials(str(url))}"


def environment_variables(environ: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """The variables that may be recorded: an allow-list and `more`, none whose name speaks of a secret."""
    names = {*ALLOWED, *more}
    return {
        name: without_credentials(environ[name])
        for name in sorted(names)
        if name in environ and not _DENIED.search(name)
    }


def lock_files(top: Path | None) -> dict[str, str]:
    """BLAKE3 of the files at a work tree's top that pin or name its dependencies."""
    found: dict[str, str] = {}
    for path in (top / name for name in _LOCK_FILES) if top else ():
        with contextlib.suppress(OSError):
            found[path.name] = str(digest(path.read_bytes()))
    return found


def machine() -> dict[str, Any]:
    """Platform, processor and memory (in bytes) of this machine, and the interpreter."""
    system = os.uname()
    return {
        "platform": f"{system.sysname} {system.release}",
        "architecture": system.machine,
        "cpu": _processor(),
        "cores": os.cpu_count() or 0,
        "memory": _memory(),
        "python": sys.version,
        "implementation": sys.implementation.name,
        "executable": sys.executable,
    }


def _processor() -> str:
    text = ""
    with contextlib.suppress(OSError):  # /proc is not mounted
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    match = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else os.uname().machine


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except OSError:  # some C libraries ask /proc
        return 0


METAFLOW_LEVEL = "2.19"
"""The release of Metaflow whose behaviour flows find here."""


def describe(
    start: StartRun,
    repo: Repository,
    user: str,
    isolation: Isolation,
    origin: StoredRun | None,
    inherited: StoredTask | None,
    trusted_runs: Collection[Oid],
    stored: StoredParameters,
) -> RunInfo:
    """The INFO of a run that has no number yet.

    Args:
        start: What the launcher process said of it.
        repo: The repository.
        user: Who runs.
        isolation: How tasks get their processes.
        origin: The run it is made from.
        inherited: The `_parameters` task of that.
        trusted_runs: The uids of the runs whose tasks count as trusted in that.
        stored: Its parameters, as far as they are not its origin's.
    """
    mask = Mask.of(stored.secrets)
    environment = _environment(start, repo, isolation, stored.hashes)
    texts: dict[str, str] = {}
    if origin and inherited:
        texts = _of_origin(start, origin.info, origin.info.parameters)
        if inherited.record.run.uid not in trusted_runs:
            texts = _as_stored(start, inherited, stored.inherited)
    hashes = _of_origin(start, origin.info, origin.info.secrets) if origin else {}
    python = ".".join(map(str, sys.version_info[:3]))
    is_resumed = start.request.kind.goes_on
    return RunInfo(
        flow=start.flow,
        user=user,
        host=os.uname().nodename,
        versions={"gitflowrun": __version__, "metaflow": METAFLOW_LEVEL, "python": python},
        parameters={**texts, **stored.texts},
        git=_remote(repo),
        environment=mask.within(environment) if mask else environment,
        graph=start.graph,
        tags=start.request.tags,
        system_tags=(
            f"user:{user}",
            "runtime:dev",
            f"python_version:{python}",
            f"metaflow_version:{METAFLOW_LEVEL}",
            *start.system_tags,
        ),
        origin=None
        if origin is None
        else RunOrigin(start.request.kind.value, origin.identity, tuple(sorted(trusted_runs))),
        script=_within(start.script, repo.work_tree),
        # What a clone evaluates anew may be no secret any more.
        secrets={**(hashes if is_resumed else {}), **stored.hashes},
    )


def parameters_task(
    run: RunIdentity,
    stored: StoredParameters,
    origin: StoredTask | None,
    trusted_runs: Collection[Oid],
) -> FinishedTask:
    """The `_parameters` task of a run.

    Args:
        run: The run.
        stored: Its parameters, stored already.
        origin: The `_parameters` task of the run's origin.
        trusted_runs: The uids of the runs whose tasks count as trusted in the origin.
    """
    inherited = dict(origin.record.artifacts) if origin else {}
    if origin and origin.record.run.uid not in trusted_runs:
        inherited = {name: replace(ref, untrusted=True) for name, ref in inherited.items()}
    record = TaskRecord(
        name=TaskName(PARAMETERS_STEP, "0"),
        run=run,
        attempts=(Attempt(0, stored.started, stored.finished, ok=True),),
        artifacts={**{name: inherited[name] for name in stored.inherited}, **stored.artifacts},
        metadata=tuple(
            Metadatum(name, text, name, stored.finished) for name, text in stored.metadata.items()
        ),
    )
    return FinishedTask(record, stored.inline, packs=stored.packs)


def _of_origin(start: StartRun, origin: RunInfo, texts: Mapping[str, str]) -> dict[str, str]:
    """What a run's origin says of its parameters, by the names of their options now.

    A clone has none that the flow has no more. A resumed run, whose tasks may have used them, keeps them.
    """
    before = {name: attribute for attribute, name in parameter_options(origin.graph).items()}
    now = parameter_options(start.graph)
    attributes = {name: before.get(name, name) for name in texts}
    return {
        now.get(attribute, name): texts[name]
        for name, attribute in attributes.items()
        if attribute in now or start.request.kind.goes_on
    }


def _as_stored(start: StartRun, inherited: StoredTask, names: Iterable[str]) -> dict[str, str]:
    """The parameters that a stranger's run has stored, by the names of their options: it may say something else."""
    from gitflowrun.artifacts.artifacts import ArtifactReader  # few go on with a stranger's run

    now, refs = parameter_options(start.graph), inherited.record.artifacts
    before = parameter_options(inherited.run.info.graph).keys() - {*now, *now.values()}
    reader, texts = ArtifactReader(inherited.run.objects), {}
    for name in [name for name in names if name in now or name in before]:
        try:
            value = reader.load(refs[name], trusted=False)
            texts[now.get(name, name)] = parameter_text(value)
        except GitflowrunError:
            texts[now.get(name, name)] = f"<{refs[name].type}>"
    return texts


def _environment(
    start: StartRun, repo: Repository, isolation: Isolation, secrets: Iterable[str]
) -> dict[str, object]:
    hidden = tuple(f"_RUN_{name.upper().replace('-', '_')}" for name in secrets)
    variables = {
        name: value
        for name, value in environment_variables(os.environ, repo.settings.env).items()
        if not name.endswith(hidden)
    }
    executor = start.request.executed_by(repo.settings.executor)
    return {
        **machine(),
        "packages": installed_packages(start.path),
        "lock_files": lock_files(repo.work_tree),
        "variables": variables,
        "argv": redacted(start.request.argv),
        "command": redacted(start.typed),
        "directory": _from(repo.work_tree, start.directory),
        **_configs(repo.work_tree, start.request.config_sources),
        **_given_by(repo.work_tree, start.request.spin),
        "outside": list(start.outside),
        "isolation": isolation.value,
        **({} if executor == LOCAL else {"executor": executor}),
        "hash_seed": start.hash_seed if isolation is not Isolation.FRESH else fresh_hash_seed(),
        "random_seeds": {name: f"{seed:016x}" for name, seed in start.seeds.items()},
    }


def _from(top: Path | None, directory: str | None) -> str | None:
    """A directory from a work tree's top; None where there is not either."""
    return None if top is None or directory is None else os.path.relpath(directory, top)


def _configs(top: Path | None, sources: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Where a run's configs come from: of files, paths from the work tree's top, or only their names."""
    found = {name: _place(top, source) for name, source in sources.items()}
    return {"configs": found} if found else {}


def _given_by(top: Path | None, spin: Spin | None) -> dict[str, str]:
    """The file that has other values for a spun task."""
    path = spin.artifacts_module if spin else None
    return {"artifacts_module": _place(top, path)} if path else {}


def _place(top: Path | None, source: str) -> str:
    path = Path(source)
    if not path.is_absolute():
        return source
    if top is not None and path.is_relative_to(top):
        return path.relative_to(top).as_posix()
    return f"{path.name} (outside)"


def _remote(repo: Repository) -> dict[str, str]:
    """Where the code comes from: `origin`, or else the only remote."""
    remotes = repo.remotes()
    url = remotes.get("origin") or (next(iter(remotes.values())) if len(remotes) == 1 else None)
    return {} if url is None else {"remote": without_credentials(url)}


def _within(script: str, top: Path | None) -> str:
    """A file's path within the work tree; as it was given where it lies outside."""
    path = Path(script).resolve()
    if top is not None and path.is_relative_to(top):
        return path.relative_to(top).as_posix()
    return script


def check_files(*paths: Path | None) -> None:
    """Make sure that files can be written, while there is no run that a mistake could leave behind.

    Raises:
        UsageError: one can't.
    """
    for path in paths:
        if path is None:
            continue
        folder = path.parent
        if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UsageError(
                f"{str(path)!r} can't be written", hint="name a file in a directory that exists"
            )


def announce(
    run: RunIdentity,
    repo: Repository,
    id_file: Path | None,
    facts: Path | None,
    task: TaskName | None = None,
) -> list[LockType]:
    """Write the run id, and the run's facts as JSON, to where programs wait for them.

    Args:
        run: The run.
        repo: The repository.
        id_file: Where its id is wanted.
        facts: Where its facts are.
        task: The task that is spun.

    Returns:
        Of FIFOs, locks that are released when somebody has read what is written there, whenever that is.

    Raises:
        GitflowrunError: a file can't be written.
    """
    waiting = []
    if id_file is not None:
        waiting.append(_write(id_file, str(run.id), run))
    if facts is not None:
        import json

        metadata = f"local@{repo.common_dir}"
        content = {"run_id": str(run.id), "flow_name": run.flow, "metadata": metadata}
        if task is not None:
            content |= {"step_name": task.step, "task_id": task.task}
        waiting.append(_write(facts, json.dumps(content), run))
    return [lock for lock in waiting if lock is not None]


def wait_for_readers(waiting: Iterable[LockType]) -> None:
    """Give those who read FIFOs a last chance: what nobody has read when a run's processes end is gone."""
    for lock in waiting:
        lock.acquire(timeout=_LATE_READER)


def _write(path: Path, text: str, run: RunIdentity) -> LockType | None:
    try:
        if path.is_fifo():
            # Whoever is to read it may come late, or be gone for ever: the run does not wait for that.
            return threads.start(partial(_write_late, path, text))
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GitflowrunError(
            f"run {run.pathspec} was made, but nothing was run: {str(path)!r} can't be written: "
            f"{error.strerror}",
            hint=f"name another file and resume run {run.id}",
        ) from error
    return None


def _write_late(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):  # who has opened it has gone
        path.write_text(text, encoding="utf-8")
