"""What pre-flight has found of a target, where one is about to dump it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

if TYPE_CHECKING:
    from engine.preflight.finding import Finding

_STYLES: Final = {"✗": "$error", "!": "$warning", "·": "$foreground 60%"}


class Findings(VerticalScroll):
    """A line or more for each finding; scrolls where there are many, and is not there without any."""

    def __init__(self) -> None:
        super().__init__(id="findings")
        self._shown: tuple[Finding, ...] = ()

    def compose(self) -> ComposeResult:
        """The lines."""
        yield Static("", markup=False)

    def on_mount(self) -> None:
        """Nothing is known yet."""
        self.display = False

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Show these, worst first as they are."""
        self._shown = tuple(findings)
        self.display = bool(self._shown)
        lines = [_line(finding) for finding in self._shown]
        self.query_one(Static).update(Content("\n").join(lines))


def _line(finding: Finding) -> Content:
    mark = "✗" if finding.severity.prevents and not finding.option else "!"
    if not finding.severity.prevents:
        mark = "·"
    hint = f" ({finding.hint})" if finding.hint else ""
    return Content.styled(f"{mark} {finding.severity.value}: {finding.text}{hint}", _STYLES[mark])
