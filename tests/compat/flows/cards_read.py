"""`get_cards` in later steps: of a task, of an address, by id and type, and of what is not there."""

from metaflow import FlowSpec, Task, card, current, step
from metaflow.cards import Markdown, get_cards


def told(act):
    try:
        return act()
    except Exception as error:
        return type(error).__name__


class Read(FlowSpec):
    @card(id="a")
    @card(id="b", type="blank")
    @step
    def start(self):
        current.card["a"].append(Markdown("in a"), id="one")
        self.next(self.look)

    @step
    def look(self):
        path = f"{current.flow_name}/{current.run_id}/start/1"
        cards = get_cards(Task(path))
        self.ids = sorted((it.type, it.id) for it in cards)
        self.by_id = [it.id for it in get_cards(path, id="a")]
        self.by_type = [it.id for it in get_cards(path, type="blank")]
        self.both = [len(get_cards(path, id="a", type="blank")), len(get_cards(path, id="no"))]
        first = get_cards(path, id="a")[0]
        self.html = [isinstance(first.get(), str), "<html" in first.get().lower()]
        self.texts = [isinstance(first.hash, str), first.from_resumed, first.path.endswith(".html")]
        self.data = sorted(first.get_data())
        self.wrong = [
            told(lambda: get_cards(current.flow_name)),
            told(lambda: get_cards(5)),
            told(lambda: get_cards(path)[7]),
            told(lambda: len(get_cards(f"{current.flow_name}/{current.run_id}/look/2"))),
        ]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Read()
