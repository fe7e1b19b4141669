from metaflow import FlowSpec, step


class LintNoEndFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.middle)

    @step
    def middle(self):
        pass


if __name__ == "__main__":
    LintNoEndFlow()
