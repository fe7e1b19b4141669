# run: run
# run: run --with noted:by=option
from metaflow import FlowSpec, UserStepDecorator, retry, step, user_step_decorator


@user_step_decorator
def noted(step_name, flow, inputs, attributes):
    print("before", step_name, inputs is None, attributes)
    yield
    flow.notes = [*getattr(flow, "notes", []), attributes.get("by", "none")]
    print("after", step_name)


class Counted(UserStepDecorator):
    def init(self, by=1):
        self.by = by

    def pre_step(self, step_name, flow, inputs=None):
        flow.count = getattr(flow, "count", 0) + self.by

    def post_step(self, step_name, flow, exception=None):
        print("ended", step_name, exception)
        return exception


class UserDecoratorsFlow(FlowSpec):
    @noted(by="top")
    @Counted(by=2)
    @noted(by="low")
    @step
    def start(self):
        print("body")
        self.next(self.left, self.right)

    @Counted
    @retry(times=1)
    @step
    def left(self):
        self.next(self.join)

    @step
    def right(self):
        self.next(self.join)

    @noted
    @step
    def join(self, inputs):
        self.counts = sorted(it.count for it in inputs)
        self.next(self.end)

    @step
    def end(self):
        self.done = True


if __name__ == "__main__":
    UserDecoratorsFlow()
