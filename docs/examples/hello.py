"""The smallest useful flow: a parameter, an artifact, two lines of output."""

from gitflowrun import FlowSpec, Parameter, step


class Hello(FlowSpec):
    """Greet somebody."""

    name = Parameter("name", default="world", help="Whom to greet")

    @step
    def start(self):
        """Make the greeting."""
        self.greeting = f"Hello, {self.name}!"
        print(self.greeting)
        self.next(self.shout)

    @step
    def shout(self):
        """Say it louder."""
        self.greeting = self.greeting.upper()
        print(self.greeting)
        self.next(self.end)

    @step
    def end(self):
        """Keep how long it became."""
        self.length = len(self.greeting)


if __name__ == "__main__":
    Hello()
