"""What a user writes: flows, steps, parameters. It knows neither where runs are stored nor how they are run."""

from gitflowrun.flow.current import current
from gitflowrun.flow.flowspec import FlowSpec
from gitflowrun.flow.includefile import IncludeFile
from gitflowrun.flow.parameter import JSONType, JSONTypeClass, Parameter
from gitflowrun.flow.steps import step

__all__ = [
    "FlowSpec",
    "IncludeFile",
    "JSONType",
    "JSONTypeClass",
    "Parameter",
    "current",
    "step",
]
