from metaflow import FlowSpec, current, retry, step


class RetryFlow(FlowSpec):
    @retry(times=2)
    @step
    def start(self):
        self.count = current.retry_count
        print("attempt", current.retry_count)
        if current.retry_count < 2:
            raise ValueError("not yet")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RetryFlow()
