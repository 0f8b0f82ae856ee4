"""The table of processes."""

from __future__ import annotations

from typing import Any

import pytest
from textual import on
from textual.app import App, ComposeResult

from tests.widgets.stage import Process
from widgets.process_table import ProcessIdentity, ProcessRow, ProcessTable


class Picker(App[None]):
    """The table, and what it says of tags."""

    def __init__(self) -> None:
        super().__init__()
        self.table = ProcessTable()
        self.tags: list[tuple[set[int], list[int]]] = []

    def compose(self) -> ComposeResult:
        yield self.table

    @on(ProcessTable.TagsChanged)
    def note(self, event: ProcessTable.TagsChanged) -> None:
        self.tags.append((set(event.tagged_pids), [root.pid for root in event.roots]))


@pytest.fixture
def family() -> tuple[ProcessRow, ...]:
    """1 → 10 → (11 → 12, 13); 1 → 20; 2 is a kernel thread."""
    return (
        Process(1, 0, "/sbin/init", rss_bytes=5),
        Process(2, 0, "[kthreadd]", rss_bytes=0, untrackable="kernel thread"),
        Process(10, 1, "/usr/bin/postgres -D /data", rss_bytes=40, cpu_percent=3.0),
        Process(11, 10, "postgres: writer", rss_bytes=30, user="bob"),
        Process(12, 11, "postgres: helper", rss_bytes=20, untrackable="traced by 99 (gdb)"),
        Process(13, 10, "postgres: 日本語", rss_bytes=50),
        Process(20, 1, "java -jar x.jar", rss_bytes=60, cpu_percent=99.0),
    )


def pids_of(table: ProcessTable) -> list[int]:
    return [identity.pid for identity in table.shown_identities if isinstance(identity, ProcessIdentity)]


def text_of(table: ProcessTable) -> list[str]:
    return [table.render_line(y).text.rstrip() for y in range(table.size.height)]


async def test_the_largest_come_first_and_every_column_sorts(family: tuple[ProcessRow, ...]) -> None:
    app = Picker()
    async with app.run_test(size=(120, 20)):
        table = app.table
        table.show_processes(family)
        assert pids_of(table) == [20, 13, 10, 11, 12, 1, 2]
        orders: dict[str, Any] = {}
        for column in ("pid", "cpu", "user", "command", "threads", "tag", "note"):
            table.sort_by(column, False)
            orders[column] = pids_of(table)
        assert orders["pid"] == [1, 2, 10, 11, 12, 13, 20]
        assert orders["cpu"] == [1, 2, 11, 12, 13, 10, 20]
        assert orders["user"] == [1, 2, 10, 12, 13, 20, 11]
        assert orders["command"] == [1, 10, 2, 20, 12, 11, 13]
        assert orders["threads"] == orders["tag"] == orders["pid"]
        assert orders["note"] == [1, 10, 11, 13, 20, 2, 12]


async def test_as_a_tree_each_is_under_its_parent_with_guides(family: tuple[ProcessRow, ...]) -> None:
    app = Picker()
    async with app.run_test(size=(120, 20)) as pilot:
        table = app.table
        table.sort_by("pid", False)
        table.show_processes(reversed_rows(family))
        table.as_tree = True
        await pilot.pause()
        assert pids_of(table) == [1, 10, 11, 12, 13, 20, 2]
        commands = [line[line.index("1  ", 30) + 3 :] for line in text_of(table)[1:8]]
        assert [command.split("   ")[0] for command in commands] == [
            "/sbin/init",
            "├─/usr/bin/postgres -D /data",
            "│ ├─postgres: writer",
            "│ │ └─postgres: helper",
            "│ └─postgres: 日本語",
            "└─java -jar x.jar",
            "[kthreadd]",
        ]
        table.sort_by("rss", True)
        assert pids_of(table) == [1, 20, 10, 13, 11, 12, 2]


def reversed_rows(rows: tuple[ProcessRow, ...]) -> tuple[ProcessRow, ...]:
    return tuple(reversed(rows))


async def test_a_filter_finds_commands_users_and_pids_and_keeps_ancestors_in_a_tree(
    family: tuple[ProcessRow, ...],
) -> None:
    app = Picker()
    async with app.run_test(size=(120, 20)):
        table = app.table
        table.sort_by("pid", False)
        table.show_processes(family)
        found = {}
        for text in ("POSTGRES", "bob", "1", "helper alice", "[kthr"):
            table.filter_text = text
            found[text] = pids_of(table)
        assert found == {
            "POSTGRES": [10, 11, 12, 13],
            "bob": [11],
            "1": [1, 10, 11, 12, 13],
            "helper alice": [12],
            "[kthr": [2],
        }
        table.as_tree = True
        table.filter_text = "helper"
        assert pids_of(table) == [1, 10, 11, 12]


async def test_a_tag_takes_descendants_along_but_not_those_that_cannot_be_tracked(
    family: tuple[ProcessRow, ...],
) -> None:
    app = Picker()
    async with app.run_test(size=(120, 20)) as pilot:
        table = app.table
        table.show_processes(family)
        table.focus()
        table.move_cursor_to(ProcessIdentity(10, 100))
        await pilot.press("space")
        assert table.tagged_pids == {10, 11, 13}
        assert table.cursor_identity == ProcessIdentity(11, 100), "space goes on to the next row"
        await pilot.press("space")
        assert table.tagged_roots == (ProcessIdentity(10, 100),), "a child of what is tagged is no root"
        signs = {int(line[4:11]): line[1] for line in text_of(table)[1:8]}
        assert signs == {20: " ", 13: "○", 10: "●", 11: "●", 12: " ", 1: " ", 2: " "}
        table.move_cursor_to(ProcessIdentity(10, 100))
        table.toggle_tag()
        assert table.tagged_roots == (ProcessIdentity(11, 100),)
        table.clear_tags()
        await pilot.pause()
        assert app.tags == [({10, 11, 13}, [10]), ({11}, [11]), (set(), [])]


async def test_what_cannot_be_tracked_cannot_be_tagged_and_says_why(family: tuple[ProcessRow, ...]) -> None:
    app = Picker()
    async with app.run_test(size=(120, 20)) as pilot:
        table = app.table
        table.show_processes(family)
        await pilot.pause()
        table.move_cursor_to(ProcessIdentity(12, 100))
        table.toggle_tag()
        assert table.tagged_pids == frozenset()
        assert text_of(table)[5].endswith("traced by 99 (gdb)")


async def test_tags_follow_processes_that_come_and_go(
    family: tuple[ProcessRow, ...],
) -> None:
    app = Picker()
    async with app.run_test(size=(120, 20)) as pilot:
        table = app.table
        table.show_processes(family)
        table.move_cursor_to(ProcessIdentity(10, 100))
        table.toggle_tag()
        table.show_processes((*family, Process(30, 13, "new child")))
        assert 30 in table.tagged_pids
        table.show_processes([row for row in family if row.pid != 10])
        assert table.tagged_pids == frozenset()
        reused = Process(10, 1, "another program", start_ticks=999)
        table.show_processes([reused, *(row for row in family if row.pid != 10)])
        await pilot.pause()
        assert table.tagged_pids == frozenset(), "the pid is used again; the tag was of another process"
        assert [roots for _, roots in app.tags] == [[10], [10], []]


async def test_the_cursor_sticks_to_its_process_as_the_list_refreshes(
    family: tuple[ProcessRow, ...],
) -> None:
    app = Picker()
    async with app.run_test(size=(120, 20)):
        table = app.table
        table.show_processes(family)
        assert table.cursor_identity == ProcessIdentity(20, 100)
        table.show_processes((Process(5, 1, "huge", rss_bytes=1 << 40), *family))
        assert table.cursor_identity == ProcessIdentity(20, 100), "even if it was never moved"
        assert table.cursor_row is not None
        assert table.cursor_row.command == "java -jar x.jar"
        reused = [
            Process(20, 1, "another", rss_bytes=1, start_ticks=999) if row.pid == 20 else row
            for row in family
        ]
        table.show_processes(reused)
        assert table.cursor_identity != ProcessIdentity(20, 999)


async def test_hostile_commands_are_literal() -> None:
    hostile = [
        "[bold red]x[/foo]",
        "\x1b]0;PWNED\x07",
        "[@click=app.quit]y[/]",
        "two\nlines",
        "x" * 5000,
        "日本語" * 100,
        "",
        " ",
        "/",
        "\udcff\u202ebidi",
    ]
    app = Picker()
    async with app.run_test(size=(100, 20), notifications=True) as pilot:
        app.table.sort_by("pid", False)
        rows = [Process(at + 1, at, command) for at, command in enumerate(hostile)]
        for app.table.as_tree in (False, True):
            app.table.show_processes(rows)
            await pilot.pause()
            strips = [app.table.render_line(y) for y in range(app.table.size.height)]
            assert {strip.cell_length for strip in strips} == {app.table.scrollable_content_region.width}
            text = "\n".join(strip.text for strip in strips)
            assert not set("\x1b\x07\x0a\u202e\udcff") & set(text.replace("\n", ""))
            assert "[bold red]x[/foo]" in text
            assert "␛]0;PWNED␇" in text
            assert "[@click=app.quit]y[/]" in text
            assert "two␊lines" in text


async def test_a_circle_of_parents_which_a_race_can_show_loses_nobody() -> None:
    app = Picker()
    async with app.run_test(size=(100, 20)):
        app.table.as_tree = True
        app.table.show_processes([Process(5, 7), Process(6, 5), Process(7, 6), Process(8, 7), Process(9, 9)])
        assert sorted(pids_of(app.table)) == [5, 6, 7, 8, 9]
        app.table.move_cursor_to(ProcessIdentity(5, 100))
        app.table.toggle_tag()
        assert app.table.tagged_pids == {5, 6, 7, 8}


@pytest.mark.parametrize("width", range(70, 96))
async def test_a_program_is_named_whole_before_its_directory_is(width: int) -> None:
    app = Picker()
    async with app.run_test(size=(width, 5)):
        app.table.show_processes(
            [Process(7, 1, "/opt/work/python/bin/python -m http.server --directory /srv")]
        )
        assert "python " in text_of(app.table)[1] or "python…" in text_of(app.table)[1]
