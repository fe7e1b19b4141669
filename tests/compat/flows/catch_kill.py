# differs: 0.client.steps.\w+.0.artifacts.bad: another class and words
from metaflow import FlowSpec, catch, step


class CatchKillFlow(FlowSpec):
    @catch(var="bad", print_exception=False)
    @step
    def start(self):
        import os

        os.kill(os.getpid(), 9)
        self.next(self.end)

    @step
    def end(self):
        self.kind = self.bad.type.rpartition(".")[2]


if __name__ == "__main__":
    CatchKillFlow()
