# differs: 2.client.steps.start.0.exception: other words
# run: run
# run: run --kind b
# run: run --kind c
from metaflow import FlowSpec, step, Parameter


class SwitchFlow(FlowSpec):
    kind = Parameter("kind", default="a")

    @step
    def start(self):
        self.way = self.kind
        self.next({"a": self.one, "b": self.two}, condition="way")

    @step
    def one(self):
        self.x = 1
        self.next(self.meet)

    @step
    def two(self):
        self.x = 2
        self.next(self.meet)

    @step
    def meet(self):
        self.y = self.x * 10
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    SwitchFlow()
