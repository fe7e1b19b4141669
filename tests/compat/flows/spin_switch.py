# run: run
# run: spin loop --persist
# run: spin choose --persist
# run: spin b --persist
# run: spin end --persist
# run: spin a
# run: spin nope
# differs: 0.client.steps.*.(parents|children): of a step that repeats itself Metaflow names all its tasks
# differs: [12].(exit|client): which is why it can't spin what has such a step before it
# differs: [1-9].client.(successful|finished): of a run that was spun Metaflow says that it has not ended
# differs: [1-9].client.end: likewise
# differs: [1-9].client.data: likewise
# differs: [1-9].client.steps.*.parents: Metaflow looks for them among what was spun
from metaflow import FlowSpec, step


class SpinSwitch(FlowSpec):
    """A step that repeats itself, a switch, and a branch that is not taken."""

    @step
    def start(self):
        self.n = 0
        self.next(self.loop)

    @step
    def loop(self):
        self.n += 1
        self.again = "yes" if self.n < 3 else "no"
        print(self.n)
        self.next({"yes": self.loop, "no": self.choose}, condition="again")

    @step
    def choose(self):
        self.way = "right"
        self.next({"left": self.a, "right": self.b}, condition="way")

    @step
    def a(self):
        self.next(self.end)

    @step
    def b(self):
        self.path = "b"
        self.next(self.end)

    @step
    def end(self):
        print(self.n, self.path)


if __name__ == "__main__":
    SpinSwitch()
