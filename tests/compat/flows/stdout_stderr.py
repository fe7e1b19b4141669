# differs: 0.client.steps.start.0.stdout: Metaflow ends a last line that the step has not ended
from metaflow import FlowSpec, step


class OutputFlow(FlowSpec):
    @step
    def start(self):
        import sys

        for i in range(50):
            print("line", i)
        print("err", file=sys.stderr)
        sys.stdout.write("no newline")
        self.next(self.end)

    @step
    def end(self):
        print("ünï")


if __name__ == "__main__":
    OutputFlow()
