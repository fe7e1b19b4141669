"""What every task would import and work out for itself, done once before any of them is forked.

A module that is imported on first use costs nothing where it is not used; in a child per task it is imported
by each of them, 12 ms in all. What is rehearsed must be safe to have done before a fork: no threads, no files
held open. So the codecs of libraries that the flow has loaded are imported, and only those of plain values
are used.
"""

from __future__ import annotations

import importlib
import sys

from gitflowrun.store.codecs import decode, encode

__all__ = ["rehearse"]

_ALWAYS = (
    "gitflowrun.flow.failure",
    "gitflowrun.flow.inputs",
    "gitflowrun.flow.merge",
    "gitflowrun.flow.transition",
    "gitflowrun.store.codecs.arrays",
    "gitflowrun.store.codecs.pickles",
)
_WITH = {
    "pandas": ("pyarrow", "gitflowrun.store.codecs.arrow"),
    "polars": ("pyarrow", "gitflowrun.store.codecs.arrow"),
    "pyarrow": ("gitflowrun.store.codecs.arrow",),
}
_SAMPLE = ({"a": [1, 2.5, None, True, b"b", (1 << 70, {2})]}, "text", b"bytes")


def rehearse() -> None:
    """Import and use what tasks will need. A library that can't be imported is left to them."""
    names = [name for library, more in _WITH.items() if library in sys.modules for name in more]
    for name in (*_ALWAYS, *names):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    for value in _SAMPLE:
        made = encode(value)
        decode(made.codec, made.payload(), trusted=True)
