from metaflow import FlowSpec, step


class ForeachOfClassFlow(FlowSpec):
    @property
    def numbers(self):
        return [5, 6]

    @property
    def letters(self):
        return ("x", "y")

    @step
    def start(self):
        self.next(self.outer, foreach="numbers")

    @step
    def outer(self):
        self.number = self.input
        self.next(self.inner, foreach="letters")

    @step
    def inner(self):
        self.seen = (self.index, self.number, self.input, [frame[:2] for frame in self.foreach_stack()])
        self.next(self.meet)

    @step
    def meet(self, inputs):
        self.seen = [one.seen for one in inputs]
        self.next(self.join)

    @step
    def join(self, inputs):
        self.seen = [one.seen for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        print(self.seen)


if __name__ == "__main__":
    ForeachOfClassFlow()
