"""The animation in the README shows at each moment what the picture of that moment shows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from screenshots.animation import Animation

_SVG = "{http://www.w3.org/2000/svg}"


class Lines(App[None]):
    """Three lines, of which the middle one changes."""

    def compose(self) -> ComposeResult:
        yield Static("first <&>", markup=False)
        yield Static("before", id="middle", markup=False)
        yield Static("last", markup=False)


@pytest.fixture
async def animation() -> Animation:
    made = Animation()
    app = Lines()
    async with app.run_test(size=(30, 5)) as pilot:
        made.add(app.export_screenshot(), 1.0)
        app.query_one("#middle", Static).update("after")
        await pilot.pause()
        made.add(app.export_screenshot(), 2.0)
        app.query_one("#middle", Static).update("before")
        await pilot.pause()
        made.add(app.export_screenshot(), 1.0)
    return made


def words(svg: str) -> list[str]:
    return re.findall(r">([^<>]+)</text>", svg)


@pytest.mark.parametrize(
    ("time_s", "middle"), [(0.5, "before"), (1.5, "after"), (2.9, "after"), (3.5, "before")]
)
async def test_each_line_is_shown_while_it_was_there(
    animation: Animation, time_s: float, middle: str
) -> None:
    shown = [word for row in range(5) for word in words(animation.shown_at(row, time_s))]
    assert shown == ["first&#160;&lt;&amp;&gt;".replace("&#160;", "\N{NO-BREAK SPACE}"), middle, "last"]


async def test_it_is_one_svg_in_which_only_what_changes_is_animated(
    animation: Animation, tmp_path: Path
) -> None:
    animation.save(tmp_path / "film.svg")
    root = ElementTree.parse(tmp_path / "film.svg").getroot()
    animated = list(root.iter(f"{_SVG}animate"))
    assert [(each.get("values"), each.get("keyTimes"), each.get("dur")) for each in animated] == [
        ("inline;none;inline", "0;0.25;0.75", "4s"),
        ("none;inline;none", "0;0.25;0.75", "4s"),
    ]
    still = [
        "".join(text.itertext())
        for group in root.iter(f"{_SVG}g")
        if group.get("display") == "none"
        for text in group.iter(f"{_SVG}text")
    ]
    assert still == ["after"], "where nothing moves, the last picture shows"


async def test_a_line_that_is_there_again_is_drawn_once(animation: Animation, tmp_path: Path) -> None:
    animation.save(tmp_path / "film.svg")
    assert (tmp_path / "film.svg").read_text().count(">before</text>") == 1
