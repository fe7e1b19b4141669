"""`package_suffixes` and `package_sources`: Metaflow's mutators that choose which files are shipped with the code.

A run's snapshot has the whole work tree, so there is nothing to choose: what they are given is checked and recorded,
and flows that use them run as they are.
"""

from __future__ import annotations

from typing import Any, ClassVar

from gitflowrun.errors import DecoratorError
from gitflowrun.flow.foreach import brief
from gitflowrun.flow.user_decorators.mutators import FlowMutator


def _texts(given: Any, what: str) -> list[str]:
    texts = given.split(",") if isinstance(given, str) else given
    if not isinstance(texts, list | tuple | set) or not all(isinstance(it, str) for it in texts):
        raise DecoratorError(
            f"{what} is {brief(repr(given))}", hint='give a list of texts, or "FIRST,SECOND"'
        )
    return [it.strip() for it in texts]


class package_suffixes(FlowMutator):  # noqa: N801  (Metaflow's name)
    """Ship files with these suffixes, too. A run's snapshot has them all, so nothing is to be done.

    Args:
        suffixes: The suffixes, as a list or as text with commas: `.yaml,.json`.
    """

    _is_base: ClassVar[bool] = False

    def init(self, suffixes: list[str] | str) -> None:
        """Take the suffixes."""
        self.suffixes = [
            it if it.startswith(".") else f".{it}" for it in _texts(suffixes, "suffixes") if it
        ]


class package_sources(FlowMutator):  # noqa: N801  (Metaflow's name)
    """Ship files of other directories, too. A run's snapshot has the whole work tree, so nothing is to be done.

    Args:
        sources: Files and directories, or pairs of these and their places in the package.
        arcname: The place of a single one.
        suffixes: The suffixes of files to ship.
    """

    _is_base: ClassVar[bool] = False

    def init(self, sources: Any, arcname: Any = None, suffixes: Any = None) -> None:
        """Take the directories."""
        self.sources, self.arcname = sources, arcname
        self.suffixes = None if suffixes is None else _texts(suffixes, "suffixes")
