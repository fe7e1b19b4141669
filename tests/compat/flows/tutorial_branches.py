# differs: 0.client.steps.\w+.0.(artifacts.legs|stdout): a join has its inputs in the order of the split, where Metaflow's varies
from metaflow import FlowSpec, step


class BranchesFlow(FlowSpec):
    @step
    def start(self):
        self.creature = "dog"
        self.next(self.a, self.b)

    @step
    def a(self):
        self.eggs = "a"
        self.next(self.c, self.d)

    @step
    def b(self):
        self.eggs = "b"
        self.next(self.join)

    @step
    def c(self):
        self.leg = 1
        self.next(self.inner)

    @step
    def d(self):
        self.leg = 2
        self.next(self.inner)

    @step
    def inner(self, inputs):
        self.legs = [i.leg for i in inputs]
        self.merge_artifacts(inputs, exclude=["leg"])
        self.next(self.join)

    @step
    def join(self, inputs):
        self.eggs = [i.eggs for i in inputs]
        self.merge_artifacts(inputs, include=["creature"])
        self.legs = inputs.inner.legs
        self.next(self.end)

    @step
    def end(self):
        print(self.eggs, self.legs, self.creature)


if __name__ == "__main__":
    BranchesFlow()
