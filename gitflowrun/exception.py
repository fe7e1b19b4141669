"""Exceptions by the names that Metaflow has for them.

Most are other names of the classes in `gitflowrun.errors`: `except MetaflowNotFound` catches what the client raises.
The rest is raised by flows and their libraries alone. All derive from `MetaflowException`; a flow that raises one ends
with the headline of its class, the message and exit code 1.
"""

from __future__ import annotations

from gitflowrun.errors import (
    CardClassFoundException,
    CardNotPresentException,
    ComponentOverwriteNotSupportedException,
    CorruptRecord,
    DecoratorError,
    ExternalCommandFailed,
    FailureHandledByCatch,
    GitflowrunError,
    IncorrectArgumentException,
    IncorrectCardArgsException,
    IncorrectPathspecException,
    InvalidDecoratorAttribute,
    InvalidNext,
    InvalidPathspec,
    LintError,
    MetaflowException,
    MissingInMergeArtifactsException,
    MissingObject,
    MulticoreException,
    NamespaceMismatch,
    NotFound,
    ParameterFieldFailed,
    ParameterFieldTypeMismatch,
    RunFailed,
    TaggingError,
    TaskNotFoundException,
    TimeoutException,
    TypeRequiredException,
    UnhandledInMergeArtifactsException,
    UnrenderableCardException,
    UnresolvableDatastoreException,
    UnserializableArtifact,
    UsageError,
)
from gitflowrun.flow.failure import MetaflowExceptionWrapper
from gitflowrun.runtime.ipc.process import DISALLOW_RETRY

__all__ = [
    "METAFLOW_EXIT_ALLOW_RETRY",
    "METAFLOW_EXIT_DISALLOW_RETRY",
    "BadFlowDecoratorException",
    "BadStepDecoratorException",
    "CardClassFoundException",
    "CardNotPresentException",
    "CommandException",
    "ComponentOverwriteNotSupportedException",
    "DataException",
    "DuplicateFlowDecoratorException",
    "DuplicateStepDecoratorException",
    "ExternalCommandFailed",
    "FailureHandledByCatch",
    "IncorrectArgumentException",
    "IncorrectCardArgsException",
    "IncorrectPathspecException",
    "InvalidDecoratorAttribute",
    "InvalidNextException",
    "LintWarn",
    "MetaflowDataMissing",
    "MetaflowException",
    "MetaflowExceptionWrapper",
    "MetaflowInternalError",
    "MetaflowInvalidPathspec",
    "MetaflowNamespaceMismatch",
    "MetaflowNotFound",
    "MetaflowTaggingError",
    "MetaflowUnknownUser",
    "MissingInMergeArtifactsException",
    "MulticoreException",
    "ParameterFieldFailed",
    "ParameterFieldTypeMismatch",
    "PyLintWarn",
    "TaskFailed",
    "TaskNotFoundException",
    "TimeoutException",
    "TypeRequiredException",
    "UnhandledInMergeArtifactsException",
    "UnknownFlowDecoratorException",
    "UnknownStepDecoratorException",
    "UnpicklableArtifactException",
    "UnrenderableCardException",
    "UnresolvableDatastoreException",
]

METAFLOW_EXIT_DISALLOW_RETRY = DISALLOW_RETRY
METAFLOW_EXIT_ALLOW_RETRY = 203  # as any other status of a task that fails

# In Metaflow's `exception`.
CommandException = UsageError
MetaflowDataMissing = MissingObject
MetaflowInternalError = CorruptRecord
MetaflowInvalidPathspec = InvalidPathspec
MetaflowNamespaceMismatch = NamespaceMismatch
MetaflowNotFound = NotFound
MetaflowTaggingError = TaggingError

# In other modules of Metaflow, as those of cards are.
BadFlowDecoratorException = BadStepDecoratorException = DecoratorError
DuplicateFlowDecoratorException = DuplicateStepDecoratorException = DecoratorError
UnknownFlowDecoratorException = UnknownStepDecoratorException = DecoratorError
DataException = CorruptRecord
InvalidNextException = InvalidNext
LintWarn = PyLintWarn = LintError
TaskFailed = RunFailed
UnpicklableArtifactException = UnserializableArtifact


class MetaflowUnknownUser(GitflowrunError):
    """Nobody knows who runs the flow. Never raised here, where git's identity or the login name is taken."""

    headline = "Unknown user"
