"""An extension package with a decorator, a type of cards and a component."""
# only: drop-in

from metaflow import FlowSpec, audited, card, current, step
from metaflow.cards import Markdown, get_cards
from metaflow_extensions.acme.plugins.cards.acme_cards import Acme


class Extended(FlowSpec):
    @card(type="acme", id="own", options={"a": [1, "b"]})
    @card(type="blank", id="audit")
    @audited(level="all")
    @step
    def start(self):
        self.x = {"a": 1}
        current.card["own"].append(Acme("of the package"))
        current.card["own"].append(Markdown("of Metaflow"), id="text")
        self.next(self.end)

    @step
    def end(self):
        cards = get_cards(f"{current.flow_name}/{current.run_id}/start/1", type="acme")
        self.pages = [it.get().replace("\\n", "") for it in cards]
        self.data = [it.get_data() for it in cards]


if __name__ == "__main__":
    Extended()
