# differs: 0.client.steps.start.0.exception.*: another class, and the line
from metaflow import FlowSpec, step, user_step_decorator


@user_step_decorator
def twice(step_name, flow, inputs):
    yield
    yield


class UserTwiceFlow(FlowSpec):
    @twice
    @step
    def start(self):
        self.x = 1
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    UserTwiceFlow()
