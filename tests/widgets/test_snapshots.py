"""How the widgets look, as pictures, with frozen data.

`pytest tests/widgets/test_snapshots.py --snapshot-update` takes them anew; look at the report first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import textual
from textual.pilot import Pilot
from textual.widget import Widget

from engine.checkpoint.link import Engine, LinkProgress, LinkResult
from engine.images.layout import LinkKind
from engine.tracking.sample import RateMode, Sample, TrackerKind
from tests.widgets.stage import MAPS, Process, Stage, sample_of
from widgets.chain_view import ChainView
from widgets.event_log import EventLog
from widgets.process_table import ProcessIdentity, ProcessRow, ProcessTable
from widgets.rate_chart import ChartMark, ChartPoint, RateChart
from widgets.target_header import TargetHeader, TargetState, TargetStatus
from widgets.totals_bar import TotalsBar
from widgets.vma_table import VmaTable

DRAWN_WITH: Final = "8.2.8"

pytestmark = pytest.mark.skipif(
    textual.__version__ != DRAWN_WITH,
    reason=f"the pictures were taken with textual {DRAWN_WITH}; this is {textual.__version__}",
)

SIZES: Final = [(80, 24), (120, 40), (200, 60)]
MIB: Final = 1 << 20

Compare = Callable[..., bool]
Fill = Callable[[], None]

at_each_size = pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40", "200x60"])


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLUMNS", "LINES", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def compare(snap_compare: Compare) -> Callable[..., bool]:
    """Fill widgets once they are mounted, and compare their picture with the one kept."""

    def compare_filled(
        widgets: list[Widget], fill: Fill, size: tuple[int, int], theme: str = "textual-dark"
    ) -> bool:
        app = Stage(*widgets)
        app.theme = theme

        async def before(pilot: Pilot[None]) -> None:
            fill()
            await pilot.pause()

        return snap_compare(app, terminal_size=size, run_before=before)

    return compare_filled


@pytest.fixture
def ticks() -> list[Sample]:
    """Twenty ticks in which a few VMAs are written steadily, in bursts, or once."""
    count = len(MAPS.vmas)

    def written(tick: int) -> list[int]:
        pages = [0] * count
        pages[2] = 1
        pages[3] = 350 + 40 * (tick % 5)
        pages[6] = 30_000 if tick % 6 < 2 else 900
        pages[7] = 2000 + 100 * tick
        pages[12] = 3 if tick == 15 else 0
        return pages

    return [sample_of((MAPS, written(tick)), number=tick) for tick in range(1, 21)]


@pytest.fixture
def family() -> list[ProcessRow]:
    gib = 1 << 30
    postgres = "/usr/lib/postgresql/16/bin/postgres -D /var/lib/postgresql/16/main"
    return [
        Process(1, 0, "/sbin/init", 12 * MIB, user="root"),
        Process(2, 0, "[kthreadd]", 0, user="root", untrackable="kernel thread"),
        Process(15, 2, "[kworker/0:1]", 0, 0.1, user="root", untrackable="kernel thread"),
        Process(812, 1, "/usr/sbin/sshd -D", 8 * MIB, user="root"),
        Process(2210, 812, "sshd: alice@pts/0", 9 * MIB),
        Process(2214, 2210, "-bash", 6 * MIB, 0.3),
        Process(4242, 1, postgres, 900 * MIB, 12.5, user="postgres"),
        Process(4250, 4242, "postgres: checkpointer", 1200 * MIB, 45.1, user="postgres"),
        Process(4252, 4250, "postgres: 日本語データベース", 30 * MIB, 3.0, user="postgres"),
        Process(5000, 2214, "java -Xmx16g -jar service.jar", 7 * gib, 198.7, threads=77),
        Process(
            5101, 2214, "./a.out [bold]x[/foo] \x1b]0;PWNED\x07", MIB, untrackable="traced by 5100 (gdb)"
        ),
        Process(1234567, 1, "/lib/systemd/systemd-resolved", 22 * MIB, user="systemd-resolve"),
    ]


@at_each_size
def test_vma_table(compare: Compare, ticks: list[Sample], size: tuple[int, int]) -> None:
    table = VmaTable()

    def fill() -> None:
        table.focus()
        for sample in ticks:
            table.show_sample(sample)

    assert compare([table], fill, size)


@at_each_size
def test_process_table(compare: Compare, family: list[ProcessRow], size: tuple[int, int]) -> None:
    table = ProcessTable()

    def fill() -> None:
        table.focus()
        table.as_tree = True
        table.show_processes(family)
        table.move_cursor_to(ProcessIdentity(4242, 100))
        table.toggle_tag()
        table.move_cursor_to(ProcessIdentity(5000, 100))

    assert compare([table], fill, size)


def history() -> list[ChartPoint]:
    def point(at: int) -> ChartPoint:
        rate = 48 + 40 * math.sin(at / 6) + (60 if at % 17 == 0 else 0)
        is_gap = 40 < at < 46
        return ChartPoint(100.0 + at, math.nan if is_gap else rate * MIB, 12.0 * MIB * at)

    return [point(at) for at in range(90)]


@at_each_size
def test_rate_chart(compare: Compare, size: tuple[int, int]) -> None:
    chart = RateChart()
    marks = [ChartMark(140.0, "1"), ChartMark(160.0, "2"), ChartMark(182.0, "■")]
    assert compare([chart], lambda: chart.show_history(history(), marks), (size[0], size[1] // 3))


def status(state: TargetState) -> TargetStatus:
    return TargetStatus(
        4242, "postgres [bold]", state, 4, TrackerKind.WRITE_PROTECT, RateMode.REARMING, 3723.4, 1.0, 1.023,
        3.2, 0.012, 180,
    )  # fmt: skip


@at_each_size
def test_header_and_totals(compare: Compare, ticks: list[Sample], size: tuple[int, int]) -> None:
    headers = {state: TargetHeader() for state in TargetState}
    totals, empty = TotalsBar(), TotalsBar()

    def fill() -> None:
        for state, header in headers.items():
            header.show_status(status(state))
        totals.show_sample(ticks[-1])

    assert compare([*headers.values(), totals, empty], fill, (size[0], 24))


def links() -> list[LinkResult]:
    def link(
        number: int, kind: LinkKind, written: int, parent: int, stopped_us: int, seconds: float
    ) -> LinkResult:
        return LinkResult(
            number, kind, Path(f"chain/{number}"), Engine.MEMORY, written, parent, written * 4096,
            stopped_us, seconds / 2, seconds / 2, seconds, False,
        )  # fmt: skip

    return [
        link(1, LinkKind.PRE_DUMP, 131_072, 0, 0, 0.412),
        link(2, LinkKind.PRE_DUMP, 12_044, 119_028, 0, 0.061),
        link(3, LinkKind.DUMP, 3_120, 127_952, 14_230, 0.082),
    ]


@at_each_size
def test_chain_and_events(compare: Compare, size: tuple[int, int]) -> None:
    empty, running, done, log = ChainView(), ChainView(), ChainView(), EventLog()

    def fill() -> None:
        running.show_links(links()[:2])
        running.show_progress(LinkProgress("copying", 150 * MIB, 512 * MIB))
        done.show_links(links())
        log.add("12:01:07", "4250 joined: postgres: autovacuum")
        log.add("12:01:09", "4251 cannot be tracked: exiting", "warning")
        log.add("12:02:11", "pre-dump 3 failed: no space left [/x]; its pages are pending again", "error")

    assert compare([empty, running, done, log], fill, (size[0], 28))


@pytest.mark.parametrize("look", ["textual-light", "ansi-dark", "no colour"])
def test_other_looks(
    compare: Compare, ticks: list[Sample], look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if look == "no colour":
        monkeypatch.setenv("NO_COLOR", "1")
    header, totals, table, chart, chain = TargetHeader(), TotalsBar(), VmaTable(), RateChart(), ChainView()

    def fill() -> None:
        header.show_status(status(TargetState.ARMED))
        totals.show_sample(ticks[-1])
        table.focus()
        for sample in ticks:
            table.show_sample(sample)
        chart.show_history(history(), [ChartMark(140.0, "1")])
        chain.show_links(links())

    theme = "textual-dark" if look == "no colour" else look
    assert compare([header, totals, table, chart, chain], fill, (120, 50), theme)
