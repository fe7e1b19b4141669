from metaflow import FlowSpec, step


class SwitchBoolFlow(FlowSpec):
    @step
    def start(self):
        self.ok = True
        self.next({True: self.yes, False: self.no}, condition="ok")

    @step
    def yes(self):
        self.next(self.end)

    @step
    def no(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    SwitchBoolFlow()
