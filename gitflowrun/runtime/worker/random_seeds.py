"""Random numbers of tasks: independent of each other, and reproducible where the user made them so.

Forked tasks begin with a copy of the zygote's generators, so all children of a foreach would draw the same
numbers. Every task therefore seeds the generators that are loaded when it starts, from
the state they were in when the flow's module had been read, and from its own place in the flow. Hence

- `random.seed(42)` or `numpy.random.seed(42)` at module level makes every run draw the same numbers;
- without that each run draws others;
- and in both cases no two tasks draw the same.

A second attempt of a task draws other numbers than the first. The seeds are recorded in INFO. A generator
that a module makes for itself (`rng = default_rng()`) is not seeded.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MASK = (1 << 32) - 1  # what numpy's legacy generator takes


def base_seeds() -> dict[str, int]:
    """What the generators that are loaded in this process will be seeded from, by library."""
    return {
        name: _number(state(sys.modules[name]))
        for name, (state, _) in _GENERATORS.items()
        if name in sys.modules
    }


def reseed(bases: Mapping[str, int], place: str) -> None:
    """Seed the generators that are loaded, for the task at `place`, such as `train[3,0]#0`."""
    for name, (state, seed) in _GENERATORS.items():
        module = sys.modules.get(name)
        if module is not None:
            base = bases.get(name)
            seed(module, _number((_number(state(module)) if base is None else base, place)))


def are_loaded() -> bool:
    """Whether there is a generator that could be seeded."""
    return not sys.modules.keys().isdisjoint(_GENERATORS.keys())


def _number(value: object) -> int:
    digest = hashlib.blake2b(repr(value).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _numpy_state(module: Any) -> object:
    name, keys, *rest = module.get_state()
    return name, keys.tobytes(), rest


_GENERATORS: dict[str, tuple[Any, Any]] = {
    "random": (lambda module: module.getstate(), lambda module, seed: module.seed(seed)),
    "numpy.random": (_numpy_state, lambda module, seed: module.seed(seed & _MASK)),
    "torch": (
        lambda module: module.initial_seed(),
        lambda module, seed: module.default_generator.manual_seed(seed),
    ),
}
