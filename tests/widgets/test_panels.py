"""Header, totals, chart, chain and events: what they say, at any size."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widget import Widget

from engine.checkpoint.link import Engine, LinkProgress, LinkResult
from engine.images.layout import LinkKind
from engine.tracking.sample import RateMode, TrackerKind
from tests.widgets.stage import MAPS, Stage, sample_of
from widgets.big_figures import big
from widgets.chain_view import ChainView
from widgets.event_log import EventLog
from widgets.plot import CURVE
from widgets.rate_chart import ChartMark, ChartPoint, RateChart
from widgets.target_header import TargetHeader, TargetState, TargetStatus
from widgets.totals_bar import TotalsBar

HOSTILE = "[bold red]x[/foo]\x1b]0;PWNED\x07[@click=app.quit]y\n日本語" * 3
MIB = 1 << 20


def text_of(widget: Widget) -> list[str]:
    return [widget.render_line(y).text.rstrip() for y in range(widget.content_size.height)]


def status(state: TargetState = TargetState.ARMED, command: str = "postgres: checkpointer") -> TargetStatus:
    return TargetStatus(
        4242,
        command,
        state,
        4,
        TrackerKind.WRITE_PROTECT,
        RateMode.REARMING,
        3723.4,
        1.0,
        1.023,
        3.2,
        0.012,
        180,
    )


async def test_the_header_names_target_tracker_interval_and_cost() -> None:
    header = TargetHeader()
    async with Stage(header).run_test(size=(80, 24)) as pilot:
        assert text_of(header) == ["no target", ""]
        header.show_status(status(command="postgres"))
        await pilot.pause()
        assert text_of(header) == [
            " ARMED 1:02:03   postgres  pid 4242 and 3 more        write-protect, re-arming",
            "every 1.0 s (measured 1.02 s)  tick 3.20 ms  cost ≈ 1.2% CPU  stopped 180 µs",
        ]


@pytest.mark.parametrize("state", TargetState)
async def test_the_badge_says_the_state_in_words(state: TargetState) -> None:
    header = TargetHeader()
    async with Stage(header).run_test(size=(100, 10)):
        header.show_status(status(state))
        assert text_of(header)[0].strip().startswith(state.value)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
async def test_a_hostile_command_is_literal_and_cut_in_the_header(width: int) -> None:
    header = TargetHeader()
    async with Stage(header).run_test(size=(width, 12), notifications=True) as pilot:
        header.show_status(status(command=HOSTILE))
        await pilot.pause()
        strips = [header.render_line(y) for y in range(header.content_size.height)]
        assert {strip.cell_length for strip in strips} == {header.content_size.width}
        assert "\x1b" not in "".join(strip.text for strip in strips)
        if width >= 80:
            assert len(strips) == 2
            assert "[bold" in strips[0].text


async def test_totals_are_four_figures_in_two_lines_or_large() -> None:
    written = [0] * 14 + [512]
    sample = sample_of((MAPS, written))
    bar = TotalsBar()
    async with Stage(bar).run_test(size=(80, 24)) as pilot:
        assert text_of(bar)[1].split() == ["–", "–", "–", "–"]
        bar.show_sample(sample)
        await pilot.pause()
        labels, figures = text_of(bar)
        assert labels.split("  ")[0] == "present"
        assert figures.split()[2:4] == ["2.0", "MiB/s"]
        await pilot.resize_terminal(140, 24)
        await pilot.pause()
        assert len(text_of(bar)) == 4
        assert "512 pages/s" in text_of(bar)[0]
        upper, _, lower = big("2.0")
        assert upper in text_of(bar)[1]
        assert lower + " MiB/s" in text_of(bar)[3]
        bar.compact = True
        await pilot.pause()
        assert len(text_of(bar)) == 2


async def test_what_is_not_measured_yet_is_a_dash() -> None:
    at_once = replace(sample_of((MAPS, [900] * 15)), number=0, elapsed_s=0.002, interval_s=0.0002)
    totals = TotalsBar()
    async with Stage(totals).run_test(size=(80, 24)) as pilot:
        totals.show_sample(at_once)
        await pilot.pause()
        assert text_of(totals)[1].split()[2] == "–", "written in a fraction of a millisecond"
        assert text_of(totals)[1].split()[4] == "MiB", "since armed is exact"
        totals.show_sample(replace(at_once, number=7, elapsed_s=0.0))
        await pilot.pause()
        assert text_of(totals)[1].split()[2:4] == ["–", "–"], "not armed"
    header = TargetHeader()
    async with Stage(header).run_test(size=(80, 24)) as pilot:
        header.show_status(replace(status(), interval_measured_s=math.nan, cost_fraction=math.nan))
        await pilot.pause()
        assert "(measured    – s)" in text_of(header)[1]
        assert "cost ≈    – CPU" in text_of(header)[1]


def test_big_figures_are_as_wide_on_every_line() -> None:
    assert len({len(line) for line in big("0123456789.–")}) == 1


def points(count: int) -> list[ChartPoint]:
    return [ChartPoint(float(at), (at % 7) * 10.0 * MIB, at * 5.0 * MIB) for at in range(count)]


@pytest.mark.parametrize(
    ("width", "height"), [(200, 20), (120, 13), (80, 9), (60, 30), (50, 7), (20, 4), (5, 3), (3, 1)]
)
@pytest.mark.parametrize("count", [0, 1, 2, 50, 5000])
async def test_the_chart_fills_any_size_with_any_history(
    width: int,
    height: int,
    count: int,
) -> None:
    chart = RateChart()
    async with Stage(chart).run_test(size=(width, height)) as pilot:
        chart.show_history(points(count), [ChartMark(count - 1.0, "1"), ChartMark(count - 10.0, "■")])
        await pilot.pause()
        strips = [chart.render_line(y) for y in range(chart.content_size.height)]
        assert all(strip.cell_length == chart.content_size.width for strip in strips)


async def test_the_chart_says_what_it_waits_for_and_then_the_latest_and_the_peak() -> None:
    chart = RateChart()
    async with Stage(chart).run_test(size=(120, 13)) as pilot:
        assert any("waiting for the first tick" in line for line in text_of(chart))
        chart.show_history(points(50), [ChartMark(30.0, "1")])
        await pilot.pause()
        headline, top, *_ = text_of(chart)
        assert "MiB/s written      0  peak 60.00" in headline
        assert "MiB since armed  245.00" in headline
        assert top.count("1") >= 2
        assert text_of(chart)[-1].split()[-1] == "now"


@pytest.mark.parametrize("height", [13, 6])
async def test_the_chart_does_not_mind_gaps(height: int) -> None:
    chart = RateChart()
    async with Stage(chart).run_test(size=(60, height)) as pilot:
        chart.show_history([ChartPoint(float(at), math.nan, math.inf) for at in range(20)])
        await pilot.pause()
        assert not set("".join(text_of(chart))) & (CURVE - {"⠀"} | set("▁▂▃▄▅▆▇█"))
        assert "written  –" in text_of(chart)[0]


def link(number: int, kind: LinkKind = LinkKind.PRE_DUMP, *, restorable: bool = False) -> LinkResult:
    return LinkResult(
        number, kind, Path(f"chain/{number}"), Engine.MEMORY, 12_044, 119_028, 12_044 * 4096,
        14_230, 0.05, 0.01, 0.061, restorable,
    )  # fmt: skip


async def test_the_chain_teaches_shows_its_flow_and_its_links() -> None:
    chain = ChainView()
    async with Stage(chain).run_test(size=(120, 12)) as pilot:
        assert text_of(chain)[0] == "no image yet: press d to pre-dump"
        chain.show_links([link(1), link(2), link(3, LinkKind.DUMP, restorable=True)])
        await pilot.pause()
        flow, header, *rows = text_of(chain)
        assert flow == "1 → 2 → ■"
        assert header.split() == [
            "kind", "size", "written", "pg", "in", "parent", "pg", "stopped", "took", "engine",
        ]  # fmt: skip
        assert rows[0].split() == [
            "1", "pre-dump", "47.0", "MiB", "12,044", "119,028", "14.2", "ms", "61.0", "ms", "memory",
            "memory", "only",
        ]  # fmt: skip
        assert rows[2].split()[:2] == ["■", "dump"]
        assert rows[2].endswith("restorable")


async def test_in_a_narrow_chain_size_and_stop_stay_and_the_hint_is_whole() -> None:
    chain = ChainView()
    async with Stage(chain).run_test(size=(32, 8)) as pilot:
        assert " ".join(text_of(chain)).split() == ["no", "image", "yet:", "press", "d", "to", "pre-dump"]
        chain.show_links([link(1), link(2, LinkKind.DUMP)])
        await pilot.pause()
        assert text_of(chain)[2:4] == [" 1   47.0 MiB    14.2 ms", " ■   47.0 MiB    14.2 ms"]


async def test_progress_is_a_bar_with_stage_and_bytes() -> None:
    chain = ChainView()
    async with Stage(chain).run_test(size=(80, 12)) as pilot:
        chain.show_progress(LinkProgress("copying [b]", 128 * MIB, 512 * MIB))
        await pilot.pause()
        bar, stage_line, *_ = text_of(chain)
        assert bar.endswith(" 25%")
        assert bar.count("━") == pytest.approx(bar.count("─") / 3, abs=1)
        assert stage_line == "copying [b]  128.0 MiB of 512.0 MiB"
        chain.show_progress(LinkProgress("collecting", 0, None))
        assert " 0%" in text_of(chain)[0]
        assert text_of(chain)[1].strip() == "collecting"
        chain.show_progress(LinkProgress("writing", 700, 512))
        assert "100%" in text_of(chain)[0]
        chain.show_progress(None)
        assert "no image yet" in text_of(chain)[0]


@pytest.mark.parametrize(("width", "height"), [(120, 10), (44, 6), (32, 4), (20, 3), (8, 3)])
async def test_a_long_chain_in_little_room_shows_the_newest(width: int, height: int) -> None:
    chain = ChainView()
    async with Stage(chain).run_test(size=(width, height)) as pilot:
        chain.show_links([link(number) for number in range(1, 41)])
        chain.show_progress(LinkProgress("copying", 1, 2))
        await pilot.pause()
        strips = [chain.render_line(y) for y in range(chain.content_size.height)]
        assert all(strip.cell_length == chain.content_size.width for strip in strips)
        if height >= 6:
            assert any(strip.text.split()[:1] == ["40"] for strip in strips)


async def test_events_are_literal_bounded_and_followed() -> None:
    log = EventLog()
    async with Stage(log).run_test(size=(80, 6), notifications=True) as pilot:
        assert text_of(log)[0] == "nothing has happened yet"
        for at in range(600):
            log.add("12:00:00", f"event {at}")
        await pilot.pause()
        assert text_of(log)[-1] == "12:00:00 · event 599"
        assert log.virtual_size.height == 500
        log.add("12:00:01", HOSTILE, "error")
        await pilot.pause()
        last = text_of(log)[-1]
        assert last.startswith("12:00:01 ✗ [bold red]x[/foo]␛]0;PWNED␇[@click=app.quit]y␊日本語")
        log.scroll_to(y=0, animate=False)
        await pilot.pause()
        log.add("12:00:02", "while the user reads further up")
        await pilot.pause()
        assert log.scroll_offset.y == 0
        log.scroll_end(animate=False)
        await pilot.pause()
        log.add("12:00:03", "followed again", "warning")
        await pilot.pause()
        assert text_of(log)[-1] == "12:00:03 ! followed again"
        log.clear()
        await pilot.pause()
        assert text_of(log)[0] == "nothing has happened yet"


async def test_a_log_that_wraps_shows_all_of_an_event() -> None:
    log = EventLog(wraps=True)
    said = (
        "dump 3: 143.3 MiB written, target stopped for 50.1 ms, 574 ms in all, to /var/lib/dirtytop/chain/3"
    )
    async with Stage(log).run_test(size=(50, 12), notifications=True) as pilot:
        log.add("12:00:00", said, "warning")
        await pilot.pause()
        lines = text_of(log)
        assert lines[0].startswith("12:00:00 ! dump 3")
        assert " ".join(line[11:] for line in lines if line) == said
        for at in range(600):
            log.add("12:00:01", f"event {at}, and so much that it takes two lines")
        await pilot.pause()
        assert log.virtual_size.height == 2 * 500
        assert text_of(log)[-1].endswith("two lines")
