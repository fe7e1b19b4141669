from metaflow import USER_SKIP_STEP, FlowSpec, UserStepDecorator, step, user_step_decorator


@user_step_decorator
def skipped(step_name, flow, inputs, attributes):
    flow.by = step_name
    flow.others = [7, 8]
    yield attributes or USER_SKIP_STEP


@user_step_decorator
def replaced(step_name, flow, inputs):
    def instead(flow):
        flow.instead = True
        return True

    yield instead


class Skips(UserStepDecorator):
    def pre_step(self, step_name, flow, inputs=None):
        self.skip_step = True


class UserSkippedFlow(FlowSpec):
    @skipped
    @step
    def start(self):
        self.ran = True
        self.next(self.split)

    @skipped(foreach="others")
    @step
    def split(self):
        self.items = [1]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.x = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.found = [it.x for it in inputs]
        self.next(self.other)

    @replaced
    @step
    def other(self):
        self.ran = True
        self.next(self.end)

    @Skips
    @step
    def end(self):
        self.ran = True


if __name__ == "__main__":
    UserSkippedFlow()
