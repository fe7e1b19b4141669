# run: run --tag first
from metaflow import FlowSpec, step, current


class TaggedFlow(FlowSpec):
    @step
    def start(self):
        from metaflow import Run, namespace
        namespace(None)
        run = Run(current.flow_name + "/" + current.run_id)
        run.add_tags(["made", "here"])
        run.remove_tag("here")
        run.replace_tag("made", "done")
        self.tags = sorted(run.user_tags)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    TaggedFlow()
