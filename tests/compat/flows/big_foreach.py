# differs: 0.client.steps.start.0: here the step itself says that there are too many, with its line
# run: run
from metaflow import FlowSpec, step


class BigForeachFlow(FlowSpec):
    @step
    def start(self):
        self.n = list(range(120))
        self.next(self.work, foreach="n")

    @step
    def work(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    BigForeachFlow()
