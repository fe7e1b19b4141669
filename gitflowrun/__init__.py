"""Git-native run versioning: flows whose every run is a commit in the repository they live in.

Importing this package imports nothing else: each public name is fetched from its room when it is first used,
so a flow file starts as fast as its own imports allow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gitflowrun._version import __version__

if TYPE_CHECKING:
    from gitflowrun.artifacts.codecs.bytes import FileArtifact, from_chunks, from_file
    from gitflowrun.client import (
        DataArtifact,
        Flow,
        Metaflow,
        Run,
        Step,
        Task,
        default_metadata,
        default_namespace,
        get_metadata,
        get_namespace,
        metadata,
        namespace,
    )
    from gitflowrun.flow import (
        FlowSpec,
        IncludeFile,
        JSONType,
        JSONTypeClass,
        Parameter,
        step,
    )
    from gitflowrun.flow.current import current
    from gitflowrun.version import get_version

_ROOMS = {
    "gitflowrun.client": (
        "DataArtifact Flow Metaflow Run Step Task default_metadata default_namespace get_metadata "
        "get_namespace metadata namespace"
    ),
    "gitflowrun.flow": "FlowSpec IncludeFile JSONType JSONTypeClass Parameter current step",
    "gitflowrun.artifacts.codecs.bytes": "FileArtifact from_chunks from_file",
    "gitflowrun.version": "get_version",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "DataArtifact",
    "FileArtifact",
    "Flow",
    "FlowSpec",
    "IncludeFile",
    "JSONType",
    "JSONTypeClass",
    "Metaflow",
    "Parameter",
    "Run",
    "Step",
    "Task",
    "__version__",
    "current",
    "default_metadata",
    "default_namespace",
    "from_chunks",
    "from_file",
    "get_metadata",
    "get_namespace",
    "get_version",
    "metadata",
    "namespace",
    "step",
]


def __getattr__(name: str) -> Any:
    room = _HOME.get(name)
    if room is None:
        msg = f"module 'gitflowrun' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(room), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
