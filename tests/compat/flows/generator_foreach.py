from metaflow import FlowSpec, step


class GeneratorForeachFlow(FlowSpec):
    @step
    def start(self):
        self.text = range(4)
        self.next(self.work, foreach="text")

    @step
    def work(self):
        self.got = self.input * 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.got = sum(i.got for i in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    GeneratorForeachFlow()
