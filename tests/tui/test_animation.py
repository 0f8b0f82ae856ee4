"""The animation in the README shows at each moment what the picture of that moment shows."""

from __future__ import annotations

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


@pytest.fixture
def saved(animation: Animation, tmp_path: Path) -> ElementTree.Element:
    animation.save(tmp_path / "film.svg")
    return ElementTree.parse(tmp_path / "film.svg").getroot()


def is_shown(group: ElementTree.Element, time_s: float, length_s: float = 4.0) -> bool:
    animate = group.find(f"{_SVG}animate")
    if animate is None:
        return True
    values, times = animate.get("values", "").split(";"), animate.get("keyTimes", "").split(";")
    begun = [value for value, time in zip(values, times, strict=True) if float(time) * length_s <= time_s]
    return begun[-1] == "inline"


def words(root: ElementTree.Element, time_s: float) -> list[str]:
    lines = (line for line in root.iter(f"{_SVG}g") if "-line-" in line.get("clip-path", ""))
    shown = (group for line in lines for group in line if is_shown(group, time_s))
    return ["".join(text.itertext()) for group in shown for text in group.iter(f"{_SVG}text")]


@pytest.mark.parametrize(
    ("time_s", "middle"), [(0.5, "before"), (1.5, "after"), (2.9, "after"), (3.5, "before")]
)
async def test_each_line_is_shown_while_it_was_there(
    saved: ElementTree.Element, time_s: float, middle: str
) -> None:
    assert words(saved, time_s) == ["first\N{NO-BREAK SPACE}<&>", middle, "last"]


async def test_it_is_one_svg_in_which_only_what_changes_is_animated(saved: ElementTree.Element) -> None:
    animated = list(saved.iter(f"{_SVG}animate"))
    assert [(each.get("values"), each.get("keyTimes"), each.get("dur")) for each in animated] == [
        ("inline;none;inline", "0;0.25;0.75", "4s"),
        ("none;inline;none", "0;0.25;0.75", "4s"),
    ]
    still = [
        "".join(text.itertext())
        for group in saved.iter(f"{_SVG}g")
        if group.get("display") == "none"
        for text in group.iter(f"{_SVG}text")
    ]
    assert still == ["after"], "where nothing moves, the last picture shows"


async def test_a_line_that_is_there_again_is_drawn_once(animation: Animation, tmp_path: Path) -> None:
    animation.save(tmp_path / "film.svg")
    assert (tmp_path / "film.svg").read_text().count(">before</text>") == 1
