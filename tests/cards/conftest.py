"""Every test of cards starts as a fresh process does: no repository of the client open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitflowrun.client import repository


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    repository._namespace.clear()
    repository._chosen.clear()
    repository._open.clear()
