from metaflow import FlowSpec, secrets, step


class SecretsFlow(FlowSpec):
    @secrets(
        sources=[{"type": "inline", "id": "a", "options": {"env_vars": {"TOKEN_X": "abcdefgh"}}}]
    )
    @step
    def start(self):
        import os

        self.size = len(os.environ["TOKEN_X"])
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    SecretsFlow()
