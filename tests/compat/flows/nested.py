# differs: 0.client.steps.join_inner.\d.artifacts.xs$: a join has the items of the foreach that it is still in
from metaflow import FlowSpec, step


class NestedFlow(FlowSpec):
    @step
    def start(self):
        self.xs = [1, 2]
        self.next(self.outer, foreach="xs")

    @step
    def outer(self):
        self.x = self.input
        self.ys = range(self.x)
        self.next(self.inner, foreach="ys")

    @step
    def inner(self):
        self.v = (self.x, self.input, self.foreach_stack())
        self.next(self.join_inner)

    @step
    def join_inner(self, inputs):
        self.vs = [i.v for i in inputs]
        self.at = self.index
        self.next(self.join_outer)

    @step
    def join_outer(self, inputs):
        self.all = [i.vs for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        print(len(self.all))


if __name__ == "__main__":
    NestedFlow()
