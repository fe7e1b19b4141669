"""The flow of which a zygote runs a task to warm up."""

from __future__ import annotations

from gitflowrun.flow import FlowSpec, step


class Sample(FlowSpec):
    """A flow whose middle step is run."""

    factor = 2

    @step
    def start(self) -> None:
        """Make two items."""
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    @step
    def work(self) -> None:
        """Make a number and a text."""
        self.x = self.input * self.factor
        self.text = "x"
        self.next(self.join)

    @step
    def join(self, inputs: object) -> None:  # noqa: ARG002  (what makes it a join)
        """Wait for both."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing."""
