"""Cards in foreaches, of tasks that are tried again, of failures that are caught, and of a gang."""

from metaflow import FlowSpec, card, catch, current, parallel, retry, step
from metaflow.cards import Markdown


class Many(FlowSpec):
    @step
    def start(self):
        self.has_card = "card" in current
        self.items = [1, 2, 3]
        self.next(self.work, foreach="items")

    @card(id="item")
    @catch(var="failure", print_exception=False)
    @retry(times=1)
    @step
    def work(self):
        current.card["item"].append(Markdown(f"{self.input}: attempt {current.retry_count}"), id="text")
        if self.input == 2 or (self.input == 3 and not current.retry_count):
            raise ValueError(self.input)
        self.next(self.join)

    @card
    @step
    def join(self, inputs):
        current.card.append(Markdown(f"{len(list(inputs))} inputs"), id="text")
        self.next(self.split)

    @step
    def split(self):
        self.next(self.gang, num_parallel=2)

    @card
    @parallel
    @step
    def gang(self):
        current.card.append(Markdown(f"node {current.parallel.node_index}"), id="text")
        self.next(self.meet)

    @step
    def meet(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Many()
