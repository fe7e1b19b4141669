from metaflow import FlowSpec, step


class BranchFlow(FlowSpec):
    @step
    def start(self):
        self.common = 1
        self.next(self.a, self.b)

    @step
    def a(self):
        self.x = 1
        self.same = "s"
        self.next(self.join)

    @step
    def b(self):
        self.x = 2
        self.same = "s"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.xs = [i.x for i in inputs]
        self.by_name = (inputs.a.x, inputs.b.x)
        self.merge_artifacts(inputs, exclude=["x"])
        self.next(self.end)

    @step
    def end(self):
        print(self.xs, self.same, self.common)


if __name__ == "__main__":
    BranchFlow()
