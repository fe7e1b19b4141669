"""Which types of cards there are: those of this package by name, and those that packages of extensions bring."""

from __future__ import annotations

from typing import Any

from gitflowrun.cards.card_limits import CARD_TYPE
from gitflowrun.errors import CardClassFoundException, CardError
from gitflowrun.names import did_you_mean

BUILT_IN = ("default", "blank", "error", "taskspec_card", "default_json")
"""The types of this package."""
_registered: dict[str, type] = {}


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
    return list(dict.fromkeys([*BUILT_IN, *_registered]))
