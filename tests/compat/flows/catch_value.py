# differs: 0.client.steps.start.0.stdout: frames of the package are left out
# differs: 0.client.steps.\w+.0.artifacts.failed: another class
from metaflow import FlowSpec, catch, step


class CatchFlow(FlowSpec):
    @catch(var="failed")
    @step
    def start(self):
        self.before = 5
        raise KeyError("k")
        self.next(self.end)

    @step
    def end(self):
        self.kind = self.failed.type
        self.text = str(self.failed.exception)
        self.had = self.before


if __name__ == "__main__":
    CatchFlow()
