from metaflow import FlowSpec, step


class StringForeachFlow(FlowSpec):
    @step
    def start(self):
        self.text = "xyz"
        self.next(self.work, foreach="text")

    @step
    def work(self):
        self.got = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.got = "".join(i.got for i in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    StringForeachFlow()
