"""What stands around the heat map: names of mappings, the time axis, the legend, what the cursor is on."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import Final

from engine.printable import printable
from engine.tracking.sample import Sample
from engine.units import format_age, format_rate, say_bytes
from widgets.columns import Span
from widgets.heat_picture import HeatPicture, RowContent, content_of
from widgets.heat_ramp import LEVEL_BYTES_PER_S

_LABEL: Final = "heat-map--label"
_AXIS: Final = "heat-map--axis"
_READOUT: Final = "heat-map--readout"
_LONGEST_NAME: Final = 28


def empty_lines(text: str, width: int, height: int) -> list[list[Span]]:
    """A hint in the middle."""
    lines = wrap(text, max(width, 1))
    above: list[list[Span]] = [[] for _ in range(max(0, (height - len(lines)) // 2))]
    return [*above, *([Span(line.center(width), "heat-map--empty")] for line in lines)]


def label_of(content: RowContent, width: int) -> str:
    """A mapping's name as short as can be: a path's last part."""
    name = content.vma.name
    if name.startswith("/"):
        name = name.rpartition("/")[2] or name
    return printable(name)[:width]


def axis_line(picture: HeatPicture, width: int, left: int, cursor: int) -> list[Span]:
    """How long ago the columns were; the cursor's is marked unless it is the newest."""
    columns = picture.columns
    cells = [" "] * width
    first = width - len(columns)
    newest_s = columns[-1].time_s
    step = 20 if len(columns) >= 60 else 15
    for back in range(step, len(columns), step):
        at = width - 1 - back
        label = f"┬-{format_age(newest_s - columns[at - first].time_s)}"
        if at >= left and at + len(label) < width - 4:
            cells[at : at + len(label)] = label
    cells[max(left, width - 4) :] = " now"[-len(cells[max(left, width - 4) :]) :]
    if cursor == len(columns) - 1:
        return [Span("".join(cells), _AXIS)]
    at = first + cursor
    return [
        Span("".join(cells[:at]), _AXIS),
        Span("▲", "heat-map--cursor"),
        Span("".join(cells[at + 1 :]), _AXIS),
    ]


def legend_line(width: int, signs: str) -> list[Span]:
    """From which rate on each sign means what; a style that is a number is that level's."""
    rates = [say_bytes(rate).split() for rate in LEVEL_BYTES_PER_S]
    spans = [Span(signs[0], "0"), Span(" none  ", _AXIS)]
    unit_before = ""
    for level, (figure, unit) in enumerate(rates, 1):
        shown = figure.removesuffix(".0") + (f" {unit}/s" if unit != unit_before else "")
        unit_before = unit
        spans += [Span(signs[level], str(level)), Span(f" {shown}  ", _AXIS)]
    spans.append(Span("and more", _AXIS))
    if sum(len(span.text) for span in spans) <= width:
        return spans
    keys = [Span(sign, str(level)) for level, sign in enumerate(signs[1:], 1)]
    return [
        Span(signs[0], "0"),
        Span(" none  4 KiB/s ", _AXIS),
        *keys,
        Span(" 256 MiB/s, ×4 each", _AXIS),
    ]


def readout_line(
    picture: HeatPicture, row: int | None, column: int, sample: Sample | None, width: int, *, is_cursor: bool
) -> list[Span]:
    """What a row is, how fast it was written then, and when last; the address only where there is room."""
    if row is None:
        return [Span("nothing was written in the time in view", _LABEL)]
    content = content_of(picture, row, sample) if sample is not None else None
    rate = float(picture.rates[row, column])
    ago_s = picture.columns[-1].time_s - picture.columns[column].time_s
    when = "now" if ago_s <= 0 else f"{format_age(ago_s)} ago"
    speed = "no rate" if math.isnan(rate) else format_rate(rate)
    last_s = picture.last_write_s(row)
    if math.isnan(last_s):
        age = "not written in view"
    else:
        age = f"last written {format_age(last_s)} ago" if last_s > 0 else "written in the last tick"
    begin = [] if is_cursor else [Span("hottest: ", _LABEL)]
    name = [Span(_name_of(content), _READOUT)]
    others = [Span(f" and {content.others} more", _LABEL)] if content is not None and content.others else []
    figures = [Span("  "), Span(speed, "heat-map--rate"), Span(f" {when}", _LABEL)]
    told = [Span(f"   {age}", _LABEL)]
    address = [Span(f"   {content.start:x}-{content.end:x}", _LABEL)] if content is not None else []
    for spans in (
        [*begin, *name, *others, *figures, *told, *address],
        [*begin, *name, *others, *figures, *told],
        [*begin, *name, *figures, *told],
    ):
        if sum(len(span.text) for span in spans) <= width:
            return spans
    if last_s > 0:
        told = [Span(f"  last {format_age(last_s)} ago", _LABEL)]
    return [*name, *figures, *told]


def _name_of(content: RowContent | None) -> str:
    if content is None:
        return "memory that is no more"
    name = printable(content.vma.name)
    return name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :]
