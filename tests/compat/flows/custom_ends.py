from metaflow import FlowSpec, step


class CustomEndsFlow(FlowSpec):
    @step(start=True)
    def begin(self):
        self.x = 1
        self.next(self.finish)

    @step(end=True)
    def finish(self):
        self.y = self.x + 1


if __name__ == "__main__":
    CustomEndsFlow()
