# differs: 0.client.steps.compute.0.artifacts.compute_failed: another class
from metaflow import FlowSpec, step, retry, catch, current, timeout


class FailureFlow(FlowSpec):
    @step
    def start(self):
        self.params = list(range(4))
        self.next(self.compute, foreach="params")

    @catch(var="compute_failed", print_exception=False)
    @retry(times=1)
    @timeout(minutes=5)
    @step
    def compute(self):
        self.div = self.input
        self.x = 5 / self.div
        self.next(self.join)

    @step
    def join(self, inputs):
        for input in inputs:
            if input.compute_failed:
                print("compute failed for parameter: %d" % input.div)
        self.found = [i.x for i in inputs if not i.compute_failed]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    FailureFlow()
