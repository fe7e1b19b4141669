"""The types that are built in, with options, and types that nobody knows."""
# differs: 0.client.steps.\w+.0.stdout: warnings in other words

from metaflow import FlowSpec, card, current, step
from metaflow.cards import Markdown


class Types(FlowSpec):
    @card(type="blank", options={"title": "Of its own"})
    @step
    def start(self):
        current.card.append(Markdown("on a blank card"))
        self.next(self.middle)

    @card(type="taskspec_card")
    @step
    def middle(self):
        current.card.append(Markdown("not shown"))
        current.card.extend([Markdown("not shown")])
        current.card.refresh()
        self.next(self.last)

    @card(type="default_json", id="json")
    @card(type="default", options={"only_repr": False})
    @step
    def last(self):
        current.card.append(Markdown("shown"))
        self.next(self.end)

    @card(type="nobody_has_it", save_errors=False)
    @card(type="nobody_has_it_either", id="n")
    @step
    def end(self):
        self.x = 1


if __name__ == "__main__":
    Types()
