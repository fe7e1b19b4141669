from metaflow import FlowSpec, environment, step


class EnvironmentFlow(FlowSpec):
    @environment(vars={"AA": "1", "BB": 2})
    @step
    def start(self):
        import os

        self.seen = os.environ["AA"] + os.environ["BB"]
        self.next(self.end)

    @step
    def end(self):
        import os

        self.gone = "AA" in os.environ


if __name__ == "__main__":
    EnvironmentFlow()
