"""`MetaflowCardComponent`, and how a component becomes plain data.

A component's `render` returns a mapping with the `type` that pages know it by, its `id`, and what is shown, in
Metaflow's form. It is called in the task, where the values are. What can't be shown becomes a message in the
component's place: nothing of a card fails its task.
"""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.cards.card_limits import COMPONENT_DEPTH, COMPONENT_MESSAGE
from gitflowrun.errors import TimeoutException
from gitflowrun.printing import bounded_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_numbers = itertools.count(1)
_BITS = 2_000  # 640 digits have more; fewer can't be forbidden (`sys.set_int_max_str_digits`)


class MetaflowCardComponent:
    """A part of a card; the base class of those that users write.

    Attributes:
        REALTIME_UPDATABLE: Whether `update` changes it while its task runs.
    """

    REALTIME_UPDATABLE = False

    _component_id: str | None = None
    _logger: Any = None

    @property
    def component_id(self) -> str | None:
        """What it is called in its card."""
        return self._component_id

    @component_id.setter
    def component_id(self, value: str) -> None:
        if not isinstance(value, str):
            msg = f"the id of a component is text, not {type(value).__name__}"
            raise TypeError(msg)
        self._component_id = value

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Show something else from now on."""
        raise NotImplementedError

    def render(self) -> Any:
        """What is shown, as plain data of JSON, or as text for a type of cards that takes that."""
        raise NotImplementedError


class UserComponent(MetaflowCardComponent):
    """A component of ours: whatever is wrong with what it shows, there is something to render."""

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change nothing: this kind shows what it was made with."""

    def render(self, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """It as plain data of JSON; a message where it can't be shown."""
        return _safely(self._content, type(self).__name__, self._identified())

    def _content(self) -> Mapping[str, Any]:
        """What its mapping has besides `id`."""
        raise NotImplementedError

    def _identified(self) -> str:
        """Its id; the first time, one is made where the user has given none."""
        if self._component_id is None:
            self._component_id = f"{type(self).__name__.lower()}_{next(_numbers)}"
        return self._component_id


def render_safely(component: Any) -> Any:
    """What a component renders to, of whoever's class it is; a message in place of what fails or is no JSON."""
    name = type(component).__name__
    try:
        found = component.render()
        if type(component).render is UserComponent.render or isinstance(found, str):
            return found
        data = plain(found)
        if isinstance(data, dict):
            return data
        reason = f"its render() returns a dictionary or text, not a {type(found).__name__}"
    except TimeoutException:  # of the step's own time, while it refreshes a card
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  (anybody's class)
        reason = _told(error)
    return log(f"{name} can't be rendered\n\n{reason}", component_id(component))


def component_id(component: Any) -> str:
    """The id of a component, if it has a usable one; else one that is made."""
    given = None
    with suppress(Exception):  # anybody's class
        given = component.component_id
    return (
        given if isinstance(given, str) else f"{type(component).__name__.lower()}_{next(_numbers)}"
    )


def log(text: str, id: str) -> dict[str, Any]:  # noqa: A002  (the name in the mapping)
    """A message in the place of a component."""
    return {"type": "log", "data": text[:COMPONENT_MESSAGE], "id": id}


def _safely(content: Callable[[], Mapping[str, Any]], name: str, id: str) -> dict[str, Any]:  # noqa: A002
    try:
        found: dict[str, Any] = plain(content())
    except CannotBeShown as error:
        return log(str(error), id)
    except TimeoutException:  # of the step's own time
        raise
    except Exception as error:  # noqa: BLE001  (values of any class)
        return log(f"{name} can't be rendered\n\n{_told(error)}", id)
    return {"id": id, **found}


class CannotBeShown(Exception):
    """What a component was given is not what it shows; the message says so in its place."""


def _told(error: BaseException) -> str:
    import traceback  # hardly any step has a component that fails

    if isinstance(error, CannotBeShown):
        return str(error)
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  (its `__str__`, for example)
        return type(error).__name__


def plain(value: Any, depth: int = COMPONENT_DEPTH) -> Any:
    """A value as strict JSON: keys are text, numbers of numpy Python's, and what is no number is null.

    Raises:
        CannotBeShown: something in it is no JSON, or it is too deep.
    """
    if isinstance(value, dict | list | tuple) and depth <= 0:
        raise CannotBeShown(f"values are nested more than {COMPONENT_DEPTH} levels deep")
    if isinstance(value, dict):
        return {_key(key): plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth - 1) for item in value]
    if value is None or isinstance(value, bool | str | int | float):
        return _basic(value)
    if _is_numpy(value):
        return plain(value.tolist(), depth - 1)
    kind = type(value).__name__
    raise CannotBeShown(f"a value of the type {kind} is no JSON: {bounded_repr(value, 200)}")


def _basic(value: Any) -> Any:
    """A text or a number, also of a class of its own such as an enum, as Python's own."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool):
        return value
    number = int(value)
    return hex(number)[:COMPONENT_MESSAGE] if _is_long(number) else number


def _is_long(number: int) -> bool:
    """Whether Python may refuse to write a number in decimal, or to read it."""
    return number.bit_length() > _BITS


def _key(key: Any) -> str:
    return str.__str__(key) if isinstance(key, str) else bounded_repr(key, 200)


def _is_numpy(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist")


def cell(value: Any) -> Any:
    """A value as text, number or flag for people: what is no JSON as Python shows it."""
    kind = type(value)
    if kind is float and not math.isfinite(value):
        return str(value)
    if kind in {str, int, float, bool} or value is None:
        return _basic(value)
    if isinstance(value, list | dict | tuple):
        return bounded_repr(value, COMPONENT_MESSAGE)
    if _is_numpy(value) and getattr(value, "ndim", 0) == 0:
        return cell(value.item()) if type(value.item()) is not kind else str(value)
    try:
        return str(value)[:COMPONENT_MESSAGE]
    except Exception:  # noqa: BLE001  (anybody's class)
        return bounded_repr(value, COMPONENT_MESSAGE)
