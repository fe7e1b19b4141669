# differs: 0.client.steps.start.0.stdout: both have the last attempt
from metaflow import FlowSpec, current, retry, step


class RetrySpentFlow(FlowSpec):
    @retry(times=1)
    @step
    def start(self):
        print("attempt", current.retry_count)
        raise ValueError("never")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RetrySpentFlow()
