"""Engines are started once for the tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults.executors.workplaces import Workplace, workplace

Workplaces = Callable[[str], Workplace]


@pytest.fixture(scope="module")
def workplaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplaces]:
    """Ways of execution by their names, on whose workers nothing goes wrong yet."""
    made: dict[str, Workplace] = {}

    def of(name: str) -> Workplace:
        if name not in made:
            made[name] = workplace(name, tmp_path_factory.mktemp("way"))
        made[name].let_workers()
        return made[name]

    yield of
    for way in made.values():
        way.close()
