# differs: 0.client.steps.start.0.exception: other words
from metaflow import FlowSpec, step


class NextTwiceFlow(FlowSpec):
    @step
    def start(self):
        if True:
            self.next(self.end)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    NextTwiceFlow()
