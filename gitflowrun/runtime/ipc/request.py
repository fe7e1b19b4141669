"""The request for a run, as one frozen value that the command line fills in and the launcher executes.

`parameters` holds only what was *given*, by attribute name and already of the parameter's type. Defaults and
deploy-time functions are resolved by the launcher, once, because a clone takes what was not given from its origin.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from gitflowrun.schema import (
    BINARY,
    COUNT,
    FLAG,
    MAP,
    TEXT,
    TEXT_MAP,
    TEXTS,
    ArraySchema,
    Kind,
    MapSchema,
    map_of,
    optional,
)
from gitflowrun.settings import LOCAL, Isolation
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

RERUN = "--_rerun"
"""The option of `run` by which `git runs rerun` names the run; no parameter of a flow can be called so."""


class RunKind(Enum):
    """How a run begins: anew, from an earlier run's finished tasks, or anew with its parameters.

    `CLONE` and `RERUN` are the same but for the word: who types `git runs rerun` finds that one recorded. `SPIN` is one
    task of an earlier run, executed once more, and no run of the history.
    """

    RUN = "run"
    RESUME = "resume"
    CLONE = "clone"
    RERUN = "rerun"
    SPIN = "spin"

    @property
    def goes_on(self) -> bool:
        """Whether the run has all parameters and constants of its origin, for what it takes over was made with them."""
        return self in {RunKind.RESUME, RunKind.SPIN}


@frozen
class Spin:
    """How a task is spun.

    Attributes:
        step: Its step.
        persist: Whether its artifacts are stored.
        skip_decorators: Whether the decorators of its step and of the flow are left out.
        artifacts_module: The file whose `ARTIFACTS` it sees in place of its inputs' own.
    """

    step: str
    persist: bool = False
    skip_decorators: bool = False
    artifacts_module: str | None = None

    @property
    def only_step(self) -> str:
        """The step whose decorators count; empty where none do."""
        return "" if self.skip_decorators else self.step


SPIN = ArraySchema(Spin, "spin", TEXT, FLAG, FLAG, optional(TEXT))


@frozen
class RunRequest:
    """A run as asked for.

    Attributes:
        kind: Anew, resumed, cloned, rerun, or a task that is spun.
        max_workers: Tasks that may run at the same time.
        max_num_splits: The most items a foreach may have.
        parameters: Attribute name to value, of the parameters that were given.
        tags: User tags of the new run.
        max_log_size: Bytes of output kept per task and stream; the setting `runs.maxLogSize` when
            None.
        step: resume: the step to run again (and whatever follows it); spin: that of the task.
        origin: All but anew: address of the run to start from; resume and spin without one take the
            flow's newest run.
        task: spin: the id of the task; the step's last one when None.
        run_id_file: Where to write the run id, before any task starts.
        runner_attribute_file: Where to write run id, flow name and metadata as JSON.
        namespace: Namespace that tasks see; the one that `runs.namespace` sets when None.
        argv: The command line, for the record.
        isolation: How tasks get their processes; the setting `runs.isolation` when None.
        executor: What executes tasks, as `--executor` says it; the setting `runs.executor` when None.
        decospecs: Decorators, described as text, for all steps that have none of the same name.
        options: What the options of the flow's own decorators were given, by the options' names.
        configs: The flow's configs by attribute, packed (`flow.config.known`).
        config_sources: Where they come from, by name: the absolute path of a file, or words.
        spin: spin: how the task is executed.
        cache: Whether the step cache is used; the setting `runs.cache` when None.
    """

    kind: RunKind
    max_workers: int
    max_num_splits: int
    parameters: Mapping[str, object] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    max_log_size: int | None = None
    step: str | None = None
    origin: str | None = None
    run_id_file: Path | None = None
    runner_attribute_file: Path | None = None
    namespace: str | None = None
    argv: tuple[str, ...] = ()
    isolation: Isolation | None = None
    decospecs: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    configs: Mapping[str, bytes] = field(default_factory=dict)
    config_sources: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    spin: Spin | None = None
    cache: bool | None = None
    executor: str | None = None

    def executed_by(self, setting: str) -> str:
        """What executes tasks, where this is what the setting `runs.executor` says."""
        return LOCAL if self.kind is RunKind.SPIN else self.executor or setting

    def uses_cache(self, setting: bool) -> bool:
        """Whether the step cache is used, where this is what the setting `runs.cache` says."""
        return self.kind is not RunKind.SPIN and (setting if self.cache is None else self.cache)


_PATH = Kind(Path, str)
RUN_REQUEST = MapSchema(
    RunRequest,
    "request",
    {
        "kind": Kind(RunKind, lambda kind: kind.value),
        "tags": TEXTS,
        "max_workers": COUNT,
        "max_num_splits": COUNT,
        "max_log_size": optional(COUNT),
        "step": optional(TEXT),
        "origin": optional(TEXT),
        "run_id_file": optional(_PATH),
        "runner_attribute_file": optional(_PATH),
        "namespace": optional(TEXT),
        "argv": TEXTS,
        "isolation": optional(Kind(Isolation, lambda isolation: isolation.value)),
        "decospecs": TEXTS,
        "options": MAP,
        "configs": map_of(BINARY),
        "config_sources": TEXT_MAP,
        "task": optional(TEXT),
        "spin": optional(SPIN),
        "cache": optional(FLAG),
        "executor": optional(TEXT),
    },
)
"""A request without the values of its parameters, which travel beside it, encoded."""
