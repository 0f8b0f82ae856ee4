"""Text from strangers, made safe to show.

Command lines, VMA names and paths may hold anything: escape sequences, invalid UTF-8, newlines,
direction overrides. `printable` keeps what can be read and makes the rest visible, so that one
character of the result never moves the cursor, hides text or talks to the terminal. It says
nothing of markup: what shows the result must take it as literal text.
"""

from __future__ import annotations

from typing import Final

_BIDI: Final = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_INVISIBLE: Final = [0x00AD, 0x200B, 0x200C, 0x200D, 0x2028, 0x2029, 0x2060, 0xFEFF, *range(0xE0000, 0xE0080)]

_TABLE: Final[dict[int, str]] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\u2421",
    **dict.fromkeys([*range(0x80, 0xA0), *_BIDI, *_INVISIBLE], "\ufffd"),
    **{0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)},
    **dict.fromkeys([*range(0xD800, 0xDC80), *range(0xDD00, 0xE000)], "\ufffd"),
}


def printable(text: str | bytes) -> str:
    r"""`text` with everything that is not plainly readable replaced by a visible stand-in.

    Control characters become their pictures (ESC is shown as ␛), bytes that are not UTF-8 become
    `\\xNN`, and C1 controls, direction overrides and invisible characters become U+FFFD.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable():
        return text
    shown = text.translate(_TABLE)
    if shown.isprintable():
        return shown
    # Unassigned code points, private ones, and spaces of other widths.
    return "".join(character if character.isprintable() else "\ufffd" for character in shown)
