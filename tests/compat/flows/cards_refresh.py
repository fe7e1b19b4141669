"""Cards that are refreshed while their step runs, with data, and what a step that fails leaves of them."""
# differs: 0.client.steps.end.0.cards.0.components: of a step that has failed Metaflow has the page alone

import time

from metaflow import FlowSpec, card, current, retry, step
from metaflow.cards import Markdown, ProgressBar


class Refresh(FlowSpec):
    @card(refresh_interval=1)
    @step
    def start(self):
        bar = ProgressBar(max=3)
        current.card.append(bar, id="bar")
        for number in range(3):
            bar.update(number + 1)
            current.card.refresh({"number": number})
        current.card.append(Markdown("done"), id="text")
        current.card.refresh({"number": "last"}, force=True)
        self.next(self.again)

    @card
    @retry(times=1)
    @step
    def again(self):
        current.card.append(Markdown(f"attempt {current.retry_count}"), id="text")
        if not current.retry_count:
            raise ValueError("once more")
        self.next(self.end)

    @card(id="first")
    @step
    def end(self):
        current.card["first"].append(Markdown("seen"), id="text")
        current.card["first"].refresh()
        time.sleep(6)  # Metaflow renders it besides, and the step must not end before
        raise ValueError("no luck")


if __name__ == "__main__":
    Refresh()
