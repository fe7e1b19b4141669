"""Which types of cards there are: those of this package by name, and those that packages of extensions bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gitflowrun.cards.card_limits import CARD_TYPE
from gitflowrun.errors import CardClassFoundException, CardError
from gitflowrun.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

BUILT_IN = ("default", "blank", "error", "taskspec_card", "default_json")
"""The types of this package."""
_PAGES = frozenset({"default", "blank"})
_registered: dict[str, type] = {}
sources: list[Callable[[], object]] = []
"""What registers further types. They are called once, when a type is asked for that is not known."""


class TypeFacts(NamedTuple):
    """What a running task must know of a type of cards.

    Attributes:
        takes_components: Whether users can put components on such cards.
        is_live: Whether they can be looked at while the task runs.
    """

    takes_components: bool
    is_live: bool


def type_facts(name: str) -> TypeFacts | None:
    """The facts of a type; None where there is none. Those of this package are not loaded for it."""
    if name in BUILT_IN and name not in _registered:
        return TypeFacts(name in _PAGES, name in _PAGES)
    try:
        kind = card_type(name)
    except CardClassFoundException:
        return None
    takes = (getattr(kind, it, False) for it in ("ALLOW_USER_COMPONENTS", "IS_EDITABLE"))
    return TypeFacts(any(takes), bool(getattr(kind, "RUNTIME_UPDATABLE", False)))


def register_card_type(card: type, name: str | None = None) -> None:
    """Have a type of cards found by its name; a later one takes the place of an earlier one.

    Args:
        card: The class, with the methods of `MetaflowCard`.
        name: Its name, if it is another one than the class says.

    Raises:
        CardError: it has no name, or one that can't be part of a file's.
    """
    name = getattr(card, "type", None) if name is None else name
    if not isinstance(name, str) or not name or len(name) > CARD_TYPE or not name.isprintable():
        kind = f"{card.__module__}.{card.__qualname__}"
        raise CardError(
            f"the card {kind} has no usable type: {name!r}",
            hint=f"`type = '...'` in the class names it, in at most {CARD_TYPE} characters",
        )
    _registered[name] = card


def card_type(name: str) -> Any:
    """The class of a type of cards.

    Raises:
        CardClassFoundException: there is none of this name.
    """
    if name not in BUILT_IN and name not in _registered:
        _ask_sources()
    found: Any = _registered.get(name)
    if found is None and name in BUILT_IN:
        from gitflowrun.cards import built_in_types

        found = built_in_types.TYPES[name]
    if found is None:
        known = card_type_names()
        raise CardClassFoundException(
            name, hint=did_you_mean(name, known, f"there are {', '.join(known)}")
        )
    return found


def card_type_names() -> list[str]:
    """The names of all types that are known here."""
    _ask_sources()
    return list(dict.fromkeys([*BUILT_IN, *_registered]))


def _ask_sources() -> None:
    while sources:
        sources.pop(0)()
