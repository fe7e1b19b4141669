"""Cards: HTML pages about tasks, which lie in the runs' trees.

What flows import of it, `from gitflowrun.cards import Markdown`, by Metaflow's names. Each is fetched from its module
when it is first used: importing this imports nothing else.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in the package's own `__init__`
if TYPE_CHECKING:
    from typing import Any

    from gitflowrun.cards.built_in_types import BlankCard, DefaultCard, ErrorCard
    from gitflowrun.cards.card_client import get_cards
    from gitflowrun.cards.components.component import MetaflowCardComponent
    from gitflowrun.cards.components.images import Image
    from gitflowrun.cards.components.measures import ProgressBar, ValueBox, VegaChart
    from gitflowrun.cards.components.sections import PageComponent
    from gitflowrun.cards.components.texts import Error, Markdown, PythonCode
    from gitflowrun.cards.components.values_shown import Artifact, Table
    from gitflowrun.cards.components.viewers import EventsTimeline, JSONViewer, YAMLViewer
    from gitflowrun.cards.metaflow_card import MetaflowCard

_MODULES = {
    "built_in_types": "BlankCard DefaultCard ErrorCard",
    "card_client": "get_cards",
    "components.component": "MetaflowCardComponent",
    "components.images": "Image",
    "components.measures": "ProgressBar ValueBox VegaChart",
    "components.sections": "PageComponent",
    "components.values_shown": "Artifact Table",
    "components.texts": "Error Markdown PythonCode",
    "components.viewers": "EventsTimeline JSONViewer YAMLViewer",
    "metaflow_card": "MetaflowCard",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "Artifact",
    "BlankCard",
    "DefaultCard",
    "Error",
    "ErrorCard",
    "EventsTimeline",
    "Image",
    "JSONViewer",
    "Markdown",
    "MetaflowCard",
    "MetaflowCardComponent",
    "PageComponent",
    "ProgressBar",
    "PythonCode",
    "Table",
    "ValueBox",
    "VegaChart",
    "YAMLViewer",
    "get_cards",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        msg = f"module 'gitflowrun.cards' has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
