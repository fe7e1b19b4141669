from metaflow import FlowSpec, step


class ForeachFlow(FlowSpec):
    @step
    def start(self):
        self.items = ["a", "b", "c"]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.done = self.input + str(self.index)
        self.stack = self.foreach_stack()
        self.next(self.join)

    @step
    def join(self, inputs):
        self.all = [i.done for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        print(self.all, self.index, self.input)


if __name__ == "__main__":
    ForeachFlow()
