# differs: 0.client.steps.\w+.0.artifacts.kind: our name of the error
from metaflow import FlowSpec, step


class MergeConflictFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.a, self.b)

    @step
    def a(self):
        self.x = 1
        self.only = 3
        self.next(self.join)

    @step
    def b(self):
        self.x = 2
        self.next(self.join)

    @step
    def join(self, inputs):
        try:
            self.merge_artifacts(inputs)
        except Exception as e:
            self.kind = type(e).__name__
            self.names = e.artifact_names
        self.after = hasattr(self, "only")
        self.merge_artifacts(inputs, include=["only"])
        self.next(self.end)

    @step
    def end(self):
        print(self.only)


if __name__ == "__main__":
    MergeConflictFlow()
