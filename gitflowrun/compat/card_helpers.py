"""Small functions and constants of Metaflow's that packages with components and types of cards use."""

from __future__ import annotations

import functools
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitflowrun.cards import card_types
from gitflowrun.cards.components.component import component_id, log
from gitflowrun.errors import CardClassFoundException

if TYPE_CHECKING:
    from collections.abc import Callable

CARD_ID_PATTERN = re.compile("^[a-zA-Z0-9_]+$")
TYPE_CHECK_REGEX = "^[a-zA-Z0-9_]+$"


def render_safely(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a component's `render` return a message where it fails."""

    @functools.wraps(function)
    def rendered(component: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(component, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  (anybody's code)
            told = (
                f"{type(component).__name__} can't be rendered\n\n{type(error).__name__}: {error}"
            )
            return log(told, component_id(component))

    return rendered


def create_component_id(component: Any) -> str:
    """An id for a component that has none."""
    return component_id(component)


def with_default_component_id(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a component get an id, where it has none, before its `render` is called."""

    @functools.wraps(function)
    def rendered(component: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(component, "component_id", None) is None:
            with suppress(AttributeError, TypeError):
                component.component_id = component_id(component)
        return function(component, *args, **kwargs)

    return rendered


def get_card_class(card_type: str) -> Any:
    """The class of a type of cards; None where there is none."""
    try:
        return card_types.card_type(card_type)
    except CardClassFoundException:
        return None
