# run: run --factor 4
# run: spin start --persist
# run: spin work --persist
# run: spin work --artifacts-module spin_foreach.py --persist
# run: spin join --persist
# run: spin end
# differs: 3.client.steps.work.0.artifacts.factor: Metaflow records the old value, though the step has seen the new one
# differs: 5.client: without --persist Metaflow's client can't say how a task has ended
# differs: [1-9].client.(successful|finished): of a run that was spun Metaflow says that it has not ended
# differs: [1-9].client.end: likewise
# differs: [1-9].client.data: likewise
# differs: [1-9].client.steps.*.parents: Metaflow looks for them among what was spun
from metaflow import FlowSpec, Parameter, current, step

ARTIFACTS = {"x": 5, "items": ["d", "e", "f"], "factor": 3}


class SpinForeach(FlowSpec):
    factor = Parameter("factor", default=2)
    LIMIT = 10

    @step
    def start(self):
        self.x = 1
        self.items = ["a", "b", "c"]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.y = self.input * self.factor
        print(self.y, self.index, self.x, self.LIMIT, current.origin_run_id, current.step_name)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.z = "".join(sorted(it.y for it in inputs))
        self.merge_artifacts(inputs, include=["x"])
        print(self.z, self.x, len(list(inputs)))
        self.next(self.end)

    @step
    def end(self):
        self.last = self.z
        print(self.z, self.factor)


if __name__ == "__main__":
    SpinForeach()
