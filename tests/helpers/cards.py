"""Runs whose tasks have cards, made through the store, and requests for cards of tasks that run."""

from __future__ import annotations

import time

from gitflowrun.cards.card_files import CardFiles, CardRequest, card_directory
from gitflowrun.names import TaskName
from gitflowrun.runs.live import LiveState, ObservedRun, StartedTask, observe
from gitflowrun.runs.runs import Status
from gitflowrun.runs.trees import TaskCards
from gitflowrun.runs.write import RunWriter
from tests.helpers.repos import GitRepo
from tests.helpers.runs import finished_task, open_repo, start_run, store_of

__all__ = ["NOTES", "ask_for", "make_run_with_cards", "start_task"]

NOTES = "<!DOCTYPE html><html><body><h1>Notes</h1><script>evil()</script></body></html>"


def make_run_with_cards(repo: GitRepo, *, status: Status = Status.DONE) -> None:
    """A run: two cards of `start/1`, one each of `train/2` and `train/3`, none of `end/4`."""
    with start_run(repo) as writer:
        names = ("_parameters/0", "start/1", "train/2", "train/3", "end/4")
        writer.commit([finished_task(writer.identity, name, {"x": b"1"}) for name in names])
        start = {
            "0-blank-notes.html": NOTES.encode(),
            "0-blank-notes.json": b'{"data": {"i": 1}}',
            "1-default.html": b"<p>start</p>",
        }
        cards = [TaskCards(TaskName("start", "1"), start)]
        cards += [
            TaskCards(
                TaskName("train", task), {"0-default-w.html": b"<p>train/%s</p>" % task.encode()}
            )
            for task in ("2", "3")
        ]
        writer.commit([], status=status, cards=cards)


def start_task(repo: GitRepo, writer: RunWriter, name: str = "work/7") -> ObservedRun:
    """The run of a writer as it is seen when a task of it has started."""
    task = TaskName.parse(name)
    LiveState(open_repo(repo), writer.identity.uid).start(StartedTask(task, time.time(), (), ()))
    run = observe(store_of(repo).find("1"))
    assert isinstance(run, ObservedRun)
    return run


def ask_for(run: ObservedRun, request: CardRequest, name: str = "work/7") -> CardFiles:
    """Write a request of a task, as its process does; the files of its cards."""
    files = CardFiles(card_directory(run.top, TaskName.parse(name), request.attempt))
    files.write(request)
    return files
