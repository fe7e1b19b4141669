# run: run --max-workers 1
# differs: 0.client.steps.(a|b).*: whether the other branch had begun
from metaflow import FlowSpec, step


class DebugFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.a, self.b)

    @step
    def a(self):
        self.x = 1
        self.next(self.join)

    @step
    def b(self):
        self.x = int("2fail")
        self.next(self.join)

    @step
    def join(self, inputs):
        print("a is %s" % inputs.a.x)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    DebugFlow()
