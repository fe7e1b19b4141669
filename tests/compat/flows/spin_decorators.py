# run: run
# run: spin start --persist
# run: spin start --persist --skip-decorators
# run: spin slow --persist
# run: spin end --persist
# differs: 3.client.steps.slow.0.(exception|stdout): other words, and nothing on the task's standard output
# differs: [1-9].client.(successful|finished): of a run that was spun Metaflow says that it has not ended
# differs: [1-9].client.end: likewise
# differs: [1-9].client.data: likewise
# differs: [1-9].client.steps.*.parents: Metaflow looks for them among what was spun
import os
import time

from metaflow import FlowSpec, current, environment, step, timeout


class SpinDecorators(FlowSpec):
    """Decorators that both apply, one that fails in the spun task alone, and a step that fails there."""

    @environment(vars={"GIVEN": "yes"})
    @step
    def start(self):
        self.given = os.environ.get("GIVEN")
        self.retry_count = current.retry_count
        self.next(self.slow)

    @timeout(seconds=2)
    @step
    def slow(self):
        if os.path.exists("second"):
            time.sleep(30)
        open("second", "w").close()
        self.next(self.end)

    @step
    def end(self):
        if not os.path.exists("third"):
            open("third", "w").close()
        else:
            raise ValueError("in the spun task")


if __name__ == "__main__":
    SpinDecorators()
