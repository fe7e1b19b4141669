# run: run --needed includefile_kinds.txt
# run: run
# run: run --needed nope.txt
# run: run --needed .
# run: run --needed includefile_kinds.txt --raw includefile_kinds.txt --latin includefile_kinds.txt
# run: run --needed includefile_kinds.txt --parsed includefile_kinds.txt
# differs: .*\.artifacts\.parsed: parsed here, the text there
# differs: .*\.stdout: it prints what is parsed
import os

from metaflow import FlowSpec, IncludeFile, step


def rows(text):
    return [line.split(",") for line in text.splitlines()]


def here(context):
    return os.path.join(os.getcwd(), "includefile_kinds.txt") if context.parameter_name == "computed" else None


class IncludeFileKindsFlow(FlowSpec):
    needed = IncludeFile("needed", required=True)
    absent = IncludeFile("absent")
    raw = IncludeFile("raw", is_text=False)
    latin = IncludeFile("latin", encoding="latin-1")
    by_default = IncludeFile("by-default", default="includefile_kinds.txt")
    computed = IncludeFile("computed", default=here)
    parsed = IncludeFile("parsed", default="includefile_kinds.txt", parser=rows)

    @step
    def start(self):
        print(repr(self.needed), repr(self.absent), repr(self.raw), repr(self.latin), repr(self.parsed))
        self.next(self.end)

    @step
    def end(self):
        print(repr(self.computed), repr(self.by_default))


if __name__ == "__main__":
    IncludeFileKindsFlow()
