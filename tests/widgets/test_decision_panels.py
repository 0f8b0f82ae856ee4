"""Verdict, curve, chain and targets: what they say and what they tell back."""

from __future__ import annotations

import pytest
from textual.message import Message
from textual.widget import Widget

from engine.checkpoint.link import LinkProgress
from engine.forecast.plans.verdict import Verdict
from engine.forecast.triggers.progress import TriggerProgress
from tests.widgets import scenes
from tests.widgets.stage import Stage
from widgets.big_letters import big_word, huge_word
from widgets.chain_flow import ChainFlow
from widgets.curve_chart import CurveChart
from widgets.plot import LEVEL, axis_of_spans
from widgets.rate_chart import ChartMark
from widgets.target_trends import TargetTrends
from widgets.verdict_panel import VerdictPanel

SIZES = [(200, 60), (120, 40), (80, 24), (40, 9), (24, 5), (8, 4)]


def text_of(widget: Widget) -> list[str]:
    return [widget.render_line(y).text.rstrip() for y in range(widget.content_size.height)]


WORDS = {
    Verdict.UNKNOWN: "NOT KNOWN YET",
    Verdict.DUMP_NOW: "DUMP NOW",
    Verdict.PRE_DUMP: "PRE-DUMP",
    Verdict.WAIT: "WAIT",
    Verdict.WILL_NOT_CONVERGE: "WILL NOT CONVERGE",
}


@pytest.mark.parametrize("verdict", Verdict)
async def test_the_verdict_is_a_word_large_or_small(verdict: Verdict) -> None:
    panel = VerdictPanel()
    async with Stage(panel).run_test(size=(100, 40)) as pilot:
        panel.show_forecast(scenes.FORECASTS[verdict])
        await pilot.pause()
        assert text_of(panel)[0].startswith(big_word(WORDS[verdict])[0].rstrip())
        panel.compact = True
        panel.styles.height = 4  # two lines of which are its frame
        await pilot.pause()
        assert WORDS[verdict] in text_of(panel)[0]
        assert len(text_of(panel)) <= 3


async def test_the_panel_tells_the_stop_its_range_the_bytes_and_the_plan() -> None:
    panel = VerdictPanel()
    async with Stage(panel).run_test(size=(100, 40)) as pilot:
        panel.show_forecast(scenes.FORECASTS[Verdict.PRE_DUMP])
        await pilot.pause()
        text = "\n".join(text_of(panel))
    assert "stops for 9.8 ms to 21 ms; saves 567.1 MiB in 600 ms" in text
    assert "pre-dump twice, then dump: stops for 14 ms" in text
    assert "not yet checked" in text


@pytest.mark.parametrize(("size", "is_low"), [((80, 6), True), ((120, 10), False), ((200, 14), False)])
async def test_verdict_stop_and_bytes_are_large_at_every_size(
    size: tuple[int, int],
    is_low: bool,
) -> None:
    panel = VerdictPanel()
    panel.compact = is_low
    async with Stage(panel).run_test(size=size) as pilot:
        panel.show_forecast(scenes.FORECASTS[Verdict.PRE_DUMP])
        panel.styles.height = "100%"
        await pilot.pause()
        spell = huge_word if size == (200, 14) else big_word
        for word in ("PRE-DUMP", "14", "567"):
            for line, letters in zip(text_of(panel), spell(word), strict=False):
                assert letters.rstrip() in line
        assert any("pre-dump twice, then dump: stops for 14 ms" in line for line in text_of(panel))


async def test_a_low_panel_that_is_given_the_screen_tells_all() -> None:
    panel = VerdictPanel()
    panel.compact = True
    async with Stage(panel).run_test(size=(80, 24)) as pilot:
        panel.show_forecast(scenes.FORECASTS[Verdict.PRE_DUMP])
        panel.show_truth(scenes.TRUTH)
        panel.styles.height = "100%"
        await pilot.pause()
        text = "\n".join(text_of(panel))
    assert "2 pre-dump" in text
    assert "said 12.1 MiB, was 11.7 MiB" in text


async def test_figures_stay_where_they_are_when_the_verdict_changes() -> None:
    panel = VerdictPanel()
    async with Stage(panel).run_test(size=(120, 12)) as pilot:
        places = set()
        for verdict in (Verdict.DUMP_NOW, Verdict.PRE_DUMP, Verdict.WAIT):
            panel.show_forecast(scenes.FORECASTS[verdict])
            await pilot.pause()
            places.add(text_of(panel)[0].index("stop"))
    assert len(places) == 1


async def test_a_trigger_has_a_bar_that_tells_how_near_it_is() -> None:
    panel = VerdictPanel()
    async with Stage(panel).run_test(size=(120, 12)) as pilot:
        panel.show_forecast(scenes.FORECASTS[Verdict.PRE_DUMP])
        for fraction, full in ((0.25, 6), (1.0, 24)):
            panel.show_trigger(
                scenes.TRIGGER, scenes.WAITING, 118.0, [TriggerProgress("stop 410 ms", "< 50 ms", fraction)]
            )
            await pilot.pause()
            bar = next(line for line in text_of(panel) if "< 50 ms" in line)
            assert "stop 410 ms" in bar
            assert bar.count("█") == full


async def test_waiting_is_about_the_plan_in_the_lull() -> None:
    panel = VerdictPanel()
    async with Stage(panel).run_test(size=(100, 40)) as pilot:
        panel.show_forecast(scenes.FORECASTS[Verdict.WAIT])
        await pilot.pause()
        assert any("12.1 MiB" in line for line in text_of(panel))


async def test_below_the_verdict_is_how_right_the_last_ones_were_and_what_is_armed() -> None:
    panel = VerdictPanel()
    async with Stage(panel).run_test(size=(100, 40)) as pilot:
        panel.show_forecast(scenes.FORECASTS[Verdict.PRE_DUMP])
        panel.show_truth(scenes.TRUTH)
        panel.show_trigger(scenes.TRIGGER, scenes.WAITING, 118.0)
        await pilot.pause()
        text = "\n".join(text_of(panel))
        assert "(median of 3 links)" in text
        assert "said 12.1 MiB, was 11.7 MiB; stop 14 ms, was 15 ms" in text
        assert "stop<50ms  42 s left, then dump anyway" in text
        panel.show_trigger(None)
        await pilot.pause()
        assert "stop<50ms" not in "\n".join(text_of(panel))


@pytest.mark.parametrize("size", SIZES)
async def test_every_panel_fills_any_size(size: tuple[int, int]) -> None:
    panel, chart, flow, targets = VerdictPanel(), CurveChart(), ChainFlow(), TargetTrends()
    for widget in (panel, chart, flow, targets):
        async with Stage(widget).run_test(size=size) as pilot:
            for is_filled in (False, True):
                if is_filled:
                    panel.show_forecast(scenes.FORECASTS[Verdict.PRE_DUMP])
                    chart.show_curve(scenes.curve(), 4096, budget_bytes=1e8)
                    flow.show_links(scenes.links())
                    targets.show_targets(scenes.trends(), 1)
                await pilot.pause()
                strips = [widget.render_line(y) for y in range(widget.content_size.height)]
                assert {strip.cell_length for strip in strips} <= {widget.content_size.width}


async def test_the_curve_has_the_budget_rounds_and_links_on_it() -> None:
    chart = CurveChart()
    async with Stage(chart).run_test(size=(120, 20)):
        assert "Press a to arm" in " ".join(text_of(chart))
        chart.show_curve(
            scenes.curve(),
            4096,
            time_s=200.0,
            forecast=scenes.FORECASTS[Verdict.PRE_DUMP],
            budget_bytes=200 * scenes.MIB,
            links=[ChartMark(188.0, "1")],
        )
        headline, top, *rest = text_of(chart)
    assert "1 s 78.1 MiB" in headline
    assert [sign for sign in top if sign in "2■◂"] == ["■", "2", "◂"]
    assert any("stop budget 100 ms" in line and LEVEL in line for line in rest)


async def test_a_budget_far_above_the_curve_is_told_in_words() -> None:
    chart = CurveChart()
    async with Stage(chart).run_test(size=(120, 20)):
        chart.show_curve(scenes.curve(), 4096, budget_bytes=float(900 * scenes.MIB))
        assert "budget 900.0 MiB" in text_of(chart)[0]
        assert LEVEL not in "".join(text_of(chart))


def test_an_axis_of_spans_is_labelled_at_round_ones() -> None:
    assert [label for _, label in axis_of_spans(0.005, 120).ticks] == [
        "10 ms", "0.1 s", "1 s", "10 s", "1 min",
    ]  # fmt: skip


async def test_a_link_is_opened_by_key_and_by_click() -> None:
    flow = ChainFlow()
    opened: list[ChainFlow.Opened] = []

    def note(message: Message) -> None:
        if isinstance(message, ChainFlow.Opened) and message not in opened:
            opened.append(message)

    async with Stage(flow).run_test(size=(100, 12), message_hook=note) as pilot:
        flow.show_links(scenes.links())
        flow.focus()
        await pilot.press("left", "enter")
        await pilot.click(flow, offset=(5, 3))
        await pilot.pause()
    assert [message.link.number for message in opened] == [2, 1]


async def test_a_link_tells_bytes_parent_and_stop() -> None:
    flow = ChainFlow()
    async with Stage(flow).run_test(size=(100, 12)):
        assert "Press d to pre-dump" in " ".join(text_of(flow))
        flow.show_links(scenes.links()[:2])
        flow.show_progress(LinkProgress("copying", 64 << 20, 128 << 20))
        text = "\n".join(text_of(flow))
    assert "465.0 MiB" in text
    assert "not stopped" in text
    assert "50%" in text


async def test_targets_share_a_scale_and_a_click_chooses_one() -> None:
    targets = TargetTrends()
    chosen: list[TargetTrends.Chosen] = []

    def note(message: Message) -> None:
        if isinstance(message, TargetTrends.Chosen) and message not in chosen:
            chosen.append(message)

    async with Stage(targets).run_test(size=(160, 12), message_hook=note) as pilot:
        targets.show_targets(scenes.trends(), 0)
        await pilot.pause()
        header, first, second, third = text_of(targets)
        assert "written MiB/s" in header
        assert first.startswith("▸1")
        assert "▆" in first
        assert "▆" not in second
        assert "\x1b" not in third
        await pilot.click(targets, offset=(10, 2))
        await pilot.pause()
    assert [message.index for message in chosen] == [1]


@pytest.mark.parametrize("width", [80, 50, 30])
async def test_in_four_lines_what_to_press_next_is_said_whole(width: int) -> None:
    panel = VerdictPanel()
    panel.compact = True
    async with Stage(panel).run_test(size=(width, 24)) as pilot:
        panel.styles.border = ("none", "black")
        panel.styles.height = 4
        await pilot.pause()
        said = " ".join(" ".join(text_of(panel)).split())
        assert said.endswith("Press a to arm: after a few ticks this tells what a dump would cost.")
