"""Every component, with and without ids, and what `components` says of them."""

from datetime import datetime

from metaflow import FlowSpec, card, current, step
from metaflow.cards import (
    Artifact,
    Error,
    EventsTimeline,
    Image,
    JSONViewer,
    Markdown,
    ProgressBar,
    PythonCode,
    Table,
    ValueBox,
    VegaChart,
    YAMLViewer,
)

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100"
    "c9fe92ef0000000049454e44ae426082"
)
CHART = {
    "data": {"values": [{"x": 1, "y": 2}, {"x": 2, "y": 3}]},
    "mark": "line",
    "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
}  # fmt: skip


class Components(FlowSpec):
    @card(id="all")
    @step
    def start(self):
        cells = [["a", 1, 2.5, None, True], [Markdown("*in* a table"), ProgressBar(5), Artifact({"k": 1}), "b", "c"]]
        for name, component in {
            "artifact": Artifact({"a": [1, 2, 3]}, "named"),
            "chart": VegaChart(CHART, show_controls=True),
            "code": PythonCode(code_string="x = 1\nprint(x)\n"),
            "error": Error(ValueError("no luck"), "What has failed"),
            "image": Image(PIXEL, label="One pixel"),
            "json": JSONViewer({"a": [1, None, {"b": "c"}]}, title="Values", collapsible=False),
            "markdown": Markdown("# Head\n\n- one\n- two\n"),
            "progress": ProgressBar(max=10, label="Epochs", value=2, unit="epochs", metadata="at once"),
            "table": Table(cells, headers=["a", "b", "c", "d", "e"]),
            "value": ValueBox("Loss", 0.25, subtitle="of the test", theme="success", change_indicator="-1 %"),
            "yaml": YAMLViewer({"a": [1, 2], "b": "c"}, show_copy_button=False),
        }.items():  # fmt: skip
            current.card["all"].append(component, id=name)
        self.names = list(current.card.components.keys())
        self.kinds = [type(it).__name__ for it in current.card.components]
        self.can_be_updated = [it.REALTIME_UPDATABLE for it in current.card.components]
        self.next(self.end)

    @card
    @step
    def end(self):
        current.card.extend([Markdown("no id"), Table([["x"]]), ProgressBar(max=3)])
        current.card.components["bar"] = ProgressBar(max=4)
        current.card.components["bar"].update(3, metadata="done")
        current.card.append(Markdown("old"), id="text")
        current.card.components["text"].update("new")
        events = EventsTimeline("Events", max_events=2)
        for number in range(3):
            events.update({"number": number, "status": "ok"}, style_theme="success", priority="high")
        self.count = len(current.card.components)
        self.made_on = datetime(2020, 1, 2).isoformat()  # noqa: DTZ001  (a value of any kind)
        current.card.append(Artifact(self.made_on), id="when")


if __name__ == "__main__":
    Components()
