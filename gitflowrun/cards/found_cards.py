"""The cards of a task, wherever they lie.

1. In the tree of its run, once they are committed.
2. In the run's live state: those that wait for a commit, and the requests of a task that has not ended, or whose cards
   nobody has rendered yet. Such a card is rendered when it is looked at, as the task has left it last.
3. In this clone alone: those that `card create` has made (`created_cards`).

A task that a run has taken over from another one has the cards that it had there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from gitflowrun.cards.card_files import (
    CardFiles,
    asking_tasks,
    card_directory,
    card_name,
    parse_card_name,
)
from gitflowrun.cards.card_limits import CARD_SIZE
from gitflowrun.cards.created_cards import created_directory, created_tasks
from gitflowrun.errors import (
    CardError,
    CorruptRecord,
    GitflowrunError,
    MissingObject,
    NotFound,
    UnresolvableDatastoreException,
)
from gitflowrun.git.objects import ObjectType, Oid, hash_object
from gitflowrun.git.permissions import read_file
from gitflowrun.names import Pathspec, TaskName
from gitflowrun.printing import within
from gitflowrun.runs import layout
from gitflowrun.runs.live import ObservedRun
from gitflowrun.runs.runs import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from gitflowrun.cards.card_files import CardRequest
    from gitflowrun.cards.rendering import RenderedCard
    from gitflowrun.client.task import Task
    from gitflowrun.runs.read import StoredRun, StoredTask

_HTML = "html"
_DATA = "json"
_SHORTEST_HASH = 4


class FoundCard(ABC):
    """A card of a task.

    Args:
        task: The task, in the run in which the card lies.
        number: Its place among the cards of its step, from 0; those that were created later follow.
        type: The name of its type.
        id: The id that the user has given to it.

    Attributes:
        is_live: Whether its task may still change it.
    """

    is_live: ClassVar[bool] = False

    def __init__(self, task: StoredTask, number: int, type: str, id: str | None) -> None:  # noqa: A002
        self.task = task
        self.number = number
        self.type = type
        self.id = id

    @property
    def name(self) -> str:
        """The name of its file in a run's tree."""
        return card_name(self.number, self.type, self.id)

    @property
    @abstractmethod
    def hash(self) -> str:
        """What it is called by: of a card that is finished, git's id of its bytes."""

    @property
    @abstractmethod
    def path(self) -> str:
        """Where it lies: of one that is committed, a name that `git show` understands."""

    @abstractmethod
    def html(self) -> str:
        """It as HTML.

        Raises:
            UnresolvableDatastoreException: it is not in this repository.
            CardError: it is rendered when it is looked at, and that fails.
            CorruptRecord: it is damaged, or larger than a card may be.
        """

    @abstractmethod
    def data(self) -> str | None:
        """Its data as JSON, if it has any. Raises as `html`."""

    def is_meant(self, id: str | None, type: str | None, hash: str | None = None) -> bool:  # noqa: A002
        """Whether it has an id, a type and a hash that begins so, each where one is given."""
        return (
            (id is None or self.id == id)
            and (type is None or self.type == type)
            and (hash is None or _begins(self.hash, hash))
        )


class CommittedCard(FoundCard):
    """A card in the tree of a run.

    Args:
        task: Its task.
        name: Its name there.
        blobs: The task's cards by their names.
    """

    def __init__(self, task: StoredTask, name: str, blobs: Mapping[str, Oid]) -> None:
        number, kind, card_id, _ = _parsed(name)
        super().__init__(task, number, kind, card_id)
        self._file = name
        self._blob = blobs[name]
        self._data = blobs.get(_beside(name))

    @property
    def hash(self) -> str:
        """The id of its blob."""
        return str(self._blob)

    @property
    def path(self) -> str:
        """Such as `runs/MyFlow/12:cards/train/3/0-default.html`."""
        run, name = self.task.run, self.task.name
        ref = layout.run_ref(run.flow, run.id).removeprefix("refs/")
        return f"{ref}:{layout.CARDS.decode()}/{name}/{self._file}"

    def html(self) -> str:
        """It as HTML. Raises as its class says."""
        return self._read(self._blob)

    def data(self) -> str | None:
        """Its data as JSON, if it has any. Raises as `html`."""
        return None if self._data is None else self._read(self._data)

    def _read(self, blob: Oid) -> str:
        try:
            return self.task.run.objects.blob(blob, CARD_SIZE).decode(errors="replace")
        except MissingObject:
            hint = "`git runs fetch` brings what a remote has of the run"
            raise UnresolvableDatastoreException(self.task.pathspec, hint=hint) from None
        except CorruptRecord as error:
            message = f"card {self.name} of {self.task.pathspec}: {error.message}"
            raise type(error)(message, hint=error.hint) from error


class CardFile(FoundCard):
    """A card in a file: one that waits for a commit of its run, or one of this clone alone.

    Args:
        task: Its task.
        file: The file.
        is_created: Whether it is one of this clone alone.
    """

    def __init__(self, task: StoredTask, file: Path, *, is_created: bool = False) -> None:
        number, kind, card_id, _ = _parsed(file.name)
        super().__init__(task, number, kind, card_id)
        self.is_created = is_created
        self._file = file

    @property
    def hash(self) -> str:
        """The id that its blob would have. Raises as `html`."""
        return str(hash_object(ObjectType.BLOB, self.html().encode()))

    @property
    def path(self) -> str:
        """Its file."""
        return str(self._file)

    def html(self) -> str:
        """It as HTML. Raises as its class says."""
        found = _text(self._file)
        return self._committed().html() if found is None else found

    def data(self) -> str | None:
        """Its data as JSON, if it has any. Raises as `html`."""
        found = _text(self._file.with_name(_beside(self._file.name)))
        return self._committed().data() if found is None and not self._file.exists() else found

    def _committed(self) -> FoundCard:
        """The card in the tree of its run: a commit may have taken it there since it was found."""
        run = self.task.run
        with suppress(NotFound):
            task = RunStore(run.repo).get(run.flow, run.id).task(self.task.name)
            if self._file.name in (blobs := task.cards):
                return CommittedCard(task, self._file.name, blobs)
        raise UnresolvableDatastoreException(self.task.pathspec, hint=f"{self._file} is gone")


class LiveCard(FoundCard):
    """A card that is rendered when it is looked at, for nobody has rendered it yet.

    Args:
        task: Its task.
        request: What it is made of.
        directory: Where that lies.
    """

    is_live = True

    def __init__(self, task: StoredTask, request: CardRequest, directory: Path) -> None:
        super().__init__(task, request.number, request.type, request.id)
        self.request = request
        self._directory = directory

    @property
    def hash(self) -> str:
        """A hash of its place: what it shows changes."""
        return str(hash_object(ObjectType.BLOB, self.path.encode()))

    @property
    def path(self) -> str:
        """Where its file will be, until it is committed."""
        return str(self._directory / self.name)

    def html(self) -> str:
        """It as HTML. Raises as its class says."""
        rendered = self._render()
        if rendered.html is None:
            raise CardError(rendered.error or f"a card of type {self.type!r} can't be rendered")
        return rendered.html

    def data(self) -> str | None:
        """Its data as JSON, if it has any."""
        return self._render().data

    def updates(self) -> dict[str, Any] | None:
        """What an open page of it is given anew (`rendering.render_updates`); None where its type takes nothing."""
        from gitflowrun.cards.rendering import render_updates

        with within(self.request.timeout):
            return render_updates(self.request, client_task(self.task))

    def _render(self) -> RenderedCard:
        from gitflowrun.cards.rendering import render_card  # who looks at cards in git needs none

        task = client_task(self.task)
        with within(self.request.timeout):  # of a program's main thread
            return render_card(self.request, task, live=not task.finished)


def find_cards(task: StoredTask, *, follow_resumed: bool = True) -> list[FoundCard]:
    """The cards of a task, in the order of their numbers.

    Args:
        task: The task; of a run that may be going on as `runs.live.observe` returns it.
        follow_resumed: Whether a task that its run has taken over from another one has the cards that it had there.

    Raises:
        CorruptRecord: what lists them is damaged.
    """
    executed_here = _is_executed_here(task)
    if not executed_here and not follow_resumed:
        return []
    found = {card.number: card for card in _committed(task)}
    if not found and not executed_here:
        found = {card.number: card for card in _committed_at_origin(task)}
    for card in _waiting(task):
        found.setdefault(card.number, card)
    for card in _created(task):
        found.setdefault(card.number, card)
    return [found[number] for number in sorted(found)]


def cards_of_run(
    run: StoredRun,
    damaged: Callable[[GitflowrunError], None],
    wanted: Callable[[StoredTask], list[FoundCard]] | None = None,
) -> Iterator[FoundCard]:
    """The cards of a run, those of the newest tasks first; of a wide foreach without any, no record is read.

    Args:
        run: The run; one that may be going on as `runs.live.observe` returns it.
        damaged: Is told of what can't be read: the others are found.
        wanted: Finds the cards of a task; `find_cards` for None.
    """
    for step in reversed(run.known_steps()):
        if step.startswith("_"):
            continue
        try:
            tasks = _tasks_with_cards(run, step)
        except GitflowrunError as error:
            damaged(error)
            continue
        for task in tasks:
            try:
                yield from (wanted or find_cards)(run.task(TaskName(step, task)))
            except GitflowrunError as error:
                damaged(error)


def _tasks_with_cards(run: StoredRun, step: str) -> list[str]:
    """The tasks of a step that may have cards, newest first."""
    tasks = run.tasks(step)[::-1]
    if run.info.origin is not None:  # tasks that it took over may have left cards where they were
        return tasks
    named = _with_cards(run, step)
    return [task for task in tasks if task in named]


def _with_cards(run: StoredRun, step: str) -> set[str]:
    waiting = asking_tasks(run.top, step) if isinstance(run, ObservedRun) else set()
    return {*run.cards_of(step), *waiting, *created_tasks(run.repo, run.identity.uid, step)}


def client_task(task: StoredTask) -> Task:
    """A task as the client has it, in no namespace."""
    from gitflowrun.client.base import Scope, make  # who lists cards needs no client
    from gitflowrun.client.repository import Source
    from gitflowrun.client.task import Task  # noqa: F401  (the class that `make` finds)

    scope = Scope(Source(task.run.repo).spec, None, checked=False)
    path = Pathspec(task.run.flow, str(task.run.id), task.name.step, task.name.task)
    made: Task = make(path, scope)
    return made


def _is_executed_here(task: StoredTask) -> bool:
    """Whether the run that a task is found in has executed it, as far as its record can be read."""
    try:
        return task.record.run.uid == task.run.identity.uid
    except CorruptRecord:
        return True


def _committed(task: StoredTask) -> Iterator[FoundCard]:
    blobs = task.cards
    for name in blobs:
        parsed = parse_card_name(name)
        if parsed is not None and parsed[3] == _HTML:
            yield CommittedCard(task, name, blobs)


def _committed_at_origin(task: StoredTask) -> Iterator[FoundCard]:
    """Those of the run that has executed a task; none where that run is not here."""
    run = _run_of(task.run, task.record.run.uid)
    if run is not None:
        try:
            yield from _committed(run.task(task.name))
        except NotFound:
            return


def _run_of(run: StoredRun, uid: Oid) -> StoredRun | None:
    return RunStore(run.repo).of_uid(run.flow, uid)


def _waiting(task: StoredTask) -> Iterator[FoundCard]:
    """Those that no commit has yet, as far as the run is going on, or was killed, in this clone."""
    if not isinstance(task.run, ObservedRun):
        return
    directory = card_directory(task.run.top, task.name, task.number)
    if not directory.is_dir():
        return
    ready = {card.number: card for card in _files(task, directory)}
    yield from ready.values()
    for request in CardFiles(directory).requests():
        if request.number not in ready:
            yield LiveCard(task, request, directory)


def _created(task: StoredTask) -> list[FoundCard]:
    try:
        directory = created_directory(task.run.repo, task.record)
    except CorruptRecord:
        return []
    return _files(task, directory, is_created=True)


def _files(task: StoredTask, directory: Path, *, is_created: bool = False) -> list[FoundCard]:
    names = sorted(path.name for path in directory.glob(f"*.{_HTML}"))
    return [
        CardFile(task, directory / name, is_created=is_created)
        for name in names
        if parse_card_name(name)
    ]


def _text(file: Path) -> str | None:
    found = read_file(file, "a card", limit=CARD_SIZE)
    return None if found is None else found.decode(errors="replace")


def _parsed(name: str) -> tuple[int, str, str | None, str]:
    parsed = parse_card_name(name)
    assert parsed is not None, f"{name} is the name of a card"
    return parsed


def _beside(name: str) -> str:
    """The name of a card's data."""
    return f"{name.removesuffix(_HTML)}{_DATA}"


def _begins(whole: str, start: str) -> bool:
    return len(start) >= _SHORTEST_HASH and whole.startswith(start.lower())
