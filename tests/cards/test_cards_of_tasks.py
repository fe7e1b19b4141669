"""What tasks put on their cards, from a flow's `run` to the cards in the run's tree."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helpers.repos import GitRepo, Output, make_repo

PIN = {"METAFLOW_RUN_PIN": "424242424"}
FLOW = """
from gitflowrun import FlowSpec, Parameter, StepMutator, card, catch, current, parallel, retry, step
from gitflowrun.decorators import StepDecorator, make_step_decorator
from gitflowrun.flow.decorators.card import CardDecorator
from gitflowrun.cards import Markdown, MetaflowCardComponent, ProgressBar

class Theirs(MetaflowCardComponent):
    def render(self):
        return {"type": "text", "text": f"{current.pathspec} {current.card.get('blank')[0].id}"}

class Own(CardDecorator):
    name = "own"

class Other(StepDecorator):
    name = "card_of_others"
    defaults = {"type": None}

own, other = map(make_step_decorator, (Own, Other))

class WithCard(StepMutator):
    def mutate(self, step):
        step.add_decorator("card", deco_kwargs={"id": "added"})

class F(FlowSpec):
    pin = Parameter("pin", type=int, required=True, secret=True)

    @card
    @card(id="side", type="blank")
    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        current.card.append(Markdown(f"attempt {current.retry_count}"), id="said")
        current.card["side"].append(Theirs())
        current.card["side"].append(Markdown(f"pin {self.pin}"))
        current.card.refresh()
        if not current.retry_count:
            raise ValueError
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    @card
    @catch(var="failure", print_exception=False)
    @step
    def work(self):
        current.card.append(Markdown(f"item {self.input}"))
        if self.input == 2:
            raise ValueError
        self.next(self.join)

    @WithCard
    @step
    def join(self, inputs):
        current.card["added"].append(ProgressBar(max=3))
        self.next(self.split)

    @own(id="own", type="blank")
    @other
    @step
    def split(self):
        current.card["own"].append(Markdown("by a class that derives from it"))
        self.next(self.gang, num_parallel=2)

    @parallel
    @step
    def gang(self):
        current.card.append(Markdown(f"node {current.parallel.node_index}"))
        self.next(self.meet)

    @step
    def meet(self, inputs):
        current.card.append(5)
        self.next(self.end)

    @step
    def end(self):
        current.card.append(Markdown("before"))
        current.card.refresh({"of": "the user"})
        current.card.append(Markdown("never seen"))
        raise ValueError

if __name__ == "__main__":
    F()
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[GitRepo, Output]:
    """A run of the flow with a card on each step besides, whose last step fails."""
    made = make_repo(tmp_path_factory.mktemp("cards") / "repo")
    made.write("f.py", FLOW)
    return made, made.flow("f.py", "run", "--with", "card:id=extra,timeout=30", env=PIN)


def names(repo: GitRepo, run: int = 1) -> list[str]:
    """The cards of a run, but for the data of those that show any."""
    found = repo.git("ls-tree", "-r", "--name-only", f"runs/F/{run}", "cards").split()
    return [it.removeprefix("cards/") for it in found if it.endswith(".html")]


def shown(repo: GitRepo, name: str, run: int = 1) -> dict[str, Any]:
    """The data of a card."""
    text = repo.git("show", f"runs/F/{run}:cards/{name}.json")
    found: dict[str, Any] = json.loads(text)
    return found


def sources(repo: GitRepo, name: str, run: int = 1) -> list[str]:
    """The texts of the components on a card that have any."""
    data = shown(repo, name, run)["data"].values()
    return [it["source"].strip() for it in data if "source" in it]


def test_each_task_has_the_cards_of_its_step(ran: tuple[GitRepo, Output]) -> None:
    """Those of the source, of mutators and of the command line: the lowest first, what was added last."""
    repo, done = ran
    assert (done.code, "step 'end' (task 8) failed" in done.err) == (1, True)
    assert names(repo) == [
        "end/8/0-default-extra.html",
        "gang/6/0-default-extra.html",
        "gang/6_node_1/0-default-extra.html",
        "join/4/0-default-extra.html",
        "join/4/1-default-added.html",
        "meet/7/0-default-extra.html",
        "split/5/0-blank-own.html",
        "split/5/1-default-extra.html",
        "start/1/0-blank-side.html",
        "start/1/1-default.html",
        "start/1/2-default-extra.html",
        "work/2/0-default.html",
        "work/2/1-default-extra.html",
        "work/3/0-default.html",
        "work/3/1-default-extra.html",
    ]


def test_each_card_has_what_its_task_has_put_on_it(ran: tuple[GitRepo, Output]) -> None:
    """Of the last attempt, of each item, of each node, and of a task whose failure was caught."""
    repo, _ = ran
    assert shown(repo, "start/1/1-default")["data"]["said"]["source"].strip() == "attempt 1"
    assert sources(repo, "start/1/2-default-extra") == []
    assert [sources(repo, f"work/{task}/0-default") for task in (2, 3)] == [["item 1"], ["item 2"]]
    assert [sources(repo, f"gang/{task}/0-default-extra") for task in ("6", "6_node_1")] == [
        ["node 0"],
        ["node 1"],
    ]
    assert sources(repo, "split/5/0-blank-own") == ["by a class that derives from it"]
    (bar,) = shown(repo, "join/4/1-default-added")["data"].values()
    assert (bar["type"], bar["max"]) == ("progressBar", 3)


def test_a_component_knows_the_task_that_it_is_of(ran: tuple[GitRepo, Output]) -> None:
    """It is rendered there, where `current` says which one that is."""
    repo, _ = ran
    assert "F/1/start/1 side" in repo.git("show", "runs/F/1:cards/start/1/0-blank-side.html")


def test_a_task_that_has_failed_has_what_it_has_refreshed(ran: tuple[GitRepo, Output]) -> None:
    """As in Metaflow: the card as it was then."""
    repo, _ = ran
    assert sources(repo, "end/8/0-default-extra") == ["before"]


def test_no_secret_is_on_a_card(ran: tuple[GitRepo, Output]) -> None:
    """Wherever the step has put it."""
    repo, _ = ran
    for name in names(repo):
        assert "424242424" not in repo.git("show", f"runs/F/1:cards/{name}")
    assert "pin ***" in repo.git("show", "runs/F/1:cards/start/1/0-blank-side.html")


def test_mistakes_are_told_in_the_log(ran: tuple[GitRepo, Output]) -> None:
    """And in the task's output, and the run goes on."""
    repo, done = ran
    said = "[@card WARNING] 5 is not shown: what is appended to a card is a component"
    assert said in done.out
    assert said in repo.call("logs", "1/meet").out


def test_a_task_that_is_spun_has_its_cards(ran: tuple[GitRepo, Output]) -> None:
    """As it has in a run."""
    repo, _ = ran
    done = repo.flow("f.py", "spin", "1/work/2", env=PIN)
    assert done.code == 0, done
    found = repo.git("ls-tree", "-r", "--name-only", "refs/runs-spin/F/1", "cards").split()
    assert "cards/work/2/0-default.html" in found
