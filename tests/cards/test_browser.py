"""Cards in a real browser without a network: charts are drawn, Markdown is laid out, and open pages are updated."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitflowrun.cards import Markdown, ProgressBar, Table, VegaChart
from gitflowrun.cards.components.sections import HTMLComponent
from gitflowrun.cards.page.page_html import updates_html, write_page

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]
BAR = {
    "data": {"values": [{"a": "x", "b": 2}, {"a": "y", "b": 3}]},
    "transform": [{"calculate": "datum.b * 2", "as": "c"}],
    "mark": {"type": "bar", "tooltip": True},
    "encoding": {"x": {"field": "a"}, "y": {"field": "c", "type": "quantitative"}},
}
ATTACK = (
    "<script>top.attacked = 1</script><img src=x onerror='top.attacked = 2'>"
    "<a href='javascript:top.attacked=3'>link</a><iframe srcdoc='<script>top.attacked=4</script>'></iframe>"
)
# Looks at the card in a frame: first as it is, then after an update.
WRAPPER = """<!DOCTYPE html><body><iframe src="card.html" width="900" height="900"></iframe><script>
const frame = document.querySelector("iframe");
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
function look() {
  const page = frame.contentDocument;
  const count = (what) => page.querySelectorAll(what).length;
  return {
    charts: count(".drawing svg.marks"), strong: count(".prose strong"), boxes: count(".prose input[disabled]"),
    errors: count(".drawing .message"), bad: count("main iframe, main [onerror], main a[href^=javascript]"),
    pictures: count(".prose img"), bars: page.querySelectorAll(".drawing svg .mark-rect path").length,
    text: page.querySelector("main").innerText, attacked: window.attacked || 0,
    height: page.querySelector(".drawing svg") ? page.querySelector(".drawing svg").getBoundingClientRect().height : 0,
  };
}
frame.addEventListener("load", async () => {
  await wait(1500);
  const seen = [look()];
  const update = UPDATE;
  const found = frame.contentWindow.METHOD(update);
  await wait(1500);
  seen.push(look());
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify({seen, found, token: frame.contentWindow.METAFLOW_RELOAD_TOKEN});
  document.body.replaceChildren(told);
});
</script></body>"""


def seen(place: Path, parts: list[Any], update: dict[str, Any], method: str) -> dict[str, Any]:
    """What a browser shows of a card, before and after an update."""
    place.joinpath("card.html").write_text(write_page(parts, "T", live=True))
    data = json.dumps(updates_html(update)).replace("</", "<\\/").replace("<!--", "<\\!--")
    wrapper = place / "wrapper.html"
    wrapper.write_text(WRAPPER.replace("UPDATE", data).replace("METHOD", method))
    program = [
        CHROMIUM or "", "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={place / 'profile'}",
        "--virtual-time-budget=20000", "--dump-dom", wrapper.as_uri(),
    ]  # fmt: skip
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="told">(.*?)</pre>', ended.stdout, re.DOTALL)
    assert found is not None, ended.stdout[-2000:]
    told: dict[str, Any] = json.loads(html.unescape(found[1]))
    return told


def rendered(component: Any, name: str) -> dict[str, Any]:
    """A component of that id."""
    component.component_id = name
    found: dict[str, Any] = component.render()
    return found


def test_a_card_is_seen_and_updated(tmp_path: Path) -> None:
    """Charts are drawn though no page may evaluate code; nothing of a stranger's runs; updates take the old's place."""
    text = rendered(
        Markdown(f"**bold** {ATTACK}\n\n- [x] done\n\n![far](https://example.org/a.png)"), "m"
    )
    raw = {**HTMLComponent(f"<strong>raw</strong>{ATTACK}").render(), "id": "h"}
    chart = rendered(VegaChart(BAR), "c")
    progress = rendered(ProgressBar(10, value=1), "p")
    table = rendered(Table([[VegaChart(BAR)], [ATTACK]]), "t")
    update = {
        "p": rendered(ProgressBar(10, value=9), "p"),
        "m": rendered(Markdown(f"**new** **words** {ATTACK}"), "m"),
        "c": rendered(VegaChart({**BAR, "data": {"values": [{"a": "z", "b": 1}]}}), "c"),
        "absent": rendered(Markdown("x"), "absent"),
    }
    told = seen(tmp_path, [text, raw, chart, progress, table], update, "metaflow_card_update")
    before, after = told["seen"]
    assert (before["charts"], before["bars"], before["errors"]) == (2, 4, 0)
    assert before["strong"] == 2
    assert before["boxes"] == 1
    assert "10%" in before["text"]
    assert "picture: far" in before["text"]
    assert "90%" in after["text"]
    assert (after["charts"], after["bars"], after["errors"]) == (2, 3, 0)
    assert after["strong"] == 3
    for it in (before, after):
        assert (it["attacked"], it["bad"], it["pictures"]) == (0, 0, 0)
    assert told["found"] is False  # one was not there
    assert told["token"].startswith("[METAFLOW")


def test_a_chart_that_is_wrong_says_so(tmp_path: Path) -> None:
    """The others are drawn."""
    wrong = rendered(VegaChart({"mark": "nonsense", "encoding": 3}), "w")
    far = rendered(VegaChart({**BAR, "data": {"url": "https://example.org/data.csv"}}), "f")
    good = rendered(VegaChart(BAR), "g")
    told = seen(tmp_path, [wrong, far, good], {"g": good}, "gitflowrun_card_update")
    before, after = told["seen"]
    assert before["errors"] >= 1
    assert "can't be drawn" in before["text"]
    assert before["bars"] == after["bars"] == 2
    assert told["found"] is True
