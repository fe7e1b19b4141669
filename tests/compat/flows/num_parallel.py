# differs: 0.client.steps.work.\d+.(parents|children|stdout|artifacts): order and helpers of a gang
from metaflow import FlowSpec, step, parallel, current


class ParallelFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.work, num_parallel=3)

    @parallel
    @step
    def work(self):
        self.node = current.parallel.node_index
        self.nodes = current.parallel.num_nodes
        self.next(self.join)

    @step
    def join(self, inputs):
        self.all = sorted((i.node, i.nodes) for i in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ParallelFlow()
