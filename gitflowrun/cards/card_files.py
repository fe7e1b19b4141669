"""The files in which a task leaves what its cards are made of, and the names of cards in a run's tree.

    .git/gitflowrun/live/<uid>/cards/<step>/<task>.<attempt>/<number>.json     a `CardRequest`
    .git/gitflowrun/live/<uid>/cards/<step>/<task>.<attempt>/<number>-<type>[-<id>].html     the card, until it is
                                                                               in git; as `.json` its data

A request is replaced as a whole, so whoever looks at a running task's card finds one that fits together. It holds plain
data: components are rendered in the task, where their values are, and cards outside of it.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_limits import CARD_SIZE
from gitflowrun.errors import CorruptRecord, RepositoryError
from gitflowrun.git.permissions import make_directory, open_to_write, read_file, share_file
from gitflowrun.values import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gitflowrun.names import TaskName

_CARDS = "cards"
_REQUEST = ".json"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_CARD_NAME = re.compile(r"(0|[1-9][0-9]{0,5})-([^-./]+)(?:-([A-Za-z0-9_]+))?\.(html|json)\Z")


@frozen
class CardRequest:
    """A card that a task asks for.

    Attributes:
        number: Its place among the cards of its step, from 0.
        type: The name of its type.
        id: The id that the user has given to it.
        options: What its type is given.
        timeout: Seconds that rendering may take.
        save_errors: Whether a card that can't be rendered is replaced by one that says why.
        customize: Whether `current.card` without an id means this card, of several.
        refresh_interval: Seconds between two refreshes while the task runs.
        attempt: The attempt of the task.
        components: The components as their `render` has returned them, in order.
        updatable: Where components that can be updated are, by their ids: as the others, for pages that are open.
        data: What the user has given to `refresh`.
    """

    number: int
    type: str
    id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    timeout: int = 45
    save_errors: bool = True
    customize: bool = False
    refresh_interval: float = 5
    attempt: int = 0
    components: tuple[Any, ...] = ()
    updatable: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None

    @property
    def told(self) -> str:
        """What people call it: its number and type, and the id if it has one."""
        return card_name(self.number, self.type, self.id).removesuffix(".html")

    def dump(self) -> str:
        """It as JSON.

        Raises:
            TypeError, ValueError: something in it is no JSON.
        """
        import json  # as what else is imported in functions here: runs without cards need none of it

        return json.dumps({name: getattr(self, name) for name in _FIELDS}, allow_nan=False)

    @classmethod
    def load(cls, text: str | bytes) -> CardRequest:
        """The request that JSON describes.

        Raises:
            CorruptRecord: it describes none.
        """
        import json

        try:
            found = json.loads(text)
            fields = {name: found[name] for name in _FIELDS if name in found}
            fields["components"] = tuple(fields.get("components", ()))
            return cls(**fields)
        except (ValueError, TypeError, RecursionError) as error:
            raise CorruptRecord(f"a request for a card is malformed: {error}") from error


_FIELDS = (
    "number", "type", "id", "options", "timeout", "save_errors", "customize", "refresh_interval", "attempt",
    "components", "updatable", "data",
)  # fmt: skip


class CardFiles:
    """The files of the cards of one attempt of a task.

    Args:
        directory: Where they are.
        hide: Takes what must not be seen out of a text.
        shared: The permissions of a shared repository's directories; None where it is not shared.
    """

    def __init__(
        self,
        directory: Path,
        *,
        hide: Callable[[str], str] = lambda text: text,
        shared: int | None = None,
    ) -> None:
        self.directory = directory
        self._hide = hide
        self._shared = shared

    def write(self, request: CardRequest) -> Path:
        """Write a request, or replace it; its file.

        Raises:
            TypeError, ValueError: something in it is no JSON.
            OSError: it can't be written.
        """
        return self.write_text(request.number, request.dump())

    def write_text(self, number: int, text: str) -> Path:
        """The same of a request that is JSON already.

        Raises:
            OSError: it can't be written.
        """
        path = self.directory / f"{number}{_REQUEST}"
        make_directory(path.parent)
        self._replace(path, self._hide(text).encode())
        return path

    def write_card(self, request: CardRequest, suffix: str, text: str) -> None:
        """Write a card, or its data where `suffix` is `json`, as it will be called in the run's tree.

        Raises:
            OSError: it can't be written.
        """
        name = card_name(request.number, request.type, request.id, suffix)
        self._replace(self.directory / name, text.encode(errors="replace"))

    def _replace(self, path: Path, content: bytes) -> None:
        """Let a file take the place of another one. Nothing waits for the disk: after a power cut no run goes on."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with open(open_to_write(temporary, _NEW, 0o600), "wb") as out:  # noqa: PTH123  (a descriptor)
                out.write(content)
            share_file(temporary, self._shared)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def cards(self) -> dict[str, bytes]:
        """The cards that are written, and their data, by their names."""
        found = {path.name: read_file(path, "a card", limit=CARD_SIZE) for path in self._cards()}
        return {name: content for name, content in found.items() if content is not None}

    def size(self) -> int:
        """Bytes of the cards that are written."""
        return sum(path.stat().st_size for path in self._cards())

    def _cards(self) -> list[Path]:
        return [it for it in sorted(self.directory.glob("*-*")) if parse_card_name(it.name)]

    def remove(self) -> None:
        """Remove all of them: the cards are in git."""
        import shutil

        shutil.rmtree(self.directory, ignore_errors=True)

    def paths(self) -> list[Path]:
        """The files of what was asked for so far, in the cards' order."""
        found = [it for it in self.directory.glob(f"*{_REQUEST}") if it.stem.isdecimal()]
        return sorted(found, key=lambda path: int(path.stem))

    def requests(self) -> list[CardRequest]:
        """What was asked for so far, in order; what can't be read is left out."""
        found = []
        for path in self.paths():
            with contextlib.suppress(CorruptRecord, RepositoryError):
                found.append(read_request(path))
        return found


def card_directory(live: Path, task: TaskName, attempt: int = 0) -> Path:
    """Where the files of an attempt of a task are, below the live state of its run (`runs.live`)."""
    return live / _CARDS / task.step / f"{task.task}.{attempt}"


def asking_tasks(live: Path, step: str) -> set[str]:
    """The tasks of a step that have files there, by their ids."""
    directory = live / _CARDS / step
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else ()
    return {name.rpartition(".")[0] for name in names}


def read_request(path: Path) -> CardRequest:
    """The request in a file.

    Raises:
        CorruptRecord: there is none, or it is malformed.
    """
    data = read_file(path, "the request for a card", limit=CARD_SIZE)
    if data is None:
        raise CorruptRecord(f"the request for a card is not there: {path}")
    return CardRequest.load(data)


def card_name(number: int, type: str, id: str | None = None, suffix: str = "html") -> str:  # noqa: A002
    """The name of a card in a run's tree, or of its data where `suffix` is `json`."""
    from urllib.parse import quote

    kind = quote(type, safe="").replace("-", "%2D").replace(".", "%2E").replace("~", "%7E")
    return f"{number}-{kind}{f'-{id}' if id else ''}.{suffix}"


def parse_card_name(name: str) -> tuple[int, str, str | None, str] | None:
    """Number, type, id and suffix of a name in a run's tree; None where it is no card's."""
    from urllib.parse import unquote

    match = _CARD_NAME.match(name)
    if match is None:
        return None
    return int(match[1]), unquote(match[2]), match[3], match[4]
