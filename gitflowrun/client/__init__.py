"""Metaflow's client API over git: flows, runs, steps, tasks and artifacts. Only tags are written.

The objects are views: each has its address and its repository, reads when it is asked and holds no more than
the record it has read. `from gitflowrun.client import Flow` loads neither pygit2, numpy nor pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.client.artifact import DataArtifact
from gitflowrun.client.flow import Flow, Metaflow
from gitflowrun.client.repository import (
    default_metadata,
    default_namespace,
    get_metadata,
    get_namespace,
    inspect_spin,
    metadata,
    namespace,
)
from gitflowrun.client.run import Run
from gitflowrun.client.step import Step
from gitflowrun.client.task import MetaflowData, Task

if TYPE_CHECKING:
    from gitflowrun.client.code import MetaflowCode

__all__ = [
    "DataArtifact",
    "Flow",
    "Metaflow",
    "MetaflowCode",
    "MetaflowData",
    "Run",
    "Step",
    "Task",
    "default_metadata",
    "default_namespace",
    "get_metadata",
    "get_namespace",
    "inspect_spin",
    "metadata",
    "namespace",
]


def __getattr__(name: str) -> Any:
    if name == "MetaflowCode":  # brings archives and temporary files along, which few need
        from gitflowrun.client.code import MetaflowCode

        return MetaflowCode
    msg = f"module 'gitflowrun.client' has no attribute {name!r}"
    raise AttributeError(msg)
