from metaflow import FlowSpec, retry, step, user_step_decorator


@user_step_decorator
def seen(step_name, flow, inputs):
    try:
        yield
    except ValueError:
        flow.was_seen = True
        raise


class UserFailingFlow(FlowSpec):
    @seen
    @retry(times=1)
    @step
    def start(self):
        raise ValueError("always")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    UserFailingFlow()
