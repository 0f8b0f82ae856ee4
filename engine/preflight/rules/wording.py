"""Phrases that several rules share."""

from __future__ import annotations

from typing import Final

NOT_SAVED: Final = "no criu can save it"
CLOSE_IT: Final = "have the program close it, or start it without"


def by_config(line: str) -> str:
    """How to give CRIU an option that dirtytop has none for."""
    return f"a line `{line}` in a file for `--criu-config`"
