import copy
import json
import pickle

from metaflow import Config, ConfigValue, FlowSpec, step

DATA = {"a": {"b": [1, {"c": 2}]}, "n": None, "items": 3}


class ConfigValueFlow(FlowSpec):
    config = Config("config", default_value=DATA)

    @step
    def start(self):
        config = self.config
        self.types = [type(it).__name__ for it in (config, config.a, config.a.b, config.a.b[1], config["items"])]
        self.equal = config == DATA, config.to_dict() == DATA, dict(**config) == DATA, config != {}
        self.made = json.dumps(config), repr(config), copy.deepcopy(config).to_dict(), config.get("x", 4)
        self.back = [type(it).__name__ for it in (pickle.loads(pickle.dumps(config)).a, config.copy(), config | {})]
        self.more = ConfigValue({"t": ({"q": 1},)}).t[0].q, sorted(config), "a" in config, len(config)
        self.errors = []
        for change in (
            lambda: setattr(config, "a", 1),
            lambda: config.__setitem__("a", 1),
            lambda: config.__delitem__("a"),
            lambda: delattr(config, "a"),
            lambda: config.pop("a"),
            lambda: config.popitem(),
            lambda: config.clear(),
            lambda: config.update(a=1),
            lambda: config.setdefault("z", 1),
            lambda: config.a.__setitem__("b", 1),
            lambda: config.nope,
            lambda: config["nope"],
            lambda: hash(config),
            lambda: setattr(self, "config", 1),
        ):
            try:
                change()
            except Exception as error:
                self.errors.append(type(error).__name__)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigValueFlow()
