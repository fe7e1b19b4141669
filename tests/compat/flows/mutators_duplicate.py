from metaflow import FlowSpec, StepMutator, retry, step


class Changes(StepMutator):
    def mutate(self, one):
        one.add_decorator('retry', duplicates=one.ERROR)


class MutatorsDuplicateFlow(FlowSpec):
    @Changes
    @retry
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    MutatorsDuplicateFlow()
