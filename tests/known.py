"""Figures that may be unknown, and must be known where they are tested."""

from __future__ import annotations

from typing import TypeVar

Figure = TypeVar("Figure")


def known(figure: Figure | None) -> Figure:
    """The figure. A test fails here if it is not known."""
    assert figure is not None
    return figure
