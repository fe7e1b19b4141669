"""The language of flows: flow classes, steps, parameters, graphs, and the execution of one step.

Where runs are stored and how their tasks get processes is decided in other packages.
"""

from __future__ import annotations

# Here and at once: a name that is a module's too must be the object before anybody asks for it.
from gitflowrun.flow.current import current
from gitflowrun.flow.flowspec import FlowSpec
from gitflowrun.flow.parameter import JSONType, JSONTypeClass, Parameter
from gitflowrun.flow.steps import step

__all__ = ["FlowSpec", "JSONType", "JSONTypeClass", "Parameter", "current", "step"]
