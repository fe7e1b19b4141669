"""What a card costs: CPU and size of the pages of a task, and CPU of what a task makes of its components.

    python -m tests.benchmarks.cards [rounds]

The least of all rounds counts. A run's renderer forks a process for each card; what that takes is not in here, nor are
the imports that it does once.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gitflowrun.cards import Markdown, Table, VegaChart
from gitflowrun.cards.card_files import CardRequest
from gitflowrun.cards.rendering import render_card
from gitflowrun.client import Task, metadata, namespace
from gitflowrun.git.repository import Repository
from gitflowrun.git.snapshot import take_snapshot
from gitflowrun.runs.create import create_run
from gitflowrun.runs.runs import Status
from tests.helpers.repos import make_repo
from tests.helpers.runs import draft, finished_task

ARTIFACTS = (10, 200)
ROWS = 1_000


def least(act: Callable[[], Any], rounds: int) -> float:
    """The least CPU seconds of several calls."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        act()
        found.append(time.process_time() - start)
    return min(found)


def make_tasks(place: Path) -> dict[int, str]:
    """Tasks with so many artifacts: their addresses."""
    repo = make_repo(place / "repo")
    repository = Repository.discover(repo.path)
    with create_run(repository, draft("Cards"), take_snapshot(repository)) as writer:
        tasks = [
            finished_task(
                writer.identity,
                f"train/{number}",
                {f"a{n}": f"value {n} ".encode() * 10 for n in range(count)},
            )
            for number, count in enumerate(ARTIFACTS, 1)
        ]
        writer.commit(tasks)
        writer.commit([], status=Status.DONE)
    metadata(f"local@{repo.path}")
    namespace(None)
    return {count: f"Cards/1/train/{number}" for number, count in enumerate(ARTIFACTS, 1)}


def main() -> None:
    """Print a row for each."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as place:
        for count, address in make_tasks(Path(place)).items():
            request = CardRequest(0, "default")

            def act(address: str = address, request: CardRequest = request) -> None:
                render_card(
                    request, Task(address)
                )  # as a child of the renderer, which has read nothing

            page = render_card(request, Task(address)).html or ""
            row = f"{least(act, rounds) * 1000:8.1f} ms {len(page.encode()):9,} B"
            print(f"default card, {count:4} artifacts   {row}")
        task = Task("Cards/1/train/1")
        parts = {
            "Markdown": Markdown("# a\n" * 100),
            "VegaChart": VegaChart({"data": {"values": [{"n": n} for n in range(ROWS)]}}),
            "Table": Table([[n, str(n), n / 3] for n in range(ROWS)]),
        }
        for name, part in parts.items():
            rendered = part.render()
            request = CardRequest(0, "blank", components=(rendered,))
            page = render_card(request, task).html or ""
            made = least(part.render, rounds) * 1000
            shown = least(lambda request=request: render_card(request, task), rounds) * 1000  # type: ignore[misc]
            print(
                f"{name:12} in the task {made:6.2f} ms, its page {shown:6.2f} ms {len(page.encode()):9,} B"
            )


if __name__ == "__main__":
    main()
