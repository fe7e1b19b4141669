# differs: 0.client.steps.\w+.0.artifacts.(text|raw): looked at through the client
from metaflow import FlowSpec, IncludeFile, step


class IncludeFlow(FlowSpec):
    text = IncludeFile("text", default="includefile.txt")
    raw = IncludeFile("raw", default="includefile.txt", is_text=False)

    @step
    def start(self):
        self.size = (len(self.text), type(self.text).__name__, type(self.raw).__name__)
        self.next(self.end)

    @step
    def end(self):
        print(self.text)


if __name__ == "__main__":
    IncludeFlow()
