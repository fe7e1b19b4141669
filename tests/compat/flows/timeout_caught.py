# differs: 0.client.steps.start.0.stdout: Metaflow prints the limit once more
# differs: 0.client.steps.\w+.0.artifacts.late: another class and words
from metaflow import FlowSpec, catch, step, timeout


class TimeoutFlow(FlowSpec):
    @catch(var="late", print_exception=False)
    @timeout(seconds=1)
    @step
    def start(self):
        import time

        time.sleep(20)
        self.next(self.end)

    @step
    def end(self):
        self.kind = self.late.type.rpartition(".")[2]


if __name__ == "__main__":
    TimeoutFlow()
