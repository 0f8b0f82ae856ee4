"""The table of VMAs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.widgets.stage import MAPS, Stage, maps_of, sample_of
from widgets.trend import BARS, TrendRing, bars, tall_bars
from widgets.vma_rows import MapsIndex
from widgets.vma_table import VmaIdentity, VmaTable

THREE = """\
10000-20000 rw-p 00000000 00:00 0 [heap]
30000-40000 r-xp 00000000 fd:00 7 /usr/lib/libc.so.6
50000-60000 rw-p 00000000 00:00 0 [stack]"""


def text_of(table: VmaTable) -> list[str]:
    return [table.render_line(y).text for y in range(table.size.height)]


def starts_of(table: VmaTable) -> list[int]:
    return [identity.start for identity in table.shown_identities if isinstance(identity, VmaIdentity)]


async def test_the_hottest_come_first_and_equals_by_address() -> None:
    table = VmaTable()
    async with Stage(table).run_test(size=(120, 20)):
        maps = maps_of(THREE)
        table.show_sample(sample_of((maps, [0, 0, 9])))
        assert starts_of(table) == [0x50000, 0x10000, 0x30000]
        table.show_sample(sample_of((maps, [5, 0, 5])))
        assert starts_of(table) == [0x10000, 0x50000, 0x30000]
        table.reverse_sort()
        assert starts_of(table) == [0x30000, 0x10000, 0x50000]


async def test_the_cursor_follows_its_vma_through_ticks_once_it_was_moved() -> None:
    table = VmaTable()
    async with Stage(table).run_test(size=(120, 20)) as pilot:
        maps = maps_of(THREE)
        table.focus()
        table.show_sample(sample_of((maps, [3, 2, 1])))
        table.show_sample(sample_of((maps, [1, 2, 3])))
        assert table.cursor_identity == VmaIdentity(4242, 0x50000), "untouched, it stays on top"
        await pilot.press("down", "down")
        assert table.cursor_identity == VmaIdentity(4242, 0x10000)
        table.show_sample(sample_of((maps, [3, 2, 1])))
        assert (table.cursor_identity, table.cursor_index) == (VmaIdentity(4242, 0x10000), 0)
        grown = maps_of(THREE.replace("10000-20000", "10000-24000").replace("50000-60000", "4f000-60000"))
        table.show_sample(sample_of((grown, [1, 2, 3])))
        assert (table.cursor_identity, table.cursor_index) == (VmaIdentity(4242, 0x10000), 2)


async def test_a_filter_finds_names_kinds_perms_and_addresses() -> None:
    table = VmaTable()
    async with Stage(table).run_test(size=(120, 20)):
        table.sort_by("address", False)
        table.show_sample(sample_of((maps_of(THREE), [0, 0, 9])))
        found = {}
        for text in (
            "LIBC",
            "heap",
            "rw-p",
            "rw-p stack",
            "file private",
            "30000",
            "0x35abc",
            "5",
            "nothing",
            " ",
        ):
            table.filter_text = text
            found[text] = starts_of(table)
        assert found == {
            "LIBC": [0x30000],
            "heap": [0x10000],
            "rw-p": [0x10000, 0x50000],
            "rw-p stack": [0x50000],
            "file private": [0x30000],
            "30000": [0x30000],
            "0x35abc": [0x30000],
            "5": [0x50000],
            "nothing": [],
            " ": [0x10000, 0x30000, 0x50000],
        }


async def test_hot_only_leaves_what_was_written_in_the_last_tick() -> None:
    table = VmaTable()
    async with Stage(table).run_test(size=(120, 20)):
        maps = maps_of(THREE)
        table.show_sample(sample_of((maps, [0, 0, 9])))
        table.hot_only = True
        assert starts_of(table) == [0x50000]
        table.show_sample(sample_of((maps, [1, 0, 0])))
        assert starts_of(table) == [0x10000]
        table.show_sample(sample_of((maps, [0, 0, 0])))
        assert "nothing was written" in text_of(table)[2]
        table.hot_only = False
        assert table.shown_count == 3


async def test_a_pid_is_shown_once_there_is_more_than_one_process() -> None:
    table = VmaTable()
    async with Stage(table).run_test(size=(120, 20)) as pilot:
        maps, other = maps_of(THREE), maps_of(THREE)
        table.show_sample(sample_of((maps, [0, 0, 9])))
        await pilot.pause()
        assert "pid" not in table.visible_columns
        table.show_sample(sample_of((maps, [0, 0, 9]), (other, [1, 0, 0])))
        await pilot.pause()
        assert table.visible_columns[0] == "pid"
        assert [line.split()[:2] for line in text_of(table)[1:3]] == [
            ["4242", "000000050000"],
            ["4243", "000000010000"],
        ]
        table.sort_by("pid", False)
        assert [identity.pid for identity in table.shown_identities if isinstance(identity, VmaIdentity)] == (
            [4242] * 3 + [4243] * 3
        )


async def test_the_end_of_the_target_and_its_forgetting_are_said() -> None:
    table = VmaTable()
    async with Stage(table).run_test(size=(80, 10)):
        assert "waiting for the first tick" in text_of(table)[2]
        table.show_sample(sample_of())
        assert "has exited" in text_of(table)[2]
        table.clear()
        assert table.row_count == 0


@pytest.mark.parametrize(
    "column",
    [
        "address",
        "perms",
        "size",
        "present",
        "written",
        "rate",
        "trend",
        "armed",
        "pending",
        "age",
        "kind",
        "name",
        "pid",
    ],
)
@pytest.mark.parametrize("descending", [False, True])
async def test_every_column_sorts_and_loses_no_row(
    column: str,
    descending: bool,
) -> None:
    table = VmaTable()
    async with Stage(table).run_test(size=(200, 30)):
        written = [at % 4 for at in range(len(MAPS.vmas))]
        table.show_sample(sample_of((MAPS, written), (MAPS, written)))
        table.sort_by(column, descending)
        assert len(set(table.shown_identities)) == len(table.shown_identities) == 2 * len(MAPS.vmas)


@pytest.mark.parametrize("width", [30, 80, 100, 120, 200])
async def test_hostile_names_are_literal_and_never_overflow(
    width: int,
) -> None:
    table = VmaTable()
    async with Stage(table).run_test(size=(width, 30), notifications=True) as pilot:
        table.show_sample(sample_of((MAPS, [0] * len(MAPS.vmas))))
        await pilot.pause()
        strips = [table.render_line(y) for y in range(table.size.height)]
        assert {strip.cell_length for strip in strips} == {table.scrollable_content_region.width}
        text = "\n".join(strip.text for strip in strips)
        assert "\x1b" not in text
        assert "\x07" not in text
        if width == 200:
            assert "[bold red]x[/foo]␛]0;PWNED␇[@click=app.quit]y" in text
            assert "日本語" in text
            assert not any(style.meta.get("@click") for strip in strips for _, style, _ in strip if style)


async def test_at_80_columns_the_essential_ones_are_there_and_at_200_all() -> None:
    sample = sample_of((MAPS, [0] * len(MAPS.vmas)))
    shown = {}
    for width in (80, 120, 200):
        table = VmaTable()
        async with Stage(table).run_test(size=(width, 24)):
            table.show_sample(sample)
            shown[width] = set(table.visible_columns)
    assert shown[80] == {"address", "size", "rate", "trend", "armed", "name"}
    assert shown[120] == shown[80] | {"perms", "present", "pending"}
    assert shown[200] == shown[120] | {"written", "age", "kind"}


async def test_65000_vmas_show_the_right_rows() -> None:
    count = 65_000
    maps = maps_of(
        "\n".join(
            f"{at * 0x3000:x}-{at * 0x3000 + 0x2000:x} rw-p 00000000 00:00 0" for at in range(1, count + 1)
        )
    )
    table = VmaTable()
    async with Stage(table).run_test(size=(200, 30)) as pilot:
        for seed in range(3):
            written = np.random.default_rng(seed).integers(0, 1 << 40, count)
            table.show_sample(sample_of((maps, written.tolist()), number=seed + 1))
        await pilot.pause()
        hottest = [maps.vmas[at].start for at in np.argsort(-written, kind="stable")[:29]]
        assert [int(line.split("-")[0], 16) for line in text_of(table)[1:]] == hottest
        assert table.shown_count == count


def test_a_trend_is_kept_by_the_vma_when_the_maps_change() -> None:
    before = MapsIndex(sample_of((maps_of(THREE), [0, 0, 0])).processes)
    changed = maps_of(
        "8000-9000 rw-p 00000000 00:00 0\n"
        "10000-24000 rw-p 00000000 00:00 0 [heap]\n"
        "4f000-60000 rw-p 00000000 00:00 0 [stack]"
    )
    after = MapsIndex(sample_of((changed, [0, 0, 0])).processes)
    assert after.rows_before(before).tolist() == [-1, 0, 2]

    ring = TrendRing(4)
    ring.remap(before.rows_before(MapsIndex(())))
    for tick in range(1, 6):
        ring.push(np.array([tick, 10.0 * tick, 100.0 * tick]))
    ring.remap(after.rows_before(before))
    ring.push(np.array([7.0, 8.0, 9.0]))
    assert ring.of(0).tolist() == [0, 0, 0, 7]
    assert ring.of(1).tolist() == [3, 4, 5, 8]
    assert ring.of(2).tolist() == [300, 400, 500, 9]


def test_the_same_sample_shown_again_adds_nothing_to_the_trend() -> None:
    table = VmaTable()
    sample = sample_of((maps_of(THREE), [4, 0, 0]))
    for _ in range(3):
        table.show_sample(sample)
    assert table._trends.of(0).tolist()[-2:] == [0, 4 * 4096]


def test_bars_show_anything_and_blank_only_nothing() -> None:
    figures = np.array([0, 0.001, 50, 100], np.float32)
    assert bars(figures, 6) == "   ▁▃▆"
    assert bars(figures, 2) == "▃▆"
    assert bars(np.zeros(4, np.float32), 4) == "    "
    assert bars(figures, 0) == ""
    assert tall_bars(figures, 4, 2) == ["   █", " ▁██"]
    assert bars(np.array([np.inf, np.nan, 1.0], np.float32), 3) == "  ▆"
    assert set("".join(tall_bars(np.array([np.nan, 1.0], np.float32), 2, 3))) <= set(BARS)


async def test_the_first_tick_has_no_rates_and_changes_no_unit() -> None:
    at_once = replace(sample_of((maps_of(THREE), [0, 0, 9])), number=0, elapsed_s=2e-6, interval_s=1e-6)
    table = VmaTable()
    async with Stage(table).run_test(size=(120, 20)):
        table.show_sample(at_once)
        assert "rate MiB/s" in text_of(table)[0]
        assert starts_of(table)[0] == 0x50000, "what was written comes first all the same"
