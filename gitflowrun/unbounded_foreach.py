"""`UnboundedForeachInput`, by Metaflow's name: what a foreach goes over whose items are not known beforehand.

On clusters it is a decorator of the step that makes the tasks of such a foreach. Here it is a foreach like others: an
input that can be iterated is, before the first task begins.
"""

from __future__ import annotations

from typing import ClassVar


class UnboundedForeachInput:
    """The input of a foreach: derive from it, and define `__iter__`.

    Attributes:
        NAME: What it is called.
    """

    NAME: ClassVar[str] = "UnboundedForeachInput"
