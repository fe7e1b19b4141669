# run: run
# run: resume middle
# differs: 1.client.steps.\w+.\d+.(stdout|parents|children): of clones Metaflow tells less
from metaflow import FlowSpec, step


class ResumeStepFlow(FlowSpec):
    @step
    def start(self):
        self.a = 1
        self.next(self.middle)

    @step
    def middle(self):
        self.b = self.a + 1
        self.next(self.end)

    @step
    def end(self):
        self.c = self.b + 1


if __name__ == "__main__":
    ResumeStepFlow()
