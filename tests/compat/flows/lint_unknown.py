from metaflow import FlowSpec, step


class LintUnknownFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.nowhere)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    LintUnknownFlow()
