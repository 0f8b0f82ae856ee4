"""Words three lines high, of half blocks: to be read across a room."""

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
    "2": ("###", "  #", "###", "#  ", "###"), "×": ("   ", "# #", " # ", "# #", "   "),
}  # fmt: skip
_BLOCKS: Final = {(" ", " "): " ", ("#", " "): "▀", (" ", "#"): "▄", ("#", "#"): "█"}


def big_word(word: str) -> tuple[str, str, str]:
    """The three lines of a word; all equally long. A letter that there is none of is left out."""
    glyphs = [_GLYPHS[letter] for letter in word.upper() if letter in _GLYPHS]
    rows = [" ".join(glyph[row] for glyph in glyphs) for row in range(5)]
    rows.append(" " * len(rows[0]))
    upper, middle, lower = (
        "".join(_BLOCKS[pair] for pair in zip(rows[row], rows[row + 1], strict=True)) for row in (0, 2, 4)
    )
    return upper, middle, lower
