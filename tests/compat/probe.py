"""What a client says of the newest run of a flow, as JSON: runs under Metaflow and under us, so it imports neither.

python probe.py PACKAGE FLOW [spin]
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from typing import Any

# What holds ids, times or addresses is compared by its text with these replaced.
_VARYING = re.compile(r"0x[0-9a-f]+|\b\d{13,}\b|/\S*/")


def shown(value: Any) -> str:
    """A value as text that two runs have alike."""
    return _VARYING.sub("~", repr(value))[:2000]


def of_task(task: Any, cards: Any) -> dict[str, Any]:
    """What a task is asked for."""
    artifacts = {}
    for artifact in task:
        try:
            artifacts[artifact.id] = shown(artifact.data)
        except Exception as error:  # noqa: BLE001  (what fails is compared too)
            artifacts[artifact.id] = type(error).__name__
    exception = task.exception
    return {
        "artifacts": artifacts,
        "successful": task.successful,
        "finished": task.finished,
        "index": task.index,
        "exception": exception
        and [str(exception.type).rpartition(".")[2], str(exception.exception)],
        "stdout": task.stdout,
        "attempt": task.current_attempt,
        "parents": sorted(path.split("/")[2] for path in task.parent_task_pathspecs),
        "children": sorted(path.split("/")[2] for path in task.child_task_pathspecs),
        "private": sorted(name for name in ("_success", "_task_ok") if name in task),
        "cards": sorted(map(of_card, cards.get_cards(task)), key=str),
    }


# What cards call components that have no id of the user's, and where Metaflow's texts begin with a line break.
_MADE_ID = re.compile(r"([a-z]+)_(?:[0-9a-f]{6}|\d+)\Z")


def plain(value: Any) -> Any:
    """The data of components as two runs have it alike."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return _MADE_ID.sub(r"\1_~", value.strip()) if isinstance(value, str) else value


def of_card(card: Any) -> dict[str, Any]:
    """What a card is asked for."""
    data = card.get_data()
    return {
        "type": card.type,
        "id": card.id,
        "has_page": len(card.get()) > 0,
        "components": data and [plain(it) for it in (data.get("data") or {}).values()],
    }


def order(task: Any) -> tuple[Any, ...]:
    """An order of a step's tasks that does not depend on which was quicker."""
    frames = task["_foreach_stack"].data if "_foreach_stack" in task else ()
    places = tuple(frame.index for frame in frames)
    digits = [int(part) for part in re.findall(r"\d+", task.id)]
    return (places, *digits)


def main() -> None:
    """Print what the client says."""
    client: Any = importlib.import_module(sys.argv[1])
    cards: Any = importlib.import_module(f"{sys.argv[1]}.cards")
    client.namespace(None)
    if sys.argv[3:]:
        client.inspect_spin(".")
    run = client.Flow(sys.argv[2]).latest_run
    told = {
        "successful": run.successful,
        "finished": run.finished,
        "user_tags": sorted(run.user_tags),
        "system_tags": sorted(
            tag for tag in run.system_tags if tag.startswith(("project", "user"))
        ),
        "data": run.data is not None,
        "end": run.end_task and run.end_task.pathspec.split("/")[2],
        "steps": {
            step.id: [of_task(task, cards) for task in sorted(step, key=order)]
            for step in sorted(run, key=lambda step: step.id)
        },
    }
    print(json.dumps(told))  # noqa: T201  (this is a program)


if __name__ == "__main__":
    main()
