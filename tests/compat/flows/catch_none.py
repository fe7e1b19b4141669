from metaflow import FlowSpec, catch, step


class CatchNoneFlow(FlowSpec):
    @catch(var="failed", print_exception=False)
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        self.was = self.failed is None


if __name__ == "__main__":
    CatchNoneFlow()
