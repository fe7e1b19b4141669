"""Components and cards that fail, and values that are no components: the flow goes on."""
# differs: 0.client.steps.\w+.0.stdout: warnings in other words
# differs: 0.client.steps.start.0.cards.0.components: what fails is a message on the card, not left out

from metaflow import FlowSpec, card, current, step
from metaflow.cards import Markdown, MetaflowCardComponent


class Raises(MetaflowCardComponent):
    def render(self):
        raise ValueError("no luck")


class Prints(MetaflowCardComponent):
    def render(self):
        print("printed by a component")
        return {"type": "markdown", "source": "theirs"}


class NoJson(MetaflowCardComponent):
    def render(self):
        return {"type": "markdown", "source": object()}


class Failing(FlowSpec):
    @card
    @step
    def start(self):
        current.card.extend([Markdown("before"), Raises(), NoJson(), Prints(), Markdown("after")])
        for value in (5, None, "text", {"a": 1}):
            current.card.append(value)
        self.next(self.end)

    @card(timeout=20, scope="task", rank=3)
    @step
    def end(self):
        current.card.append(Markdown("fine"))
        try:
            current.card.components["x"] = Markdown("one")
            current.card.components["x"] = Markdown("two")
        except Exception as error:
            self.refused = type(error).__name__


if __name__ == "__main__":
    Failing()
