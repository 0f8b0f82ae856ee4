"""One animated SVG made of many pictures of a terminal, as Textual exports them.

Each line of the terminal is drawn once for each content it had, and shown while it had it: most lines
stay as they are from one picture to the next, so a minute fits into a few hundred kilobytes.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

_SVG: Final = "{http://www.w3.org/2000/svg}"
_LINE_HEIGHT: Final = 24.4
_STYLE: Final = re.compile(r"\.(terminal-\d+)-(r\d+) \{ ([^}]*) \}")
_RECTANGLES_AT: Final = 1.5
_TEXTS_AT: Final = 20.0
"""Where the first line has them, in the picture's own units."""
_BLANK: Final = "\N{NO-BREAK SPACE} \n"


@dataclass
class Animation:
    """Pictures of one terminal, each shown for a time."""

    _rows: dict[int, dict[str, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    """For each line its contents, and in which pictures it had them."""
    _styles: dict[str, str] = field(default_factory=dict)
    """Names of styles, by what they say."""
    _ends_s: list[float] = field(default_factory=list)
    _ground: str = ""
    """The colour that is not drawn, for it is behind everything."""
    _frame: str = ""
    """The first picture: its window is that of all."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self._ends_s[-1] if self._ends_s else 0.0

    def add(self, svg: str, seconds: float) -> None:
        """Show this picture for a time, after those that are there. All must be of one size."""
        root = ElementTree.fromstring(svg)
        styles = self._names_of(svg)
        colours: dict[int, list[tuple[str, float, float]]] = defaultdict(list)
        texts: dict[int, list[str]] = defaultdict(list)
        for element in _matrix(root).iter():
            if element.tag == f"{_SVG}rect":
                x, width = float(element.get("x", "0")), float(element.get("width", "0"))
                colours[_row(element, _RECTANGLES_AT)].append((element.get("fill", ""), x, x + width))
            elif element.tag == f"{_SVG}text" and (element.text or "").strip(_BLANK):
                texts[_row(element, _TEXTS_AT)].append(_text(element, styles))
        if not self._ground:
            fills = Counter(fill for row in colours.values() for fill, _, _ in row)
            self._ground = fills.most_common(1)[0][0]
        for row in sorted(colours.keys() | texts.keys()):
            content = self._rectangles(row, colours[row]) + "".join(texts[row])
            self._rows[row].setdefault(content, []).append(len(self._ends_s))
        self._frame = self._frame or svg
        self._ends_s.append(self.seconds + seconds)

    def save(self, path: Path) -> None:
        """Write it. Where nothing is animated, the last picture shows."""
        head, after = self._frame.split("</style>", 1)
        (identity,) = {match[1] for match in _STYLE.finditer(head)}
        window = after[: after.rindex("</defs>")]
        chrome = after[after.rindex("</defs>") : after.index('<g transform="translate(9, 41)"')]
        styles = "\n".join(f".{name} {{ {style} }}" for style, name in self._styles.items())
        rows = "\n".join(
            f'<g clip-path="url(#{identity}-line-{row})">{self._variants(row)}</g>'
            for row in sorted(self._rows)
        )
        path.write_text(
            f"{_STYLE.sub('', head).rstrip()}\n{styles}\n</style>{window}{chrome}"
            f'<g transform="translate(9, 41)" clip-path="url(#{identity}-clip-terminal)">\n'
            f'<rect fill="{self._ground}" width="100%" height="100%"/>\n'
            f'<g class="{identity}-matrix">\n{rows}\n</g></g></svg>\n',
            "utf-8",
        )

    def _names_of(self, svg: str) -> dict[str, str]:
        """Our names of a picture's styles, by its own."""
        names = {}
        for _, name, style in _STYLE.findall(svg):
            names[name] = self._styles.setdefault(style.strip(), f"s{len(self._styles)}")
        return names

    def _rectangles(self, row: int, colours: list[tuple[str, float, float]]) -> str:
        """The backgrounds of a line, those that are side by side and of one colour as one."""
        merged: list[tuple[str, float, float]] = []
        for fill, start, end in colours:
            if merged and merged[-1][0] == fill and abs(merged[-1][2] - start) < 0.5:
                merged[-1] = (fill, merged[-1][1], end)
            else:
                merged.append((fill, start, end))
        y = _RECTANGLES_AT + row * _LINE_HEIGHT
        return "".join(
            f'<rect fill="{fill}" x="{start:g}" y="{y:g}" width="{end - start:g}" height="{_LINE_HEIGHT}"/>'
            for fill, start, end in merged
            if fill != self._ground
        )

    def _variants(self, row: int) -> str:
        return "".join(
            f"<g{self._visibility(pictures)}{text}</g>" for text, pictures in self._rows[row].items()
        )

    def _visibility(self, pictures: list[int]) -> str:
        """The rest of a group's tag, and what shows it while it is the case."""
        count = len(self._ends_s)
        if len(pictures) == count:
            return ">"
        shown = ["inline" if at in pictures else "none" for at in range(count)]
        changes = [0, *(at for at, (before, now) in enumerate(pairwise(shown), 1) if before != now)]
        starts_s = [0.0, *self._ends_s]
        times = ";".join(f"{starts_s[at] / self.seconds:.5g}" for at in changes)
        values = ";".join(shown[at] for at in changes)
        return (
            f' display="{shown[-1]}"><animate attributeName="display" values="{values}" keyTimes="{times}"'
            f' dur="{self.seconds:g}s" calcMode="discrete" repeatCount="indefinite"/>'
        )


def _matrix(root: ElementTree.Element) -> ElementTree.Element:
    """The group with the terminal's cells."""
    return next(group for group in root if group.get("transform") == "translate(9, 41)")


def _row(element: ElementTree.Element, first: float) -> int:
    return round((float(element.get("y", "0")) - first) / _LINE_HEIGHT)


def _text(element: ElementTree.Element, styles: dict[str, str]) -> str:
    name = styles[(element.get("class") or "").rpartition("-")[2]]
    text = (element.text or "").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    place = " ".join(f'{key}="{element.get(key)}"' for key in ("x", "y", "textLength"))
    return f'<text class="{name}" {place}>{text}</text>'
