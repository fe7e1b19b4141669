"""Which of a step's cards is meant, by id and without one, and those that nobody is."""
# differs: 0.client.steps.\w+.0.stdout: warnings in other words
# run: run --with card:id=added,type=blank

from metaflow import FlowSpec, card, current, step
from metaflow.cards import Markdown


class Several(FlowSpec):
    @card(id="a")
    @card(id="b", type="blank")
    @step
    def start(self):
        current.card.append(Markdown("nobody knows where"))
        current.card["a"].append(Markdown("in a"))
        current.card["b"].extend([Markdown("in b"), Markdown("in b again")])
        current.card["added"] = [Markdown("assigned"), Markdown("in added")]
        current.card["c"].append(Markdown("nowhere"))
        self.counts = [len(current.card.get(it)) for it in ("default", "blank", "error", "no such type")]
        self.next(self.middle)

    @card
    @card(id="c", customize=True)
    @step
    def middle(self):
        current.card.append(Markdown("customized"))
        current.card["c"].append(Markdown("the same"))
        self.next(self.same)

    @card(id="same")
    @card(id="same", customize=True)
    @step
    def same(self):
        current.card.append(Markdown("in the customized one"))
        self.next(self.end)

    @card(id="not an id")
    @step
    def end(self):
        current.card.append(Markdown("in the one whose id is none"))
        current.card.clear()
        current.card.append(Markdown("last"))


if __name__ == "__main__":
    Several()
