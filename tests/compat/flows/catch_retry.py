# differs: 0.client.steps.\w+.0.artifacts.bad: another class
from metaflow import FlowSpec, catch, current, retry, step


class CatchRetryFlow(FlowSpec):
    @catch(var="bad", print_exception=False)
    @retry(times=1)
    @step
    def start(self):
        self.tries = current.retry_count
        raise ValueError("x")
        self.next(self.end)

    @step
    def end(self):
        self.seen = (self.tries, self.bad is not None)


if __name__ == "__main__":
    CatchRetryFlow()
