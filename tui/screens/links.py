"""The links of a chain in full: a flow of boxes, what each cost and holds, and how to restore it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from textwrap import wrap
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.checkpoint.kinds import kind_of
from engine.checkpoint.link import LinkResult
from engine.errors import BadImage
from engine.images.areas import Area
from engine.printable import printable
from engine.units import format_count, format_duration, say_bytes
from tui.desk import Desk
from tui.keys import HELP, key
from tui.screens.maker_log import show_maker_log
from tui.screens.restore import copy_restore
from tui.targets.target import Target
from tui.words import link_name, restore_command, stopped, verdict
from widgets.area_table import AreaTable
from widgets.chain_flow import ChainFlow
from widgets.line_table import LineTable

_LEAST_ROOM: Final = 24
_UNLIMITED: Final = 10_000


class LinksScreen(ModalScreen[None]):
    """The chain from left to right; below it every figure of the link under the cursor, and its areas.

    Where there are too few lines for both, Enter turns from the figures to the areas and back.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,q,l", "back", "Close", "app.close", "Back to the chain, or close", shown="esc"),
        key("L", "maker_log", "CRIU's log", "checkpoint.maker_log", "CRIU's log of this link"),
        key("y", "copy_restore", "Copy restore", "checkpoint.copy", "Copy the command that restores this"),
        key("s,greater_than_sign", "sort(1)", "Sort", "table.sort_next", "Sort areas by the next column"),
        key("I", "reverse_sort", "Reverse", "table.reverse", "Reverse the order of areas"),
        HELP,
    ]
    AUTO_FOCUS = "ChainFlow"

    shows_areas: reactive[bool] = reactive(False, init=False)
    """Whether the areas were opened."""

    class AreasRead(Message):
        """What the images of a link say, or why they cannot be read."""

        def __init__(self, link: LinkResult, areas: tuple[Area, ...], problem: str) -> None:
            super().__init__()
            self.link = link
            self.areas = areas
            self.problem = problem

    def __init__(self, desk: Desk, target: Target) -> None:
        super().__init__()
        self._desk = desk
        self._target = target
        self._links: tuple[LinkResult, ...] = ()
        self._shown: LinkResult | None = None

    def compose(self) -> ComposeResult:
        """The flow, the figures, the areas."""
        with Vertical(classes="dialog wide links") as dialog:
            dialog.border_title = Content(f"chain of {self._target.name}")
            dialog.border_subtitle = Content("←→ another link · Enter its areas · y copies its restore · Esc")
            yield ChainFlow(id="flow")
            with VerticalScroll(id="facts", can_focus=False):
                yield Static("", markup=False)
            yield AreaTable(id="areas")

    def on_mount(self) -> None:
        """Begin with the newest link, and follow the chain."""
        self.app.clear_notifications()  # one of them tells what is told here, over it
        self.watch(self.app, "shown", self._show_links)

    def _show_links(self) -> None:
        facts, flow = self._target.facts, self.query_one(ChainFlow)
        if facts.links != self._links:
            self._links = facts.links
            flow.show_links(facts.links, *self._page_bytes)
            self._show_link()
        flow.show_progress(facts.progress)

    @property
    def _page_bytes(self) -> tuple[int, ...]:
        """How large a page is, if that is known."""
        sample = self._target.facts.live.sample
        return (sample.page_bytes,) if sample is not None else ()

    @on(ChainFlow.Moved)
    def _show_link(self) -> None:
        """The figures of the link under the cursor, and, as soon as they are read, its areas."""
        link = self.query_one(ChainFlow).cursor_link
        if link is None or link is self._shown:
            return
        self._shown = link
        self._tell_facts()
        self.query_one("#facts").scroll_home(animate=False)
        table = self.query_one(AreaTable)
        table.border_title = Content(f"areas of {link_name(link)}")
        table.empty_text = "reading its images …"
        table.show_areas(())
        sample = self._target.facts.live.sample
        maps = {process.pid: process.maps for process in sample.processes} if sample else {}

        def read() -> None:
            try:
                areas, problem = self._desk.backend.read_areas(link.path, maps), ""
            except BadImage as error:
                areas, problem = (), error.message
            self.post_message(self.AreasRead(link, areas, problem))

        # A thread of its own, because the disk may be slow.
        threading.Thread(target=read, name="read areas", daemon=True).start()

    def _tell_facts(self) -> None:
        if self._shown is not None:
            width = self.query_one("#facts").scrollable_content_region.width
            self.query_one("#facts Static", Static).update(link_facts(self._shown, width))

    def on_resize(self) -> None:
        """Break lines again, once the dialog has its new size."""
        self.call_after_refresh(self._tell_facts)

    @on(AreasRead)
    def _areas_read(self, message: AreasRead) -> None:
        if message.link is not self._shown:
            return
        table = self.query_one(AreaTable)
        table.empty_text = printable(message.problem) or "it holds no pages"
        table.show_areas(message.areas, *self._page_bytes)

    # What can be done.

    @on(ChainFlow.Opened)
    def _open(self) -> None:
        self._show_link()
        self.shows_areas = True
        self.query_one(AreaTable).focus()

    @on(LineTable.RowSelected)
    def action_back(self) -> None:
        """From the areas to the chain; from the chain out."""
        if self.shows_areas:
            self.shows_areas = False
            self.query_one(ChainFlow).focus()
        else:
            self.dismiss()

    def watch_shows_areas(self) -> None:
        """Where there is room for one of the two only, it is the other's turn."""
        self.set_class(self.shows_areas, "-areas")

    @property
    def _chosen(self) -> LinkResult:
        return self.query_one(ChainFlow).cursor_link or self._target.facts.links[-1]

    def action_sort(self, step: int) -> None:
        """Sort the areas by the next column."""
        self.query_one(AreaTable).cycle_sort(step)

    def action_reverse_sort(self) -> None:
        """Turn their order round."""
        self.query_one(AreaTable).reverse_sort()

    def action_copy_restore(self) -> None:
        """Copy the restore command of the link under the cursor."""
        if self._chosen.restorable:
            copy_restore(self.app, self._desk, self._chosen)
        else:
            self._desk.tell(f"{link_name(self._chosen)} cannot be restored from.", severity="warning")

    def action_maker_log(self) -> None:
        """Show the log of the link under the cursor."""
        show_maker_log(self.app, self._desk, self._desk.backend.find_log(self._chosen.path))


def link_facts(result: LinkResult, width: int = 0) -> Content:
    """All of a link's figures, a line each; in so many cells long ones go on below where they began."""
    lines = [Content.styled(f"{link_name(result)} · {kind_of(result.engine).label}", "bold $primary")]
    facts = list(_facts(result))
    facts += [("not held", text) for text in result.not_held]
    facts += [("note", text) for text in result.notes]
    label = max(len(name) for name, _ in facts)
    room = width - label - 4 if width > label + _LEAST_ROOM else _UNLIMITED
    for name, text in facts:
        style = "$warning" if name in ("not held", "note") else "$foreground 60%"
        first, *more = wrap(printable(text), room, break_on_hyphens=False) or [""]
        lines.append(Content.assemble((f"  {name.rjust(label)}  ", style), first))
        lines += [Content(" " * (label + 4) + line) for line in more]
    return Content("\n").join(lines)


def _facts(result: LinkResult) -> Iterator[tuple[str, str]]:
    yield "in", str(result.path)
    yield "written", f"{say_bytes(result.size_bytes)} ({format_count(result.pages_written)} pages)"
    yield "in its parent", f"{format_count(result.pages_in_parent)} pages"
    yield "target", stopped(result).removeprefix("target ")
    if result.copy_s is not None:
        speed = f" ({say_bytes(result.size_bytes / result.copy_s)}/s)" if result.copy_s > 0 else ""
        yield "copying", format_duration(result.copy_s) + speed
    if result.sync_s is not None:
        yield "making it durable", format_duration(result.sync_s)
    if result.seconds is not None:
        yield "in all", format_duration(result.seconds)
    yield "restorable", verdict(result)
    if result.restorable:
        yield "restore it with", restore_command(result)
