from metaflow import FlowSpec, step


class FailingFlow(FlowSpec):
    @step
    def start(self):
        self.made = 1
        self.next(self.middle)

    @step
    def middle(self):
        self.half = 2
        raise RuntimeError("boom")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    FailingFlow()
