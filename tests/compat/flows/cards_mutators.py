"""Cards that mutators of steps add, change and take away."""

from metaflow import FlowSpec, StepMutator, card, current, step
from metaflow.cards import Markdown


class WithCard(StepMutator):
    def init(self, id=None):  # noqa: A002
        self.id = id

    def mutate(self, mutable_step):
        mutable_step.add_decorator("card", deco_kwargs={"id": self.id, "type": "blank"}, duplicates=mutable_step.ERROR)


class WithoutCards(StepMutator):
    def mutate(self, mutable_step):
        mutable_step.remove_decorator("card")


class Mutated(FlowSpec):
    @WithCard(id="added")
    @step
    def start(self):
        current.card["added"].append(Markdown("by a mutator"), id="text")
        self.next(self.middle)

    @WithoutCards
    @card
    @step
    def middle(self):
        self.has_card = "card" in current
        self.next(self.end)

    @card(id="own")
    @WithCard(id="more")
    @step
    def end(self):
        self.ids = sorted(current.card.get("blank")[0].__class__.__name__ for _ in range(2))
        current.card["more"].append(Markdown("more"), id="text")


if __name__ == "__main__":
    Mutated()
