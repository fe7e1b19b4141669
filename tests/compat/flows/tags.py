# run: run --tag b --tag "a c"
from metaflow import FlowSpec, current, step


class TagsFlow(FlowSpec):
    @step
    def start(self):
        self.tags = sorted(current.tags)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    TagsFlow()
