"""The errors of the package: one tree, whose messages speak to people.

    MetaflowException             what flows raise themselves, by Metaflow's name
    └── GitflowrunError           what this package raises
        ├── UsageError                a command or option was used wrongly
        ├── RepositoryError           the repository can't be used, or git refused something
        │   ├── UnusableRepository    it is of a kind that can't be used, or git won't
        │   │   └── NotARepository    there is no git repository here
        │   ├── MissingObject         a git object that should be there is not (also a KeyError)
        │   └── RefConflict           somebody else moved or created a ref first
        ├── CorruptRecord             stored bytes are not what they must be
        │   └── TooLarge              they are more than is read of such a thing
        ├── NotFound                  no such flow, run, step, task, artifact or tag
        │   ├── ClassChanged          a class is there, and does not take what was stored
        │   ├── MissingKey            `parent[id]` found nothing; a KeyError too
        │   ├── CardNotPresentException   no such card
        │   ├── TaskNotFoundException     no task whose cards were asked for
        │   ├── UnresolvableDatastoreException   a card is known, and not in this repository
        │   └── NamespaceMismatch     it exists, in another namespace
        ├── InvalidPathspec           an address that can't be one
        ├── FlowError                 the flow's source or its use is wrong
        │   ├── LintError             the graph that the source describes breaks a rule
        │   ├── InvalidNext           a transition (`self.next`) is wrong
        │   ├── ParameterError        a parameter's declaration or value is wrong
        │   │   ├── ParameterFieldFailed         a function that makes its value has failed
        │   │   └── ParameterFieldTypeMismatch   what it has made is not of the parameter's type
        │   ├── ConfigError           a config's declaration or an expression of configs is wrong
        │   ├── DecoratorError        a decorator is unknown, in the wrong place or used wrongly
        │   │   └── InvalidDecoratorAttribute   it has no such attribute
        │   ├── MergeError            `merge_artifacts` can't decide or find
        │   │   ├── UnhandledInMergeArtifactsException   the inputs disagree
        │   │   └── MissingInMergeArtifactsException     no input has it
        │   ├── ExternalCommandFailed a command of `self.cmd` has failed
        │   └── MulticoreException    a process of `parallel_map` has failed
        ├── UnserializableArtifact    a value that can't be stored
        ├── UntrustedArtifact         a value that isn't loaded before the user trusts its source
        ├── TaggingError              a tag that can't be
        ├── CardError                 a card that can't be made or asked for so
        │   ├── CardClassFoundException      no type of cards of that name
        │   ├── TypeRequiredException        no type is said
        │   ├── IncorrectCardArgsException   a type does not take such arguments
        │   ├── UnrenderableCardException    its type fails
        │   ├── IncorrectArgumentException   `get_cards` is given no task
        │   ├── IncorrectPathspecException   `get_cards` is given an address that is no task's
        │   └── ComponentOverwriteNotSupportedException   a component can't take the place of another one
        ├── ExecutorError             an engine, or what it runs on other machines, can't be used
        ├── TimeoutException          a step took longer than its @timeout
        ├── FailureHandledByCatch     the process of a task with @catch was lost
        └── RunFailed                 a run stopped on a failed task or an interrupt

Every error carries what happened and to which object (`message`), what to do next (`hint`) and the exit
code of a flow script (`exit_code`). What both command lines make of them is in `cli.errors`.
"""

from __future__ import annotations

import copyreg
from typing import ClassVar

__all__ = [
    "CardClassFoundException",
    "CardError",
    "CardNotPresentException",
    "ClassChanged",
    "ComponentOverwriteNotSupportedException",
    "ConfigError",
    "CorruptRecord",
    "DecoratorError",
    "ExecutorError",
    "ExternalCommandFailed",
    "FailureHandledByCatch",
    "FlowError",
    "GitflowrunError",
    "IncorrectArgumentException",
    "IncorrectCardArgsException",
    "IncorrectPathspecException",
    "InvalidDecoratorAttribute",
    "InvalidNext",
    "InvalidPathspec",
    "LintError",
    "MergeError",
    "MetaflowException",
    "MissingInMergeArtifactsException",
    "MissingKey",
    "MissingObject",
    "MulticoreException",
    "NamespaceMismatch",
    "NotARepository",
    "NotFound",
    "ParameterError",
    "ParameterFieldFailed",
    "ParameterFieldTypeMismatch",
    "RefConflict",
    "RepositoryError",
    "RunFailed",
    "TaggingError",
    "TaskNotFoundException",
    "TimeoutException",
    "TooLarge",
    "TypeRequiredException",
    "UnhandledInMergeArtifactsException",
    "UnrenderableCardException",
    "UnresolvableDatastoreException",
    "UnserializableArtifact",
    "UntrustedArtifact",
    "UnusableRepository",
    "UsageError",
]

# What to look at where the system gives no more memory or threads.
SYSTEM_LIMITS = (
    "`ulimit -v` and `ulimit -u` show limits; a container or a job may have others of its own"
)


class MetaflowException(Exception):
    """An error that people are told of by a headline and a message; the base of all of ours.

    Flows raise it, and classes derived from it, as they do with Metaflow.

    Args:
        msg: What happened.
        lineno: The line of the user's source that it speaks of, if any.
        source_file: The file of that line.

    Attributes:
        headline: The kind of error.
        exit_code: What a flow's program exits with.
        message: What happened.
        hint: What to do next, if anything can be done.
        line: `lineno`.
        source: `source_file`.
    """

    headline: ClassVar[str] = "Flow failed"
    exit_code: ClassVar[int] = 1
    hint: str | None = None

    def __init__(
        self, msg: str = "", lineno: int | None = None, source_file: str | None = None
    ) -> None:
        super().__init__(msg)
        self.message = msg
        self.line = lineno
        self.source = source_file

    @property
    def line_no(self) -> int | None:
        """Metaflow's name of `line`."""
        return self.line

    @property
    def source_file(self) -> str | None:
        """Metaflow's name of `source`."""
        return self.source

    @property
    def told(self) -> str:
        """What happened and where, without the hint."""
        where = ""
        if self.line is not None:
            where = f"{self.source}:{self.line}: " if self.source else f"line {self.line}: "
        return where + self.message

    def __str__(self) -> str:
        # With the hint: in a script that does not catch it, this is all that Python shows.
        return f"{self.told}\nhint: {self.hint}" if self.hint else self.told

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross the pipe between a task and the scheduler: made without `__init__`, whatever it asks for.
        return (copyreg.__newobj__, (type(self), *self.args), self.__dict__)  # type: ignore[attr-defined]


class GitflowrunError(MetaflowException):
    """Base of every error that this package raises on purpose.

    Args:
        message: What happened, to which object. One line where one line can say it.
        lineno: `line`, as Metaflow has it.
        source_file: `source`, as Metaflow has it.
        hint: What to do next, if anything can be done.
        line: The line of the user's source the error speaks of, if any.
        source: The file of that line.
    """

    headline: ClassVar[str] = "gitflowrun error"

    def __init__(
        self,
        message: str = "",
        lineno: int | None = None,
        source_file: str | None = None,
        *,
        hint: str | None = None,
        line: int | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(message, line if lineno is None else lineno, source or source_file)
        self.hint = hint


class UsageError(GitflowrunError):
    """A command, option or function was used in a way it does not allow."""

    headline = "Usage error"
    exit_code = 2


class RepositoryError(GitflowrunError):
    """The repository can't be used, or git refused an operation on it."""

    headline = "Repository error"


class UnusableRepository(RepositoryError):
    """The repository is of a kind that can't be used, or git refuses to work in it: nothing was tried."""

    exit_code = 2


class NotARepository(UnusableRepository):
    """There is no git repository at or above the directory asked for."""

    headline = "Not a git repository"


class MissingObject(RepositoryError, KeyError):
    """A git object is not in the repository; a `KeyError` too, for readers that know what it was part of."""

    headline = "Missing object"


class RefConflict(RepositoryError):
    """A ref was created or moved by somebody else; nothing was overwritten."""

    headline = "Ref conflict"


class CorruptRecord(GitflowrunError):
    """Stored bytes do not have the digest or the form they must have."""

    headline = "Corrupt record"


class NewerRecord(CorruptRecord):
    """A record is of a newer release than this one."""

    headline = "Newer record"


class TooLarge(CorruptRecord):
    """Something stored is larger, or takes longer to read, than any such thing that we write; it was not read."""

    headline = "Too large to be read"


class NotFound(GitflowrunError):
    """No such flow, run, step, task, artifact or tag."""

    headline = "Object not found"


class ClassChanged(NotFound):
    """A class is there, and does not take what was stored, as one that has changed since: the bytes are sound."""

    headline = "Class does not fit the stored value"


class MissingKey(NotFound, KeyError):
    """`parent[id]` found nothing: NotFound to those who catch ours, KeyError to those who index."""


class NamespaceMismatch(NotFound):
    """The object exists, but not in the namespace in use."""

    headline = "Object not in the current namespace"


class CardNotPresentException(NotFound):
    """A task has no card, or none that is what was asked for.

    Args:
        pathspec: The task, or the run.
        card_type: The type that was asked for.
        card_hash: The hash that was asked for.
        card_id: The id that was asked for.
        hint: What to do next.
    """

    headline = "Card not found"

    def __init__(
        self,
        pathspec: str,
        card_type: str | None = None,
        card_hash: str | None = None,
        card_id: str | None = None,
        *,
        hint: str | None = None,
    ) -> None:
        asked = (("type", card_type), ("hash", card_hash), ("id", card_id))
        which = " and ".join(f"{name} {value!r}" for name, value in asked if value is not None)
        super().__init__(f"{pathspec} has no card{f' with {which}' if which else ''}", hint=hint)


class TaskNotFoundException(NotFound):
    """The task whose cards were asked for is not there.

    Args:
        pathspec_query: What was asked for.
        resolved_from: Where it was looked for, or why it is not there.
        run_id: The run.
        hint: What to do next.
    """

    headline = "Cannot resolve task for pathspec"

    def __init__(
        self,
        pathspec_query: str,
        resolved_from: str,
        run_id: str | None = None,
        *,
        hint: str | None = None,
    ) -> None:
        where = f" of run {run_id}" if run_id else ""
        super().__init__(f"{pathspec_query}{where}: {resolved_from}", hint=hint)


class UnresolvableDatastoreException(NotFound):
    """The cards of a task are known, and not in this repository.

    Args:
        task: The task.
        hint: What to do next.
    """

    headline = "The cards are not in this repository"

    def __init__(self, task: object, *, hint: str | None = None) -> None:
        super().__init__(f"the cards of {task} are not in this repository", hint=hint)


class InvalidPathspec(GitflowrunError):
    """A pathspec with the wrong number or form of components."""

    headline = "Invalid pathspec"


class FlowError(GitflowrunError):
    """The flow's source, or what a step does with it, breaks a rule of flows."""

    headline = "Flow error"


class LintError(FlowError):
    """The graph that a flow's source describes breaks a rule; nothing was run."""

    headline = "The flow can't run as it is written"


class InvalidNext(FlowError):
    """A `self.next` that names no valid transition."""

    headline = "Invalid self.next() transition detected"


class ParameterError(FlowError):
    """A parameter whose declaration or value can't be used."""

    headline = "Parameter error"


class ConfigError(FlowError):
    """A config whose declaration, or an expression of configs that, can't be used."""

    headline = "Config error"


class ParameterFieldFailed(ParameterError):
    """A function that makes a parameter's value when a run starts has raised something."""

    headline = "Parameter field failed"


class ParameterFieldTypeMismatch(ParameterError):
    """Such a function has made something that is not of the parameter's type."""

    headline = "Parameter field with a mismatching type"


class DecoratorError(FlowError):
    """A decorator that does not exist, stands in the wrong place or is used in a way it does not allow."""

    headline = "Decorator error"


class InvalidDecoratorAttribute(DecoratorError):
    """An attribute that a decorator does not have."""


class MergeError(FlowError):
    """`merge_artifacts` met conflicting or missing artifacts; nothing was set.

    Args:
        message: What happened.
        artifact_names: The artifacts in question.
        hint: What to do next.
    """

    headline = "Artifacts can't be merged"

    def __init__(
        self, message: str, artifact_names: list[str] | None = None, *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.artifact_names = artifact_names or []


class UnhandledInMergeArtifactsException(MergeError):
    """The inputs of a join have different values of an artifact, and the step does not say which to take."""

    headline = "Unhandled artifacts in merge"


class MissingInMergeArtifactsException(MergeError):
    """No input of a join has an artifact that `merge_artifacts` is to take."""

    headline = "Missing artifacts in merge"


class ExternalCommandFailed(FlowError):
    """A command that a step has run by `self.cmd` has failed, or has not made a file that it is to make."""

    headline = "External command failed"


class MulticoreException(FlowError):
    """A process of `parallel_map` has failed."""

    headline = "Parallel processing failed"


class UnserializableArtifact(GitflowrunError):
    """A value that no codec can turn into bytes."""

    headline = "Cannot store artifact"


class UntrustedArtifact(GitflowrunError):
    """A pickled value, or code, of a run that came from somewhere the user has not trusted."""

    headline = "Untrusted artifact"


class TaggingError(GitflowrunError):
    """A tag that is empty, too long, not text, reserved, or one too many."""

    headline = "Tagging error"


class CardError(GitflowrunError):
    """A card that can't be made, or that is asked for in a way that can't be."""

    headline = "Card error"


class CardClassFoundException(CardError):
    """There is no type of cards of that name.

    Args:
        card_name: The name.
        hint: What to do next.
    """

    headline = "MetaflowCard not found"

    def __init__(self, card_name: str, *, hint: str | None = None) -> None:
        super().__init__(f"there is no type of cards {card_name!r}", hint=hint)


class TypeRequiredException(CardError):
    """A card of no type was asked for."""

    headline = "Card type missing"

    def __init__(self) -> None:
        super().__init__("the type of a card is missing", hint="'default' is one")


class IncorrectCardArgsException(CardError):
    """A type of cards does not take the arguments that it is given.

    Args:
        card_type: The type.
        args: The arguments.
        hint: What to do next.
    """

    headline = "Incorrect arguments to @card decorator"

    def __init__(self, card_type: str, args: object, *, hint: str | None = None) -> None:
        super().__init__(f"cards of type {card_type!r} do not take {args}", hint=hint)


class UnrenderableCardException(CardError):
    """A type of cards fails to make one.

    Args:
        card_type: The type.
        args: The arguments that it was given.
        hint: What to do next.
    """

    headline = "Unable to render @card"

    def __init__(self, card_type: str, args: object, *, hint: str | None = None) -> None:
        given = f" with {args}" if args else ""
        super().__init__(f"a card of type {card_type!r}{given} can't be made", hint=hint)


class IncorrectArgumentException(CardError):
    """`get_cards` is given something that is neither a task nor the address of one.

    Args:
        obj_type: What it is.
        hint: What to do next.
    """

    headline = "get_cards needs a task"

    def __init__(self, obj_type: object, *, hint: str | None = None) -> None:
        super().__init__(
            f"get_cards takes a Task or the pathspec of one, not {obj_type}", hint=hint
        )


class IncorrectPathspecException(CardError):
    """`get_cards` is given an address that is not that of a task.

    Args:
        pthspec: The address.
        hint: What to do next.
    """

    headline = "get_cards needs the pathspec of a task"

    def __init__(self, pthspec: str, *, hint: str | None = None) -> None:
        super().__init__(f"{pthspec!r} is not the pathspec of a task", hint=hint)


class ComponentOverwriteNotSupportedException(CardError):
    """A component can't take the place of another one in a card.

    Args:
        component_id: The component.
        card_id: The id of the card.
        card_type: Its type.
        hint: What to do next.
    """

    headline = "Component overwrite is not supported"

    def __init__(
        self,
        component_id: str,
        card_id: str | None,
        card_type: str | None,
        *,
        hint: str | None = None,
    ) -> None:
        card = " ".join(filter(None, (card_type, card_id and repr(card_id))))
        super().__init__(f"component {component_id!r} of card {card} can't be replaced", hint=hint)


class ExecutorError(GitflowrunError):
    """An engine that is to run tasks can't be used, or an agent on one of its workers and the driver can't meet."""

    headline = "Executor error"


class TimeoutException(GitflowrunError):
    """A step took longer than its `@timeout` allows."""

    headline = "@timeout"


class FailureHandledByCatch(GitflowrunError):
    """The process of a task was lost in all attempts, and `@catch` lets the flow go on."""

    headline = "@catch"


class RunFailed(GitflowrunError):
    """A run stopped before its end: a task failed, or the user interrupted it."""

    headline = "Step failure"
