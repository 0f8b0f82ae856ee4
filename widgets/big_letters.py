"""Words and figures of blocks, three or five lines high: to be read across a room."""

from __future__ import annotations

from typing import Final

_GLYPHS: Final = {
    "A": (" # ", "# #", "###", "# #", "# #"), "B": ("## ", "# #", "## ", "# #", "## "),
    "C": ("###", "#  ", "#  ", "#  ", "###"), "D": ("## ", "# #", "# #", "# #", "## "),
    "E": ("###", "#  ", "## ", "#  ", "###"), "F": ("###", "#  ", "## ", "#  ", "#  "),
    "G": ("####", "#   ", "# ##", "#  #", "####"), "H": ("# #", "# #", "###", "# #", "# #"),
    "I": ("#", "#", "#", "#", "#"), "K": ("# #", "# #", "## ", "# #", "# #"),
    "L": ("#  ", "#  ", "#  ", "#  ", "###"), "M": ("#   #", "## ##", "# # #", "#   #", "#   #"),
    "N": ("#   #", "##  #", "# # #", "#  ##", "#   #"), "O": ("###", "# #", "# #", "# #", "###"),
    "P": ("###", "# #", "###", "#  ", "#  "), "R": ("###", "# #", "## ", "# #", "# #"),
    "S": ("###", "#  ", "###", "  #", "###"), "T": ("###", " # ", " # ", " # ", " # "),
    "U": ("# #", "# #", "# #", "# #", "###"), "V": ("# #", "# #", "# #", "# #", " # "),
    "W": ("#   #", "#   #", "# # #", "## ##", "#   #"), "Y": ("# #", "# #", " # ", " # ", " # "),
    "-": ("  ", "  ", "##", "  ", "  "), " ": ("  ", "  ", "  ", "  ", "  "),
    "0": ("###", "# #", "# #", "# #", "###"), "1": (" # ", "## ", " # ", " # ", "###"),
    "2": ("###", "  #", "###", "#  ", "###"), "3": ("###", "  #", "###", "  #", "###"),
    "4": ("# #", "# #", "###", "  #", "  #"), "5": ("###", "#  ", "###", "  #", "###"),
    "6": ("###", "#  ", "###", "# #", "###"), "7": ("###", "  #", "  #", "  #", "  #"),
    "8": ("###", "# #", "###", "# #", "###"), "9": ("###", "# #", "###", "  #", "###"),
    ".": (" ", " ", " ", " ", "#"), "×": ("   ", "# #", " # ", "# #", "   "),
}  # fmt: skip
_BLOCKS: Final = {(" ", " "): " ", ("#", " "): "▀", (" ", "#"): "▄", ("#", "#"): "█"}


def big_word(word: str) -> tuple[str, str, str]:
    """The three lines of a word; all equally long. A letter that is not in the alphabet is left out."""
    rows = [*_rows(word), ""]
    rows[-1] = " " * len(rows[0])
    upper, middle, lower = (
        "".join(_BLOCKS[pair] for pair in zip(rows[row], rows[row + 1], strict=True)) for row in (0, 2, 4)
    )
    return upper, middle, lower


def huge_word(word: str) -> tuple[str, ...]:
    """The five lines of a word; all equally long, and a little more than twice as long as `big_word`'s."""
    return tuple("".join("██" if point == "#" else "  " for point in row) for row in _rows(word))


def _rows(word: str) -> list[str]:
    glyphs = [_GLYPHS[letter] for letter in word.upper() if letter in _GLYPHS]
    return [" ".join(glyph[row] for glyph in glyphs) for row in range(5)]
