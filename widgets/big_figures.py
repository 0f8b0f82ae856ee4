"""Figures three lines high, of box-drawing characters."""

from __future__ import annotations

from typing import Final

_GLYPHS: Final = {
    "0": ("┏━┓", "┃ ┃", "┗━┛"),
    "1": ("╺┓ ", " ┃ ", "╺┻╸"),
    "2": ("╺━┓", "┏━┛", "┗━╸"),
    "3": ("╺━┓", " ━┫", "╺━┛"),
    "4": ("╻ ╻", "┗━┫", "  ╹"),
    "5": ("┏━╸", "┗━┓", "╺━┛"),
    "6": ("┏━╸", "┣━┓", "┗━┛"),
    "7": ("╺━┓", "  ┃", "  ╹"),
    "8": ("┏━┓", "┣━┫", "┗━┛"),
    "9": ("┏━┓", "┗━┫", "╺━┛"),
    ".": (" ", " ", "▪"),
    "–": ("  ", "━━", "  "),
}


def big(figure: str) -> tuple[str, str, str]:
    """The three lines of a figure made of digits, a point, or a dash for none; all equally long."""
    glyphs = [_GLYPHS[character] for character in figure]
    upper, middle, lower = ("".join(glyph[line] for glyph in glyphs) for line in range(3))
    return upper, middle, lower
