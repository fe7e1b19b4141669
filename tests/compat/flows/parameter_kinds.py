# run: run --needed 1
# run: run
# run: run --needed 1 --number x
# run: run --needed 1 --number 2.5
# run: run --needed 1 --flag maybe
# run: run --needed 1 --flag yes --real 1e3 --number -4 --text ''
# run: run --needed 1 --json '{bad'
# run: run --needed 1 --json '[1, {"a": null}]' --listed 'a|b||c'
# run: run --needed 1 --listed ''
# run: run --needed 1 --plain x
# run: run --needed 1 --default-json '{"b": 2}'
# run: run --needed 1 --unknown 2
# run: run --needed 1 --number 1 --number 2
# run: run --needed ''
# differs: 8\.client\..*\.artifacts\.(kinds|listed): an empty text is a list of one here, a text there
# differs: 9\.client\..*\.artifacts\.(kinds|plain): what is given for a list that is no JSON is a text here, there a list of its letters
from metaflow import FlowSpec, JSONType, Parameter, current, step


class ParameterKindsFlow(FlowSpec):
    needed = Parameter("needed", required=True)
    needed_with_default = Parameter("needed-with-default", required=True, default="d")
    number = Parameter("number", default=3, help="A number.")
    real = Parameter("real", default=0.5)
    flag = Parameter("flag", default=False)
    on = Parameter("on", default=True, type=bool)
    text = Parameter("text", default="t", show_default=False)
    json = Parameter("json", type=JSONType)
    default_json = Parameter("default-json", type=JSONType, default='{"a": 1}')
    value_json = Parameter("value-json", type=JSONType, default=[1, 2])
    listed = Parameter("listed", separator="|", default="x|y")
    plain = Parameter("plain", default=[1, 2])
    absent = Parameter("absent")
    absent_int = Parameter("absent_int", type=int)

    @step
    def start(self):
        self.kinds = [type(getattr(self, name)).__name__ for name in sorted(current.parameter_names)]
        try:
            self.number = 4
        except AttributeError:
            print("read-only")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ParameterKindsFlow()
