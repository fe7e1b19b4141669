"""The cards of a run as the page of `card server` has them: what is there now, each card, and what is new in it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gitflowrun.cards.card_client import Card
from gitflowrun.cards.found_cards import cards_of_run, find_cards
from gitflowrun.errors import CardNotPresentException, NamespaceMismatch
from gitflowrun.names import TaskName
from gitflowrun.runs.live import observe
from gitflowrun.runs.runs import RunStore
from gitflowrun.runs.tags import Tags

if TYPE_CHECKING:
    from gitflowrun.cards.found_cards import FoundCard
    from gitflowrun.git.repository import Repository
    from gitflowrun.runs.read import StoredRun


class RunCards:
    """The cards of one run of a flow, or of the one that is the newest whenever it is asked.

    Args:
        repo: The repository.
        flow: The flow.
        run: The run's address; the newest one for None.
        namespace: A tag that the run must have.
        most: How many cards there are at most.
    """

    def __init__(
        self, repo: Repository, flow: str, run: str | None, namespace: str | None, most: int
    ) -> None:
        self._repo = repo
        self._flow = flow
        self._namespace = namespace
        self._most = most
        # An address may come to mean another run, which nobody has asked for.
        self._named = None if run is None else RunStore(repo).find(run, flow)
        if self._named is not None and not self._is_meant(self._named):
            raise NamespaceMismatch(
                f"{self._named.pathspec} is not in the namespace {namespace!r}",
                hint="without --namespace any run of the flow can be looked at",
            )

    def document(self) -> dict[str, Any]:
        """Which run that is, how far it is, and its newest cards; no run where there is none yet."""
        run = self._run()
        if run is None:
            return {"flow": self._flow, "run": None, "cards": []}
        unreadable: list[str] = []
        found = cards_of_run(run, lambda error: unreadable.append(error.message))
        cards = [*islice(found, self._most + 1)]
        rows = [_row(card) for card in cards[: self._most]]
        return {
            "flow": self._flow,
            "run": run.pathspec,
            "status": run.status.value,
            "more": len(cards) > self._most,
            "untrusted": next((row["untrusted"] for row in rows if row["untrusted"]), None),
            "unreadable": unreadable,
            "cards": rows,
        }

    def card(self, run: str, step: str, task: str, number: int) -> FoundCard:
        """A card of a task. Raises NotFound."""
        stored = observe(RunStore(self._repo).get(self._flow, run)).task(TaskName(step, task))
        for card in find_cards(stored):
            if card.number == number:
                return card
        raise CardNotPresentException(stored.pathspec)

    def _run(self) -> StoredRun | None:
        store = RunStore(self._repo)
        if self._named is not None:
            return observe(store.get(self._flow, self._named.id))
        if self._namespace is None:
            newest = store.latest(self._flow)
            return None if newest is None else observe(newest)
        for row in store.summaries(self._flow):
            run = store.get(self._flow, row.id)
            if self._is_meant(run):
                return observe(run)
        return None

    def _is_meant(self, run: StoredRun) -> bool:
        tags = {*run.info.system_tags, *Tags(self._repo).of(run)} if self._namespace else ()
        return self._namespace is None or self._namespace in tags


def _row(card: FoundCard) -> dict[str, Any]:
    name = card.task.name
    where = "/".join(quote(part, safe="") for part in (str(card.task.run.id), name.step, name.task))
    return {
        "task": str(name),
        "type": card.type,
        "id": card.id,
        "hash": card.hash,
        "live": card.is_live,
        "untrusted": Card(card).untrusted,
        "at": f"{where}/{card.number}",
    }
