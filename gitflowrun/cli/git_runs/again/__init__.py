"""The commands that go back to what a run ran, and run it again."""
