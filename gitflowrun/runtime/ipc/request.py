"""What a person asks for when a flow is to run, as one frozen value. Neither parses nor executes.

The command line fills it in, `Launcher.run` takes it. `parameters` holds only what was *given*, by
attribute name and already of the parameter's type; defaults and deploy-time functions are resolved by
the launcher, once, because a clone takes what was not given from its origin instead.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitflowrun.settings import Isolation
from gitflowrun.values import field, field_names, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Kind", "RunRequest"]


class Kind(Enum):
    """How a run begins: anew, from a run that stopped, or anew with another run's parameters."""

    RUN = "run"
    RESUME = "resume"
    CLONE = "clone"


@frozen
class RunRequest:
    """A run as asked for.

    Attributes:
        kind: Anew, resumed or cloned.
        parameters: Attribute name to value, of the parameters that were given.
        tags: User tags of the new run.
        max_workers: Tasks that may run at the same time.
        max_num_splits: The most items a foreach may have.
        max_log_size: Bytes of output kept per task and stream; the setting `runs.maxLogSize` when
            None.
        step: resume: the step to run again (and whatever follows it).
        origin: resume and clone: address of the run to start from; resume without one takes the
            flow's newest run.
        run_id_file: Where to write the run id, before any task starts.
        runner_attribute_file: Where to write run id, flow name and metadata as JSON.
        namespace: Namespace that tasks see; `user:<name>` when None.
        argv: The command line, for the record.
        isolation: How tasks get their processes; the setting `runs.isolation` when None.
    """

    kind: Kind = Kind.RUN
    parameters: Mapping[str, object] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    max_workers: int = 16
    max_num_splits: int = 100
    max_log_size: int | None = None
    step: str | None = None
    origin: str | None = None
    run_id_file: Path | None = None
    runner_attribute_file: Path | None = None
    namespace: str | None = None
    argv: tuple[str, ...] = ()
    isolation: Isolation | None = None

    def to_map(self) -> dict[str, Any]:
        """The request without its parameter values, as a map of msgpack's types."""
        data = {name: getattr(self, name) for name in field_names(self) if name != "parameters"}
        data["kind"] = self.kind.value
        data["isolation"] = self.isolation and self.isolation.value
        for name in _PATHS:
            data[name] = data[name] and str(data[name])
        return data

    @classmethod
    def from_map(cls, data: Mapping[str, Any]) -> RunRequest:
        """The request in a map of `to_map`."""
        fields = dict(data)
        fields["kind"] = Kind(fields["kind"])
        fields["isolation"] = fields["isolation"] and Isolation(fields["isolation"])
        for name in _PATHS:
            fields[name] = fields[name] and Path(fields[name])
        for name in ("tags", "argv"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


_PATHS = ("run_id_file", "runner_attribute_file")
