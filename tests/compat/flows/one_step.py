from metaflow import FlowSpec, step


class OneStepFlow(FlowSpec):
    @step
    def start(self):
        self.x = 1
        print("alone")


if __name__ == "__main__":
    OneStepFlow()
