"""Two curves on the same axes: who lies higher is the one who writes more."""

from __future__ import annotations

from dataclasses import replace

from tests.widgets import scenes
from tests.widgets.stage import Stage
from widgets.curve_pair import CurvePair, NamedCurve

WIDTH, HEIGHT = 60, 14


def text_of(pair: CurvePair) -> list[str]:
    return ["".join(span.text for span in line) for line in pair.lines(WIDTH, HEIGHT)]


def lines_of(pair: CurvePair, style: str) -> list[int]:
    """The lines of the drawing in which a style draws anything."""
    drawn = pair.lines(WIDTH, HEIGHT)[1:-1]
    return [
        y for y, line in enumerate(drawn) if any(span.style == style and span.text.strip() for span in line)
    ]


async def test_the_one_that_writes_more_is_drawn_above_the_other() -> None:
    pair = CurvePair()
    more = scenes.curve()
    less = replace(more, pages=more.pages // 4)
    async with Stage(pair).run_test(size=(WIDTH + 4, HEIGHT + 2)):
        pair.show_curves([NamedCurve("postgres 40", more), NamedCurve("[x[/] 60", less)])
        headline = text_of(pair)[0]
        assert "── postgres 40" in headline
        assert "╌╌ [x[/] 60" in headline
        assert min(lines_of(pair, "curve-pair--first")) < min(lines_of(pair, "curve-pair--second"))
        assert {len(line) for line in text_of(pair)} == {WIDTH}


async def test_one_that_is_not_known_leaves_the_other_alone() -> None:
    pair = CurvePair()
    async with Stage(pair).run_test(size=(WIDTH + 4, HEIGHT + 2)):
        pair.show_curves([NamedCurve("a"), NamedCurve("b")])
        assert "Press a to arm both" in " ".join(" ".join(text_of(pair)).split())
        pair.show_curves([NamedCurve("a"), NamedCurve("b", scenes.curve())])
        assert not lines_of(pair, "curve-pair--first")
        assert lines_of(pair, "curve-pair--second")
